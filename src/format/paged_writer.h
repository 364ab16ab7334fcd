/* SPDX-License-Identifier: Apache-2.0 */
/*
 * paged_writer: what blk_writer and idx_writer have in common: what a part is made of, the checks
 * of an entry, the blocks on their way out, the footer.
 *
 * Threads: one at a time. Memory: a block, and what its owner keeps for the tail.
 */
#ifndef FKV_FORMAT_PAGED_WRITER_H
#define FKV_FORMAT_PAGED_WRITER_H

#include "format/block_packer.h"
#include "format/filter.h"
#include "format/paged.h"
#include "format/paged_layout.h"

struct paged_params {
    const struct schema *schema; /* copied; whoever builds has checked that it is of this kind */
    uint32_t shard;
    uint32_t level; /* 0: base; above: delta, may hold tombstones */
    /* Of this shard and level, for sizes only: entries, and bytes of their keys and stored values
     * in all. A wrong number costs memory or disk, not correctness; the same ones give the same
     * bytes. */
    uint64_t n_entries;
    uint64_t n_bytes;
    uint32_t block_pages;          /* 0: as block_pages_for() says for fixed values, else 1 */
    bool has_filter;               /* in level 0; above, there always is one. Not in `idx` of u64 */
    enum compression compression;  /* of the values that are given; their lengths vary if any */
    struct paged_bytes dictionary; /* copied; empty without */
};

struct paged_writer {
    struct schema schema;
    struct paged_info info; /* filled as it becomes known */
    uint32_t n_buckets;
    struct part_out out;
    struct block_packer packer;
    struct buf dictionary;
    struct filter_builder *filter; /* NULL: none; its hashes come from the owner */
    struct paged_footer footer;    /* its sections, as they are written */
    bool has_prev;
    struct part_entry prev; /* its key in prev_key */
    uint8_t prev_key[KEY_BYTES_MAX];
    int failed; /* the first failure; every later call returns it */
};

int paged_writer_init(struct paged_writer *writer, const struct paged_params *params,
                      enum paged_kind kind, struct part_sink sink, struct err *err);
void paged_writer_release(struct paged_writer *writer);

/* Checks an entry by itself: its shard, its hash unless it is a bytes key's, its lengths. */
int paged_entry_check(const struct paged_writer *writer, const struct part_entry *entry,
                      struct err *err);
/* -EEXIST, with the key's text. */
int paged_repeated(const struct part_entry *entry, struct err *err);

/* Counts an entry that was taken and keeps its key for the next one's check. */
void paged_writer_took(struct paged_writer *writer, const struct part_entry *entry);

/* Between the last block and the first section; then the kind's sections, all of them and in order;
 * then the end, with those of both kinds. */
int paged_tail_begin(struct paged_writer *writer, struct err *err);
int paged_tail_section(struct paged_writer *writer, unsigned i, const struct buf *content,
                       struct err *err);
int paged_tail_end(struct paged_writer *writer, struct err *err);

#endif
