/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "disk_ask.h"
#include "query/disk_worker_impl.h"

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
                    .values_bytes = (bits & 2) == (bits & 4) / 2 ? 4 << 20 : 0,
                };
                disk_world_init(&w, &params);
                ask_all_ways(&w, worker);
                disk_world_release(&w);
                disk_files_clear(&worker->files, worker->reader);
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

static void disk_batch__a_value_that_is_cached_costs_no_read(void **state)
{
    static const enum table_kind kinds[] = {KIND_BLK, KIND_IDX};
    for (size_t i = 0; i < 2; i++) {
        struct disk_world w;
        struct disk_worker *worker = worker_new(0);
        const struct disk_world_params params = {.kind = kinds[i],
                                                 .key_type = KEY_BYTES,
                                                 .value = "bytes",
                                                 .n_shards = 2,
                                                 .n_levels = 3,
                                                 .is_compressed = true,
                                                 .values_bytes = 16 << 20};
        struct value_cache_stats before = {0};
        struct value_cache_stats after = {0};
        disk_world_init(&w, &params);
        assert_int_equal(ask(&w, worker, 0, 1, 3000, BATCH_AS_STORED), 0);
        value_cache_stats(w.fixture.shared.values, &before);
        assert_int_equal(ask(&w, worker, 0, 1, 3000, BATCH_AS_STORED), 0);
        value_cache_stats(w.fixture.shared.values, &after);
        assert_true(after.n_hits - before.n_hits > 2 * 1500);
        /* Another table of the same process knows nothing of them. */
        disk_table_free(w.fixture.table);
        disk_fixture_table(&w.fixture);
        uint32_t one = 4;
        struct asked asked = ask_numbers(&w, worker, &one, 1, BATCH_AS_STORED);
        value_cache_stats(w.fixture.shared.values, &before);
        assert_true(before.n_misses > after.n_misses);
        free(asked.out);
        disk_world_release(&w);
        disk_worker_free(worker);
    }
}

static void disk_batch__a_full_cache_is_not_bothered_with_what_is_read_once(void **state)
{
    struct disk_world w;
    struct disk_worker *worker = worker_new(0);
    const struct disk_world_params params = {.kind = KIND_BLK,
                                             .key_type = KEY_U64,
                                             .value = "bytes[100]",
                                             .n_shards = 1,
                                             .n_levels = 1,
                                             .n = 100000,
                                             .cache_bytes = 1 << 20};
    struct block_cache_stats once = {0};
    struct block_cache_stats twice = {0};
    disk_world_init(&w, &params);
    assert_int_equal(ask(&w, worker, 0, 47, 2100, BATCH_AS_STORED), 0);
    block_cache_stats(w.fixture.shared.cache, &once);
    assert_true(once.n_misses > 800);
    assert_true(once.n_inserted > 100 && once.n_inserted < 600);
    assert_int_equal(ask(&w, worker, 0, 47, 2100, BATCH_AS_STORED), 0);
    block_cache_stats(w.fixture.shared.cache, &twice);
    assert_true(twice.n_inserted - once.n_inserted > 300);
    disk_world_release(&w);
    disk_worker_free(worker);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(disk_batch__a_blk_table_answers_as_the_rule_says),
        cmocka_unit_test(disk_batch__an_idx_table_answers_as_the_rule_says),
        cmocka_unit_test(disk_batch__a_value_that_is_cached_costs_no_read),
        cmocka_unit_test(disk_batch__a_full_cache_is_not_bothered_with_what_is_read_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
