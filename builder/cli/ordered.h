/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ordered: the entries of a version read from the store, in order of key, whatever kind the table is of.
 *
 * The keys of the range are copied and sorted; values are looked up as they are asked for.
 *
 * Threads: one. Memory: the keys of the range, or of twice the limit; ordered_release(). Errors: -EBADMSG, -ENOMEM.
 */
#ifndef FKV_CLI_ORDERED_H
#define FKV_CLI_ORDERED_H

#include "base/buf.h"
#include "builder/version_reader.h"

/* from <= key < to; of u64 keys, or of bytes. */
struct ordered_range {
    uint64_t from_u64;
    uint64_t to_u64; /* 0: no end */
    struct buf from;
    struct buf to;  /* empty: no end */
    uint64_t limit; /* 0: none */
};

struct ordered {
    const struct version_reader *reader;
    const struct ordered_range *range;
    struct part_entry *keys; /* n; byte keys lie at key_bytes, owned */
    size_t n;
    size_t cap;
    size_t i; /* the next one */
    struct value_room room;
};

/* Sets `to` to the end of the keys that begin with `from`. */
int ordered_range_end_prefix(struct ordered_range *range);
void ordered_range_release(struct ordered_range *range);

/* Reader and range outlive it. */
int ordered_init(struct ordered *ordered, const struct version_reader *reader,
                 const struct ordered_range *range, struct err *err);
/* 1 with the next entry, which lives until the next call; 0 at the end. */
int ordered_next(struct ordered *ordered, struct part_entry *entry);
void ordered_release(struct ordered *ordered);

#endif
