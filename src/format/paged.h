/* SPDX-License-Identifier: Apache-2.0 */
/*
 * paged: what `blk` and `idx` parts have in common: blocks on disk, a tail in memory.
 *
 * A reader reads the last PART_FOOTER_LEN bytes, asks paged_tail() what else belongs in memory,
 * reads that, and opens it with blk_open() or idx_open(). Everything before the tail stays on disk
 * and is read block by block.
 *
 * Threads: plain data and pure functions. Memory: as each says.
 * Errors: -EBADMSG with the part's name and what is wrong, -ENOTSUP for a newer format.
 */
#ifndef FKV_FORMAT_PAGED_H
#define FKV_FORMAT_PAGED_H

#include "format/block.h"
#include "format/part.h"

/* Told apart by the member that holds enum part_layout in a `mem` part, whose numbers go on here. */
enum paged_kind {
    PAGED_BLK = 3,
    PAGED_IDX = 4,
};

/* How values are stored: as they are, or as codec/zstd_value.h says. Format does not look into them. */
enum compression {
    COMPRESSION_NONE = 0,
    COMPRESSION_ZSTD = 1,
};

/* A value that does not get shorter is stored behind one byte (codec/zstd_value.h). */
enum { PAGED_VALUE_HEAD_MAX = 1 };

/* What the footer says of the whole part. */
struct paged_info {
    enum paged_kind kind;
    struct part_info part; /* n_partitions: of the filter; 0 without one */
    enum compression compression;
    uint64_t n_pages;     /* of all blocks: the tail begins at BLOCK_PAGE times that */
    uint32_t pages_max;   /* of the longest block */
    uint32_t block_pages; /* what blocks are packed into */
    uint64_t salt;
    uint64_t n_blocks;
    uint64_t records_len; /* bytes of all records, keys of bytes keys in `blk` included */
    struct block_shape shape;
};

/*
 * Checks a footer (the part's last PART_FOOTER_LEN bytes; len is the part's length) and says where
 * the tail begins: bytes [tail_off, len) belong in memory, at an address that is a multiple of
 * PART_SECTION_ALIGN.
 */
int paged_tail(const void *footer, uint64_t len, const char *name, uint64_t *tail_off,
               struct paged_info *info, struct err *err);

/* The order of bytes keys: byte by byte, a prefix first. */
int paged_key_order(const struct part_entry *a, const struct part_entry *b);

/* A section of the tail; len 0 when the part has none. Lives as long as the tail. */
struct paged_bytes {
    const uint8_t *data;
    uint64_t len;
};

#endif
