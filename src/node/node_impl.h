/* SPDX-License-Identifier: Apache-2.0 */
/*
 * node_impl: the node's inside, for src/node/ only. Each file below takes one part of the work:
 *
 *   node.c      opens and closes, finds tables       persist.c  state.json, written and restored
 *   follow.c    the manifest, plans, heartbeats      room.c     the memory budget
 *   work.c      picks and does the next long thing   loading.c  one load at a time
 *   collect.c   takes out of the cache what is over  switch.c   the node-local switch
 *   contact.c   the follow thread's store            report.c   status and metrics
 *   flip.c      switches at a known instant          store_time.c  the store's clock
 *   unpin.c     records that end a local switch      beat.c     the heartbeat
 *   evict.c     room on the disk              repair.c   damaged parts on disk
 *
 * Threads: `lock` guards tables' insides and the fields after it. It is held for moments only:
 * never across I/O, loading or an event. Loads are done one at a time, by work or by a node-local
 * switch: `loader_is_busy`.
 */
#ifndef FKV_NODE_NODE_IMPL_H
#define FKV_NODE_NODE_IMPL_H

#include "manifest/manifest.h"
#include "node/cache_state.h"
#include "node/limiter.h"
#include "node/node.h"
#include "node/repair.h"
#include "node/table_impl.h"
#include "store/clock.h"

/* What only the follow thread touches. */
struct follower {
    struct store *store;       /* NULL: not open */
    struct manifest *manifest; /* NULL: not open */
    struct state state;        /* copy of the last good one: outlives a lost store */
    bool has_state;
    int64_t retry_ns; /* CLOCK_MONOTONIC: when to try the store again */
    int64_t retry_wait_ns;
    int64_t beat_ns; /* CLOCK_MONOTONIC of the last heartbeat; 0: none */
    uint64_t beat_changes;
    int beat_failure; /* -errno of the last one, if it could not be written */
    struct store_time time;
    bool clock_is_told;   /* that it cannot be read */
    int64_t clock_due_ns; /* CLOCK_MONOTONIC: when to read it again */
    uint64_t n_requests;  /* counted of `store` */
    int64_t rate_ns;      /* CLOCK_MONOTONIC: when rate_bytes had been fetched */
    uint64_t rate_bytes;
    char complaint[ERR_TEXT_MAX]; /* last one reported, so that each is reported once */
};

/* Something for the daemon's caches to hear of, kept until the lock is dropped. */
struct note {
    enum node_event_kind kind;
    struct table *table;
    uint64_t version;
};

struct node {
    char *store_url;
    char *name;
    char *labels[NODE_LABELS_MAX];
    size_t n_labels;
    uint64_t memory_budget;
    uint32_t keep_cached;
    uint64_t cache_limit; /* 0: what the disk holds */
    node_event_fn event;
    void *event_context;
    int64_t started_ns; /* CLOCK_MONOTONIC */
    int64_t poll_ns;
    char instance[RECORD_NONCE_LEN + 1]; /* drawn at the start */

    struct cache *cache;
    struct part_memory *memory;
    struct table *tables[NODE_TABLES_MAX];
    _Atomic size_t n_tables;

    struct follower follower;
    struct repair repair;     /* the work thread's */
    struct store *work_store; /* the work thread's own: a slow fetch does not hold up follow */
    uint64_t n_work_requests; /* counted of it */

    _Atomic int64_t clock_offset_ns; /* the store's time less CLOCK_MONOTONIC, as far as known */
    _Atomic bool is_cancelled;
    _Atomic bool is_urgent; /* a version that should answer now waits: lesser fetches give way */
    struct limiter limiter; /* of all fetches together */
    _Atomic uint64_t n_fetched_bytes;
    _Atomic uint64_t n_bad_chunks;
    _Atomic uint64_t n_failures;
    _Atomic uint64_t n_evictions;
    _Atomic uint64_t n_repairs;  /* parts on disk that were damaged and are not any more */
    _Atomic uint64_t n_losses;   /* of the store */
    _Atomic uint64_t n_requests; /* to the store, over the network */
    _Atomic uint64_t fetch_rate; /* bytes a second, of late */
    _Atomic uint64_t n_switches;

    pthread_mutex_t
        save_lock; /* one writer of state.json at a time, in the order of their snapshots */
    pthread_mutex_t lock;
    pthread_cond_t plan_changed; /* or the clock, or is_cancelled: for who waits for an instant */
    pthread_cond_t loader_is_free;
    bool loader_is_busy;
    unsigned n_brakes; /* node-local switches that wait for the loader: loads by work give way */
    struct note *notes;
    size_t n_notes;
    size_t cap_notes;
    int64_t save_retry_ns; /* CLOCK_MONOTONIC: state.json could not be written, not again before */
    bool is_dirty;         /* state.json is behind */
    uint64_t changes;      /* counts what the heartbeat should tell */
    uint64_t seq;
    char store_id[STORE_ID_MAX + 1];
    int64_t contact_ns;             /* CLOCK_REALTIME of the last contact; 0: never */
    int64_t contact_monotonic_ns;   /* the same by CLOCK_MONOTONIC; 0: not since the start */
    int64_t contact_since_ns;       /* CLOCK_MONOTONIC: of the last contact after none; 0: never */
    char store_error[ERR_TEXT_MAX]; /* empty: reachable */
    char beat_error[ERR_TEXT_MAX];  /* empty: heartbeats are written */
    bool clock_is_stores; /* clock_offset_ns was read from it, and is not this machine's */
    int64_t namesake_ns;  /* CLOCK_MONOTONIC: when another daemon of our name was heard; 0: never */
    uint64_t n_namesakes;
    bool has_planned; /* with the manifest, since the start: all that is to come has its slot */
    bool needs_sweep; /* parts without a version may lie in the cache */
};

int64_t clock_now_ns(int clock_id);

/* store_time.c: nanoseconds since 1970 by the store's clock, as far as it is known; of an instant by
 * CLOCK_MONOTONIC. */
int64_t node_now_ns(const struct node *node);
int64_t node_time_of(const struct node *node, int64_t monotonic_ns);
/* This machine's clock less the store's. */
int64_t node_clock_ahead_ns(const struct node *node);
/* Reads the store's clock when it is time to. Follow only, in contact. */
void node_read_clock(struct node *node);

/* Tells the daemon; never under the lock. */
void node_tell(struct node *node, enum node_event_kind kind, struct table *table, uint64_t version,
               const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* Under the lock: a SWITCHED or VERSION event to be told by node_tell_notes() (node.h), which comes
 * after it is dropped. */
void node_note(struct node *node, enum node_event_kind kind, struct table *table, uint64_t version);

/* Finds or makes a table. NULL without memory, or beyond NODE_TABLES_MAX. Follow and open only. */
struct table *node_add_table(struct node *node, const char *name);

/* persist.c */
int node_restore(struct node *node, struct err *err);
void node_save_if_dirty(struct node *node);

/* room.c, under the lock: makes room in memory for a version of that rank, dropping what matters
 * less when that is enough. -ENOMEM with the figures. */
int node_make_room(struct node *node, const struct version *cached, enum rank rank,
                   struct err *err);
/* Under the lock: takes a version out of memory; pins keep it. */
void node_drop_loaded(struct node *node, struct table *table, struct slot *slot);
/* Under the lock: the loaded slot answers from now on. */
void node_serve(struct node *node, struct table *table, struct slot *slot);

/* loading.c: loads a cached slot, whoever calls; switches when it is wanted. */
int node_load(struct node *node, struct table *table, struct slot *slot, enum rank rank,
              const struct stop *stop, struct err *err);
/* Under the lock: waits until no load is going on and takes its place; a node-local switch (is_brake)
 * comes before work. -ETIMEDOUT past the deadline (CLOCK_MONOTONIC), -ECANCELED. */
int node_take_loader(struct node *node, bool is_brake, int64_t deadline_ns);
void node_leave_loader(struct node *node);

/* contact.c: the follow thread's dealings with the store. */
bool node_contact(struct node *node, bool *is_new);
void node_lose_contact(struct node *node, const struct err *err, int code);
void follower_close(struct follower *follower);
/* Adds the requests of a store since they were counted last. */
void node_count_requests(struct node *node, const struct store *store, uint64_t *counted);

/* follow.c: plans one table anew, switches when what it wants is loaded. */
void node_plan_table(struct node *node, struct table *table);

/* contact.c, under the lock: seconds since the store answered last; -1: never. */
double node_contact_age(const struct node *node);
/* Under the lock: the store answered in this life, and the last time it was asked. */
bool node_is_in_contact(const struct node *node);

/* unpin.c: looks at the records since a node-local switch for one that takes it back. */
void node_look_for_unpin(struct node *node, struct table *table);

/* beat.c: tells the fleet, when there is news or it is time to. Follow only, in contact. */
void node_beat_if_due(struct node *node);
/* Under the lock: is another daemon running under our name? */
bool node_has_namesake(const struct node *node);

#endif
