/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/verify.h"

#include "builder/part_file.h"
#include "builder/value_room.h"

#include <errno.h>

struct verify {
    const struct verify_params *params;
    struct meter *meter;
};

/* Unpacks every compressed value, and adds up what is alive. */
static int values_check(const struct any_part *part, struct content_digest *content,
                        struct err *err)
{
    const struct paged_info *info = any_part_paged(part);
    struct any_cursor cursor = {0};
    struct value_room room = {0};
    struct buf entry_room = {0};
    struct part_entry entry;
    uint64_t n = 0;
    int ret = 0;
    int got = 0;
    if (!content && (!info || info->compression == COMPRESSION_NONE))
        return 0;
    while (!ret && (got = any_part_next(part, &cursor, &entry)) > 0) {
        ret = value_room_unpack(&room, part, &entry);
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

int verify_part(const struct any_part *part, const struct part_desc *desc,
                struct content_digest *content, struct err *err)
{
    const struct part_info *info = any_part_info(part);
    int ret = any_part_check(part, err);
    if (!ret)
        ret = values_check(part, content, err);
    if (!ret && (info->n_keys != desc->n_keys || info->n_tombstones != desc->n_tombstones))
        ret = err_set(err, -EBADMSG, "expected %llu keys and %llu tombstones, found %llu and %llu",
                      (unsigned long long)desc->n_keys, (unsigned long long)desc->n_tombstones,
                      (unsigned long long)info->n_keys, (unsigned long long)info->n_tombstones);
    return ret ? err_wrap(err, ret, "level %u, shard %u", desc->level, desc->shard) : 0;
}

int verify_one(const struct verify_params *params, uint32_t number, struct meter *meter,
               struct err *err)
{
    const struct part_desc *desc = &params->parts[number];
    struct part_memory memory = {0};
    int ret = meter_check(meter, err);
    if (!ret)
        ret = part_memory_load(&memory, params->store, params->dir, desc, params->heap_max,
                               params->scratch_dir, err);
    if (!ret)
        ret = verify_part(memory.part, desc, params->contents ? &params->contents[number] : NULL,
                          err);
    part_memory_release(&memory);
    meter_add(meter, desc->len);
    return ret;
}

static int verify_main(void *context, uint32_t number, struct err *err)
{
    struct verify *verify = context;
    return verify_one(verify->params, number, verify->meter, err);
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
