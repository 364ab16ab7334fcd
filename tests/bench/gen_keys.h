/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gen_keys: the keys of a benchmark table (bench_keys.h) with their hashes, in the order in which a
 * part's writer wants them.
 *
 * Threads: one. Memory: 16 bytes a key, twice that while sorting; gen_keys_release().
 */
#ifndef FKV_TESTS_BENCH_GEN_KEYS_H
#define FKV_TESTS_BENCH_GEN_KEYS_H

#include "format/schema.h"

struct gen_key {
    uint64_t hash;
    uint64_t key; /* its number, also when the table's keys are text */
};

struct gen_keys {
    struct gen_key *all;
    uint64_t n;
    uint64_t *starts; /* of the shards, and the end */
};

/* By shard; within, by key for an `idx` table, else by hash. */
void gen_keys_make(const struct schema *schema, uint64_t n, struct gen_keys *out);
void gen_keys_release(struct gen_keys *keys);

#endif
