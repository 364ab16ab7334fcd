/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A batch goes in slices: read the keys, plan which blocks they want, read those and answer from each
 * as it comes. Keys of a `blk` table whose block did not have them are planned again, for older levels:
 * a filter lets one in 256 through, so a second round is short.
 */
#include "query/disk_batch.h"

#include "query/body.h"
#include "query/disk_cached.h"
#include "query/disk_keys.h"
#include "query/disk_plan.h"
#include "query/disk_read.h"
#include "query/disk_value.h"

#include <errno.h>

struct batch {
    const struct disk_table *table;
    struct disk_worker *worker;
    const struct batch_request *request;
    struct answer answer;
    uint32_t first; /* the slice's first key */
};

/* ---- answering ---- */

static void say(void *context, uint32_t key, bool is_corrupt)
{
    struct batch *batch = context;
    answer_none(&batch->answer, batch->first + key, is_corrupt ? BATCH_FAILED : BATCH_ABSENT);
}

static void give_up(void *context, const struct disk_read *read)
{
    struct batch *batch = context;
    const struct disk_want *wants = batch->worker->plan->wants + read->first;
    for (uint32_t i = 0; i < read->n; i++)
        say(batch, wants[i].key, true);
}

static void found(void *context, uint32_t key, const uint8_t *value, uint32_t len)
{
    struct batch *batch = context;
    answer_found(&batch->answer, batch->first + key, value, len);
}

static int answer_value(struct batch *batch, const struct disk_read *read, uint32_t key,
                        struct probe_value value)
{
    const struct disk_table *table = batch->table;
    int ret = disk_value_decode(batch->worker, &table->schema, table->parts[read->part], &value);
    if (ret)
        return ret;
    disk_cached_offer(table, batch->worker->keys, key, value.data, value.len);
    disk_fence();
    answer_found(&batch->answer, batch->first + key, value.data, value.len);
    return 0;
}

static int answer_blk(struct batch *batch, const struct disk_read *read, const struct block *block,
                      uint32_t key)
{
    const struct disk_keys *keys = batch->worker->keys;
    struct disk_plan *plan = batch->worker->plan;
    const uint8_t *bytes =
        batch->table->schema.key_type == KEY_BYTES ? keys->bytes.data + keys->off[key] : NULL;
    struct probe_value value = {0};
    enum probe probe = block_find(block, keys->hash[key], bytes, keys->len[key], &value);
    if (probe == PROBE_FOUND)
        return answer_value(batch, read, key, value);
    if (probe == PROBE_CORRUPT)
        return -EBADMSG;
    if (probe == PROBE_ABSENT && plan->levels[key])
        plan->todo[plan->n_todo++] = key;
    else
        say(batch, key, false);
    return 0;
}

static int answer_idx(struct batch *batch, const struct disk_read *read, const struct block *block,
                      uint32_t key)
{
    struct probe_value value = {0};
    int ret = block_value(block, batch->worker->plan->entry[key], &value);
    return ret ? ret : answer_value(batch, read, key, value);
}

static int take(void *context, const struct disk_read *read, const struct block *block)
{
    struct batch *batch = context;
    struct disk_want *wants = batch->worker->plan->wants + read->first;
    bool is_blk = batch->table->blks;
    int n_left = 0;
    for (uint32_t i = 0; i < read->n; i++) {
        struct disk_want want = wants[i];
        int ret = is_blk ? answer_blk(batch, read, block, want.key)
                         : answer_idx(batch, read, block, want.key);
        if (ret == -EBADMSG)
            wants[n_left++] = want;
        else if (ret)
            return ret;
    }
    return n_left;
}

/* ---- slices ---- */

static int run_slice(struct batch *batch, struct key_cursor *cursor, uint32_t n)
{
    const struct disk_table *table = batch->table;
    struct disk_worker *worker = batch->worker;
    struct disk_plan *plan = worker->plan;
    const struct disk_sayer sayer = {say, batch};
    const struct disk_finder finder = {found, batch};
    const struct disk_taker taker = {take, give_up, batch, .is_in_order = false};
    if (disk_is_late(batch->request->deadline_ns))
        return -ETIMEDOUT;
    int ret = disk_keys_read(worker->keys, &table->schema, batch->request, cursor, batch->first, n);
    if (ret)
        return ret;
    disk_plan_begin(plan, table, worker->keys, n, &sayer);
    if (table->idxs)
        disk_plan_idx(plan, table, worker->keys, &sayer);
    else
        disk_plan_blk(plan, table, worker->keys, &sayer);
    disk_cached_find(plan, table, worker->keys, &finder);
    for (;;) {
        disk_plan_reads(plan);
        ret = disk_read_all(table, worker, &taker, batch->request->deadline_ns);
        if (ret || plan->n_todo == 0)
            return ret;
        disk_plan_blk(plan, table, worker->keys, &sayer);
    }
}

static int run_slices(struct batch *batch)
{
    const struct batch_request *request = batch->request;
    struct key_cursor cursor = {0};
    int ret = 0;
    if (batch->table->schema.key_type == KEY_BYTES)
        ret = key_cursor_init(&cursor, request);
    while (!ret && batch->first < request->n_keys) {
        uint32_t left = request->n_keys - batch->first;
        uint32_t n = left < DISK_SLICE ? left : DISK_SLICE;
        ret = run_slice(batch, &cursor, n);
        batch->first += n;
    }
    return ret;
}

int disk_batch_run(const struct disk_table *table, struct disk_worker *worker,
                   const struct batch_request *request, void *out, size_t out_cap,
                   struct batch_result *result)
{
    struct batch batch = {.table = table, .worker = worker, .request = request};
    struct batch_result layout = {0};
    int ret = body_begin(&table->schema, request, out, out_cap, &batch.answer, &layout);
    if (ret == -ENOSPC)
        *result = layout;
    if (ret)
        return ret;
    disk_worker_begin(worker, table->shared);
    ret = run_slices(&batch);
    disk_worker_leave(worker);
    return ret ? ret : body_end(&batch.answer, &layout, out_cap, result);
}
