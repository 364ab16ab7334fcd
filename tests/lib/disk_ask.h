/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disk_ask: asks a disk_world in batches, and checks every byte of the answers against its rule.
 *
 * Threads: one. Memory: what it returns is the caller's. Failures are cmocka's.
 */
#ifndef FKV_TESTS_DISK_ASK_H
#define FKV_TESTS_DISK_ASK_H

#include "disk_world.h"
#include "query/disk_batch.h"

#include <errno.h>

static inline struct disk_worker *worker_new(unsigned depth)
{
    struct disk_worker *worker = NULL;
    assert_int_equal(disk_worker_new(depth, &worker, NULL), 0);
    return worker;
}

struct asked {
    uint8_t *out;
    struct batch_result result;
    uint32_t n_failed;
};

static inline void check_one(const struct disk_world *w, const struct asked *asked, uint32_t i,
                             uint32_t key, enum batch_form form)
{
    const struct batch_result *result = &asked->result;
    int level = world_newest(w, key);
    const uint8_t *value = asked->out + result->values_off + (size_t)i * result->stride;
    uint32_t len = w->fixed_len;
    if (!result->stride) {
        const uint8_t *loc = asked->out + result->locs_off + 8 * (size_t)i;
        value = asked->out + result->values_off + 8 * (size_t)load_le32(loc);
        len = load_le32(loc + 4);
        assert_true(
            range_within(result->values_off + 8 * (uint64_t)load_le32(loc), len, result->len));
    }
    if (asked->out[i] == BATCH_FOUND) {
        assert_true(level >= 0);
        assert_true(world_is_value(w, key, level, value, len, form));
        for (uint32_t pad = form == BATCH_AS_F32 ? result->stride : len; pad < result->stride;
             pad++)
            assert_int_equal(value[pad], 0);
        return;
    }
    if (asked->out[i] == BATCH_ABSENT)
        assert_int_equal(level, -1);
    if (!result->stride)
        assert_int_equal(len, 0);
    for (uint32_t j = 0; j < result->stride; j++)
        assert_int_equal(value[j], 0);
}

static inline void check_all(const struct disk_world *w, struct asked *asked,
                             const uint32_t *numbers, uint32_t n, enum batch_form form)
{
    uint32_t n_found = 0;
    asked->n_failed = 0;
    for (uint32_t i = 0; i < n; i++) {
        check_one(w, asked, i, numbers[i], form);
        n_found += asked->out[i] == BATCH_FOUND;
        asked->n_failed += asked->out[i] == BATCH_FAILED;
    }
    assert_int_equal(asked->result.n_found, n_found);
    assert_int_equal(asked->result.n_failed, asked->n_failed);
}

/* Asks into memory of exactly the size that is needed, full of rubbish before. */
static inline struct asked ask_numbers(const struct disk_world *w, struct disk_worker *worker,
                                       const uint32_t *numbers, uint32_t n, enum batch_form form)
{
    struct asked asked = {0};
    struct buf keys = world_request(w, numbers, n);
    const struct batch_request request = {
        .n_keys = n, .keys = keys.data, .keys_len = keys.len, .form = form};
    uint64_t cap = batch_body_min(&w->fixture.schema, form, n);
    int ret = -ENOSPC;
    for (int i = 0; i < 2 && ret == -ENOSPC; i++) {
        free(asked.out);
        asked.out = malloc(cap + 1);
        memset(asked.out, 0xa5, cap + 1);
        ret = disk_batch_run(w->fixture.table, worker, &request, asked.out, cap, &asked.result);
        assert_int_equal(asked.out[cap], 0xa5);
        if (ret == -ENOSPC) {
            assert_true(!w->fixed_len && asked.result.len > cap);
            cap = asked.result.len;
        }
    }
    assert_int_equal(ret, 0);
    assert_int_equal(asked.result.len, cap);
    check_all(w, &asked, numbers, n, form);
    buf_release(&keys);
    return asked;
}

/* The keys first, first + step, …; returns how many failed. */
static inline uint32_t ask(const struct disk_world *w, struct disk_worker *worker, uint32_t first,
                           uint32_t step, uint32_t n, enum batch_form form)
{
    uint32_t *numbers = calloc(n + 1, sizeof *numbers);
    for (uint32_t i = 0; i < n; i++)
        numbers[i] = first + i * step;
    struct asked asked = ask_numbers(w, worker, numbers, n, form);
    free(asked.out);
    free(numbers);
    return asked.n_failed;
}

#endif
