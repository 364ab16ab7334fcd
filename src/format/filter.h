/* SPDX-License-Identifier: Apache-2.0 */
/*
 * filter: which hashes a part certainly does not hold.
 *
 * A binary fuse filter (Graf and Lemire, 2022) of 8-bit fingerprints for each partition of the
 * hashes: a hash leads to three bytes in neighbouring windows, whose exclusive or is its
 * fingerprint when it is in the set, and by chance once in 256 when it is not. About 9.2 bits a
 * key, three cache misses that overlap, and no key of the set is ever denied.
 *
 * Partitions are runs of hashes, so the filter of a sorted stream is built in memory for one
 * partition, FILTER_KEYS keys.
 *
 * Threads: a filter is immutable; a builder belongs to one thread. Memory: a view's places are its
 * own, its bytes the part's. Errors: -EBADMSG, -ENOMEM, -E2BIG.
 */
#ifndef FKV_FORMAT_FILTER_H
#define FKV_FORMAT_FILTER_H

#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/hash.h"
#include "format/mph.h"

enum {
    FILTER_KEYS = 1 << 18,       /* keys of a partition, aimed at */
    FILTER_WINDOW_MAX = 1 << 18, /* slots of a window */
    FILTER_SLOTS_MAX = 1 << 28,  /* slots of a partition */
};

/* A partition, on disk. Its slots are windows of 2^window_bits bytes: `span` slots where the first
 * of a key's three may be, and two windows more; none when span is 0. */
struct filter_entry {
    le64 off; /* in the fingerprints' section */
    le32 span;
    le16 window_bits;
    le16 seed;
};
_Static_assert(sizeof(struct filter_entry) == 16, "on-disk size");

/* The same, checked. */
struct filter_place {
    const uint8_t *slots;
    uint32_t span;
    uint32_t mask; /* window - 1 */
    uint64_t seed;
};

struct filter {
    struct filter_place *places; /* NULL: no filter, every hash may be there */
    uint32_t n_total;            /* partitions of all shards together */
    uint32_t first;              /* of them, the first of this shard */
    uint32_t n;
};

/* Checks a part's filter of n partitions; entries are its directory, of as many. */
int filter_open(const struct filter_entry *entries, uint32_t n, const uint8_t *bytes, uint64_t len,
                uint32_t shard, uint32_t n_shards, const char *name, struct filter *out,
                struct err *err);
void filter_release(struct filter *filter);

/* Where a hash leads: three positions and the fingerprint that they must make. */
struct filter_probe {
    const uint8_t *at[3]; /* at[0] NULL: the partition is empty */
    uint8_t fingerprint;
};

/* The three positions of mixed hash g: the first anywhere in the span, the others in the two
 * windows behind it. */
static inline void filter_positions(uint64_t g, uint32_t span, uint32_t mask, uint32_t at[3])
{
    uint32_t window = mask + 1;
    at[0] = (uint32_t)(((g >> 32) * span) >> 32);
    at[1] = (at[0] + window) ^ ((uint32_t)(g >> 18) & mask);
    at[2] = (at[0] + 2 * window) ^ ((uint32_t)g & mask);
}

static inline uint8_t filter_fingerprint(uint64_t g)
{
    return (uint8_t)((g >> 32 ^ g) * MPH_SLOT_MUL >> 56);
}

/* Finds and prefetches; filter_may_have() then answers. The filter has places. */
static inline struct filter_probe filter_aim(const struct filter *filter, uint64_t hash)
{
    struct filter_probe probe = {{0}, 0};
    uint32_t i = mph_partition(hash, filter->n_total) - filter->first;
    const struct filter_place *place = &filter->places[i < filter->n ? i : 0];
    if (i >= filter->n || place->span == 0)
        return probe;
    uint32_t at[3];
    uint64_t g = hash_u64(hash, place->seed);
    filter_positions(g, place->span, place->mask, at);
    for (int j = 0; j < 3; j++) {
        probe.at[j] = place->slots + at[j];
        __builtin_prefetch(probe.at[j]);
    }
    probe.fingerprint = filter_fingerprint(g);
    return probe;
}

static inline bool filter_may_have(const struct filter_probe *probe)
{
    return probe->at[0] && (*probe->at[0] ^ *probe->at[1] ^ *probe->at[2]) == probe->fingerprint;
}

/* One hash, without batching. */
static inline bool filter_has(const struct filter *filter, uint64_t hash)
{
    if (!filter->places)
        return true;
    struct filter_probe probe = filter_aim(filter, hash);
    return filter_may_have(&probe);
}

/* ---- building ---- */

struct filter_builder;

/* The partitions of a shard of n_entries. */
uint32_t filter_partitions(uint64_t n_entries, uint32_t n_shards);

struct filter_builder *filter_builder_new(uint32_t n_partitions, uint32_t shard, uint32_t n_shards);
void filter_builder_free(struct filter_builder *builder);

/* Hashes in ascending order, all of the shard; repeats are fine. */
int filter_builder_add(struct filter_builder *builder, uint64_t hash, struct err *err);

/* Ends the last partition. *places and *bytes are the sections, the builder's. */
int filter_builder_finish(struct filter_builder *builder, const struct buf **places,
                          const struct buf **bytes, struct err *err);

#endif
