/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/plan.h"

#include "builder/duckdb_host.h"
#include "builder/input.h"
#include "builder/shard_delta.h"

#include <errno.h>
#include <sched.h>

/* The program itself, the two buffers of a store writer, the lists of runs. */
#define OVERHEAD (12ULL << 20)
/* A run is read in pieces of this at least, so that seeks do not rule. */
#define READ_GOOD (64ULL << 10)
#define READ_POOR (16ULL << 10)
/* Longer pieces gain nothing. */
#define READ_BEST (2ULL << 20)

uint32_t plan_threads(const struct job *job)
{
    cpu_set_t cpus;
    if (job->n_threads)
        return job->n_threads;
    int n = sched_getaffinity(0, sizeof cpus, &cpus) ? 1 : CPU_COUNT(&cpus);
    return n > 0 ? (uint32_t)n : 1;
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static uint64_t clamp(uint64_t v, uint64_t low, uint64_t high)
{
    return v < low ? low : v > high ? high : v;
}

void plan_map(const struct job *job, const struct schema *schema, uint32_t n_threads,
              struct map_plan *out)
{
    uint64_t usable = job->memory - OVERHEAD - duckdb_share(job);
    n_threads = duckdb_threads(job, n_threads);
    uint64_t value_max = schema->value_len ? schema->value_len : VALUE_LEN_MAX;
    uint64_t arena_min = value_max + (1 << 20);
    uint64_t block = usable / n_threads >= (32ULL << 20) ? INPUT_BLOCK_LEN : INPUT_BLOCK_LEN / 4;
    /* A block and what is carried over to the next, each grown to the longest row; the stream's and the spill's buffers. */
    uint64_t fixed = 2 * (block + value_max) + RUN_WRITER_MEMORY + (512 << 10) +
                     duckdb_chunk_memory(job, schema);
    if (schema->kind != KIND_MEM)
        fixed += 2 * SAMPLE_LEN;
    uint32_t n = (uint32_t)clamp(usable / (fixed + arena_min), 1, n_threads);
    uint64_t arena = usable / n > fixed ? usable / n - fixed : 0;
    *out = (struct map_plan){
        .n_workers = n, .arena_len = arena > arena_min ? arena : arena_min, .block_len = block};
}

struct run_order plan_order(const struct job *job, const struct schema *schema)
{
    struct run_order order = {.seq = job->duplicates == DUPLICATE_LAST ? SEQ_DESCENDING
                                                                       : SEQ_ASCENDING,
                              .hash_seed = schema->hash_seed};
    if (schema->kind == KIND_IDX)
        order.n_shards = schema->n_shards ? schema->n_shards : PLAN_IDX_SHARDS;
    return order;
}

uint32_t plan_shards(enum table_kind kind, uint64_t entry_bytes)
{
    uint32_t n = 1;
    uint32_t n_max = kind == KIND_IDX ? PLAN_IDX_SHARDS : SHARDS_MAX;
    while (n < n_max && entry_bytes / n > PLAN_SHARD_BYTES)
        n *= 2;
    return n;
}

static uint64_t entry_bytes(const struct level_totals *totals)
{
    return totals->key_len + totals->value_len;
}

bool plan_keeps(const struct map_params *params, uint64_t used, const struct level_totals *totals)
{
    const struct schema *schema = params->schema;
    uint32_t n_shards =
        schema->n_shards ? schema->n_shards : plan_shards(schema->kind, entry_bytes(totals));
    uint64_t writer = shard_writer_memory(params->job, schema, totals, n_shards);
    /* Choosing a coding comes before any writer. */
    if (params->has_sample && writer < VALUE_CODING_MEMORY)
        writer = VALUE_CODING_MEMORY;
    return OVERHEAD + used + writer <= params->job->memory;
}

/* `idx` keeps a shard's keys in memory while it is written. The others need about as much for any shard. */
static int writer_fits(const struct job *job, const struct schema *schema, uint64_t writer,
                       uint64_t avail, struct err *err)
{
    if (schema->kind != KIND_IDX || writer <= avail)
        return 0;
    return err_set(err, -E2BIG,
                   "--memory: writing a shard of an idx table takes the memory of its keys, about "
                   "%llu MiB here, but %llu MiB are left of %llu; allow more%s",
                   (unsigned long long)writer >> 20, (unsigned long long)avail >> 20,
                   (unsigned long long)job->memory >> 20,
                   job->is_delta ? "" : ", or cut the table into more shards with --shards");
}

/* What is written at most: of a computed delta, every row, and every key of the base as deleted. */
static struct level_totals most_written(const struct map_output *map, const struct job *job,
                                        const struct version_desc *base)
{
    struct level_totals totals = map->totals;
    if (!base)
        return totals;
    uint64_t n = shard_delta_entries_max(job, base, totals.n_entries);
    double key_len = totals.n_entries ? (double)totals.key_len / (double)totals.n_entries
                                      : (double)sizeof(uint64_t);
    totals.key_len = (uint64_t)(key_len * (double)n);
    totals.n_entries = n;
    return totals;
}

int plan_reduce(const struct map_output *map, const struct job *job, const struct schema *schema,
                const struct run_order *order, const struct version_desc *base, uint32_t n_threads,
                struct reduce_plan *out, struct err *err)
{
    uint32_t n_shards = schema->n_shards;
    /* A run sorted by more shards than the table has is read in as many places. */
    uint32_t n_streams = order->n_shards > n_shards ? order->n_shards / n_shards : 1;
    uint64_t used = OVERHEAD;
    uint64_t n_files = 0;
    uint64_t read_min = 0; /* of each run, whatever the memory */
    for (size_t i = 0; i < map->n_runs; i++) {
        const struct run *run = &map->runs[i];
        used += run->arena ? arena_used(run->arena) : run->n_fences * sizeof(struct run_fence);
        n_files += !run->arena;
        read_min = max_u64(read_min, run_read_min(run));
    }
    const uint64_t good = max_u64(READ_GOOD, read_min);
    const uint64_t poor = max_u64(READ_POOR, read_min);
    struct level_totals totals = most_written(map, job, base);
    uint64_t writer = shard_writer_memory(job, schema, &totals, n_shards);
    uint64_t join = base ? shard_delta_memory(base, totals.value_max) : 0;
    writer += join;
    uint64_t avail = job->memory > used ? job->memory - used : 0;
    int ret = writer_fits(job, schema, writer, avail, err);
    if (ret)
        return ret;
    n_files *= n_streams;
    uint64_t n = clamp(avail / (writer + n_files * good), 1, min_u64(n_threads, n_shards));
    uint64_t share = avail / n;
    uint64_t read = share > writer ? share - writer : 0;
    read = clamp(read, 1 << 20, (n_files + 1) * READ_BEST);
    *out = (struct reduce_plan){.n_at_once = (uint32_t)n, .read_memory = read};
    /* The base is read before the writer is made, and may have its memory. */
    if (base && share > read + join)
        out->base_memory = share - read - join;
    /* Too many runs for useful pieces: fewer, longer ones first. In-memory runs cost no buffer. */
    out->n_runs_max = n_files * poor > read ? (size_t)(read / good / n_streams) : map->n_runs;
    return 0;
}

/* The longest shard, all its levels together. */
static uint64_t longest_shard(const struct version_desc *chain)
{
    uint32_t n_shards = chain->schema.n_shards;
    uint64_t longest = 0;
    for (uint32_t shard = 0; shard < n_shards; shard++) {
        uint64_t len = 0;
        for (size_t i = shard; i < chain->n_parts; i += n_shards)
            len += chain->parts[i].len;
        longest = len > longest ? len : longest;
    }
    return longest;
}

/* Whole shards in memory if one fits, as many as do; else what is beyond it is mapped. `fixed`: what a task needs beside. */
static void share_streams(const struct version_desc *chain, uint64_t usable, uint64_t fixed,
                          uint32_t n_threads, struct stream_plan *out)
{
    uint64_t n_max = min_u64(n_threads, chain->schema.n_shards);
    uint64_t whole = fixed + longest_shard(chain) * 4 / 3;
    uint64_t n = clamp(usable / (usable >= whole ? whole : fixed), 1, n_max);
    uint64_t share = usable / n;
    *out =
        (struct stream_plan){.n_at_once = (uint32_t)n, .memory = share > fixed ? share - fixed : 0};
}

/* What copying a shard takes beside the parts that are read, with values of so many bytes. */
static uint64_t copy_memory(const struct job *job, const struct version_desc *chain,
                            const struct level_totals *totals, uint32_t value_max)
{
    struct level_totals most = *totals;
    most.value_max = value_max;
    return shard_writer_memory(job, &chain->schema, &most, chain->schema.n_shards) +
           shard_stream_memory_min(chain->n_levels, value_max);
}

int plan_streams(const struct job *job, const struct version_desc *chain,
                 const struct level_totals *totals, uint32_t value_sure, uint32_t n_threads,
                 struct stream_plan *out, struct err *err)
{
    uint64_t usable = job->memory - OVERHEAD;
    int ret =
        writer_fits(job, &chain->schema, copy_memory(job, chain, totals, value_sure), usable, err);
    if (!ret)
        share_streams(chain, usable, copy_memory(job, chain, totals, totals->value_max), n_threads,
                      out);
    return ret;
}

void plan_reading(const struct version_desc *chain, uint64_t memory, uint32_t n_threads,
                  struct stream_plan *out)
{
    share_streams(chain, memory - OVERHEAD, shard_stream_memory_min(chain->n_levels, 0), n_threads,
                  out);
}

void plan_read(uint64_t part_len_max, uint32_t n_parts, uint64_t memory, uint32_t n_threads,
               struct read_plan *out)
{
    uint64_t usable = memory - OVERHEAD;
    uint64_t need = part_len_max * n_parts + 1;
    uint32_t n = (uint32_t)clamp(usable / need, 1, n_threads);
    *out = (struct read_plan){.n_at_once = n, .heap_max = usable / n / n_parts};
}
