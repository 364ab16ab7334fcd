/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/reduce.h"

#include "base/scope.h"
#include "builder/merge.h"
#include "builder/part_file.h"
#include "builder/seq.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { METER_EVERY = 1024 };

struct reduce {
    const struct reduce_params *params;
    struct meter *meter;
    struct part_desc *parts;
    _Atomic uint64_t n_duplicates;
    _Atomic uint64_t values_len;
    _Atomic uint64_t values_stored_len;
};

struct shard {
    const struct reduce *reduce;
    struct merge *merge;
    struct shard_writer *writer;
    struct part_file file;
    uint64_t n_duplicates;
    /* The key written last. */
    bool has_key;
    uint64_t hash;
    uint64_t seq;
    uint8_t key_len;
    uint8_t key[KEY_BYTES_MAX];
};

static bool is_repeat(const struct shard *shard, const struct part_entry *entry)
{
    return shard->has_key && shard->hash == entry->hash && shard->key_len == entry->key_len &&
           memcmp(shard->key, entry->key_bytes ? entry->key_bytes : shard->key, entry->key_len) ==
               0;
}

static void key_keep(struct shard *shard, const struct run_entry *next)
{
    shard->has_key = true;
    shard->hash = next->entry.hash;
    shard->seq = next->seq;
    shard->key_len = next->entry.key_len;
    if (next->entry.key_len)
        memcpy(shard->key, next->entry.key_bytes, next->entry.key_len);
}

static int repeat_error(const struct shard *shard, const struct run_entry *next, struct err *err)
{
    const struct reduce_params *params = shard->reduce->params;
    struct seq_places places = {
        .pieces = params->pieces, .n_pieces = params->n_pieces, .job = params->job};
    char first[PLACE_MAX];
    char second[PLACE_MAX];
    char key[4 * KEY_BYTES_MAX + 1];
    size_t n = 0;
    seq_place(&places, shard->seq, first);
    seq_place(&places, next->seq, second);
    if (next->entry.key_len == 0)
        snprintf(key, sizeof key, "%llu", (unsigned long long)next->entry.key);
    for (size_t i = 0; i < next->entry.key_len; i++) {
        unsigned char c = next->entry.key_bytes[i];
        n += (size_t)snprintf(key + n, sizeof key - n, isprint(c) ? "%c" : "\\x%02x", c);
    }
    return err_set(
        err, -EEXIST,
        "%s: key %.80s was given before, at %s; keep one of them with --duplicates first "
        "or last",
        second, key, first);
}

static int shard_take(struct shard *shard, const struct run_entry *next, struct err *err)
{
    if (is_repeat(shard, &next->entry)) {
        if (shard->reduce->params->job->duplicates == DUPLICATE_ERROR)
            return repeat_error(shard, next, err);
        shard->n_duplicates++;
        return 0;
    }
    int ret = merge_value(shard->merge, err);
    if (ret)
        return ret;
    key_keep(shard, next);
    return shard_writer_add(shard->writer, &next->entry, err);
}

static int shard_merge(struct shard *shard, struct err *err)
{
    struct meter *meter = shard->reduce->meter;
    uint64_t bytes = 0;
    for (uint64_t n = 1;; n++) {
        const struct run_entry *next = NULL;
        int got = merge_next(shard->merge, &next, err);
        if (got <= 0) {
            meter_add(meter, bytes);
            return got;
        }
        bytes +=
            align_up(RECORD_HEAD_LEN + (uint64_t)next->entry.key_len + next->entry.value_len, 8);
        int ret = shard_take(shard, next, err);
        if (!ret && n % METER_EVERY == 0) {
            ret = meter_check(meter, err);
            meter_add(meter, bytes);
            bytes = 0;
        }
        if (ret)
            return ret;
    }
}

static int shard_open(struct shard *shard, uint32_t number, struct err *err)
{
    const struct reduce_params *params = shard->reduce->params;
    const struct level_params *level = params->level;
    struct merge_range range = merge_range_of(number, level->schema->n_shards);
    int ret = merge_open(params->runs, params->n_runs, &params->order, range, params->read_memory,
                         &shard->merge, err);
    if (!ret)
        ret = part_file_create(&shard->file, params->store, params->dir, level->level, number, err);
    if (!ret)
        ret = shard_writer_new(level, number, part_file_sink(&shard->file), &shard->writer, err);
    return ret;
}

static int shard_commit(struct shard *shard, const struct shard_info *info, struct part_desc *desc,
                        struct err *err)
{
    int ret = part_file_commit(&shard->file, &info->part, desc, err);
    if (ret || !info->is_paged)
        return ret;
    desc->tail_len = desc->len - info->body_len;
    desc->values_len = info->values_len;
    return 0;
}

static int shard_main(void *context, uint32_t number, struct err *err)
{
    struct reduce *reduce = context;
    struct shard shard = {.reduce = reduce};
    struct shard_info info = {0};
    int ret = shard_open(&shard, number, err);
    if (!ret)
        ret = shard_merge(&shard, err);
    if (!ret)
        ret = shard_writer_finish(shard.writer, &info, err);
    /* The writer's memory goes before the file is synced, which takes long. */
    shard_writer_free(shard.writer);
    merge_close(shard.merge);
    if (!ret)
        ret = shard_commit(&shard, &info, &reduce->parts[number], err);
    part_file_release(&shard.file);
    reduce->n_duplicates += shard.n_duplicates;
    reduce->values_len += info.values_len;
    reduce->values_stored_len += info.values_stored_len;
    return ret;
}

static void reduce_tick(void *context)
{
    struct reduce *reduce = context;
    meter_tick(reduce->meter);
}

int reduce_run(struct engine *engine, const struct reduce_params *params, struct meter *meter,
               struct part_desc *parts, struct reduce_totals *totals, struct err *err)
{
    struct reduce reduce = {.params = params, .meter = meter, .parts = parts};
    struct engine_work work = {.n_tasks = params->level->schema->n_shards,
                               .n_at_once = params->n_at_once,
                               .task = shard_main,
                               .tick = reduce_tick,
                               .context = &reduce};
    int ret = engine->run(engine, &work, err);
    if (ret)
        return ret;
    *totals = (struct reduce_totals){.n_duplicates = reduce.n_duplicates,
                                     .values_len = reduce.values_len,
                                     .values_stored_len = reduce.values_stored_len};
    return 0;
}

int reduce_shard(const struct reduce_params *params, struct meter *meter, uint32_t number,
                 struct part_desc *parts, struct reduce_totals *totals, struct err *err)
{
    struct reduce reduce = {.params = params, .meter = meter, .parts = parts};
    int ret = shard_main(&reduce, number, err);
    totals->n_duplicates += reduce.n_duplicates;
    totals->values_len += reduce.values_len;
    totals->values_stored_len += reduce.values_stored_len;
    return ret;
}
