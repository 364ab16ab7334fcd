/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disk_table: all shards and levels of one loaded version of a `blk` or `idx` table: the tail of
 * each part in memory, its blocks in an open file.
 *
 * Threads: immutable but for what is atomic; shared freely. Memory: lives as long as its version is
 * pinned; so do the descriptors.
 * Errors: disk_table_new(): -EBADMSG when a part does not fit its place, -ENOMEM.
 */
#ifndef FKV_NODE_DISK_TABLE_H
#define FKV_NODE_DISK_TABLE_H

#include "codec/zstd_value.h"
#include "format/blk.h"
#include "format/idx.h"
#include "io/block_cache.h"
#include "io/reader.h"
#include "io/value_cache.h"

#include <stdatomic.h>
#include <stdbool.h>

/* What all disk tables of this machine share. */
struct disk_shared {
    struct block_cache *cache;  /* NULL: none */
    struct value_cache *values; /* NULL: none */
    _Atomic uint32_t n_tables;  /* made so far: their numbers */
    /* Counts parts whose descriptor was closed: who keeps descriptors of his own (a reader's
     * registered files) lets go of all of them when it has moved. */
    _Atomic uint64_t n_closed;
    /* Blocks whose checksum failed, and reads that failed, after a second try. For metrics. */
    _Atomic uint64_t n_bad_blocks;
    _Atomic uint64_t n_read_errors;
    _Atomic bool has_bad; /* some part's is_bad was set and not yet looked at */
};

/* One part; shared by all versions that hold it. */
struct disk_part {
    struct blk *blk; /* one of these two */
    struct idx *idx;
    struct reader_file file;
    uint64_t
        serial; /* names its blocks in the cache, and it in a worker's reader; never used twice */
    struct zstd_dictionary *dictionary; /* NULL without */
    _Atomic uint32_t bad_page;          /* where the last one that failed begins */
    _Atomic bool is_bad;                /* a block failed; node looks into it */
};

struct disk_table {
    struct schema schema;
    uint32_t number; /* from 1; names its values in the cache, and is never used twice */
    uint32_t n_levels;
    struct disk_part **parts; /* [level * schema.n_shards + shard] */
    const struct blk *const
        *blks; /* the same of `blk` tables, as blk_locate() wants them; else NULL */
    const struct idx *const *idxs; /* of `idx` tables */
    struct disk_shared *shared;
};

/* parts as above; borrowed, they outlive the table. */
int disk_table_new(const struct schema *schema, uint32_t n_levels, struct disk_part *const *parts,
                   struct disk_shared *shared, struct disk_table **out, struct err *err);
void disk_table_free(struct disk_table *table);

static inline const struct paged_info *disk_part_info(const struct disk_part *part)
{
    return part->blk ? blk_info(part->blk) : idx_info(part->idx);
}

/* The block at that page of it failed twice: counted, and node's work thread checks the file and
 * fetches again what is damaged. Never blocks. */
void disk_part_report(const struct disk_table *table, struct disk_part *part, uint32_t page,
                      bool is_corrupt);

#endif
