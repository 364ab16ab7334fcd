/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blk_index: from a hash to a block, spelt once for writer and reader.
 *
 * The hashes of a shard are cut into buckets of equal width, and a bucket into 2^15 steps, its
 * fences. Each page has 16 bits: twice the fence of the first hash of its block, plus 1 on the
 * pages of a block behind its first. A bucket names the first page of the blocks that begin in it
 * or later.
 *
 * A block never begins at the step at which the one before ends: all entries of one step are in
 * one block. So of the blocks of a bucket no two have the same fence, and the block of a hash is
 * the last one whose fence is not above the hash's, or, when the bucket has none such, the last one
 * that begins in an earlier bucket.
 *
 * Threads: pure functions. Memory: none. Internal to format.
 */
#ifndef FKV_FORMAT_BLK_INDEX_H
#define FKV_FORMAT_BLK_INDEX_H

#include "format/mph.h"

enum {
    BLK_FENCE_BITS = 15,
    BLK_BUCKET_PAGES = 32, /* aimed at */
};

/* Where a hash stands: its bucket among those of all shards, n_total, and its step there. */
struct blk_step {
    uint32_t bucket;
    uint32_t fence;
};

/*
 * hash * n_total / 2^64, of which the whole part is the bucket. It is taken from the high half of
 * the hash alone, as shards and partitions are; where the low half's share would carry into the
 * next bucket, the step is the last one of this.
 */
static inline struct blk_step blk_step_of(uint64_t hash, uint32_t n_total)
{
    uint64_t high = (hash >> 32) * n_total;
    uint64_t step = (high & UINT32_MAX) + ((hash & UINT32_MAX) * n_total >> 32);
    if (step > UINT32_MAX)
        step = UINT32_MAX;
    return (struct blk_step){(uint32_t)(high >> 32), (uint32_t)step >> (32 - BLK_FENCE_BITS)};
}

#endif
