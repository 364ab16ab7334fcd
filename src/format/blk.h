/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blk: one shard of one level of a `blk` table: the index of its blocks, in memory. docs/FORMAT.md
 * is normative.
 *
 * Entries lie in blocks in order of hash; the index says in which block a hash is, if it is
 * anywhere, in 2 bytes a page and 4 a bucket of about 32 pages. A lookup costs two cache misses,
 * and three that overlap for a filter, and never more than one read:
 *
 *   blk_locate(): hash -> pages      the caller reads them      block_open(), block_find()
 *
 * blk_open() checks the numbers that a lookup relies on, so a view is total: whatever the bytes of
 * the index say, the pages it names lie in the part.
 *
 * Threads: a view is immutable and may be shared. Memory: the view points into the tail, which
 * must outlive it. Errors: -EBADMSG with the part's name and what is wrong, -ENOTSUP for a newer
 * format.
 */
#ifndef FKV_FORMAT_BLK_H
#define FKV_FORMAT_BLK_H

#include "format/paged.h"

struct blk;

/*
 * Checks the tail of a part: memory[0, tail_len), the last bytes of the part_len bytes that
 * paged_tail() names, at an address that is a multiple of PART_SECTION_ALIGN.
 */
int blk_open(const void *memory, uint64_t tail_len, uint64_t part_len, const char *name,
             struct blk **out, struct err *err);
void blk_free(struct blk *blk);

const struct paged_info *blk_info(const struct blk *blk);
struct paged_bytes blk_dictionary(const struct blk *blk);

/* Bytes in memory: of the index of blocks, and of the filter. */
uint64_t blk_index_len(const struct blk *blk);
uint64_t blk_filter_len(const struct blk *blk);

/*
 * Where the keys of n placement hashes are, if they are in this level: parts are the level's
 * n_shards shards, in order. No pages: certainly not there. Misses of memory overlap across the
 * hashes, so give many.
 */
void blk_locate(const struct blk *const *parts, uint32_t n_shards, const uint64_t *hashes,
                uint32_t n, struct block_place *places);

/* The block that begins at a page, for walking all of them: the first is at page 0, the next one
 * behind the pages of this. */
struct block_place blk_block_at(const struct blk *blk, uint32_t page);

/* Entry i of a block of this part. Its pointers live as long as the block's buffer; a compressed
 * value is given as stored. -EBADMSG. */
int blk_entry(const struct blk *blk, const struct block *block, uint32_t i,
              struct part_entry *entry);

/*
 * Whether lookups will find a block's entries in it: hashes and keys ascend, and the index leads
 * from each to this place. For verification; -EBADMSG.
 */
int blk_check(const struct blk *blk, struct block_place place, const struct block *block,
              struct err *err);

#endif
