/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base_probe: one part of a delta's base, asked for single keys.
 *
 * A short part, and any of a `mem` table, is read whole. Of a long one on disk the tail is read, and, of `blk`, the block of a key
 * that may be there: a small delta over a huge base costs little. When there are so many keys to ask for that reading through is
 * quicker, it is read whole too. What is not read is not checked.
 *
 * Threads: one at a time. Memory: the part, as part_file.h says, or its tail and one block.
 * Errors: -EBADMSG with the part's name, store errors, -ENOMEM.
 */
#ifndef FKV_BUILDER_BASE_PROBE_H
#define FKV_BUILDER_BASE_PROBE_H

#include "base/buf.h"
#include "builder/part_file.h"
#include "format/blk.h"

struct base_probe_params {
    struct store *store;
    const char *dir; /* of the base */
    uint64_t heap_max;
    const char *scratch_dir;
    uint64_t whole_max; /* parts up to this length are read whole */
};

struct base_probe {
    struct part_memory whole; /* or */
    char path[PART_PATH_MAX];
    struct store_reader *reader;
    void *tail;
    size_t tail_len;
    struct blk *blk; /* one of these */
    struct idx *idx;
    void *pages; /* the block read last */
    size_t pages_cap;
    struct block_place place;
    struct block block;
};

/* n_wanted: about how many keys there will be to ask for. */
int base_probe_open(struct base_probe *probe, const struct base_probe_params *params,
                    const struct part_desc *desc, uint64_t n_wanted, struct err *err);
/* 1 when the part has the key, alive or deleted; 0 when not. In order of hash, each block is read once at most. */
int base_probe_find(struct base_probe *probe, const struct part_entry *wanted, bool *is_tombstone,
                    struct err *err);
void base_probe_close(struct base_probe *probe);

#endif
