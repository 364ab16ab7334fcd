/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/seal.h"

#include "base/scope.h"
#include "builder/base_probe.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Base parts up to this length are read, and thus checked, whole. */
enum { WHOLE_MAX = 4 * PART_CHUNK_LEN };

/* Counting a delta's live keys, one shard a task. */
struct fold {
    const struct seal_params *params;
    const struct version_desc *desc;
    struct meter *meter;
    _Atomic uint64_t n_added;   /* keys that the base does not have */
    _Atomic uint64_t n_removed; /* tombstones of keys that it has */
};

/* The state of one shard's fold. */
struct fold_shard {
    const struct seal_params *params;
    struct meter *meter;
    const struct any_part *part; /* the delta's */
    uint8_t *decided;            /* a byte an entry: a newer level of the base has spoken */
    uint64_t n_added;
    uint64_t n_removed;
};

static int desc_copy(const struct part_desc *from, struct part_desc *to)
{
    struct digest *chunks = malloc(from->n_chunks * sizeof *chunks + 1);
    if (!chunks)
        return -ENOMEM;
    memcpy(chunks, from->chunks, from->n_chunks * sizeof *chunks);
    *to = *from;
    to->chunks = chunks;
    return 0;
}

/* A name holds the digest, so what is there is what was linked before. */
static int link_once(struct store *store, const char *from, const char *to, struct err *err)
{
    struct err why = {0};
    int ret = store_link(store, from, to, &why);
    return ret && ret != -EEXIST ? err_set(err, ret, "%s", err_text(&why, ret)) : 0;
}

static int link_base_part(const struct seal_params *params, const struct part_desc *part,
                          struct part_desc *out, struct err *err)
{
    char from[PART_PATH_MAX];
    char to[PART_PATH_MAX];
    int ret = part_file_path(params->base_dir, part, from, err);
    if (!ret)
        ret = part_file_path(params->dir, part, to, err);
    if (!ret)
        ret = link_once(params->store, from, to, err);
    if (ret)
        return ret;
    ret = desc_copy(part, out);
    return ret ? err_sys(err, ret, "sealing") : 0;
}

/* Looks up what is not decided yet in one older part. */
static int fold_level(struct fold_shard *shard, struct base_probe *base, struct err *err)
{
    struct any_cursor cursor = {0};
    struct part_entry entry;
    int got;
    for (uint64_t i = 0; (got = any_part_next(shard->part, &cursor, &entry)) > 0; i++) {
        bool was_deleted = false;
        if (shard->decided[i])
            continue;
        int has = base_probe_find(base, &entry, &was_deleted, err);
        if (has < 0)
            return has;
        if (!has)
            continue;
        shard->decided[i] = 1;
        if (was_deleted)
            shard->n_added += !entry.tombstone;
        else
            shard->n_removed += entry.tombstone;
    }
    return got < 0 ? err_set(err, got, "a part of the delta is corrupt") : 0;
}

/* What no level of the base knows is new. */
static void fold_rest(struct fold_shard *shard)
{
    struct any_cursor cursor = {0};
    struct part_entry entry;
    for (uint64_t i = 0; any_part_next(shard->part, &cursor, &entry) > 0; i++)
        shard->n_added += !shard->decided[i] && !entry.tombstone;
}

static int fold_levels(struct fold_shard *shard, uint32_t number, struct err *err)
{
    const struct seal_params *params = shard->params;
    const struct version_desc *base = params->base;
    const struct part_info *own = any_part_info(shard->part);
    uint64_t n_wanted = own->n_keys + own->n_tombstones;
    struct base_probe_params base_params = {.store = params->store,
                                            .dir = params->base_dir,
                                            .heap_max = params->heap_max,
                                            .scratch_dir = params->scratch_dir,
                                            .whole_max = WHOLE_MAX};
    for (uint32_t level = base->n_levels; level-- > 0;) {
        const struct part_desc *part = &base->parts[(size_t)level * base->schema.n_shards + number];
        struct base_probe probe = {0};
        int ret = meter_check(shard->meter, err);
        if (!ret)
            ret = base_probe_open(&probe, &base_params, part, n_wanted, err);
        if (!ret)
            ret = fold_level(shard, &probe, err);
        base_probe_close(&probe);
        meter_add(shard->meter, part->len);
        if (ret)
            return ret;
    }
    return 0;
}

int seal_fold_shard(const struct seal_params *params, struct meter *meter,
                    const struct part_desc *part, uint64_t *n_added, uint64_t *n_removed,
                    struct err *err)
{
    struct part_memory memory = {0};
    struct fold_shard shard = {.params = params, .meter = meter};
    int ret = part_memory_load(&memory, params->store, params->dir, part, params->heap_max,
                               params->scratch_dir, err);
    if (ret)
        return ret;
    shard.part = memory.part;
    shard.decided = calloc(1, (size_t)(part->n_keys + part->n_tombstones) + 1);
    ret = shard.decided ? fold_levels(&shard, part->shard, err)
                        : err_sys(err, -ENOMEM, "counting keys");
    if (!ret)
        fold_rest(&shard);
    free(shard.decided);
    part_memory_release(&memory);
    *n_added = shard.n_added;
    *n_removed = shard.n_removed;
    return ret;
}

static int fold_main(void *context, uint32_t number, struct err *err)
{
    struct fold *fold = context;
    size_t at = (size_t)(fold->desc->n_levels - 1) * fold->desc->schema.n_shards + number;
    uint64_t n_added = 0;
    uint64_t n_removed = 0;
    int ret = seal_fold_shard(fold->params, fold->meter, &fold->desc->parts[at], &n_added,
                              &n_removed, err);
    fold->n_added += n_added;
    fold->n_removed += n_removed;
    return ret;
}

static void fold_tick(void *context)
{
    struct fold *fold = context;
    meter_tick(fold->meter);
}

static int fold_keys(struct engine *engine, const struct seal_params *params, struct meter *meter,
                     struct version_desc *desc, struct err *err)
{
    struct fold fold = {.params = params, .desc = desc, .meter = meter};
    struct engine_work work = {.n_tasks = desc->schema.n_shards,
                               .n_at_once = params->n_at_once,
                               .task = fold_main,
                               .tick = fold_tick,
                               .context = &fold};
    int ret = engine->run(engine, &work, err);
    if (ret)
        return ret;
    desc->n_keys = params->base->n_keys + fold.n_added - fold.n_removed;
    return 0;
}

int seal_link(const struct seal_params *params, struct version_desc *desc, struct err *err)
{
    const struct version_desc *base = params->base;
    size_t n_base = base ? base->n_parts : 0;
    for (size_t i = 0; i < n_base; i++) {
        int ret = link_base_part(params, &base->parts[i], &desc->parts[i], err);
        if (ret)
            return ret;
    }
    desc->n_keys = 0;
    desc->n_entries = 0;
    for (size_t i = n_base; i < desc->n_parts; i++) {
        desc->n_keys += desc->parts[i].n_keys;
        desc->n_entries += desc->parts[i].n_keys + desc->parts[i].n_tombstones;
    }
    return 0;
}

int seal_run(struct engine *engine, const struct seal_params *params, struct meter *meter,
             struct version_desc *desc, struct err *err)
{
    const struct version_desc *base = params->base;
    meter_stage(meter, BUILD_SEAL, base ? version_desc_len(base) : 0);
    int ret = seal_link(params, desc, err);
    if (ret || !base)
        return ret;
    if (params->join) {
        desc->n_keys = base->n_keys + params->join->n_added - params->join->n_removed;
        return 0;
    }
    return fold_keys(engine, params, meter, desc, err);
}

int seal_finish(struct store *store, const char *dir, const struct version_desc *desc,
                struct err *err)
{
    char path[STORE_PATH_MAX];
    struct buf text = {0};
    struct err why = {0};
    if (snprintf(path, sizeof path, "%s/version.json", dir) >= (int)sizeof path)
        return err_set(err, -ENAMETOOLONG, "%s: the path is too long", dir);
    int ret = version_desc_encode(desc, &text, &why);
    if (!ret)
        ret = store_put_new(store, path, text.data, text.len, &why);
    buf_release(&text);
    return ret && ret != -EEXIST ? err_set(err, ret, "%s", err_text(&why, ret)) : 0;
}
