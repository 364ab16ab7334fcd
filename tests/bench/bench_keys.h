/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_keys: the keys and values of the benchmark tables, as functions of an index and a stamp.
 *
 * Key i is a random-looking u64. Its value of 64 bytes is the key, the stamp (the version it was
 * made for) and six more words, so a reader can tell whose value it holds, and of which version.
 *
 * Threads: pure functions; a struct draw belongs to one thread.
 */
#ifndef FKV_TESTS_BENCH_KEYS_H
#define FKV_TESTS_BENCH_KEYS_H

#include "base/hash.h"

#include <stdint.h>
#include <string.h>

enum { VALUE_LEN = 64, VALUE_WORDS = 8 };

static inline uint64_t bench_key(uint64_t i)
{
    return hash_u64(i, 0x5EED);
}

static inline void bench_value(uint64_t key, uint64_t stamp, uint8_t out[VALUE_LEN])
{
    uint64_t words[VALUE_WORDS] = {key, stamp};
    for (uint64_t w = 2; w < VALUE_WORDS; w++)
        words[w] = (key + w) * 0x9E3779B97F4A7C15ull ^ stamp;
    memcpy(out, words, VALUE_LEN);
}

/* Uniform random keys of a table of n < 2^32: xorshift64*, its high half scaled. */
struct draw {
    uint64_t state;
    uint64_t n;
};

static inline uint64_t draw_key(struct draw *draw)
{
    uint64_t x = draw->state;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    draw->state = x;
    x *= 0x2545F4914F6CDD1Dull;
    return bench_key(((x >> 32) * draw->n) >> 32);
}

#endif
