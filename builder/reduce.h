/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reduce: the second stage. Each shard is a task: merge its share of all runs, let the policy decide between rows of one key,
 * write the part.
 *
 * Threads: tasks run on the engine. Memory: n_at_once * memory for reading runs, and a part_writer each.
 * Errors: -EEXIST for a repeated key under DUPLICATE_ERROR, naming the first two of its rows; of scratch files and the store.
 */
#ifndef FKV_BUILDER_REDUCE_H
#define FKV_BUILDER_REDUCE_H

#include "builder/engine.h"
#include "builder/meter.h"
#include "builder/run.h"
#include "format/version.h"

struct reduce_params {
    const struct job *job; /* policy, and names for error texts */
    struct store *store;
    const char *dir; /* staging */
    const struct schema *schema;
    uint32_t level;
    uint32_t n_partitions;
    const struct run *runs;
    size_t n_runs;
    uint64_t read_memory; /* of each task, for the runs it reads */
    uint32_t n_at_once;
};

/* parts[shard] is filled, *n_duplicates counts rows that the policy dropped. */
int reduce_run(struct engine *engine, const struct reduce_params *params, struct meter *meter,
               struct part_desc *parts, uint64_t *n_duplicates, struct err *err);

/* About what a part_writer needs for a shard of n_bytes of entries, its file's buffers included. */
uint64_t reduce_writer_memory(uint64_t n_entries, uint64_t n_bytes, uint32_t n_shards);

#endif
