/* SPDX-License-Identifier: Apache-2.0 */
/*
 * any_part: a part of any kind whose bytes are all in memory: for who reads whole parts (sealing,
 * verifying, comparing, dumping). Lookups do not go this way.
 *
 * Threads: a view is immutable and may be shared; a cursor belongs to one thread. Memory: the view
 * points into the caller's memory; what a cursor gives of a key lives until its next call.
 * Errors: -EBADMSG with the part's name and what is wrong, -ENOTSUP for a newer format.
 */
#ifndef FKV_FORMAT_ANY_PART_H
#define FKV_FORMAT_ANY_PART_H

#include "format/idx.h"
#include "format/paged.h"
#include "format/part.h"

struct any_part;

/* The footer says of which kind it is. memory is aligned to PART_SECTION_ALIGN. */
int any_part_open(const void *memory, size_t len, const char *name, struct any_part **out,
                  struct err *err);
void any_part_free(struct any_part *part);

enum table_kind any_part_kind(const struct any_part *part);
const struct part_info *any_part_info(const struct any_part *part);
/* NULL for `mem`. */
const struct paged_info *any_part_paged(const struct any_part *part);
/* Of compressed values; len 0 without. */
struct paged_bytes any_part_dictionary(const struct any_part *part);

/*
 * Walks every key and tombstone: `mem` in slot order, `blk` by hash, `idx` by key. Zero-initialise;
 * 1 with an entry, 0 at the end, -EBADMSG: then the walk is over. A compressed value is given as
 * stored. A block's checksum is checked as the walk comes to it.
 */
struct any_cursor {
    uint64_t slot; /* mem */
    uint32_t page; /* blk: of the next block */
    uint32_t i;    /* blk, idx: the next entry of the block */
    bool has_begun;
    bool has_block;
    struct block block;
    struct idx_cursor idx;
};
int any_part_next(const struct any_part *part, struct any_cursor *cursor, struct part_entry *entry);

/*
 * Looks a key up: wanted has hash and key. 1 with *found (which may be a tombstone; its key is
 * wanted's), 0 absent, -EBADMSG. It checks no checksums: the caller has checked the part's digest,
 * or walks it as well.
 */
int any_part_find(const struct any_part *part, const struct part_entry *wanted,
                  struct part_entry *found);

/* Reads all of it as lookups would: every block's checksum, the order of keys, that the index leads
 * to each entry, the counts of the footer. -EBADMSG with the first thing that is wrong. */
int any_part_check(const struct any_part *part, struct err *err);

#endif
