/* SPDX-License-Identifier: Apache-2.0 */
/* Arenas, runs, merging, and the engine that runs them. */
#include "unit.h"

#include "base/hash.h"
#include "builder/engine.h"
#include "builder/merge.h"
#include "builder/run.h"
#include "builder/scratch.h"
#include "temp_dir.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SEED = 5 };

static char dir[TEMP_DIR_MAX];

static int make_dir(void **state)
{
    temp_dir_make(dir);
    return 0;
}

static int remove_dir(void **state)
{
    temp_dir_remove(dir);
    return 0;
}

static uint64_t next_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static const struct run_order by_hash = {.hash_seed = SEED};
static const struct run_order newest_first = {.seq = SEQ_DESCENDING, .hash_seed = SEED};

static void add_key(struct arena *arena, uint64_t key, uint64_t seq)
{
    uint8_t value[16];
    memcpy(value, &key, 8);
    memcpy(value + 8, &seq, 8);
    struct part_entry entry = {
        .hash = hash_u64(key, SEED), .key = key, .value = value, .value_len = (uint32_t)(seq % 17)};
    assert_int_equal(arena_add(arena, &entry, seq), 0);
}

static void assert_sorted(const struct arena *arena, const struct run_order *order)
{
    const struct arena_slot *slots = arena_slots(arena);
    for (size_t i = 1; i < arena->n; i++)
        assert_true(record_compare(order, arena->memory + slots[i - 1].off,
                                   arena->memory + slots[i].off) < 0);
}

static void arena__sorts_by_hash_key_and_seq(void **state)
{
    uint64_t seed = 99;
    for (size_t n = 0; n < 5000; n = n * 2 + 1) {
        for (int i = 0; i < 2; i++) {
            const struct run_order *order = i ? &newest_first : &by_hash;
            struct arena arena;
            assert_int_equal(arena_init(&arena, 1 << 20), 0);
            for (size_t k = 0; k < n; k++)
                add_key(&arena, next_random(&seed) % (n / 2 + 1), k);
            arena_sort(&arena, order);
            assert_int_equal(arena.n, n);
            assert_sorted(&arena, order);
            arena_release(&arena);
        }
    }
}

static void arena__sorts_one_key_a_thousand_times(void **state)
{
    struct arena arena;
    uint64_t seed = 3;
    assert_int_equal(arena_init(&arena, 1 << 20), 0);
    for (int i = 0; i < 1000; i++)
        add_key(&arena, 7, next_random(&seed));
    arena_sort(&arena, &newest_first);
    assert_sorted(&arena, &newest_first);
    arena_release(&arena);
}

static void arena__keys_of_one_hash_are_in_order_of_key(void **state)
{
    static const char *const keys[] = {"b", "a", "ab", "aa", "abc", "a"};
    struct arena arena;
    assert_int_equal(arena_init(&arena, 1 << 16), 0);
    for (uint64_t i = 0; i < 6; i++) {
        struct part_entry entry = {.hash = 1,
                                   .key_bytes = (const uint8_t *)keys[i],
                                   .key_len = (uint8_t)strlen(keys[i]),
                                   .tombstone = i == 5};
        assert_int_equal(arena_add(&arena, &entry, i), 0);
    }
    arena_sort(&arena, &newest_first);
    static const uint64_t expected[] = {5, 1, 3, 2, 4, 0};
    for (int i = 0; i < 6; i++) {
        struct run_entry view;
        record_view(arena.memory + arena_slots(&arena)[i].off, SEED, &view);
        assert_int_equal(view.seq, expected[i]);
        assert_int_equal(view.entry.tombstone, i == 0);
        assert_int_equal(view.entry.key_len, strlen(keys[expected[i]]));
    }
    arena_release(&arena);
}

static void arena__full_is_said_and_keeps_what_it_has(void **state)
{
    struct arena arena;
    struct part_entry entry = {.hash = 1, .value = (const uint8_t *)"12345678", .value_len = 8};
    size_t n = 0;
    assert_int_equal(arena_init(&arena, 4096), 0);
    while (arena_add(&arena, &entry, n) == 0)
        n++;
    assert_int_equal(n, 4096 / (32 + 16));
    assert_int_equal(arena.n, n);
    arena_clear(&arena);
    assert_int_equal(arena_add(&arena, &entry, 0), 0);
    arena_release(&arena);
}

/* ---- in order of shard and key ---- */

static void add_bytes_key(struct arena *arena, const char *key, size_t len, uint64_t seq)
{
    struct part_entry entry = {.hash = hash_bytes(key, len, SEED),
                               .key_bytes = (const uint8_t *)key,
                               .key_len = (uint8_t)len,
                               .value = (const uint8_t *)"v",
                               .value_len = 1};
    assert_int_equal(arena_add(arena, &entry, seq), 0);
}

/* Keys of long common prefixes, some with zeros at their end, some many times. */
static size_t make_key(uint64_t random, char key[256])
{
    static const char prefix[] = "https://example.org/a/long/way/";
    size_t len = random % 3 ? sizeof prefix - 1 : random % 5;
    memcpy(key, prefix, len);
    len += (size_t)snprintf(key + len, 32, "%u", (unsigned)(random >> 20) % 700);
    for (unsigned i = 0; i < (random >> 40) % 12; i++)
        key[len++] = (random >> 50) % 2 ? 0 : 'x';
    if (random % 50 == 0) {
        memset(key + len, 'y', 255 - len);
        len = 255;
    }
    return len;
}

static void arena__sorts_by_shard_and_key(void **state)
{
    static const uint32_t n_shards[] = {1, 2, 3, 16, 4096};
    uint64_t seed = 11;
    for (int s = 0; s < 5; s++) {
        for (size_t n = 0; n < 8000; n = n * 2 + 1) {
            for (int is_bytes = 0; is_bytes < 2; is_bytes++) {
                struct arena arena;
                struct run_order order = {.seq = n % 2 ? SEQ_ASCENDING : SEQ_DESCENDING,
                                          .hash_seed = SEED,
                                          .n_shards = n_shards[s]};
                assert_int_equal(arena_init(&arena, 4 << 20), 0);
                for (size_t k = 0; k < n; k++) {
                    char key[256];
                    uint64_t random = next_random(&seed);
                    if (is_bytes)
                        add_bytes_key(&arena, key, make_key(random, key), k);
                    else
                        add_key(&arena, random >> (random % 64), k);
                }
                arena_sort(&arena, &order);
                assert_sorted(&arena, &order);
                arena_release(&arena);
            }
        }
    }
}

/* Keys come in order, whatever shards the runs were sorted by and the table has. */
static void merge__streams_of_several_shards_are_one(void **state)
{
    struct run_order order = {.hash_seed = SEED, .n_shards = 16};
    struct arena arenas[5];
    struct run runs[5];
    struct scratch scratch;
    struct run_writer writer;
    uint64_t seed = 21;
    size_t n_runs = 5;
    assert_int_equal(scratch_open(&scratch, dir, NULL), 0);
    assert_int_equal(run_writer_init(&writer, &scratch.file, NULL), 0);
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(arena_init(&arenas[i], 8 << 20), 0);
        for (uint64_t k = 0; k < 20000; k++)
            add_key(&arenas[i], next_random(&seed) >> 40, k * 5 + i);
        arena_sort(&arenas[i], &order);
        runs[i] = (struct run){.arena = &arenas[i]};
        if (i)
            assert_int_equal(run_spill(&writer, &arenas[i], &runs[i], NULL), 0);
    }
    for (int is_merged = 0; is_merged < 2; is_merged++) {
        for (uint32_t n_shards = 1; n_shards <= 16; n_shards *= 2) {
            uint64_t n = 0;
            for (uint32_t shard = 0; shard < n_shards; shard++) {
                const struct run_order by_key = {.hash_seed = SEED, .n_shards = 1};
                struct merge *merge = NULL;
                const struct run_entry *next = NULL;
                struct run_entry last = {0};
                assert_int_equal(merge_open(runs, n_runs, &order, merge_range_of(shard, n_shards),
                                            1 << 20, &merge, NULL),
                                 0);
                for (bool has_last = false; merge_next(merge, &next, NULL) > 0; has_last = true) {
                    struct schema schema = {.n_shards = n_shards};
                    assert_int_equal(schema_shard(&schema, next->entry.hash), shard);
                    assert_true(!has_last || run_entry_compare(&by_key, &last, next) < 0);
                    last = *next;
                    n++;
                }
                merge_close(merge);
            }
            assert_int_equal(n, 100000);
        }
        if (!is_merged)
            assert_int_equal(
                merge_down(runs, &n_runs, 2, &order, MERGE_ALL, 1 << 20, &scratch.file, NULL), 0);
        assert_true(n_runs <= 5);
    }
    assert_true(n_runs <= 2);
    run_writer_release(&writer);
    for (size_t i = 0; i < n_runs; i++)
        run_release(&runs[i]);
    for (size_t i = 0; i < 5; i++)
        arena_release(&arenas[i]);
    scratch_close(&scratch);
}

/* ---- runs ---- */

/* Random records with some repeated keys, one arena a run; some runs spilled, some not. */
struct runs {
    struct arena arenas[40];
    struct run runs[40];
    size_t n_runs;
    struct scratch scratch;
};

static void add_sized(struct arena *arena, uint64_t *seed, uint64_t seq, size_t value_max)
{
    static uint8_t value[100000];
    uint64_t key = next_random(seed) % 3000;
    memset(value, (int)(seq & 0xFF), value_max);
    struct part_entry entry = {.hash = hash_u64(key, SEED),
                               .key = key,
                               .value = value,
                               .value_len = (uint32_t)(next_random(seed) % (value_max + 1))};
    assert_int_equal(arena_add(arena, &entry, seq), 0);
}

static void runs_make(struct runs *r, size_t n_runs, size_t n_each, size_t value_max,
                      bool spill_all)
{
    struct run_writer writer;
    uint64_t seed = 7;
    *r = (struct runs){.n_runs = n_runs};
    assert_int_equal(scratch_open(&r->scratch, dir, NULL), 0);
    assert_int_equal(run_writer_init(&writer, &r->scratch.file, NULL), 0);
    for (size_t i = 0; i < n_runs; i++) {
        struct arena *arena = &r->arenas[i];
        assert_int_equal(arena_init(arena, n_each * (value_max + 64) + 4096), 0);
        for (size_t k = 0; k < n_each; k++)
            add_sized(arena, &seed, k * n_runs + i, value_max);
        arena_sort(arena, &by_hash);
        if (spill_all || i % 2)
            assert_int_equal(run_spill(&writer, arena, &r->runs[i], NULL), 0);
        else
            r->runs[i] = (struct run){.arena = arena};
    }
    run_writer_release(&writer);
}

static void runs_release(struct runs *r)
{
    for (size_t i = 0; i < 40; i++) {
        run_release(&r->runs[i]);
        arena_release(&r->arenas[i]);
    }
    scratch_close(&r->scratch);
}

/* Reads a range by merging; checks order and values; adds up a digest of all seqs. */
static uint64_t merge_read(const struct runs *r, struct merge_range range, uint64_t memory,
                           uint64_t *sum)
{
    struct merge *merge = NULL;
    const struct run_entry *next = NULL;
    uint64_t n = 0;
    uint64_t last_hash = 0;
    uint64_t last_seq = 0;
    assert_int_equal(merge_open(r->runs, r->n_runs, &by_hash, range, memory, &merge, NULL), 0);
    int got;
    while ((got = merge_next(merge, &next, NULL)) > 0) {
        assert_true(next->entry.hash >= range.first && next->entry.hash <= range.last);
        assert_true(n == 0 || next->entry.hash > last_hash ||
                    (next->entry.hash == last_hash && next->seq > last_seq));
        last_hash = next->entry.hash;
        last_seq = next->seq;
        if (n % 3 == 0) {
            assert_int_equal(merge_value(merge, NULL), 0);
            for (uint32_t i = 0; i < next->entry.value_len; i++)
                assert_int_equal(next->entry.value[i], next->seq & 0xFF);
        }
        assert_true(hash_u64(next->entry.key, SEED) == next->entry.hash);
        *sum += next->seq * 0x9E3779B97F4A7C15ULL ^ last_hash;
        n++;
    }
    assert_int_equal(got, 0);
    merge_close(merge);
    return n;
}

static void merge__gives_every_record_in_order_from_memory_and_disk(void **state)
{
    struct runs r;
    uint64_t sum = 0;
    struct merge_range all = {0, UINT64_MAX};
    for (size_t n_runs = 1; n_runs <= 33; n_runs = n_runs * 2 + 1) {
        runs_make(&r, n_runs, 3000, 200, false);
        assert_int_equal(merge_read(&r, all, 1 << 20, &sum), n_runs * 3000);
        runs_release(&r);
    }
}

static void merge__of_nothing_is_empty(void **state)
{
    struct runs r = {.n_runs = 0};
    uint64_t sum = 0;
    struct merge_range all = {0, UINT64_MAX};
    assert_int_equal(merge_read(&r, all, 0, &sum), 0);
}

static void merge__ranges_add_up_to_the_whole(void **state)
{
    struct runs r;
    struct merge_range all = {0, UINT64_MAX};
    runs_make(&r, 5, 4000, 300, false);
    uint64_t whole = 0;
    assert_int_equal(merge_read(&r, all, 0, &whole), 20000);
    for (uint64_t n = 2; n < 500; n *= 3) {
        uint64_t sum = 0;
        uint64_t count = 0;
        uint64_t step = UINT64_MAX / n;
        for (uint64_t i = 0; i < n; i++) {
            struct merge_range range = {i * step, i + 1 < n ? (i + 1) * step - 1 : UINT64_MAX};
            count += merge_read(&r, range, 0, &sum);
        }
        assert_int_equal(count, 20000);
        assert_true(sum == whole);
    }
    runs_release(&r);
}

static void merge__values_longer_than_the_buffer_come_whole(void **state)
{
    struct runs r;
    uint64_t sum = 0;
    struct merge_range all = {0, UINT64_MAX};
    runs_make(&r, 4, 60, 90000, true);
    assert_int_equal(merge_read(&r, all, 0, &sum), 240);
    runs_release(&r);
}

static void merge__fewer_runs_hold_the_same(void **state)
{
    struct runs r;
    uint64_t before = 0;
    uint64_t after = 0;
    struct merge_range all = {0, UINT64_MAX};
    runs_make(&r, 37, 500, 100, true);
    merge_read(&r, all, 0, &before);
    assert_int_equal(
        merge_down(r.runs, &r.n_runs, 4, &by_hash, MERGE_ALL, 0, &r.scratch.file, NULL), 0);
    assert_true(r.n_runs <= 4);
    assert_int_equal(merge_read(&r, all, 0, &after), 37 * 500);
    assert_true(before == after);
    runs_release(&r);
}

static void scratch__a_directory_that_is_not_there_is_named(void **state)
{
    struct scratch scratch;
    struct err err = {0};
    assert_int_equal(scratch_open(&scratch, "/nowhere/at/all", &err), -ENOENT);
    assert_non_null(strstr(err.text, "/nowhere/at/all"));
}

/* ---- the engine ---- */

struct tasks {
    _Atomic uint32_t n_done;
    uint32_t fail_from; /* tasks from here on fail */
    atomic_bool cancel;
    uint32_t cancel_at;
};

static int task(void *context, uint32_t number, struct err *err)
{
    struct tasks *tasks = context;
    tasks->n_done++;
    if (number == tasks->cancel_at)
        tasks->cancel = true;
    if (number >= tasks->fail_from)
        return err_set(err, -EIO, "task %u", number);
    return 0;
}

static void engine__runs_every_task_once(void **state)
{
    for (uint32_t n = 0; n < 10; n++) {
        struct tasks tasks = {.fail_from = UINT32_MAX, .cancel_at = UINT32_MAX};
        struct engine_work work = {.n_tasks = 100 * n, .task = task, .context = &tasks};
        struct engine_local local;
        engine_local_init(&local, n + 1, NULL);
        assert_int_equal(local.engine.run(&local.engine, &work, NULL), 0);
        assert_int_equal(tasks.n_done, 100 * n);
    }
}

static void engine__the_lowest_failure_is_told(void **state)
{
    for (int i = 0; i < 50; i++) {
        struct tasks tasks = {.fail_from = 20, .cancel_at = UINT32_MAX};
        struct engine_work work = {.n_tasks = 100, .task = task, .context = &tasks};
        struct engine_local local;
        struct err err = {0};
        engine_local_init(&local, 7, NULL);
        assert_int_equal(local.engine.run(&local.engine, &work, &err), -EIO);
        assert_string_equal(err.text, "task 20");
    }
}

static void engine__stops_when_cancelled(void **state)
{
    struct tasks tasks = {.fail_from = UINT32_MAX, .cancel_at = 10};
    struct engine_work work = {.n_tasks = 100000, .task = task, .context = &tasks};
    struct engine_local local;
    engine_local_init(&local, 3, &tasks.cancel);
    assert_int_equal(local.engine.run(&local.engine, &work, NULL), -ECANCELED);
    assert_true(tasks.n_done < 100000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arena__sorts_by_hash_key_and_seq),
        cmocka_unit_test(arena__sorts_one_key_a_thousand_times),
        cmocka_unit_test(arena__keys_of_one_hash_are_in_order_of_key),
        cmocka_unit_test(arena__full_is_said_and_keeps_what_it_has),
        cmocka_unit_test(merge__gives_every_record_in_order_from_memory_and_disk),
        cmocka_unit_test(merge__of_nothing_is_empty),
        cmocka_unit_test(merge__ranges_add_up_to_the_whole),
        cmocka_unit_test(merge__values_longer_than_the_buffer_come_whole),
        cmocka_unit_test(merge__fewer_runs_hold_the_same),
        cmocka_unit_test(arena__sorts_by_shard_and_key),
        cmocka_unit_test(merge__streams_of_several_shards_are_one),
        cmocka_unit_test(scratch__a_directory_that_is_not_there_is_named),
        cmocka_unit_test(engine__runs_every_task_once),
        cmocka_unit_test(engine__the_lowest_failure_is_told),
        cmocka_unit_test(engine__stops_when_cancelled),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
