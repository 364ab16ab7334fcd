/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "disk_world.h"
#include "query/disk_batch.h"

#include <errno.h>
#include <time.h>

static struct disk_worker *worker_new(unsigned depth)
{
    struct disk_worker *worker = NULL;
    assert_int_equal(disk_worker_new(depth, &worker, NULL), 0);
    return worker;
}

/* ---- asking, and checking every byte of the answer ---- */

struct asked {
    uint8_t *out;
    struct batch_result result;
    uint32_t n_failed;
};

static void check_one(const struct disk_world *w, const struct asked *asked, uint32_t i,
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

static void check_all(const struct disk_world *w, struct asked *asked, const uint32_t *numbers,
                      uint32_t n, enum batch_form form)
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
static struct asked ask_numbers(const struct disk_world *w, struct disk_worker *worker,
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
static uint32_t ask(const struct disk_world *w, struct disk_worker *worker, uint32_t first,
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

static void ask_all_ways(const struct disk_world *w, struct disk_worker *worker)
{
    static const uint32_t sizes[] = {0, 1, 2, 31, 33, 257};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        assert_int_equal(ask(w, worker, (uint32_t)i, 7, sizes[i], BATCH_AS_STORED), 0);
    assert_int_equal(ask(w, worker, 0, 1, w->n + 100, BATCH_AS_STORED), 0);
    if (w->fixture.schema.elem != ELEM_NONE)
        assert_int_equal(ask(w, worker, 3, 1, w->n, BATCH_AS_F32), 0);
}

static void answers_as_the_rule_says(enum table_kind kind)
{
    static const struct {
        const char *value;
        bool has_long;
    } values[] = {{"bytes", false},     {"bytes", true},       {"bytes[8]", false},
                  {"bytes[61]", false}, {"f32[5]", false},     {"f16[300]", false},
                  {"i8[33]", false},    {"bytes[9000]", false}};
    static const uint32_t shapes[][2] = {{1, 1}, {3, 1}, {2, 4}};
    struct disk_worker *worker = worker_new(0);
    for (size_t v = 0; v < sizeof values / sizeof values[0]; v++) {
        for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
            for (unsigned bits = 0; bits < 8; bits++) {
                struct disk_world w;
                const struct disk_world_params params = {
                    .kind = kind,
                    .key_type = bits & 1 ? KEY_BYTES : KEY_U64,
                    .value = values[v].value,
                    .has_long = values[v].has_long,
                    .n_shards = shapes[s][0],
                    .n_levels = shapes[s][1],
                    .n = 1000,
                    .is_compressed = bits & 2,
                    .has_filter = bits & 4,
                    .cache_bytes = bits & 4 ? 8 << 20 : 0,
                };
                disk_world_init(&w, &params);
                ask_all_ways(&w, worker);
                disk_world_release(&w);
                disk_worker_trim(worker);
            }
        }
    }
    disk_worker_free(worker);
}

static void disk_batch__a_blk_table_answers_as_the_rule_says(void **state)
{
    answers_as_the_rule_says(KIND_BLK);
}

static void disk_batch__an_idx_table_answers_as_the_rule_says(void **state)
{
    answers_as_the_rule_says(KIND_IDX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(disk_batch__a_blk_table_answers_as_the_rule_says),
        cmocka_unit_test(disk_batch__an_idx_table_answers_as_the_rule_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
