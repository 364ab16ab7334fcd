/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/reduce.h"

#include "base/scope.h"
#include "builder/merge.h"
#include "builder/part_file.h"
#include "builder/seq.h"

#include <ctype.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { METER_EVERY = 1024 };

struct reduce {
    const struct reduce_params *params;
    struct meter *meter;
    struct part_desc *parts;
    pthread_mutex_t lock;
    struct reduce_totals totals; /* under the lock */
};

struct shard {
    const struct reduce_params *params;
    struct meter *meter;
    uint32_t number;
    struct merge *merge;
    struct shard_delta
        delta; /* when rows are compared with the base; then the writer comes later */
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
    const struct reduce_params *params = shard->params;
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
        if (shard->params->job->duplicates == DUPLICATE_ERROR)
            return repeat_error(shard, next, err);
        shard->n_duplicates++;
        return 0;
    }
    int ret = merge_value(shard->merge, err);
    if (ret)
        return ret;
    key_keep(shard, next);
    if (shard->params->base)
        return shard_delta_add(&shard->delta, &next->entry, err);
    return shard_writer_add(shard->writer, &next->entry, err);
}

static int shard_merge(struct shard *shard, struct err *err)
{
    struct meter *meter = shard->meter;
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

static int shard_open(struct shard *shard, struct err *err)
{
    const struct reduce_params *params = shard->params;
    const struct level_params *level = params->level;
    struct merge_range range = merge_range_of(shard->number, level->schema->n_shards);
    int ret = merge_open(params->runs, params->n_runs, &params->order, range, params->read_memory,
                         &shard->merge, err);
    if (!ret)
        ret = part_file_create(&shard->file, params->store, params->dir, level->level,
                               shard->number, err);
    if (ret)
        return ret;
    if (params->base)
        return shard_delta_open(&shard->delta, params->base, level, shard->number, err);
    return shard_writer_new(level, shard->number, part_file_sink(&shard->file), &shard->writer,
                            err);
}

/* Writes what differs from the base. Runs and base are done with, and give their memory to the writer. */
static int shard_write_delta(struct shard *shard, struct err *err)
{
    struct part_entry entry;
    int got = 0;
    merge_close(scope_take(shard->merge));
    int ret = shard_delta_finish(&shard->delta, err);
    if (!ret)
        ret = shard_writer_new(&shard->delta.level, shard->number, part_file_sink(&shard->file),
                               &shard->writer, err);
    while (!ret && (got = shard_delta_next(&shard->delta, &entry, err)) > 0)
        ret = shard_writer_add(shard->writer, &entry, err);
    return ret ? ret : got;
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

void reduce_totals_add(struct reduce_totals *totals, const struct reduce_totals *more)
{
    totals->n_duplicates += more->n_duplicates;
    totals->values_len += more->values_len;
    totals->values_stored_len += more->values_stored_len;
    join_totals_add(&totals->join, &more->join);
}

int reduce_shard(const struct reduce_params *params, struct meter *meter, uint32_t number,
                 struct part_desc *parts, struct reduce_totals *totals, struct err *err)
{
    struct shard shard = {.params = params, .meter = meter, .number = number};
    struct shard_info info = {0};
    int ret = shard_open(&shard, err);
    if (!ret)
        ret = shard_merge(&shard, err);
    if (!ret && params->base)
        ret = shard_write_delta(&shard, err);
    if (!ret)
        ret = shard_writer_finish(shard.writer, &info, err);
    struct reduce_totals own = {.n_duplicates = shard.n_duplicates,
                                .values_len = info.values_len,
                                .values_stored_len = info.values_stored_len,
                                .join = shard.delta.join.totals};
    /* The writer's memory goes before the file is synced, which takes long. */
    shard_writer_free(shard.writer);
    shard_delta_release(&shard.delta);
    merge_close(shard.merge);
    if (!ret)
        ret = shard_commit(&shard, &info, &parts[number], err);
    part_file_release(&shard.file);
    reduce_totals_add(totals, &own);
    return ret;
}

static int shard_main(void *context, uint32_t number, struct err *err)
{
    struct reduce *reduce = context;
    struct reduce_totals totals = {0};
    int ret = reduce_shard(reduce->params, reduce->meter, number, reduce->parts, &totals, err);
    scope_lock(&reduce->lock);
    reduce_totals_add(&reduce->totals, &totals);
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
    struct reduce reduce = {
        .params = params, .meter = meter, .parts = parts, .lock = PTHREAD_MUTEX_INITIALIZER};
    struct engine_work work = {.n_tasks = params->level->schema->n_shards,
                               .n_at_once = params->n_at_once,
                               .waits = true,
                               .task = shard_main,
                               .tick = reduce_tick,
                               .context = &reduce};
    int ret = engine->run(engine, &work, err);
    pthread_mutex_destroy(&reduce.lock);
    if (!ret)
        *totals = reduce.totals;
    return ret;
}
