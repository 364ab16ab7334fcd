/* SPDX-License-Identifier: Apache-2.0 */
/*
 * block: what one read of a `blk` or `idx` part brought, checked and searched.
 *
 * block_open() verifies the checksum and the few numbers of the head; a record's bounds are checked
 * when it is asked for. So a view is total: nothing leaves the buffer, whatever its bytes say.
 *
 * Threads: a view is immutable. Memory: it points into the caller's buffer and is the caller's.
 * Errors: -EBADMSG for bytes that are not this block.
 */
#ifndef FKV_FORMAT_BLOCK_H
#define FKV_FORMAT_BLOCK_H

#include "base/err.h"
#include "format/block_layout.h"
#include "format/probe.h"

/* Where a block lies: pages from the start of the part. No pages: no such block. */
struct block_place {
    uint32_t page;
    uint32_t n_pages;
};

struct block {
    struct block_shape shape;
    uint32_t n; /* entries */
    uint32_t end_len;
    const uint8_t *hashes; /* le64 each */
    const uint8_t *ends;
    const uint8_t *tomb_bits; /* NULL without */
    const uint8_t *records;
    uint64_t records_len; /* up to the end of the buffer */
};

/*
 * Checks memory[0, len), the pages that were read at `page` of a part of this salt. len is that of
 * the place that was read, and the block must fill it.
 */
int block_open(const void *memory, size_t len, const struct block_shape *shape, uint64_t salt,
               uint32_t page, struct block *out, struct err *err);

/* The same without the checksum, for a block of 1 to BLOCK_PAGES_MAX whole pages that was opened
 * before and has been in memory since. */
int block_view(const void *memory, size_t len, const struct block_shape *shape, struct block *out);

/* Record i; -EBADMSG when there is none, or it lies outside. */
int block_record(const struct block *block, uint32_t i, const uint8_t **record, uint32_t *len);

/* Value i as stored, without its key; -EBADMSG. Tombstones that only an `idx` part's tail knows have
 * none. */
int block_value(const struct block *block, uint32_t i, struct probe_value *value);

bool block_is_tombstone(const struct block *block, uint32_t i);

static inline uint64_t block_hash(const struct block *block, uint32_t i)
{
    return load_le64(block->hashes + 8 * (size_t)i);
}

/*
 * Looks for a key in a block with hashes; key is NULL for u64 keys, whose hash is the key. *value
 * is as stored, within the buffer.
 */
enum probe block_find(const struct block *block, uint64_t hash, const uint8_t *key,
                      uint32_t key_len, struct probe_value *value);

#endif
