/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plan: how a build shares out its memory and threads, and how many shards a table gets. Pure arithmetic.
 *
 * Only the shards reach the result, and they depend on the input alone; workers, arenas and buffers do not.
 *
 * Threads: pure functions. Memory: none. Errors: none.
 */
#ifndef FKV_BUILDER_PLAN_H
#define FKV_BUILDER_PLAN_H

#include "builder/map.h"

#include <stddef.h>
#include <stdint.h>

#define PLAN_SHARD_BYTES (256ULL << 20)

struct map_plan {
    uint32_t n_workers;
    size_t arena_len;
    size_t block_len;
};
void plan_map(const struct schema *schema, uint64_t memory, uint32_t n_threads,
              struct map_plan *out);

/* The least power of two of shards of at most PLAN_SHARD_BYTES of keys and stored values, rows of repeated keys
 * included; SHARDS_MAX at most. */
uint32_t plan_shards(uint64_t entry_bytes);

struct reduce_plan {
    uint32_t n_at_once;
    size_t n_runs_max;    /* merge down to so many first */
    uint64_t read_memory; /* of each task */
};
void plan_reduce(const struct map_output *map, uint64_t memory, uint32_t n_threads,
                 uint32_t n_shards, struct reduce_plan *out);

/* Would runs of so many bytes leave room in memory for one task of reduce? */
bool plan_keeps(uint64_t memory, uint64_t used, uint64_t n_entries, uint64_t entry_bytes);

struct read_plan {
    uint32_t n_at_once;
    uint64_t heap_max; /* of each part read; longer ones are mapped from a scratch file */
};
/* n_parts: held at once by a task. */
void plan_read(uint64_t part_len_max, uint32_t n_parts, uint64_t memory, uint32_t n_threads,
               struct read_plan *out);

#endif
