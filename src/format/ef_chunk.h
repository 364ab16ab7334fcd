/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ef_chunk: inside a chunk of elias_fano.h. Internal to it.
 *
 * What ef_open() promises of a place: samples, unary bits of n + n_buckets and low bits of n lie in
 * memory. What they say is not checked; so bit positions are bounded wherever one is read.
 *
 * Threads: pure functions. Memory: none.
 */
#ifndef FKV_FORMAT_EF_CHUNK_H
#define FKV_FORMAT_EF_CHUNK_H

#include "format/elias_fano.h"

/* A chunk with its parts told apart. */
struct ef_chunk {
    uint64_t first;
    const uint8_t *samples;
    const uint8_t *unary;
    const uint8_t *low;
    uint32_t n;
    uint32_t n_buckets;
    uint32_t low_bits;
};

/* Bytes of the parts of a chunk. */
static inline uint64_t ef_samples_len(uint32_t n_buckets)
{
    return align_up(2 * ((uint64_t)n_buckets / EF_SAMPLE + 1), 8);
}
static inline uint64_t ef_unary_len(uint32_t n, uint32_t n_buckets)
{
    return align_up((uint64_t)n + n_buckets, 64) / 8;
}
static inline uint64_t ef_low_len(uint32_t n, uint32_t low_bits)
{
    return align_up((uint64_t)n * low_bits, 64) / 8 + 8;
}

static inline struct ef_chunk ef_chunk_at(const struct elias_fano *ef, uint64_t i)
{
    uint64_t place = load_le64(ef->places + 8 * i);
    uint64_t n = ef->n - i * EF_CHUNK;
    struct ef_chunk chunk = {.first = load_le64(ef->firsts + 8 * i),
                             .samples = ef->bytes + (place >> 20) * 8,
                             .n = n < EF_CHUNK ? (uint32_t)n : EF_CHUNK,
                             .n_buckets = place >> 6 & 0x3FFF,
                             .low_bits = place & 0x3F};
    chunk.unary = chunk.samples + ef_samples_len(chunk.n_buckets);
    chunk.low = chunk.unary + ef_unary_len(chunk.n, chunk.n_buckets);
    return chunk;
}

/* The low bits of number i < n. */
static inline uint64_t ef_low(const struct ef_chunk *chunk, uint32_t i)
{
    uint64_t bit = (uint64_t)i * chunk->low_bits;
    const uint8_t *word = chunk->low + bit / 64 * 8;
    uint32_t shift = bit % 64;
    uint64_t low = load_le64(word) >> shift;
    if (shift)
        low |= load_le64(word + 8) << (64 - shift);
    return low & ((1ULL << chunk->low_bits) - 1);
}

/* Word i of the unary bits, of which there are n_bits. */
static inline uint64_t ef_word(const struct ef_chunk *chunk, uint32_t i)
{
    return load_le64(chunk->unary + 8 * (size_t)i);
}
static inline uint32_t ef_n_bits(const struct ef_chunk *chunk)
{
    return chunk->n + chunk->n_buckets;
}

static inline uint32_t ef_popcount(uint64_t x)
{
    x -= x >> 1 & 0x5555555555555555ULL;
    x = (x & 0x3333333333333333ULL) + (x >> 2 & 0x3333333333333333ULL);
    x = (x + (x >> 4)) & 0x0F0F0F0F0F0F0F0FULL;
    return (uint32_t)(x * 0x0101010101010101ULL >> 56);
}

/* The position of the r-th set bit of x, from 0; x has more than r. Bytes first: a byte of `sums`
 * counts the set bits up to its end, and the wanted bit is behind as many bytes as have no more
 * than r. */
static inline uint32_t ef_select(uint64_t x, uint32_t r)
{
    uint64_t ones = 0x0101010101010101ULL;
    uint64_t s = x - (x >> 1 & 0x5555555555555555ULL);
    s = (s & 0x3333333333333333ULL) + (s >> 2 & 0x3333333333333333ULL);
    uint64_t sums = ((s + (s >> 4)) & 0x0F0F0F0F0F0F0F0FULL) * ones;
    uint64_t passed = ((r * ones | ones << 7) - sums) & ones << 7;
    uint32_t byte = (uint32_t)((passed >> 7) * ones >> 56) * 8;
    uint64_t rest = x >> byte;
    for (r -= (uint32_t)(sums << 8 >> byte) & 0xFF; r; r--)
        rest &= rest - 1;
    return byte + (uint32_t)__builtin_ctzll(rest);
}

/* The bit where a bucket begins (the one behind the zero of the bucket before), at most n_bits. */
static inline uint32_t ef_bucket_begin(const struct ef_chunk *chunk, uint32_t bucket)
{
    uint32_t n_bits = ef_n_bits(chunk);
    uint32_t bit = load_le16(chunk->samples + 2 * (size_t)(bucket / EF_SAMPLE));
    uint32_t n_zeros = bucket % EF_SAMPLE;
    if (n_zeros == 0 || bit >= n_bits)
        return bit < n_bits ? bit : n_bits;
    uint64_t zeros = ~ef_word(chunk, bit / 64) & UINT64_MAX << (bit % 64);
    for (uint32_t base = bit / 64 * 64;;) {
        uint32_t n = ef_popcount(zeros);
        if (n >= n_zeros) {
            bit = base + ef_select(zeros, n_zeros - 1) + 1;
            return bit < n_bits ? bit : n_bits;
        }
        n_zeros -= n;
        base += 64;
        if (base >= n_bits)
            return n_bits;
        zeros = ~ef_word(chunk, base / 64);
    }
}

/* The bit where the run of ones that begins at `bit` ends, at most n_bits. */
static inline uint32_t ef_run_end(const struct ef_chunk *chunk, uint32_t bit)
{
    uint32_t n_bits = ef_n_bits(chunk);
    while (bit < n_bits) {
        uint64_t zeros = ~ef_word(chunk, bit / 64) >> (bit % 64);
        if (zeros) {
            bit += (uint32_t)__builtin_ctzll(zeros);
            break;
        }
        bit = (bit / 64 + 1) * 64;
    }
    return bit < n_bits ? bit : n_bits;
}

/* The ranks [*begin, *end) of a bucket's numbers, within the chunk's. */
static inline void ef_bucket_ranks(const struct ef_chunk *chunk, uint32_t bucket, uint32_t *begin,
                                   uint32_t *end)
{
    uint32_t bit = ef_bucket_begin(chunk, bucket);
    uint32_t run_end = ef_run_end(chunk, bit);
    uint32_t rank = bit > bucket ? bit - bucket : 0;
    uint32_t rank_end = rank + (run_end - bit);
    *begin = rank < chunk->n ? rank : chunk->n;
    *end = rank_end < chunk->n ? rank_end : chunk->n;
}

/* The last bit that is 1 of those before `end`; 0 when none is. */
static inline uint32_t ef_one_before(const struct ef_chunk *chunk, uint32_t end)
{
    while (end > 0) {
        uint32_t last = (end - 1) % 64;
        uint64_t ones = ef_word(chunk, (end - 1) / 64) << (63 - last);
        if (ones)
            return end - 1 - (uint32_t)__builtin_clzll(ones);
        end -= last + 1;
    }
    return 0;
}

/* The number of rank i whose 1 stands at `bit`. */
static inline uint64_t ef_number(const struct ef_chunk *chunk, uint32_t i, uint32_t bit)
{
    uint64_t bucket = bit > i ? bit - i : 0;
    return chunk->first + (bucket << chunk->low_bits | ef_low(chunk, i));
}

/* The first of ranks [low, end), all of one bucket, whose low bits are not below `wanted`. */
static inline uint32_t ef_low_search(const struct ef_chunk *chunk, uint32_t low, uint32_t end,
                                     uint64_t wanted)
{
    for (uint32_t n = end - low; n > 0;) {
        uint32_t half = (n + 1) / 2;
        low += ef_low(chunk, low + half - 1) < wanted ? half : 0;
        n -= half;
    }
    return low;
}

/* The low bits of a distance from the first number. */
static inline uint64_t ef_low_of(const struct ef_chunk *chunk, uint64_t distance)
{
    return distance & ((1ULL << chunk->low_bits) - 1);
}

/* The first rank in the chunk whose number is not below first + distance. */
static inline uint32_t ef_chunk_lower_bound(const struct ef_chunk *chunk, uint64_t distance)
{
    uint64_t bucket = distance >> chunk->low_bits;
    uint32_t begin = 0;
    uint32_t end = 0;
    if (bucket >= chunk->n_buckets)
        return chunk->n;
    ef_bucket_ranks(chunk, (uint32_t)bucket, &begin, &end);
    return ef_low_search(chunk, begin, end, ef_low_of(chunk, distance));
}

#endif
