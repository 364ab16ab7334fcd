/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/verify.h"

#include "builder/part_file.h"

#include <errno.h>

struct verify {
    const struct verify_params *params;
    struct meter *meter;
};

static bool is_same(const struct part_entry *a, const struct part_entry *b)
{
    /* The same bytes, not just equal ones: a key has one place. */
    return a->tombstone == b->tombstone && a->value == b->value && a->value_len == b->value_len;
}

int verify_part(const struct part *part, const struct part_desc *desc, struct err *err)
{
    uint64_t n = 0;
    uint64_t n_tombstones = 0;
    uint64_t cursor = 0;
    struct part_entry entry;
    int got;
    while ((got = part_next(part, &cursor, &entry)) > 0) {
        struct part_entry found;
        if (part_find(part, &entry, &found) != 1 || !is_same(&entry, &found))
            return err_set(err, -EBADMSG,
                           "level %u, shard %u: entry %llu (hash %016llx) is not found by a lookup",
                           desc->level, desc->shard, (unsigned long long)n,
                           (unsigned long long)entry.hash);
        n++;
        n_tombstones += entry.tombstone;
    }
    if (got < 0)
        return err_set(err, got, "level %u, shard %u: entry %llu is corrupt", desc->level,
                       desc->shard, (unsigned long long)n);
    if (n - n_tombstones != desc->n_keys || n_tombstones != desc->n_tombstones)
        return err_set(err, -EBADMSG,
                       "level %u, shard %u: expected %llu keys and %llu tombstones, found %llu and "
                       "%llu",
                       desc->level, desc->shard, (unsigned long long)desc->n_keys,
                       (unsigned long long)desc->n_tombstones,
                       (unsigned long long)(n - n_tombstones), (unsigned long long)n_tombstones);
    return 0;
}

static int verify_main(void *context, uint32_t number, struct err *err)
{
    struct verify *verify = context;
    const struct verify_params *params = verify->params;
    const struct part_desc *desc = &params->parts[number];
    struct part_memory memory = {0};
    int ret = meter_check(verify->meter, err);
    if (!ret)
        ret = part_memory_load(&memory, params->store, params->dir, desc, params->heap_max,
                               params->scratch_dir, err);
    if (!ret)
        ret = verify_part(memory.part, desc, err);
    part_memory_release(&memory);
    meter_add(verify->meter, desc->len);
    return ret;
}

static void verify_tick(void *context)
{
    struct verify *verify = context;
    meter_tick(verify->meter);
}

int verify_run(struct engine *engine, const struct verify_params *params, struct meter *meter,
               struct err *err)
{
    struct verify verify = {.params = params, .meter = meter};
    struct engine_work work = {.n_tasks = params->n_parts,
                               .n_at_once = params->n_at_once,
                               .task = verify_main,
                               .tick = verify_tick,
                               .context = &verify};
    uint64_t len = 0;
    for (uint32_t i = 0; i < params->n_parts; i++)
        len += params->parts[i].len;
    meter_stage(meter, BUILD_VERIFY, len);
    return engine->run(engine, &work, err);
}
