/* SPDX-License-Identifier: Apache-2.0 */
/*
 * node_fixture: a store in a directory, with real versions in it, and nodes that follow it.
 *
 * Keys are u64 from 0 on; the value of a key is 8 bytes, tag << 32 | key, then filler. So a value tells which version gave it.
 *
 * Threads: one. Memory: node_fixture_release(). Failures abort: a test that cannot make its store has nothing to say.
 */
#ifndef FKV_TESTS_NODE_FIXTURE_H
#define FKV_TESTS_NODE_FIXTURE_H

#include "manifest/heartbeat.h"
#include "manifest/manifest.h"
#include "node/node.h"
#include "temp_dir.h"

#include <pthread.h>

enum { NODE_FIXTURE_PATH_MAX = TEMP_DIR_MAX + 256, NODE_FIXTURE_POLL_NS = 250000000 };

struct node_fixture {
    uint64_t block_cache; /* of nodes that are opened; 0: none */
    char dir[TEMP_DIR_MAX];
    char store_dir[TEMP_DIR_MAX + 16];
    struct store *store;
    struct manifest *manifest;
    uint64_t cache_limit; /* of nodes that are opened; 0: none */
    /* What the nodes said, all of them together, in whatever thread. */
    pthread_mutex_t lock;
    char warnings[16384];
    unsigned n_switched;
    unsigned n_listed;
    unsigned n_tables;
};

void node_fixture_init(struct node_fixture *fixture);
/* In memory, where that can be had: for tests of many lives. */
void node_fixture_init_fast(struct node_fixture *fixture);
void node_fixture_release(struct node_fixture *fixture);

struct build {
    uint32_t tag;
    uint64_t n_keys; /* keys first .. first + n_keys - 1 */
    uint64_t first;
    uint32_t value_len; /* 0: 64 */
    uint32_t n_shards;  /* 0: 1 */
    uint64_t base;      /* of a delta; 0: a full version */
    const char *owner;
    uint32_t mode;                /* 0: 0444 */
    enum table_kind kind;         /* 0: mem */
    const struct buf *dictionary; /* of `blk` and `idx`: values are compressed with it; NULL: not */
    bool lies_about_tail;         /* version.json says it is a page longer */
};

/* Publishes a version; returns its number. */
uint64_t node_fixture_publish(struct node_fixture *fixture, const char *table,
                              const struct build *build);
/* Shorthand: a full version of n_keys keys with that tag, activated at once. */
uint64_t node_fixture_release_version(struct node_fixture *fixture, const char *table, uint32_t tag,
                                      uint64_t n_keys);
void node_fixture_append(struct node_fixture *fixture, const struct op *op);
void node_fixture_activate(struct node_fixture *fixture, const char *table, uint64_t version,
                           int64_t effective_ns);
void node_fixture_rollback(struct node_fixture *fixture, const char *table, uint64_t from,
                           uint64_t to);

/* Path of the i-th part of a version in the store. */
void node_fixture_part_path(struct node_fixture *fixture, const char *table, uint64_t version,
                            size_t i, char out[NODE_FIXTURE_PATH_MAX]);
/* Turns over one byte of a file, in the middle of that chunk, or anywhere. */
void node_fixture_damage(const char *path, uint32_t chunk);
void node_fixture_damage_at(const char *path, uint64_t off);

/* A node "n1" with a cache <dir>/<cache>. budget 0: 1 GiB. -errno from node_open. */
int node_fixture_open(struct node_fixture *fixture, const char *cache, uint64_t budget,
                      struct node **out, struct err *err);
/* Follows and works until there is nothing to do at once. */
void node_fixture_settle(struct node *node);

/* The tag of the version that answers, or what is wrong: 0 no such key, -1 no version, -2 its block is
 * bad or cannot be read (told to node as a lookup does). */
int64_t node_fixture_get(struct node *node, const char *table, uint64_t key);
int64_t node_fixture_get_of(const struct version *version, uint64_t key);

/* The store cannot be reached, and can again. */
void node_fixture_hide_store(struct node_fixture *fixture);
void node_fixture_show_store(struct node_fixture *fixture);

/* The state and reason a heartbeat tells of a version; false when it tells nothing. */
bool node_fixture_heard(struct node_fixture *fixture, const char *table, uint64_t version,
                        enum node_version_state *state, char reason[1024]);

#endif
