/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/checkpoint_survey.h"

#include "builder/part_file.h"
#include "builder/value_coding.h"

#include <errno.h>

/* Entries that tell the mean lengths well enough. */
enum { ENTRIES_ENOUGH = 100000, UNPACKED_MOST = 8 };

struct looking {
    const struct shard_stream_params *stream;
    struct checkpoint_survey *survey;
    bool has_sample;
    struct level_totals seen;
    uint64_t pages_max; /* of a block */
    bool is_packed;     /* some level is compressed */
};

void checkpoint_survey_release(struct checkpoint_survey *survey)
{
    value_sample_release(&survey->sample);
}

/* The first shard's oldest part says how the table was stored. */
static void storing_take(const struct shard_stream *stream, struct job *job)
{
    const struct paged_info *info = any_part_paged(shard_stream_part(stream, 0));
    if (!info)
        return;
    job->compress = info->compression == COMPRESSION_NONE ? COMPRESS_NONE : COMPRESS_ZSTD;
    job->no_filter = info->part.n_partitions == 0;
    job->block_pages = info->block_pages;
}

static void info_note(struct looking *looking, const struct paged_info *info)
{
    if (info->pages_max > looking->pages_max)
        looking->pages_max = info->pages_max;
    looking->is_packed |= info->compression != COMPRESSION_NONE;
}

static void blocks_note(struct looking *looking, const struct shard_stream *stream)
{
    for (uint32_t i = 0; i < looking->stream->desc->n_levels; i++) {
        const struct paged_info *info = any_part_paged(shard_stream_part(stream, i));
        if (info)
            info_note(looking, info);
    }
}

/* Shards that need no look may have the longest value nevertheless, and footers tell. */
static int footers_note(struct looking *looking, uint32_t first, struct err *err)
{
    const struct version_desc *desc = looking->stream->desc;
    uint32_t n_shards = desc->schema.n_shards;
    int ret = 0;
    if (desc->schema.value_len)
        return 0;
    for (size_t i = 0; i < desc->n_parts && !ret; i++) {
        struct paged_info info;
        if (i % n_shards < first)
            continue;
        ret = part_file_info(looking->stream->store, looking->stream->dir, &desc->parts[i], &info,
                             err);
        if (!ret)
            info_note(looking, &info);
    }
    return ret;
}

/* Has the sample what belongs there, when all that follow have higher hashes? */
static bool is_enough(const struct looking *looking)
{
    bool has_sample = !looking->has_sample || looking->survey->sample.cost >= SAMPLE_LEN;
    return has_sample && looking->seen.n_entries >= ENTRIES_ENOUGH;
}

static int entry_look(struct looking *looking, struct shard_stream *stream,
                      struct part_entry *entry, struct err *err)
{
    int ret = shard_stream_value(stream, entry, err);
    if (ret)
        return ret;
    struct level_totals one = {.n_entries = 1,
                               .key_len = entry->key_bytes ? entry->key_len : sizeof entry->key,
                               .value_len = entry->value_len,
                               .value_max = entry->value_len};
    level_totals_add(&looking->seen, &one);
    if (looking->has_sample && value_sample_add(&looking->survey->sample, entry, 0))
        return err_sys(err, -ENOMEM, "sampling values");
    return 0;
}

static int shard_look(struct looking *looking, struct shard_stream *stream, struct err *err)
{
    bool by_hash = looking->stream->desc->schema.kind != KIND_IDX;
    struct part_entry entry;
    int got = 0;
    int ret = 0;
    blocks_note(looking, stream);
    /* By key, any entry of the shard may have a low hash; and without a sample, the first entries will do. */
    while (!ret && !((by_hash || !looking->has_sample) && is_enough(looking)) &&
           (got = shard_stream_next(stream, &entry, err)) > 0)
        ret = entry_look(looking, stream, &entry, err);
    return ret ? ret : got < 0 ? got : 0;
}

/* The longest value, by what was seen and a bound in bytes. */
static uint32_t longest_value(const struct looking *looking, uint64_t bound)
{
    uint32_t seen = looking->seen.value_max;
    if (looking->stream->desc->schema.value_len)
        return looking->stream->desc->schema.value_len;
    return bound <= seen ? seen : bound < VALUE_LEN_MAX ? (uint32_t)bound : VALUE_LEN_MAX;
}

static uint64_t scaled(uint64_t len, uint64_t n_seen, uint64_t n)
{
    return n_seen ? (uint64_t)((double)len / (double)n_seen * (double)n) : 0;
}

/*
 * What was seen stands for all, but for the longest value, of which each writer keeps several: no block is shorter than what is stored of it.
 * Unpacked it may be longer than UNPACKED_MOST times that, and takes more memory then than was planned; to say how much, every value would
 * have to be looked at.
 */
static void totals_fill(const struct looking *looking)
{
    const struct schema *schema = &looking->stream->desc->schema;
    const struct level_totals *seen = &looking->seen;
    struct level_totals *totals = &looking->survey->totals;
    uint64_t n = looking->stream->desc->n_keys;
    uint64_t stored = looking->pages_max * BLOCK_PAGE;
    uint64_t unpacked = stored * (looking->is_packed ? UNPACKED_MOST : 1);
    *totals = (struct level_totals){.n_entries = n,
                                    .key_len = scaled(seen->key_len, seen->n_entries, n),
                                    .value_len = scaled(seen->value_len, seen->n_entries, n),
                                    .value_max = longest_value(looking, unpacked)};
    looking->survey->value_stored_max = longest_value(looking, stored);
    if (schema->key_type == KEY_U64)
        totals->key_len = n * sizeof(uint64_t);
    if (schema->value_len)
        totals->value_len = n * schema->value_len;
}

/* Nothing of a `mem` part but its entries' number depends on more than the entries; its writer's memory, on a bound. */
static void totals_of_mem(const struct version_desc *desc, struct level_totals *totals)
{
    *totals = (struct level_totals){.n_entries = desc->n_keys,
                                    .key_len = desc->n_keys * sizeof(uint64_t),
                                    .value_len = version_desc_len(desc)};
}

int checkpoint_survey_run(const struct shard_stream_params *stream, struct job *job,
                          struct checkpoint_survey *out, struct err *err)
{
    struct shard_stream_params params = *stream;
    struct looking looking = {.stream = stream, .survey = out};
    enum table_kind kind = stream->desc->schema.kind;
    int ret = 0;
    *out = (struct checkpoint_survey){0};
    if (kind == KIND_MEM) {
        job->compress = COMPRESS_NONE;
        totals_of_mem(stream->desc, &out->totals);
        return 0;
    }
    for (params.shard = 0; !ret && params.shard < stream->desc->schema.n_shards; params.shard++) {
        struct shard_stream *shard = NULL;
        ret = shard_stream_open(&params, &shard, err);
        if (!ret && params.shard == 0)
            storing_take(shard, job);
        looking.has_sample = value_coding_wants_sample(job, kind);
        if (!ret)
            ret = shard_look(&looking, shard, err);
        shard_stream_close(shard);
        if (is_enough(&looking)) {
            params.shard++;
            break;
        }
    }
    if (!ret)
        ret = footers_note(&looking, params.shard, err);
    if (ret)
        checkpoint_survey_release(out);
    else
        totals_fill(&looking);
    return ret;
}
