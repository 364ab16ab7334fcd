/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shard_delta: one shard of a delta that is found by comparing rows with the base: of a build whose rows are the whole table
 * (job->diff_base), or that leaves out vectors which have hardly moved (job->min_distance).
 *
 * How many entries it will have is known only when the last row has been compared, and a part's measures must be told before its
 * first byte is written. So what differs is spooled first, and written then. The bytes depend on the rows and the base only, and a
 * shard on no other: what the kind wants all parts of a level to agree on (partitions of `mem`) is told from the most entries that
 * the whole level may have, everything else from this shard's own.
 *
 * Threads: one at a time. Memory: while comparing, base->memory and shard_delta_memory(); while writing, ENTRY_SPOOL_MEMORY.
 * Errors: those of shard_stream and entry_spool.
 */
#ifndef FKV_BUILDER_SHARD_DELTA_H
#define FKV_BUILDER_SHARD_DELTA_H

#include "builder/base_join.h"
#include "builder/entry_spool.h"

/* What a delta lies on. */
struct join_base {
    struct store *store;
    const char *dir;
    const struct version_desc *desc;
    uint64_t memory; /* of each task, for what it reads of the base beyond the least */
    const char *scratch_dir;
};

struct shard_delta {
    const struct join_base *base;
    struct shard_stream *stream;
    struct base_join join;
    struct entry_spool spool;
    struct level_params level; /* of this shard alone, after shard_delta_finish() */
    struct value_coding plain;
};

/* Does this job compare its rows with the base? */
bool shard_delta_wanted(const struct job *job);

int shard_delta_open(struct shard_delta *delta, const struct join_base *base,
                     const struct level_params *level, uint32_t shard, struct err *err);
/* Accepts a zero-initialised one. */
void shard_delta_release(struct shard_delta *delta);

/* A row, in order; of the rows of one key, the one that counts. */
int shard_delta_add(struct shard_delta *delta, const struct part_entry *row, struct err *err);
/* After the last row: closes the base, and fills in delta->level, which the part's writer wants. */
int shard_delta_finish(struct shard_delta *delta, struct err *err);
/* 1 with the next entry of the delta, which lives until the next call; 0 at the end. */
int shard_delta_next(struct shard_delta *delta, struct part_entry *entry, struct err *err);

/* The most entries that the level may have: rows and keys of the base. */
uint64_t shard_delta_entries_max(const struct job *job, const struct version_desc *base,
                                 uint64_t n_rows);

uint64_t shard_delta_memory(const struct version_desc *base, uint64_t value_max);

#endif
