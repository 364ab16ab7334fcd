/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "disk_world.h"
#include "io/reader_faulty.h"
#include "query/disk_batch.h"
#include "query/disk_worker_impl.h"

#include <errno.h>
#include <time.h>

static struct disk_worker *worker_new(void)
{
    struct disk_worker *worker = NULL;
    assert_int_equal(disk_worker_new(0, &worker, NULL), 0);
    return worker;
}

/* The worker's reader becomes a plain one with faults. */
static void make_faulty(struct disk_worker *worker, const struct reader_faults *faults)
{
    struct reader *plain = NULL;
    struct reader *faulty = NULL;
    const struct reader_params params = {.depth = worker->depth};
    assert_int_equal(reader_plain_new(&params, &plain, NULL), 0);
    assert_int_equal(reader_faulty_new(plain, worker->depth, &faulty, NULL), 0);
    reader_faulty_set(faulty, faults);
    disk_worker_set_reader(worker, faulty);
}

/* ---- what a scan must say: the living keys in order ---- */

struct expected {
    uint32_t n;
    uint32_t *keys;
};

static const struct disk_world *sorted_world;

static int key_order(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;
    char x_text[WORLD_TEXT];
    char y_text[WORLD_TEXT];
    if (sorted_world->params.key_type == KEY_U64)
        return x < y ? -1 : x > y;
    world_key_text(x, x_text);
    world_key_text(y, y_text);
    return strcmp(x_text, y_text);
}

static struct expected expected_of(const struct disk_world *w)
{
    struct expected expected = {.keys = calloc(w->n, sizeof(uint32_t))};
    for (uint32_t key = 0; key < w->n; key++)
        if (world_newest(w, key) >= 0)
            expected.keys[expected.n++] = key;
    sorted_world = w;
    qsort(expected.keys, expected.n, sizeof(uint32_t), key_order);
    return expected;
}

/* ---- asking ---- */

/* A bound as a key; the number n_none: none. */
static const uint32_t n_none = UINT32_MAX;

static struct buf range_of(const struct disk_world *w, uint32_t from, uint32_t to)
{
    struct buf keys = {0};
    if (w->params.key_type == KEY_U64) {
        uint64_t bounds[2] = {from == n_none ? 0 : from, to == n_none ? 0 : to};
        assert_int_equal(buf_add(&keys, bounds, sizeof bounds), 0);
        return keys;
    }
    char texts[2][WORLD_TEXT] = {"", ""};
    if (from != n_none)
        world_key_text(from, texts[0]);
    if (to != n_none)
        world_key_text(to, texts[1]);
    uint32_t ends[2] = {(uint32_t)strlen(texts[0]),
                        (uint32_t)(strlen(texts[0]) + strlen(texts[1]))};
    assert_int_equal(buf_add(&keys, ends, sizeof ends), 0);
    assert_int_equal(buf_add(&keys, texts[0], strlen(texts[0])), 0);
    assert_int_equal(buf_add(&keys, texts[1], strlen(texts[1])), 0);
    return keys;
}

struct record {
    uint32_t value_len;
    uint8_t key_len;
    uint8_t status;
    const uint8_t *key;
    const uint8_t *value;
};

static const uint8_t *padded(const uint8_t *at, uint32_t len)
{
    for (uint64_t i = len; i < align_up(len, 8); i++)
        assert_int_equal(at[i], 0);
    return at + align_up(len, 8);
}

static const uint8_t *record_next(const uint8_t *at, struct record *record)
{
    *record = (struct record){.value_len = load_le32(at), .key_len = at[4], .status = at[5]};
    assert_int_equal(load_le16(at + 6), 0);
    record->key = at + 8;
    record->value = padded(record->key, record->key_len);
    return padded(record->value, record->value_len);
}

static bool is_key(const struct disk_world *w, const struct record *record, uint32_t key)
{
    char text[WORLD_TEXT];
    if (w->params.key_type == KEY_U64)
        return record->key_len == 8 && load_le64(record->key) == key;
    world_key_text(key, text);
    return record->key_len == strlen(text) && memcmp(record->key, text, record->key_len) == 0;
}

/* Checks n_found records against expected keys; returns how many have no value. */
static uint32_t check_records(const struct disk_world *w, const uint8_t *out,
                              const struct batch_result *result, const uint32_t *keys,
                              enum batch_form form)
{
    const uint8_t *at = out;
    uint32_t n_failed = 0;
    for (uint32_t i = 0; i < result->n_found; i++) {
        struct record record = {0};
        at = record_next(at, &record);
        assert_true(is_key(w, &record, keys[i]));
        if (record.status == BATCH_FAILED) {
            assert_int_equal(record.value_len, 0);
            n_failed++;
            continue;
        }
        assert_int_equal(record.status, BATCH_FOUND);
        assert_true(world_is_value(w, keys[i], world_newest(w, keys[i]), record.value,
                                   record.value_len, form));
    }
    assert_int_equal(at - out, result->len);
    assert_int_equal(result->n_failed, n_failed);
    return n_failed;
}

/* Scans [from, to) in steps of n_max records and cap bytes, each going on behind the one before;
 * returns how many keys had no value. */
static uint32_t scan_all(const struct disk_world *w, struct disk_worker *worker, uint32_t from,
                         uint32_t to, uint32_t n_max, size_t cap, enum batch_form form)
{
    struct expected expected = expected_of(w);
    uint32_t first = 0;
    uint32_t end = expected.n;
    uint32_t n_failed = 0;
    bool has_more = true;
    while (from != n_none && first < end && key_order(&expected.keys[first], &from) < 0)
        first++;
    while (to != n_none && end > first && key_order(&expected.keys[end - 1], &to) >= 0)
        end--;
    while (has_more) {
        struct buf keys = range_of(w, from, to);
        const struct batch_request request = {
            .n_keys = n_max, .keys = keys.data, .keys_len = keys.len, .form = form};
        struct batch_result result = {0};
        uint8_t *out = malloc(cap + 1);
        memset(out, 0xa5, cap + 1);
        int ret = disk_scan_run(w->fixture.table, worker, &request, out, cap, &result, &has_more);
        assert_int_equal(out[cap], 0xa5);
        if (ret == -ENOSPC) {
            assert_true(result.len > cap);
            cap = result.len;
            has_more = true;
        } else {
            assert_int_equal(ret, 0);
            assert_true(result.n_found <= n_max && result.n_found <= end - first);
            n_failed += check_records(w, out, &result, expected.keys + first, form);
            first += result.n_found;
            from = first < end ? expected.keys[first] : from;
            assert_int_equal(has_more, first < end);
            assert_true(has_more == false || result.n_found > 0);
        }
        free(out);
        buf_release(&keys);
    }
    assert_int_equal(first, end);
    free(expected.keys);
    return n_failed;
}

static void disk_scan__gives_living_keys_in_order_once(void **state)
{
    static const char *const values[] = {"bytes", "bytes[8]", "f16[50]", "i8[7]"};
    static const uint32_t shapes[][2] = {{1, 1}, {3, 1}, {2, 4}};
    struct disk_worker *worker = worker_new();
    for (size_t v = 0; v < sizeof values / sizeof values[0]; v++) {
        for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
            for (unsigned bits = 0; bits < 8; bits++) {
                struct disk_world w;
                const struct disk_world_params params = {
                    .kind = KIND_IDX,
                    .key_type = bits & 1 ? KEY_BYTES : KEY_U64,
                    .value = values[v],
                    .has_long = v == 0 && bits & 4,
                    .n_shards = shapes[s][0],
                    .n_levels = shapes[s][1],
                    .n = 1000,
                    .is_compressed = bits & 2,
                    .cache_bytes = bits & 4 ? 8 << 20 : 0,
                };
                disk_world_init(&w, &params);
                bool is_vector = w.fixture.schema.elem != ELEM_NONE;
                scan_all(&w, worker, n_none, n_none, 5000, 2 << 20, BATCH_AS_STORED);
                scan_all(&w, worker, n_none, n_none, 99, 30000,
                         is_vector ? BATCH_AS_F32 : BATCH_AS_STORED);
                scan_all(&w, worker, 100, 500, 5000, 4000, BATCH_AS_STORED);
                scan_all(&w, worker, 500, n_none, 17, 100000, BATCH_AS_STORED);
                scan_all(&w, worker, 1500, 1600, 17, 100000, BATCH_AS_STORED);
                disk_world_release(&w);
                disk_files_clear(&worker->files, worker->reader);
            }
        }
    }
    disk_worker_free(worker);
}

static const struct disk_world_params varied = {.kind = KIND_IDX,
                                                .key_type = KEY_BYTES,
                                                .value = "bytes",
                                                .n_shards = 2,
                                                .n_levels = 3,
                                                .has_long = true};

static void disk_scan__an_output_too_small_for_one_record_is_told_what_it_needs(void **state)
{
    struct disk_world w;
    struct disk_worker *worker = worker_new();
    disk_world_init(&w, &varied);
    scan_all(&w, worker, n_none, n_none, 5000, 1, BATCH_AS_STORED);
    disk_world_release(&w);
    disk_worker_free(worker);
}

static void disk_scan__zero_records_only_tell_whether_there_are_more(void **state)
{
    struct disk_world w;
    struct disk_worker *worker = worker_new();
    disk_world_init(&w, &varied);
    struct buf keys = range_of(&w, n_none, n_none);
    struct batch_request request = {.keys = keys.data, .keys_len = keys.len};
    struct batch_result result = {0};
    uint8_t out[1];
    bool has_more = false;
    assert_int_equal(disk_scan_run(w.fixture.table, worker, &request, out, 0, &result, &has_more),
                     0);
    assert_true(has_more);
    assert_int_equal(result.n_found, 0);
    assert_int_equal(result.len, 0);
    buf_release(&keys);
    disk_world_release(&w);
    disk_worker_free(worker);
}

static void disk_scan__a_damaged_block_fails_its_records_only(void **state)
{
    struct disk_world w;
    struct disk_worker *worker = worker_new();
    disk_world_init(&w, &varied);
    disk_fixture_flip(&w.fixture, 0, 40);
    uint32_t n_failed = scan_all(&w, worker, n_none, n_none, 100, 100000, BATCH_AS_STORED);
    assert_true(n_failed > 0 && n_failed < 200);
    assert_true(w.fixture.parts[0]->is_bad);
    assert_true(w.fixture.shared.n_bad_blocks > 0);
    disk_world_release(&w);
    disk_worker_free(worker);
}

static void disk_scan__malformed_ranges_and_other_kinds_are_refused(void **state)
{
    static const uint8_t zeros[1024];
    struct disk_world w;
    struct disk_worker *worker = worker_new();
    struct batch_result result = {0};
    bool has_more = false;
    uint8_t out[64];
    uint32_t ends[2] = {300, 300};
    uint8_t long_from[8 + 300] = {0};
    memcpy(long_from, ends, sizeof ends);
    disk_world_init(&w, &varied);
    const struct {
        const void *keys;
        size_t len;
        enum batch_form form;
        int ret;
    } asks[] = {
        {zeros, 0, BATCH_AS_STORED, -EPROTO},
        {zeros, 7, BATCH_AS_STORED, -EPROTO},
        {zeros, 9, BATCH_AS_STORED, -EPROTO},
        {long_from, sizeof long_from, BATCH_AS_STORED, -EPROTO},
        {zeros, 8, BATCH_AS_F32, -ENOTSUP},
        {zeros, 8, 7, -EPROTO},
    };
    for (size_t i = 0; i < sizeof asks / sizeof asks[0]; i++) {
        const struct batch_request request = {
            .n_keys = 1, .keys = asks[i].keys, .keys_len = asks[i].len, .form = asks[i].form};
        assert_int_equal(
            disk_scan_run(w.fixture.table, worker, &request, out, sizeof out, &result, &has_more),
            asks[i].ret);
    }
    disk_world_release(&w);
    struct disk_world_params params = varied;
    params.kind = KIND_BLK;
    disk_world_init(&w, &params);
    const struct batch_request request = {.n_keys = 1, .keys = zeros, .keys_len = 8};
    assert_int_equal(
        disk_scan_run(w.fixture.table, worker, &request, out, sizeof out, &result, &has_more),
        -ENOTSUP);
    disk_world_release(&w);
    disk_worker_free(worker);
}

static void disk_scan__a_bound_may_be_right_behind_the_longest_key(void **state)
{
    struct disk_world w;
    struct disk_worker *worker = worker_new();
    struct batch_result result = {0};
    bool has_more = true;
    uint8_t keys[8 + 256];
    uint8_t *out = malloc(1 << 20);
    uint32_t ends[2] = {256, 256};
    disk_world_init(&w, &varied);
    memset(keys, 'z', sizeof keys);
    memcpy(keys, ends, sizeof ends);
    const struct batch_request request = {.n_keys = 10, .keys = keys, .keys_len = sizeof keys};
    assert_int_equal(
        disk_scan_run(w.fixture.table, worker, &request, out, 1 << 20, &result, &has_more), 0);
    assert_int_equal(result.n_found, 0);
    assert_false(has_more);
    free(out);
    disk_world_release(&w);
    disk_worker_free(worker);
}

static void disk_scan__a_late_disk_ends_at_the_deadline(void **state)
{
    struct disk_world w;
    struct disk_worker *worker = worker_new();
    const struct reader_faults faults = {
        .fault = READER_LATE, .nth = 1, .n_more = 1000, .late_ns = 3600LL * 1000000000};
    make_faulty(worker, &faults);
    disk_world_init(&w, &varied);
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    struct buf keys = range_of(&w, n_none, n_none);
    const struct batch_request request = {.n_keys = 100,
                                          .keys = keys.data,
                                          .keys_len = keys.len,
                                          .deadline_ns = (uint64_t)now.tv_sec * 1000000000 +
                                                         (uint64_t)now.tv_nsec + 50000000};
    struct batch_result result = {0};
    bool has_more = false;
    uint8_t *out = malloc(1 << 20);
    assert_int_equal(
        disk_scan_run(w.fixture.table, worker, &request, out, 1 << 20, &result, &has_more),
        -ETIMEDOUT);
    free(out);
    buf_release(&keys);
    disk_world_release(&w);
    disk_worker_free(worker);
}

/* Long scans read neighbours as one; what fails is read again block by block. */
static void disk_scan__a_read_that_fails_once_costs_no_record(void **state)
{
    static const enum reader_fault kinds[] = {READER_FAIL, READER_SHORT, READER_TORN};
    static const unsigned depths[] = {1, 4, 128};
    struct disk_world_params params = varied;
    struct disk_world w;
    params.value = "bytes[600]";
    params.has_long = false;
    disk_world_init(&w, &params);
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        for (size_t d = 0; d < sizeof depths / sizeof depths[0]; d++) {
            for (unsigned nth = 1; nth < 12; nth += 5) {
                struct disk_worker *worker = NULL;
                const struct reader_faults faults = {.fault = kinds[i], .nth = nth};
                assert_int_equal(disk_worker_new(depths[d], &worker, NULL), 0);
                make_faulty(worker, &faults);
                assert_int_equal(
                    scan_all(&w, worker, n_none, n_none, 5000, 1 << 20, BATCH_AS_STORED), 0);
                disk_worker_free(worker);
            }
        }
    }
    assert_false(w.fixture.shared.has_bad);
    disk_world_release(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(disk_scan__gives_living_keys_in_order_once),
        cmocka_unit_test(disk_scan__an_output_too_small_for_one_record_is_told_what_it_needs),
        cmocka_unit_test(disk_scan__zero_records_only_tell_whether_there_are_more),
        cmocka_unit_test(disk_scan__a_read_that_fails_once_costs_no_record),
        cmocka_unit_test(disk_scan__a_damaged_block_fails_its_records_only),
        cmocka_unit_test(disk_scan__malformed_ranges_and_other_kinds_are_refused),
        cmocka_unit_test(disk_scan__a_bound_may_be_right_behind_the_longest_key),
        cmocka_unit_test(disk_scan__a_late_disk_ends_at_the_deadline),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
