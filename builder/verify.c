/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/verify.h"

#include "base/scope.h"
#include "builder/part_file.h"
#include "builder/value_room.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

struct verify {
    const struct verify_params *params;
    struct meter *meter;
    /* Parts are done in any order and added up in theirs: figures that come too early wait. */
    pthread_mutex_t lock;
    struct build_figures **waiting; /* a place a part */
    uint32_t n_added;
    struct build_figures sum;
    /* Memory that no task uses just now, kept for the next one. */
    struct part_memory *spare;
    uint32_t n_spare;
};

static struct part_memory memory_take(struct verify *verify)
{
    scope_lock(&verify->lock);
    return verify->n_spare ? verify->spare[--verify->n_spare] : (struct part_memory){0};
}

static void memory_give(struct verify *verify, struct part_memory memory)
{
    scope_lock(&verify->lock);
    verify->spare[verify->n_spare++] = memory;
}

/* Values of one length, none of them a vector, tell nothing that the part's footer does not. */
static bool is_told_by_footer(const struct schema *schema)
{
    return schema->elem == ELEM_NONE && schema_value_is_fixed(schema);
}

static bool is_compressed(const struct any_part *part)
{
    const struct paged_info *info = any_part_paged(part);
    return info && info->compression != COMPRESSION_NONE;
}

/* Unpacks every compressed value, counts, and adds up what is alive. */
static int values_walk(const struct any_part *part, const struct schema *schema,
                       struct build_figures *figures, struct content_digest *content,
                       struct err *err)
{
    struct any_cursor cursor = {0};
    struct value_room room = {0};
    struct buf entry_room = {0};
    struct part_entry entry;
    uint64_t n = 0;
    int ret = 0;
    int got = 0;
    while (!ret && (got = any_part_next(part, &cursor, &entry)) > 0) {
        ret = value_room_unpack(&room, part, &entry);
        if (!ret)
            figures_add(figures, schema, &entry);
        if (!ret && content && !entry.tombstone)
            ret = content_digest_add(content, &entry, &entry_room);
        n++;
    }
    value_room_release(&room);
    buf_release(&entry_room);
    if (ret || got < 0)
        return err_set(err, ret ? ret : got,
                       "entry %llu (hash %016llx) has a value that cannot be unpacked",
                       (unsigned long long)n - 1, (unsigned long long)entry.hash);
    return 0;
}

static int values_check(const struct any_part *part, const struct schema *schema,
                        struct build_figures *figures, struct content_digest *content,
                        struct err *err)
{
    struct build_figures unused;
    bool is_told = is_told_by_footer(schema);
    if (figures && is_told) {
        figures->keys = any_part_info(part)->n_keys;
        figures->tombstones = any_part_info(part)->n_tombstones;
    }
    if (!content && !is_compressed(part) && (!figures || is_told))
        return 0;
    unused = (struct build_figures){0};
    return values_walk(part, schema, figures && !is_told ? figures : &unused, content, err);
}

int verify_part(const struct any_part *part, const struct part_desc *desc,
                const struct schema *schema, struct build_figures *figures,
                struct content_digest *content, struct err *err)
{
    const struct part_info *info = any_part_info(part);
    int ret = any_part_check(part, err);
    if (!ret)
        ret = values_check(part, schema, figures, content, err);
    if (!ret && (info->n_keys != desc->n_keys || info->n_tombstones != desc->n_tombstones))
        ret = err_set(err, -EBADMSG, "expected %llu keys and %llu tombstones, found %llu and %llu",
                      (unsigned long long)desc->n_keys, (unsigned long long)desc->n_tombstones,
                      (unsigned long long)info->n_keys, (unsigned long long)info->n_tombstones);
    return ret ? err_wrap(err, ret, "level %u, shard %u", desc->level, desc->shard) : 0;
}

static int verify_with(const struct verify_params *params, uint32_t number, struct meter *meter,
                       struct part_memory *memory, struct build_figures *figures, struct err *err)
{
    const struct part_desc *desc = &params->parts[number];
    int ret = meter_check(meter, err);
    if (!ret)
        ret = part_memory_load(memory, params->store, params->dir, desc, params->heap_max,
                               params->scratch_dir, err);
    if (!ret)
        ret = verify_part(memory->part, desc, params->schema, figures,
                          params->contents ? &params->contents[number] : NULL, err);
    meter_add(meter, desc->len);
    return ret;
}

int verify_one(const struct verify_params *params, uint32_t number, struct meter *meter,
               struct build_figures *figures, struct err *err)
{
    struct part_memory memory = {0};
    int ret = verify_with(params, number, meter, &memory, figures, err);
    part_memory_release(&memory);
    return ret;
}

/* Takes a part's figures over. */
static void figures_take(struct verify *verify, uint32_t number, struct build_figures *figures)
{
    scope_lock(&verify->lock);
    verify->waiting[number] = figures;
    while (verify->n_added < verify->params->n_parts && verify->waiting[verify->n_added]) {
        struct build_figures **next = &verify->waiting[verify->n_added++];
        figures_merge(&verify->sum, *next);
        free(*next);
        *next = NULL;
    }
}

static int verify_main(void *context, uint32_t number, struct err *err)
{
    struct verify *verify = context;
    scope_free struct build_figures *figures = calloc(1, sizeof *figures);
    if (!figures)
        return err_sys(err, -ENOMEM, "reading back");
    struct part_memory memory = memory_take(verify);
    int ret = verify_with(verify->params, number, verify->meter, &memory, figures, err);
    memory_give(verify, memory);
    if (!ret)
        figures_take(verify, number, scope_take(figures));
    return ret;
}

static void verify_tick(void *context)
{
    struct verify *verify = context;
    meter_tick(verify->meter);
}

int verify_run(struct engine *engine, const struct verify_params *params, struct meter *meter,
               struct build_figures *figures, struct err *err)
{
    struct verify verify = {.params = params, .meter = meter, .lock = PTHREAD_MUTEX_INITIALIZER};
    struct engine_work work = {.n_tasks = params->n_parts,
                               .n_at_once = params->n_at_once,
                               .waits = true,
                               .task = verify_main,
                               .tick = verify_tick,
                               .context = &verify};
    uint64_t len = 0;
    verify.waiting = calloc(params->n_parts + 1, sizeof *verify.waiting);
    verify.spare = calloc(params->n_parts + 1, sizeof *verify.spare);
    if (!verify.waiting || !verify.spare) {
        free(verify.waiting);
        free(verify.spare);
        return err_sys(err, -ENOMEM, "reading back");
    }
    verify.sum.has_vectors = params->schema->elem != ELEM_NONE;
    for (uint32_t i = 0; i < params->n_parts; i++)
        len += params->parts[i].len;
    meter_stage(meter, BUILD_VERIFY, len);
    int ret = engine->run(engine, &work, err);
    if (!ret)
        *figures = verify.sum;
    for (uint32_t i = 0; i < params->n_parts; i++)
        free(verify.waiting[i]);
    free(verify.waiting);
    while (verify.n_spare)
        part_memory_release(&verify.spare[--verify.n_spare]);
    free(verify.spare);
    return ret;
}
