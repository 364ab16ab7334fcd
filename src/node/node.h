/* SPDX-License-Identifier: Apache-2.0 */
/*
 * node: this machine's part in the fleet: follows the manifest, keeps versions in its cache and
 * memory, switches.
 *
 *   follow   short: reads the manifest, decides what should be here, switches what is ready,
 *            writes the heartbeat
 *   work     long: fetches, verifies and loads the next version that is wanted
 *   flip     waits, and switches at the instant that a plan named
 *
 * The daemon runs each in a thread of its own; lookups go on meanwhile. All times that hosts compare
 * are by the store's clock. A store that cannot be
 * reached stops neither: what is cached and loaded is served, and node_open() itself works from the
 * cache alone.
 *
 * Threads: follow, work and flip from one thread each; everything else from any. Memory: node_close()
 * after all three ended and all pins are dropped.
 * Errors: as in base/err.h; failures of fetching or loading one version are that version's state,
 * not an error of follow or work.
 */
#ifndef FKV_NODE_NODE_H
#define FKV_NODE_NODE_H

#include "base/buf.h"
#include "base/err.h"
#include "node/table.h"

#include <stdbool.h>

enum { NODE_TABLES_MAX = 4096, NODE_LABELS_MAX = 16 };

struct node_config {
    const char *store_url;
    const char *cache_dir; /* made when missing; one daemon at a time (locked) */
    const char *name;      /* as in nodes/<name>.json */
    const char *labels[NODE_LABELS_MAX];
    size_t n_labels;
    uint64_t memory_budget;  /* bytes of loaded parts and tails, all tables together */
    uint64_t block_cache;    /* bytes of memory to cache tables on disk in, beyond it; 0: none */
    unsigned values_percent; /* of it, for single values rather than blocks; 0 to 100 */
    uint32_t keep_cached;    /* former versions a table keeps in the disk cache */
    uint64_t cache_limit;    /* bytes of parts in the disk cache; 0: what the disk holds */
    uint64_t fetch_limit;    /* bytes a second from the store, all fetches together; 0: no limit */
    int64_t poll_ns;         /* how often the caller calls node_follow(), for the heartbeat */
};

enum node_event_kind {
    NODE_EVENT_TABLE,    /* a table appeared */
    NODE_EVENT_SWITCHED, /* current or previous changed */
    NODE_EVENT_VERSION,  /* a version came, went, was loaded or unloaded */
    NODE_EVENT_NOTICE,   /* text for the log */
    NODE_EVENT_WARNING,
};

/* Called from follow, work, node_tell_notes() or node_switch_local(), never with a lock held. text
 * may be NULL. */
typedef void (*node_event_fn)(void *context, enum node_event_kind kind, struct table *table,
                              uint64_t version, const char *text);

struct node;

/* Opens the cache and loads from it the versions served last, so that tables answer when it
 * returns. */
int node_open(const struct node_config *config, node_event_fn event, void *context,
              struct node **out, struct err *err);
void node_close(struct node *node);

/*
 * One round of each. follow returns when the store answered or the time limits of its calls ran out;
 * *wait_ns is the longest pause the caller means to make, shortened for the next try to reach a lost
 * store. work returns true when it did something and should be called again at once.
 * Trouble with the store is told by events and status; follow returns 0 all the same.
 */
int node_follow(struct node *node, int64_t *wait_ns, struct err *err);
bool node_work(struct node *node);
/* After the last node_follow(): tells the fleet that this node ends in good order, if the store is there. */
void node_farewell(struct node *node);
/* Waits up to max_ns for the next instant at which a table switches, and does it: true, and others
 * should be told soon: the daemon by node_tell_notes(), the fleet by node_follow(). False after
 * max_ns or node_cancel(). */
bool node_flip(struct node *node, int64_t max_ns);
/* Tells the events that are due. From any thread but flip's: the event may wait for a log. */
void node_tell_notes(struct node *node);
/* Makes a running node_work() or node_flip() return soon (shutting down). */
void node_cancel(struct node *node);

size_t node_n_tables(struct node *node);
struct table *node_table_at(struct node *node, size_t index);
struct table *node_table_find(struct node *node, const char *name);

/*
 * The node-local switch (ln -sfn v/<id> current): pins this machine to id, flips at once when it is
 * loaded, else loads it from the cache first, before what else is to be loaded. Survives restarts,
 * needs no store. id 0 takes the pin off (rm current).
 * -ENOENT: not on this machine; -ENOMEM: over budget; -EBADMSG: bad in the cache; -ETIMEDOUT.
 */
int node_switch_local(struct node *node, struct table *table, uint64_t id, struct err *err);

/* What this machine knows of itself: one JSON object (status.json's "node" member), appended. */
int node_status(struct node *node, struct buf *out, struct err *err);

/* Prometheus text of versions, memory, cache, last contact; appended. */
int node_metrics(struct node *node, struct buf *out);

#endif
