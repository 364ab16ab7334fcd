/* SPDX-License-Identifier: Apache-2.0 */
/*
 * elias_fano: ascending numbers (repeats allowed) in little more than the fewest bits that can
 * hold them, searched where they are.
 *
 * Numbers are cut into chunks of EF_CHUNK. In a chunk, each is its distance from the first, split:
 * the `low_bits` low bits stand in an array, the rest (the number of its bucket) in unary: for
 * bucket after bucket, a 1 for each number in it, then a 0. With as many low bits as make
 * buckets hold half a number to one on average, that is 2 to 3 bits a number more than the array;
 * the least possible for random numbers is about 1.44. Chunks adapt to where numbers are dense.
 *
 *   places:   first number, 8 bytes a chunk | where its words are, 8 bytes a chunk
 *   a chunk:  le16 for each 64th bucket: the bit where it begins | pad to 8 | unary bits | low bits
 *             | 8 zero bytes, so that low bits may be read by words
 *
 * Threads: a view is immutable, a builder belongs to one thread. Memory: a view points into the
 * caller's memory; a builder holds what it has built. Errors: -EBADMSG, -EINVAL, -ENOMEM.
 */
#ifndef FKV_FORMAT_ELIAS_FANO_H
#define FKV_FORMAT_ELIAS_FANO_H

#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"

enum {
    EF_CHUNK = 4096,
    EF_SAMPLE = 64,                    /* buckets a sample */
    EF_BUCKETS_MAX = 2 * EF_CHUNK + 1, /* of a chunk */
};

/* Where a chunk is and how it is split: low_bits (6 bits), buckets (14), offset / 8 (44). */
static inline uint64_t ef_place_make(uint64_t off, uint32_t n_buckets, uint32_t low_bits)
{
    return off / 8 << 20 | (uint64_t)n_buckets << 6 | low_bits;
}

struct elias_fano {
    uint64_t n;
    uint64_t n_chunks;
    const uint8_t *firsts; /* le64 a chunk; they ascend */
    const uint8_t *places; /* le64 a chunk */
    const uint8_t *bytes;
};

/* Bytes of the places of n numbers. */
static inline uint64_t ef_places_len(uint64_t n)
{
    return (n + EF_CHUNK - 1) / EF_CHUNK * 16;
}

/* Checks n numbers: that the first ones ascend, and that each chunk lies in bytes[0, len). */
int ef_open(uint64_t n, const uint8_t *places, uint64_t places_len, const uint8_t *bytes,
            uint64_t len, const char *name, struct elias_fano *out, struct err *err);

/* The number of rank i < n, whatever it takes: up to a fourth of a microsecond. */
uint64_t ef_get(const struct elias_fano *ef, uint64_t i);

/* The first rank whose number is not below x; n when there is none. */
uint64_t ef_lower_bound(const struct elias_fano *ef, uint64_t x);

/* How many numbers are not above x; the last of them in *number unless there are none. */
uint64_t ef_floor(const struct elias_fano *ef, uint64_t x, uint64_t *number);

/* Ranks of m numbers, or EF_NONE for one that is not there (of equal ones, the first). Misses of
 * memory overlap, so give many. */
#define EF_NONE UINT64_MAX
void ef_find(const struct elias_fano *ef, const uint64_t *numbers, uint32_t m, uint64_t *ranks);

/* Walks numbers from a rank on. */
struct ef_cursor {
    const struct elias_fano *ef;
    uint64_t next; /* rank of the next number */
    uint32_t bit;  /* in the unary bits of its chunk, where to go on */
    uint32_t bucket;
};
void ef_seek(const struct elias_fano *ef, uint64_t rank, struct ef_cursor *cursor);
/* 1 with a number, 0 at the end. */
int ef_next(struct ef_cursor *cursor, uint64_t *number);

/* ---- building ---- */

struct ef_builder {
    uint64_t n;
    uint64_t last;
    uint32_t n_waiting;
    struct buf waiting; /* the chunk under way, u64 each */
    struct buf firsts;
    struct buf places;
    struct buf bytes;
};

void ef_builder_release(struct ef_builder *builder);
/* -EINVAL when the number is below the one before. */
int ef_builder_add(struct ef_builder *builder, uint64_t number);
/* Ends the last chunk; firsts then holds firsts and places, as ef_open() wants them. */
int ef_builder_finish(struct ef_builder *builder);

#endif
