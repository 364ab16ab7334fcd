/* SPDX-License-Identifier: Apache-2.0 */
/*
 * paged_layout: the bytes around the blocks of a `blk` or `idx` part, spelt once.
 * docs/FORMAT.md tells the same in prose.
 *
 *   blocks, from page 0 on | sections, each at a multiple of 64 | zero bytes to a multiple of 4096
 *                          | footer (the last 4096 bytes)
 *
 * What is behind the blocks is the tail: a reader keeps it in memory as it is, and reads blocks.
 *
 * Threads, Memory: plain data. Internal to format.
 */
#ifndef FKV_FORMAT_PAGED_LAYOUT_H
#define FKV_FORMAT_PAGED_LAYOUT_H

#include "base/hash.h"
#include "format/block_layout.h"
#include "format/part_layout.h"

enum { PAGED_SECTIONS = 8 };

/* Keys and tombstones of a part: more than its 2^32 pages can hold of any that have a value. */
#define PAGED_ENTRIES_MAX (1ULL << 40)

enum blk_section {
    BLK_BUCKETS = 0, /* le32 a bucket, and one more: the first page of a later block */
    BLK_FENCES = 1,  /* le16 a page; sections 2 to 4 are empty */
};

enum idx_section {
    IDX_KEYS_PLACES = 0, /* directory of the keys */
    IDX_KEYS = 1,
    IDX_STARTS_PLACES = 2, /* directory of the starts; empty when blocks hold a fixed number */
    IDX_STARTS = 3,        /* the rank that the block of each page begins with */
    IDX_TOMBSTONES = 4,    /* a bit a rank, above level 0 */
};

/* Of both. */
enum paged_section {
    PAGED_DICTIONARY = 5,
    PAGED_FILTER_PLACES = 6, /* struct filter_entry a partition; empty without a filter */
    PAGED_FILTER = 7,        /* fingerprints */
};

/* The footer, padded with zero bytes to PART_FOOTER_LEN. Its first members are those of a `mem`
 * part's footer. */
struct paged_footer {
    uint8_t magic[8];
    le32 format;
    le32 layout; /* enum paged_kind */
    le32 key_type;
    le32 value_len; /* the schema's */
    le32 shard;
    le32 n_shards;
    le32 level;
    le32 n_partitions; /* of the filter; 0 without one */
    le32 compression;
    le32 n_buckets; /* `blk` */
    le64 hash_seed;
    le64 n_keys;
    le64 n_tombstones;
    le64 n_pages;     /* of all blocks */
    le32 pages_max;   /* of the longest block */
    le32 block_pages; /* what blocks are packed into; a longer entry has a longer block alone */
    le64 salt;        /* see block_layout.h */
    le64 n_blocks;
    le64 records_len; /* bytes of all records: what is in blocks for its own sake */
    struct part_section sections[PAGED_SECTIONS];
    uint8_t tail_digest[DIGEST_LEN]; /* XXH3-128 of the tail before the footer */
    le64 checksum;                   /* hash_checksum() of the footer before this member */
};
_Static_assert(sizeof(struct paged_footer) == 264, "on-disk size");

#endif
