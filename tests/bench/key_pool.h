/* SPDX-License-Identifier: Apache-2.0 */
/*
 * key_pool: keys of a benchmark table drawn beforehand, so that drawing them costs nothing while
 * something is timed.
 *
 * Threads: one. Memory: key_pool_release().
 */
#ifndef FKV_TESTS_BENCH_KEY_POOL_H
#define FKV_TESTS_BENCH_KEY_POOL_H

#include <stdbool.h>
#include <stdint.h>

enum draw_kind {
    DRAW_UNIFORM,
    DRAW_ZIPF,   /* exponent 0.99; a key's rank says nothing of where it lies */
    DRAW_ABSENT, /* keys the table does not have */
};

bool draw_kind_from_name(const char *name, enum draw_kind *out);

struct key_pool {
    uint64_t *keys;
    uint64_t n;
    uint64_t at;
};

/* n keys of a table of n_table < 2^32. */
void key_pool_fill(struct key_pool *pool, enum draw_kind kind, uint64_t n_table, uint64_t seed,
                   uint64_t n);
void key_pool_release(struct key_pool *pool);

/* The next n of them; behind the last comes the first again. */
const uint64_t *key_pool_take(struct key_pool *pool, uint32_t n);

#endif
