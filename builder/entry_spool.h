/* SPDX-License-Identifier: Apache-2.0 */
/*
 * entry_spool: entries that wait, in the order they came, until it is known how many they are: a part's size must be told before its
 * first byte is written. They lie in an unnamed scratch file.
 *
 * Threads: one at a time. Memory: ENTRY_SPOOL_MEMORY, and the longest value while reading. Errors: of scratch.h; -ENOMEM.
 */
#ifndef FKV_BUILDER_ENTRY_SPOOL_H
#define FKV_BUILDER_ENTRY_SPOOL_H

#include "builder/run.h"
#include "builder/scratch.h"
#include "builder/shard_writer.h"

enum { ENTRY_SPOOL_MEMORY = RUN_WRITER_MEMORY + (1 << 20) };

struct entry_spool {
    struct scratch scratch;
    struct run_writer writer;
    struct run run;
    struct run_reader reader;
    uint8_t *buffer;
    struct buf big;
    struct level_totals totals; /* of what was added */
};

int entry_spool_init(struct entry_spool *spool, const char *scratch_dir, struct err *err);
void entry_spool_release(struct entry_spool *spool);

int entry_spool_add(struct entry_spool *spool, const struct part_entry *entry, struct err *err);
/* After the last one: reading begins. */
int entry_spool_rewind(struct entry_spool *spool, uint64_t hash_seed, struct err *err);
/* 1 with the next entry, which lives until the next call; 0 at the end. */
int entry_spool_next(struct entry_spool *spool, struct part_entry *entry, struct err *err);

#endif
