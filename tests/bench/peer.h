/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peer: a store of keys and values to compare with, behind four functions.
 *
 * Keys go to peers in big-endian bytes, in ascending order where that helps them.
 *
 * Threads: one. Memory: values of a lookup are good until the next one. Failures end the program.
 */
#ifndef FKV_TESTS_BENCH_PEER_H
#define FKV_TESTS_BENCH_PEER_H

#include <stdint.h>

struct peer_entry {
    uint64_t key;
    uint64_t key_be; /* its big-endian bytes, as a number of this machine */
};

struct peer {
    const char *name;
    const char *settings;
    /* entries ascend by key; dir is for the peer alone. */
    void (*load)(struct peer *peer, const char *dir, const struct peer_entry *entries, uint64_t n);
    /* values[i] is that of keys[i]; NULL: absent. */
    void (*get)(struct peer *peer, const uint64_t *keys, uint32_t n, const void **values);
    /* A place for n keys that get() reads best; NULL: anywhere. */
    uint64_t *(*keys)(struct peer *peer, uint32_t n);
    void (*close)(struct peer *peer);
    char version[64];
    void *state;
};

enum { PEER_BATCH_MAX = 16384 };

extern struct peer peer_fkv;           /* load's dir is the table in the mount */
extern struct peer peer_rocksdb_block; /* block-based tables, everything in the block cache */
extern struct peer peer_rocksdb_cuckoo;
extern struct peer peer_lmdb;
extern struct peer peer_redis;

void peer_fail(const struct peer *peer, const char *what);

#endif
