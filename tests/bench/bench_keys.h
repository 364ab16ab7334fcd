/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_keys: the keys and values of the benchmark tables, as functions of an index and a stamp.
 *
 * Key i is a random-looking u64, or its 16 hexadecimal digits. Its value is the key, the stamp (the
 * version it was made for) and more words to its length, 64 bytes unless said, so a reader can tell
 * whose value it holds, and of which version.
 *
 * Threads: pure functions; a struct draw belongs to one thread.
 */
#ifndef FKV_TESTS_BENCH_KEYS_H
#define FKV_TESTS_BENCH_KEYS_H

#include "base/hash.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { VALUE_LEN = 64, TEXT_KEY_LEN = 16 };

static inline uint64_t bench_key(uint64_t i)
{
    return hash_u64(i, 0x5EED);
}

/* The same as text, whose order is that of the numbers. */
static inline void bench_key_text(uint64_t key, uint8_t out[TEXT_KEY_LEN])
{
    for (int i = 0; i < TEXT_KEY_LEN; i++)
        out[i] = (uint8_t) "0123456789abcdef"[key >> (60 - 4 * i) & 15];
}

static inline void bench_fill(uint64_t key, uint64_t stamp, uint8_t *out, size_t len)
{
    for (uint64_t w = 0; 8 * w < len; w++) {
        uint64_t word = (key + w) * 0x9E3779B97F4A7C15ull ^ stamp;
        word = w == 0 ? key : w == 1 ? stamp : word;
        memcpy(out + 8 * w, &word, len - 8 * w < 8 ? len - 8 * w : 8);
    }
}

static inline void bench_value(uint64_t key, uint64_t stamp, uint8_t out[VALUE_LEN])
{
    bench_fill(key, stamp, out, VALUE_LEN);
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
