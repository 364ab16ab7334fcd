/* SPDX-License-Identifier: Apache-2.0 */
/*
 * block_layout: the bytes of a block, spelt once. docs/FORMAT.md tells the same in prose.
 *
 * A block is what one read brings: 1 to BLOCK_PAGES_MAX whole pages of 4096 bytes.
 *
 *   head (16) | hashes, 8 bytes each (`blk`) | ends, 2 or 4 bytes each (records that vary)
 *             | tombstone bits (`blk` above level 0) | records | zero bytes
 *
 * A record is the value as stored; in `blk` parts with bytes keys, one byte with the key's
 * length, the key, the value. Record i ends `end[i]` bytes after the first one begins. Records of
 * one length have no ends: record i begins at i times that length.
 *
 * The checksum is seeded with the page's number and a salt of the part, so that a block of another
 * place or another part does not pass for the one that was asked for.
 *
 * Threads, Memory: plain data. Internal to format and query.
 */
#ifndef FKV_FORMAT_BLOCK_LAYOUT_H
#define FKV_FORMAT_BLOCK_LAYOUT_H

#include "base/bytes.h"
#include "format/schema.h"

enum {
    BLOCK_PAGE = 4096,
    BLOCK_SHORT_PAGES = 16,  /* a block of at most so many has ends of 2 bytes, else of 4 */
    BLOCK_PAGES_MAX = 16384, /* 64 MiB: values of one place that cannot be told apart */
};

struct block_head {
    le64 checksum; /* hash_bytes() of the block after it, with block_seed() */
    le32 n_pages;
    le32 n_entries;
};
_Static_assert(sizeof(struct block_head) == 16, "on-disk size");

/* What all blocks of a part have in common. */
struct block_shape {
    bool has_hashes;     /* `blk`: keys are found in the block; `idx`: known before it is read */
    bool has_tombstones; /* bits in the block: `blk` above level 0 */
    bool has_keys;       /* records begin with the key */
    uint32_t value_len;  /* of every value as stored; 0: it varies */
    uint32_t record_len; /* of every record; 0: it varies, and there are ends */
};

static inline uint64_t block_seed(uint64_t salt, uint64_t page)
{
    return salt + page;
}

static inline uint32_t block_end_len(const struct block_shape *shape, uint32_t n_pages)
{
    if (shape->record_len)
        return 0;
    return n_pages <= BLOCK_SHORT_PAGES ? 2 : 4;
}

/*
 * The shape of a part's blocks; value_len is that of the values as stored. Above level 0 records
 * vary, so that a tombstone takes no room for a value.
 */
static inline struct block_shape block_shape_of(bool is_blk, enum key_type key_type,
                                                uint32_t value_len, uint32_t level)
{
    struct block_shape shape = {.has_hashes = is_blk,
                                .has_tombstones = is_blk && level > 0,
                                .has_keys = is_blk && key_type == KEY_BYTES,
                                .value_len = value_len};
    shape.record_len = shape.has_keys || level > 0 ? 0 : value_len;
    return shape;
}

/* Where the parts of a block of n entries begin. */
struct block_offsets {
    uint64_t hashes;
    uint64_t ends;
    uint64_t tomb_bits;
    uint64_t records;
};

static inline struct block_offsets block_offsets(const struct block_shape *shape, uint64_t n,
                                                 uint32_t n_pages)
{
    struct block_offsets off = {.hashes = sizeof(struct block_head)};
    off.ends = off.hashes + (shape->has_hashes ? 8 * n : 0);
    off.tomb_bits = off.ends + block_end_len(shape, n_pages) * n;
    off.records = off.tomb_bits + (shape->has_tombstones ? (n + 7) / 8 : 0);
    return off;
}

/* The pages of a block of n entries whose records have records_len bytes in all. */
static inline uint64_t block_pages(const struct block_shape *shape, uint64_t n,
                                   uint64_t records_len)
{
    uint64_t len = block_offsets(shape, n, 1).records + records_len;
    if (len > (uint64_t)BLOCK_SHORT_PAGES * BLOCK_PAGE)
        len = block_offsets(shape, n, BLOCK_SHORT_PAGES + 1).records + records_len;
    return (len + BLOCK_PAGE - 1) / BLOCK_PAGE;
}

/* The entries of a full block of n_pages of an `idx` part whose records have one length; a record
 * longer than that has a block alone. */
static inline uint32_t block_fixed_entries(const struct block_shape *shape, uint32_t n_pages)
{
    uint64_t len = (uint64_t)n_pages * BLOCK_PAGE - sizeof(struct block_head);
    return len < shape->record_len ? 1 : (uint32_t)(len / shape->record_len);
}

#endif
