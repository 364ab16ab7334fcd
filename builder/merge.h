/* SPDX-License-Identifier: Apache-2.0 */
/*
 * merge: many runs read as one, in their order.
 *
 * Runs in order of hash can be read for any range of hashes. Runs in order of key can be read for one or several whole shards of
 * their order, which come out as one stream in order of key: so runs are sorted before it is known how many shards the table
 * gets, if that many divides what they are sorted by.
 *
 * Threads: one at a time. Memory: what it is given, shared out to the runs that lie in files, and the longest value.
 * Errors: of the scratch files; -ENOMEM.
 */
#ifndef FKV_BUILDER_MERGE_H
#define FKV_BUILDER_MERGE_H

#include "builder/run.h"

struct merge;

struct merge_range {
    uint64_t first; /* hashes, both inclusive */
    uint64_t last;
};

#define MERGE_ALL ((struct merge_range){0, UINT64_MAX})

/* The hashes of a shard. */
struct merge_range merge_range_of(uint32_t shard, uint32_t n_shards);

int merge_open(const struct run *runs, size_t n_runs, const struct run_order *order,
               struct merge_range range, uint64_t memory, struct merge **out, struct err *err);
void merge_close(struct merge *merge);

/* 1 with the next entry (key and seq; its value may be missing until merge_value()), 0 at the end. Lives until the next call. */
int merge_next(struct merge *merge, const struct run_entry **out, struct err *err);

/* Completes the value of the entry that merge_next() gave. */
int merge_value(struct merge *merge, struct err *err);

/* Merges groups of runs until at most n_max are left, writing what lies in `range` to `file`; of runs in order of key a range is
 * whole shards of that order. runs[0, *n_runs) shrinks; the old ones are released. */
int merge_down(struct run *runs, size_t *n_runs, size_t n_max, const struct run_order *order,
               struct merge_range range, uint64_t memory, struct run_file *file, struct err *err);

#endif
