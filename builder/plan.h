/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plan: how a build shares out its memory and threads, and how many shards a table gets. Pure arithmetic.
 *
 * Only the shards reach the result, and they depend on the input alone; workers, arenas and buffers do not.
 *
 * Threads: pure functions. Memory: none. Errors: -E2BIG with what to change.
 */
#ifndef FKV_BUILDER_PLAN_H
#define FKV_BUILDER_PLAN_H

#include "builder/map.h"
#include "format/version.h"

#include <stddef.h>
#include <stdint.h>

#define PLAN_SHARD_BYTES (256ULL << 20)

/*
 * How many shards an `idx` table gets by itself at most, a power of two. Its runs are sorted by (shard, key), so that no shard is
 * sorted a second time, before the size of the input is known: by so many shards, of which a shard of the table is one or several
 * that are merged. And a scan merges all shards, so they should be few.
 */
enum { PLAN_IDX_SHARDS = 16 };

/* Threads of a process: what the job says, or one a CPU that it may use. */
uint32_t plan_threads(const struct job *job);

struct map_plan {
    uint32_t n_workers;
    size_t arena_len;
    size_t block_len;
};
/* schema is the job's, settled. */
void plan_map(const struct job *job, const struct schema *schema, uint32_t n_threads,
              struct map_plan *out);

/* The order of runs. schema->n_shards is 0 while it is not known. */
struct run_order plan_order(const struct job *job, const struct schema *schema);

/* The least power of two of shards of at most PLAN_SHARD_BYTES of keys and values, rows of repeated keys included; SHARDS_MAX, or
 * PLAN_IDX_SHARDS, at most. */
uint32_t plan_shards(enum table_kind kind, uint64_t entry_bytes);

struct reduce_plan {
    uint32_t n_at_once;
    size_t n_runs_max;    /* merge down to so many first */
    uint64_t read_memory; /* of each task, for runs */
    uint64_t base_memory; /* and for what it compares with of a base, beyond shard_delta_memory() */
};
/* schema->n_shards is known by now. base: of a delta that is compared with it, else NULL. -E2BIG when not even one shard can be
 * written within the job's memory. */
int plan_reduce(const struct map_output *map, const struct job *job, const struct schema *schema,
                const struct run_order *order, const struct version_desc *base, uint32_t n_threads,
                struct reduce_plan *out, struct err *err);

/* Would runs of so many bytes leave room in memory for one task of reduce? */
bool plan_keeps(const struct map_params *params, uint64_t used, const struct level_totals *totals);

/* Shards copied from a chain into new parts, each by a shard_stream and a shard_writer. */
struct stream_plan {
    uint32_t n_at_once;
    uint64_t memory; /* of each stream */
};
/*
 * totals: of the parts written; its value_max may be a guess, which shares memory out. -E2BIG as above, by values of value_sure bytes: a
 * guess refuses nothing.
 */
int plan_streams(const struct job *job, const struct version_desc *chain,
                 const struct level_totals *totals, uint32_t value_sure, uint32_t n_threads,
                 struct stream_plan *out, struct err *err);
/* The same for shards that are only read. */
void plan_reading(const struct version_desc *chain, uint64_t memory, uint32_t n_threads,
                  struct stream_plan *out);

struct read_plan {
    uint32_t n_at_once;
    uint64_t heap_max; /* of each part read; longer ones are mapped from a scratch file */
};
/* n_parts: held at once by a task. */
void plan_read(uint64_t part_len_max, uint32_t n_parts, uint64_t memory, uint32_t n_threads,
               struct read_plan *out);

#endif
