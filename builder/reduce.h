/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reduce: the second stage. Each shard is a task: merge its share of all runs, let the policy decide between rows of one key,
 * compare with the base when the job wants that (shard_delta.h), write the part.
 *
 * Threads: tasks run on the engine, and depend on nothing but their own shard. Memory: n_at_once * memory for reading runs, and a
 * shard_writer each; before it, a shard_delta.
 * Errors: -EEXIST for a repeated key under DUPLICATE_ERROR, naming the first two of its rows; of scratch files and the store.
 */
#ifndef FKV_BUILDER_REDUCE_H
#define FKV_BUILDER_REDUCE_H

#include "builder/engine.h"
#include "builder/input.h"
#include "builder/meter.h"
#include "builder/run.h"
#include "builder/shard_delta.h"
#include "builder/shard_writer.h"
#include "format/version.h"

struct reduce_params {
    const struct job *job; /* policy, and with the pieces names for error texts */
    const struct input_piece *pieces;
    size_t n_pieces;
    struct store *store;
    const char *dir; /* staging */
    const struct level_params *level;
    struct run_order order;
    const struct run *runs;
    size_t n_runs;
    const struct join_base *base; /* to compare with; NULL: rows are written as they are */
    uint64_t read_memory;         /* of each task, for the runs it reads */
    uint32_t n_at_once;
};

struct reduce_totals {
    uint64_t n_duplicates; /* rows that the policy dropped */
    uint64_t values_len;
    uint64_t values_stored_len;
    struct join_totals join; /* of rows that were compared */
};

void reduce_totals_add(struct reduce_totals *totals, const struct reduce_totals *more);

/* All shards: parts[shard] is filled. */
int reduce_run(struct engine *engine, const struct reduce_params *params, struct meter *meter,
               struct part_desc *parts, struct reduce_totals *totals, struct err *err);

/* One shard of it, in this thread: parts[number] is filled, totals are added to. A part that is there already, of an attempt that was
 * killed before it could tell, is as good as the one that would be written: it has the same bytes. */
int reduce_shard(const struct reduce_params *params, struct meter *meter, uint32_t number,
                 struct part_desc *parts, struct reduce_totals *totals, struct err *err);

#endif
