/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/shard_delta.h"

bool shard_delta_wanted(const struct job *job)
{
    return job->is_delta && (job->diff_base || job->min_distance > 0);
}

uint64_t shard_delta_entries_max(const struct job *job, const struct version_desc *base,
                                 uint64_t n_rows)
{
    return n_rows + (job->diff_base ? base->n_keys : 0);
}

uint64_t shard_delta_memory(const struct version_desc *base, uint64_t value_max)
{
    return ENTRY_SPOOL_MEMORY + shard_stream_memory_min(base->n_levels, value_max);
}

static int spool(void *context, const struct part_entry *entry, struct err *err)
{
    struct shard_delta *delta = context;
    return entry_spool_add(&delta->spool, entry, err);
}

int shard_delta_open(struct shard_delta *delta, const struct join_base *base,
                     const struct level_params *level, uint32_t shard, struct err *err)
{
    const struct job *job = level->job;
    *delta = (struct shard_delta){.base = base, .level = *level, .plain = {.ratio = 1}};
    struct shard_stream_params params = {.store = base->store,
                                         .dir = base->dir,
                                         .desc = base->desc,
                                         .shard = shard,
                                         .memory = base->memory,
                                         .scratch_dir = base->scratch_dir};
    int ret = entry_spool_init(&delta->spool, base->scratch_dir, err);
    if (!ret)
        ret = shard_stream_open(&params, &delta->stream, err);
    if (ret)
        return ret;
    struct base_join_params join = {.schema = level->schema,
                                    .base = delta->stream,
                                    .is_whole = job->diff_base,
                                    .min_distance = job->min_distance,
                                    .emit = spool,
                                    .context = delta};
    return base_join_init(&delta->join, &join, err);
}

void shard_delta_release(struct shard_delta *delta)
{
    if (!delta->base)
        return;
    base_join_release(&delta->join);
    shard_stream_close(delta->stream);
    entry_spool_release(&delta->spool);
    *delta = (struct shard_delta){0};
}

int shard_delta_add(struct shard_delta *delta, const struct part_entry *row, struct err *err)
{
    return base_join_add(&delta->join, row, err);
}

/* Does compressing save more than the dictionary takes, which each part carries? */
static bool pays(const struct shard_delta *delta)
{
    const struct value_coding *coding = delta->level.coding;
    double saved = (double)delta->spool.totals.value_len * (1 - coding->ratio);
    return delta->level.job->compress == COMPRESS_ZSTD || saved > (double)coding->dictionary.len;
}

/* The writer shares a level's totals out over its shards, so this shard's are told as many times over. */
static void level_measure(struct shard_delta *delta)
{
    struct level_params *level = &delta->level;
    const struct level_totals *own = &delta->spool.totals;
    uint64_t n_shards = level->schema->n_shards;
    uint64_t n_max =
        shard_delta_entries_max(level->job, delta->base->desc, level->totals.n_entries);
    bool is_mem = level->schema->kind == KIND_MEM;
    level->totals = (struct level_totals){.n_entries = is_mem ? n_max : own->n_entries * n_shards,
                                          .key_len = own->key_len * n_shards,
                                          .value_len = own->value_len * n_shards,
                                          .value_max = own->value_max};
    if (level->coding->compression != COMPRESSION_NONE && !pays(delta))
        level->coding = &delta->plain;
}

int shard_delta_finish(struct shard_delta *delta, struct err *err)
{
    int ret = base_join_finish(&delta->join, err);
    if (ret)
        return ret;
    shard_stream_close(delta->stream);
    delta->stream = NULL;
    level_measure(delta);
    return entry_spool_rewind(&delta->spool, delta->level.schema->hash_seed, err);
}

int shard_delta_next(struct shard_delta *delta, struct part_entry *entry, struct err *err)
{
    return entry_spool_next(&delta->spool, entry, err);
}
