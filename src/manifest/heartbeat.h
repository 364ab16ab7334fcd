/* SPDX-License-Identifier: Apache-2.0 */
/*
 * heartbeat: nodes/<node>.json, what a daemon says of itself, and the rule that reads it.
 *
 * Readers ignore members they do not know and do without those that were added later, so that daemons and commands of different
 * age understand each other.
 *
 * Threads: plain data. Memory: heartbeat_release() what decode filled.
 * Errors: decode: -EBADMSG with file, member, expected, found. encode: -EINVAL for a bad name, -E2BIG.
 */
#ifndef FKV_MANIFEST_HEARTBEAT_H
#define FKV_MANIFEST_HEARTBEAT_H

#include "manifest/state.h"
#include "store/store.h"

enum {
    HEARTBEAT_FORMAT = 1,
    HEARTBEAT_JSON_MAX = 4 << 20,
    HEARTBEAT_LABELS_MAX = 16,
    HEARTBEAT_REASON_MAX = 1024,
    HEARTBEAT_WORD_MAX = 127, /* bytes of host and fkvd */
};

/* A node is live while its heartbeat is younger than this. */
#define HEARTBEAT_LIVE_NS (30 * 1000000000LL)
/* One that fell silent no longer ago than this may be back when the store is. */
#define HEARTBEAT_MISSED_NS (3600 * 1000000000LL)
/* One that was not heard of for longer than this was taken out of service. */
#define HEARTBEAT_ABANDONED_NS (30 * 24 * 3600 * 1000000000LL)

enum node_version_state {
    NODE_FETCHING,
    NODE_LOADING,
    NODE_READY,   /* loaded, could be served at once */
    NODE_SERVING, /* current on this node */
    NODE_CACHED,  /* on its disk only */
    NODE_FAILED,
};

struct node_version {
    uint64_t version;
    enum node_version_state state;
    uint64_t done; /* bytes fetched or loaded */
    uint64_t total;
    char *reason;      /* of a failure, or what is wrong with one that serves; else NULL */
    uint64_t failures; /* in a row, of fetching and loading it */
    int64_t since_ns;  /* when it came into this state; 0: not said */
};

struct node_table {
    char name[TABLE_NAME_MAX + 1];
    uint64_t serving;    /* 0: none */
    uint64_t local_pin;  /* by ln -sfn on the host; 0: none */
    int64_t switched_ns; /* when serving last changed */
    struct node_version *versions;
    size_t n_versions;
};

struct heartbeat {
    char node[NODE_NAME_MAX + 1];
    char *labels[HEARTBEAT_LABELS_MAX];
    size_t n_labels;
    char host[HEARTBEAT_WORD_MAX + 1]; /* what the machine calls itself; "": not said */
    char fkvd[HEARTBEAT_WORD_MAX + 1]; /* the daemon's version; "": not said */
    /* 32 hex digits drawn at each start, which tell two daemons of one name apart; "": not said */
    char instance[RECORD_NONCE_LEN + 1];
    int64_t time_ns; /* by the store's clock, as all times in here */
    int64_t started_ns;
    /* Since when it has had the store without a break: started_ns when it had it from the start; 0: not said. */
    int64_t contact_ns;
    int64_t clock_ahead_ns; /* the node's own clock less the store's */
    int64_t poll_ns;        /* how often it looks for new records; 0: not said */
    uint64_t pid;
    uint64_t seq; /* manifest record it has folded */
    uint64_t memory_used;
    uint64_t memory_budget;
    uint64_t cache_used; /* bytes of parts on its disk */
    uint64_t cache_limit;
    bool stopped; /* its last word: the daemon ended in good order */
    struct node_table *tables;
    size_t n_tables;
};

/* "fetching" …; NULL for a number that is no state. */
const char *node_version_state_name(enum node_version_state state);

/*
 * Is it young enough to count, and not a daemon's last word? One from the future by more than HEARTBEAT_LIVE_NS is not: its clock
 * says nothing.
 */
bool heartbeat_is_live(const struct heartbeat *heartbeat, int64_t now_ns);
/* Not live, but within HEARTBEAT_MISSED_NS of now, either way, and it did not say that it ended. */
bool heartbeat_is_missed(const struct heartbeat *heartbeat, int64_t now_ns);
/* May gc remove it? Farther than HEARTBEAT_ABANDONED_NS from now, either way. A daemon that lives all the same writes it anew. */
bool heartbeat_is_abandoned(const struct heartbeat *heartbeat, int64_t now_ns);
/* The node's word on a table or a version of it, or NULL. */
const struct node_table *heartbeat_find_table(const struct heartbeat *heartbeat, const char *table);
const struct node_version *node_table_find_version(const struct node_table *table,
                                                   uint64_t version);

/* Appends. Numbers beyond INT64_MAX are written as that; bytes of host, fkvd and a reason that JSON cannot carry become '?'. */
int heartbeat_encode(const struct heartbeat *heartbeat, struct buf *out, struct err *err);
int heartbeat_decode(const void *text, size_t len, const char *name, struct heartbeat *out,
                     struct err *err);
void heartbeat_release(struct heartbeat *heartbeat);

/*
 * Writes nodes/<node>.json, and reads all of them, by name. What lies there but is no heartbeat (damaged, too long, a directory, a
 * link) is left out and counted; any other failure ends the reading, as it says nothing of the node.
 */
int heartbeat_put(struct store *store, const struct heartbeat *heartbeat, struct err *err);
struct heartbeat_list {
    struct heartbeat *nodes;
    size_t n_nodes;
    size_t n_bad;
    char bad[NODE_NAME_MAX + 1]; /* the first of them: nodes/<bad>.json */
};
int heartbeat_list_read(struct store *store, struct heartbeat_list *out, struct err *err);
void heartbeat_list_release(struct heartbeat_list *list);

#endif
