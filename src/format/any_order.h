/* SPDX-License-Identifier: Apache-2.0 */
/*
 * any_order: the entries of a part of any kind in the order that its kind is written in, which the parts of one shard have in common:
 * `mem` and `blk` by hash then key, `idx` by key. So levels can be merged, and a part can be written again, without sorting all of it.
 *
 * The order is checked as it goes: an entry that is not above the one before ends the walk.
 *
 * Threads: one at a time. Memory: any_order_memory() for `mem`, a cursor for the others.
 * Errors: -EBADMSG for a part that is corrupt or out of order, -ENOMEM.
 */
#ifndef FKV_FORMAT_ANY_ORDER_H
#define FKV_FORMAT_ANY_ORDER_H

#include "format/any_part.h"
#include "format/part_order.h"

struct any_order {
    const struct any_part *part;
    struct part_order mem;
    struct any_cursor cursor; /* the others */
    bool has_prev;
    struct part_entry prev; /* its key in prev_key */
    uint8_t prev_key[KEY_BYTES_MAX];
};

/* slice_len: see part_order.h; a `mem` part is sorted by about so many entries at a time. */
void any_order_init(struct any_order *order, const struct any_part *part, size_t slice_len);
void any_order_release(struct any_order *order);

/* 1 with an entry as any_part_next() gives it, 0 at the end. */
int any_order_next(struct any_order *order, struct part_entry *entry);

/* <0, 0, >0 as a comes before, is the key of, or comes after b in a table of that kind. */
int any_order_compare(enum table_kind kind, const struct part_entry *a, const struct part_entry *b);

/* Bytes that sorting takes. */
static inline size_t any_order_memory(size_t slice_len)
{
    return slice_len * sizeof(struct part_order_key) * 5 / 4;
}

#endif
