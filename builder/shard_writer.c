/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/shard_writer.h"

#include "codec/zstd_value.h"
#include "format/blk_writer.h"
#include "format/idx_writer.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

struct shard_writer {
    enum table_kind kind;
    union {
        struct part_writer *mem;
        struct blk_writer *blk;
        struct idx_writer *idx;
    };
    struct zstd_encoder *encoder; /* NULL: values are stored as they are */
    struct buf stored;
    uint64_t values_len;
    uint64_t values_stored_len;
};

static struct paged_params paged_params_of(const struct level_params *params, uint32_t shard)
{
    const struct level_totals *totals = &params->totals;
    const struct schema *schema = params->schema;
    double stored_len = (double)totals->value_len * params->coding->ratio;
    uint64_t n = schema->n_shards;
    return (struct paged_params){
        .schema = schema,
        .shard = shard,
        .level = params->level,
        .n_entries = (totals->n_entries + n - 1) / n,
        .n_bytes = (totals->key_len + (uint64_t)stored_len + n - 1) / n,
        .block_pages = params->job->block_pages,
        .has_filter = !params->job->no_filter,
        .compression = params->coding->compression,
        .dictionary = {params->coding->dictionary.data, params->coding->dictionary.len}};
}

static int inner_new(struct shard_writer *writer, const struct level_params *params, uint32_t shard,
                     struct part_sink sink, struct err *err)
{
    const struct schema *schema = params->schema;
    struct paged_params paged = paged_params_of(params, shard);
    struct part_params part = {.schema = schema,
                               .shard = shard,
                               .level = params->level,
                               .n_partitions = part_partitions(schema, params->totals.n_entries)};
    switch (writer->kind) {
    case KIND_MEM:
        return part_writer_new(&part, sink, &writer->mem, err);
    case KIND_BLK:
        return blk_writer_new(&paged, sink, &writer->blk, err);
    case KIND_IDX:
        return idx_writer_new(&paged, sink, &writer->idx, err);
    }
    return err_set(err, -EINVAL, "a table of kind %d", (int)writer->kind);
}

int shard_writer_new(const struct level_params *params, uint32_t shard, struct part_sink sink,
                     struct shard_writer **out, struct err *err)
{
    const struct value_coding *coding = params->coding;
    struct shard_writer *writer = calloc(1, sizeof *writer);
    if (!writer)
        return err_sys(err, -ENOMEM, "writing a part");
    writer->kind = params->schema->kind;
    int ret = inner_new(writer, params, shard, sink, err);
    if (!ret && coding->compression == COMPRESSION_ZSTD)
        ret = zstd_encoder_new(coding->level, coding->dictionary.data, coding->dictionary.len,
                               &writer->encoder, err);
    if (ret)
        shard_writer_free(writer);
    else
        *out = writer;
    return ret;
}

void shard_writer_free(struct shard_writer *writer)
{
    if (!writer)
        return;
    switch (writer->kind) {
    case KIND_MEM:
        part_writer_free(writer->mem);
        break;
    case KIND_BLK:
        blk_writer_free(writer->blk);
        break;
    case KIND_IDX:
        idx_writer_free(writer->idx);
        break;
    }
    zstd_encoder_free(writer->encoder);
    buf_release(&writer->stored);
    free(writer);
}

static int inner_add(struct shard_writer *writer, const struct part_entry *entry, struct err *err)
{
    switch (writer->kind) {
    case KIND_MEM:
        return part_writer_add(writer->mem, entry, err);
    case KIND_BLK:
        return blk_writer_add(writer->blk, entry, err);
    case KIND_IDX:
        return idx_writer_add(writer->idx, entry, err);
    }
    return -EINVAL;
}

int shard_writer_add(struct shard_writer *writer, const struct part_entry *entry, struct err *err)
{
    struct part_entry stored = *entry;
    if (entry->tombstone)
        return inner_add(writer, entry, err);
    if (writer->encoder) {
        int ret =
            zstd_value_encode(writer->encoder, entry->value, entry->value_len, &writer->stored);
        if (ret)
            return err_sys(err, ret, "compressing a value of %u bytes", entry->value_len);
        stored.value = writer->stored.data;
        stored.value_len = (uint32_t)writer->stored.len;
    }
    writer->values_len += entry->value_len;
    writer->values_stored_len += stored.value_len;
    return inner_add(writer, &stored, err);
}

int shard_writer_finish(struct shard_writer *writer, struct shard_info *info, struct err *err)
{
    struct paged_info paged = {0};
    int ret = -EINVAL;
    switch (writer->kind) {
    case KIND_MEM:
        ret = part_writer_finish(writer->mem, &paged.part, err);
        break;
    case KIND_BLK:
        ret = blk_writer_finish(writer->blk, &paged, err);
        break;
    case KIND_IDX:
        ret = idx_writer_finish(writer->idx, &paged, err);
        break;
    }
    if (ret)
        return ret;
    *info = (struct shard_info){.part = paged.part,
                                .is_paged = writer->kind != KIND_MEM,
                                .body_len = paged.n_pages * BLOCK_PAGE,
                                .values_len = writer->values_len,
                                .values_stored_len = writer->values_stored_len};
    return 0;
}

/* ---- memory ---- */

/* The buffers of the store's writer, the program's own. */
#define WRITER_FIXED (12ULL << 20)

static uint64_t mem_memory(uint64_t n_entries, uint64_t len)
{
    /* A partition of entries twice (as they came and as slots), and what its buffers double to. */
    const uint64_t partition = 40ULL << 20;
    uint64_t bytes = 3 * (len + 16 * n_entries);
    return (bytes < partition ? bytes : partition) + 2 * n_entries;
}

/* The filter and its partition under way. */
static uint64_t filter_memory(uint64_t n_entries)
{
    return n_entries * 5 / 4 + (8 << 20);
}

/* The index of blocks, and the filter. */
static uint64_t blk_memory(const struct job *job, bool is_delta, uint64_t n_entries, uint64_t len)
{
    uint64_t filter = is_delta || !job->no_filter ? filter_memory(n_entries) : 0;
    return (len + 16 * n_entries) / BLOCK_PAGE * 5 / 2 + filter;
}

/* All keys as they will stand in the part, bytes keys as if they had nothing in common; their hashes
 * too until the filter is made. */
static uint64_t idx_memory(const struct job *job, const struct schema *schema, uint64_t n_entries,
                           uint64_t key_len, uint64_t len)
{
    uint64_t keys = key_len + 3 * n_entries;
    if (schema->key_type == KEY_U64 && n_entries)
        keys = (uint64_t)((double)n_entries * (67 - log2((double)n_entries)) / 8);
    else if (job->is_delta || !job->no_filter)
        keys += 8 * n_entries + filter_memory(n_entries);
    return keys + n_entries / 8 + len / BLOCK_PAGE * 4;
}

/* Blocks of the longest value under way, and what compressing it takes. */
static uint64_t value_memory(const struct job *job, uint64_t value_max)
{
    uint64_t encoder = job->compress == COMPRESS_NONE ? 0 : (2ULL << 20) + 4 * value_max;
    return 4 * value_max + (job->compress_level > 9 ? 4 * encoder : encoder);
}

uint64_t shard_writer_memory(const struct job *job, const struct schema *schema,
                             const struct level_totals *totals, uint32_t n_shards)
{
    uint64_t n = (totals->n_entries + n_shards - 1) / n_shards;
    uint64_t key_len = (totals->key_len + n_shards - 1) / n_shards;
    uint64_t len = key_len + (totals->value_len + n_shards - 1) / n_shards;
    switch (schema->kind) {
    case KIND_MEM:
        return WRITER_FIXED + mem_memory(n, len);
    case KIND_BLK:
        return WRITER_FIXED + blk_memory(job, job->is_delta, n, len) +
               value_memory(job, totals->value_max);
    case KIND_IDX:
        return WRITER_FIXED + idx_memory(job, schema, n, key_len, len) +
               value_memory(job, totals->value_max);
    }
    return WRITER_FIXED;
}
