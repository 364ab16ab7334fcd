/* SPDX-License-Identifier: Apache-2.0 */
/*
 * part_space: where a part's bytes went, told from its footer without reading the rest.
 *
 * Threads: pure functions. Memory: plain data.
 * Errors: -EBADMSG with the part's name and what is wrong, -ENOTSUP for a newer format.
 */
#ifndef FKV_FORMAT_PART_SPACE_H
#define FKV_FORMAT_PART_SPACE_H

#include "format/paged.h"

enum space {
    SPACE_KEYS,       /* keys, or their hashes */
    SPACE_INDEX,      /* what leads to them */
    SPACE_FILTER,     /* what tells that a key is absent */
    SPACE_VALUES,     /* as stored; with keys beside them when values_hold_keys */
    SPACE_HEADS,      /* `blk`, `idx`: heads of blocks, and where their records end */
    SPACE_TOMBSTONES, /* which keys are deleted */
    SPACE_DICTIONARY, /* of compressed values */
    SPACE_PADDING,    /* unused, between and behind all of these */
    SPACE_FOOTER,
    SPACE_N,
};

/* "keys", "index", … */
const char *space_name(enum space space);

struct part_space {
    enum table_kind kind;
    struct part_info info;
    enum compression compression;
    bool values_hold_keys; /* bytes keys of `mem` and `blk` lie with their values */
    uint64_t len[SPACE_N]; /* together the part's length */
    uint64_t memory;       /* bytes that a node keeps in memory */
    uint64_t n_blocks;     /* 0 for `mem` */
    uint64_t n_slots;      /* `mem` */
    /* `mem` whose values vary, or are long: the bytes of the part that part_space_add_heaps() wants. */
    uint64_t directory_off;
    uint64_t directory_len;
};

/*
 * footer: the last PART_FOOTER_LEN bytes of a part of len bytes. The few bytes of blocks longer than
 * 16 pages that tell where records end, and bits that fill up bytes, count as padding.
 */
int part_space_measure(const void *footer, uint64_t len, const char *name, struct part_space *out,
                       struct err *err);

/* directory: the bytes named above. Until then heaps count as padding. */
int part_space_add_heaps(struct part_space *space, const void *directory, const char *name,
                         struct err *err);

#endif
