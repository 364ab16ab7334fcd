/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/plan.h"

#include "builder/input.h"
#include "builder/reduce.h"

/* The program itself, the two buffers of a store writer, the lists of runs. */
#define OVERHEAD (12ULL << 20)
/* A run is read in pieces of this at least, so that seeks do not rule. */
#define READ_GOOD (64ULL << 10)
#define READ_POOR (16ULL << 10)

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t clamp(uint64_t v, uint64_t low, uint64_t high)
{
    return v < low ? low : v > high ? high : v;
}

void plan_map(const struct schema *schema, uint64_t memory, uint32_t n_threads,
              struct map_plan *out)
{
    uint64_t usable = memory - OVERHEAD;
    uint64_t value_max = schema->value_len ? schema->value_len : VALUE_LEN_MAX;
    uint64_t arena_min = value_max + (1 << 20);
    uint64_t block = usable / n_threads >= (32ULL << 20) ? INPUT_BLOCK_LEN : INPUT_BLOCK_LEN / 4;
    /* A block and what is carried over to the next, each grown to the longest row; the stream's and the spill's buffers. */
    uint64_t fixed = 2 * (block + value_max) + RUN_WRITE_LEN + (512 << 10);
    uint32_t n = (uint32_t)clamp(usable / (fixed + arena_min), 1, n_threads);
    uint64_t arena = usable / n > fixed ? usable / n - fixed : 0;
    *out = (struct map_plan){
        .n_workers = n, .arena_len = arena > arena_min ? arena : arena_min, .block_len = block};
}

uint32_t plan_shards(uint64_t entry_bytes)
{
    uint32_t n = 1;
    while (n < SHARDS_MAX && entry_bytes / n > PLAN_SHARD_BYTES)
        n *= 2;
    return n;
}

bool plan_keeps(uint64_t memory, uint64_t used, uint64_t n_entries, uint64_t entry_bytes)
{
    uint64_t need =
        OVERHEAD + used + reduce_writer_memory(n_entries, entry_bytes, plan_shards(entry_bytes));
    return need <= memory;
}

void plan_reduce(const struct map_output *map, uint64_t memory, uint32_t n_threads,
                 uint32_t n_shards, struct reduce_plan *out)
{
    uint64_t used = OVERHEAD;
    uint64_t n_files = 0;
    for (size_t i = 0; i < map->n_runs; i++) {
        const struct run *run = &map->runs[i];
        used += run->arena ? arena_used(run->arena) : run->n_fences * sizeof(struct run_fence);
        n_files += !run->arena;
    }
    uint64_t writer = reduce_writer_memory(map->n_entries, map->entry_bytes, n_shards);
    uint64_t avail = memory > used ? memory - used : 0;
    uint64_t n = clamp(avail / (writer + n_files * READ_GOOD), 1, min_u64(n_threads, n_shards));
    uint64_t share = avail / n;
    uint64_t read = share > writer ? share - writer : 0;
    read = clamp(read, 1 << 20, (n_files + 1) << 20);
    *out = (struct reduce_plan){.n_at_once = (uint32_t)n, .read_memory = read};
    /* Too many runs for useful pieces: fewer, longer ones first. In-memory runs cost no buffer. */
    out->n_runs_max = n_files * READ_POOR > read ? (size_t)(read / READ_GOOD) : map->n_runs;
}

void plan_read(uint64_t part_len_max, uint32_t n_parts, uint64_t memory, uint32_t n_threads,
               struct read_plan *out)
{
    uint64_t usable = memory - OVERHEAD;
    uint64_t need = part_len_max * n_parts + 1;
    uint32_t n = (uint32_t)clamp(usable / need, 1, n_threads);
    *out = (struct read_plan){.n_at_once = n, .heap_max = usable / n / n_parts};
}
