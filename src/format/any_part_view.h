/* SPDX-License-Identifier: Apache-2.0 */
/*
 * any_part_view: what any_part_open() made of a part, and how its blocks are had. Internal to
 * format.
 *
 * Threads: immutable. Memory: the views are owned, the bytes are the caller's.
 */
#ifndef FKV_FORMAT_ANY_PART_VIEW_H
#define FKV_FORMAT_ANY_PART_VIEW_H

#include "format/any_part.h"
#include "format/blk.h"

struct any_part {
    enum table_kind kind;
    const uint8_t *memory;
    struct part *mem; /* one of these */
    struct blk *blk;
    struct idx *idx;
};

/* A block and its checksum; -EBADMSG. */
int any_block_open(const struct any_part *part, struct block_place place, struct block *block,
                   struct err *err);

#endif
