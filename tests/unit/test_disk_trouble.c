/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "disk_ask.h"
#include "io/reader_faulty.h"
#include "io/reader_impl.h"
#include "query/disk_worker_impl.h"

#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>

static const struct disk_world_params blk_params = {.kind = KIND_BLK,
                                                    .key_type = KEY_U64,
                                                    .value = "bytes[100]",
                                                    .n_shards = 3,
                                                    .n_levels = 2,
                                                    .has_filter = true};
static const struct disk_world_params idx_params = {.kind = KIND_IDX,
                                                    .key_type = KEY_BYTES,
                                                    .value = "bytes",
                                                    .n_shards = 2,
                                                    .n_levels = 3,
                                                    .is_compressed = true};

/* The worker's reader becomes a plain one with faults. */
static struct reader *make_faulty(struct disk_worker *worker, const struct reader_faults *faults)
{
    struct reader *plain = NULL;
    struct reader *faulty = NULL;
    const struct reader_params params = {.depth = worker->depth};
    assert_int_equal(reader_plain_new(&params, &plain, NULL), 0);
    assert_int_equal(reader_faulty_new(plain, worker->depth, &faulty, NULL), 0);
    reader_faulty_set(faulty, faults);
    disk_worker_set_reader(worker, faulty);
    return faulty;
}

static uint64_t after_ms(uint64_t ms)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec + ms * 1000000;
}

/* ---- reads that go wrong ---- */

static void disk_batch__a_read_that_fails_once_costs_no_key(void **state)
{
    static const enum reader_fault kinds[] = {READER_FAIL, READER_SHORT, READER_TORN};
    for (int is_idx = 0; is_idx < 2; is_idx++) {
        struct disk_world w;
        disk_world_init(&w, is_idx ? &idx_params : &blk_params);
        for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
            for (unsigned nth = 1; nth < 30; nth += 7) {
                struct disk_worker *worker = worker_new(16);
                const struct reader_faults faults = {.fault = kinds[i], .nth = nth};
                make_faulty(worker, &faults);
                assert_int_equal(ask(&w, worker, 0, 1, 2000, BATCH_AS_STORED), 0);
                disk_worker_free(worker);
            }
        }
        assert_int_equal(w.fixture.shared.n_bad_blocks, 0);
        assert_int_equal(w.fixture.shared.n_read_errors, 0);
        assert_false(w.fixture.shared.has_bad);
        disk_world_release(&w);
    }
}

static void disk_batch__reads_that_always_fail_fail_keys_and_are_told(void **state)
{
    static const struct {
        enum reader_fault fault;
        bool is_bad_block;
    } kinds[] = {{READER_FAIL, false}, {READER_SHORT, false}, {READER_TORN, true}};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        struct disk_world w;
        struct disk_worker *worker = worker_new(16);
        const struct reader_faults faults = {
            .fault = kinds[i].fault, .nth = 1, .n_more = UINT32_MAX - 1};
        const struct reader_faults none = {0};
        disk_world_init(&w, &blk_params);
        struct reader *faulty = make_faulty(worker, &faults);
        assert_true(ask(&w, worker, 0, 1, 1000, BATCH_AS_STORED) > 500);
        assert_true(w.fixture.shared.has_bad);
        assert_true((w.fixture.shared.n_bad_blocks > 0) == kinds[i].is_bad_block);
        assert_true((w.fixture.shared.n_read_errors > 0) == !kinds[i].is_bad_block);
        reader_faulty_set(faulty, &none);
        assert_int_equal(ask(&w, worker, 0, 1, 1000, BATCH_AS_STORED), 0);
        disk_world_release(&w);
        disk_worker_free(worker);
    }
}

/* A damaged file: every key of its bad block fails, every other one is right. */
static void a_damaged_block_fails_its_keys_only(const struct disk_world_params *params,
                                                uint64_t cache_bytes)
{
    struct disk_world w;
    struct disk_world_params damaged = *params;
    struct disk_worker *worker = worker_new(0);
    damaged.cache_bytes = cache_bytes;
    disk_world_init(&w, &damaged);
    disk_fixture_flip(&w.fixture, 1, 2000);
    uint32_t n_failed = ask(&w, worker, 0, 1, 3000, BATCH_AS_STORED);
    assert_true(n_failed > 0 && n_failed < 400);
    /* Where values vary it was asked twice: once to learn the length. */
    assert_int_equal(w.fixture.shared.n_bad_blocks, w.fixed_len ? 1 : 2);
    assert_true(w.fixture.parts[1]->is_bad);
    assert_false(w.fixture.parts[0]->is_bad);
    /* What is bad does not get into the cache, and the same keys fail again. */
    assert_int_equal(ask(&w, worker, 0, 1, 3000, BATCH_AS_STORED), n_failed);
    disk_fixture_flip(&w.fixture, 1, 2000);
    assert_int_equal(ask(&w, worker, 0, 1, 3000, BATCH_AS_STORED), 0);
    disk_world_release(&w);
    disk_worker_free(worker);
}

static void disk_batch__a_damaged_block_fails_its_keys_only(void **state)
{
    a_damaged_block_fails_its_keys_only(&blk_params, 0);
    a_damaged_block_fails_its_keys_only(&blk_params, 8 << 20);
    a_damaged_block_fails_its_keys_only(&idx_params, 0);
    a_damaged_block_fails_its_keys_only(&idx_params, 8 << 20);
}

static void disk_batch__a_file_cut_short_fails_its_keys_only(void **state)
{
    struct disk_world w;
    struct disk_worker *worker = worker_new(0);
    char path[TEMP_DIR_MAX + 32];
    disk_world_init(&w, &blk_params);
    disk_fixture_path(&w.fixture, 0, path);
    assert_int_equal(truncate(path, 4096), 0);
    uint32_t n_failed = ask(&w, worker, 0, 1, 3000, BATCH_AS_STORED);
    assert_true(n_failed > 0 && n_failed < 1500);
    assert_true(w.fixture.shared.n_read_errors > 0);
    disk_world_release(&w);
    disk_worker_free(worker);
}

/* ---- deadlines ---- */

static int ask_until(const struct disk_world *w, struct disk_worker *worker, uint64_t deadline_ns)
{
    uint32_t numbers[300];
    for (uint32_t i = 0; i < 300; i++)
        numbers[i] = i;
    struct buf keys = world_request(w, numbers, 300);
    const struct batch_request request = {
        .n_keys = 300, .keys = keys.data, .keys_len = keys.len, .deadline_ns = deadline_ns};
    struct batch_result result = {0};
    uint8_t *out = malloc(1 << 20);
    int ret = disk_batch_run(w->fixture.table, worker, &request, out, 1 << 20, &result);
    free(out);
    buf_release(&keys);
    return ret;
}

static void disk_batch__a_deadline_takes_back_what_is_under_way(void **state)
{
    struct disk_world w;
    struct disk_worker *worker = worker_new(8);
    const struct reader_faults late = {
        .fault = READER_LATE, .nth = 5, .n_more = 3, .late_ns = 3600LL * 1000000000};
    const struct reader_faults none = {0};
    disk_world_init(&w, &blk_params);
    struct reader *faulty = make_faulty(worker, &late);
    assert_int_equal(ask_until(&w, worker, after_ms(50)), -ETIMEDOUT);
    disk_worker_reset(worker);
    assert_int_equal(reader_n_busy(faulty), 0);
    assert_int_equal(worker->n_flights, 0);
    /* The next batch does so too. */
    reader_faulty_set(faulty, &late);
    assert_int_equal(ask_until(&w, worker, after_ms(50)), -ETIMEDOUT);
    assert_true(reader_n_busy(faulty) > 0);
    reader_faulty_set(faulty, &none);
    assert_int_equal(ask(&w, worker, 0, 1, 3000, BATCH_AS_STORED), 0);
    assert_int_equal(ask_until(&w, worker, after_ms(60000)), 0);
    assert_int_equal(ask_until(&w, worker, 1), -ETIMEDOUT);
    disk_world_release(&w);
    disk_worker_free(worker);
}

/* ---- a disk that hangs ---- */

static unsigned n_cancelled;

static void hung_start(struct reader *reader, uint32_t slot)
{
}

static void hung_submit(struct reader *reader)
{
}

static int hung_wait(struct reader *reader, unsigned n_min, int64_t deadline_ns,
                     struct reader_done *done, unsigned cap, unsigned *n_done)
{
    while (reader_now_ns() < deadline_ns)
        usleep(1000);
    *n_done = 0;
    return 0;
}

/* Of a real one this takes as long as the disk. */
static void hung_cancel(struct reader *reader)
{
    n_cancelled++;
}

static void hung_release(struct reader *reader)
{
}

static const struct reader_ops HUNG_OPS = {.name = "hung",
                                           .start = hung_start,
                                           .submit = hung_submit,
                                           .wait = hung_wait,
                                           .cancel = hung_cancel,
                                           .release = hung_release};

static void disk_batch__a_disk_that_hangs_keeps_no_caller_beyond_the_deadline(void **state)
{
    struct disk_world w;
    struct disk_worker *worker = worker_new(8);
    struct reader *hung = calloc(1, sizeof *hung);
    const struct reader_params params = {.depth = 8};
    assert_int_equal(reader_init(hung, &HUNG_OPS, &params, NULL), 0);
    disk_worker_set_reader(worker, hung);
    disk_world_init(&w, &blk_params);
    n_cancelled = 0;
    assert_int_equal(ask_until(&w, worker, after_ms(20)), -ETIMEDOUT);
    assert_int_equal(n_cancelled, 0);
    assert_true(worker->n_flights > 0);
    /* The table may go before the disk answers. */
    disk_world_release(&w);
    disk_worker_reset(worker);
    assert_int_equal(n_cancelled, 1);
    assert_int_equal(worker->n_flights, 0);
    disk_worker_free(worker);
}

/* ---- a reader that is of no more use ---- */

static void broken_start(struct reader *reader, uint32_t slot)
{
}
static void broken_submit(struct reader *reader)
{
}
static int broken_wait(struct reader *reader, unsigned n_min, int64_t deadline_ns,
                       struct reader_done *done, unsigned cap, unsigned *n_done)
{
    return -EBADF;
}
static void broken_cancel(struct reader *reader)
{
}
static void broken_release(struct reader *reader)
{
}

static const struct reader_ops broken_ops = {.name = "broken",
                                             .start = broken_start,
                                             .submit = broken_submit,
                                             .wait = broken_wait,
                                             .cancel = broken_cancel,
                                             .release = broken_release};

static void disk_batch__a_broken_reader_is_replaced_within_the_batch(void **state)
{
    struct disk_world w;
    struct disk_worker *worker = worker_new(16);
    struct reader *broken = calloc(1, sizeof *broken);
    const struct reader_params params = {.depth = 16};
    assert_int_equal(reader_init(broken, &broken_ops, &params, NULL), 0);
    disk_worker_set_reader(worker, broken);
    disk_world_init(&w, &blk_params);
    assert_int_equal(ask(&w, worker, 0, 1, 3000, BATCH_AS_STORED), 0);
    assert_string_not_equal(disk_worker_reader(worker), "broken");
    assert_int_equal(w.fixture.shared.n_read_errors, 0);
    disk_world_release(&w);
    disk_worker_free(worker);
}

static void disk_batch__a_plain_reader_does_as_well(void **state)
{
    struct disk_world w;
    struct disk_worker *worker = worker_new(4);
    struct reader *plain = NULL;
    const struct reader_params params = {.depth = 4};
    assert_int_equal(reader_plain_new(&params, &plain, NULL), 0);
    disk_worker_set_reader(worker, plain);
    assert_string_equal(disk_worker_reader(worker), "plain");
    disk_world_init(&w, &idx_params);
    assert_int_equal(ask(&w, worker, 0, 1, 3000, BATCH_AS_STORED), 0);
    disk_world_release(&w);
    disk_worker_free(worker);
}

/* Without a descriptor for a ring a worker reads plainly, until it has time to ask again. */
static void disk_batch__a_moment_without_descriptors_makes_no_worker_slow_for_good(void **state)
{
    struct disk_world w;
    struct disk_worker *first = worker_new(8);
    bool has_uring = !strcmp(disk_worker_reader(first), "uring");
    disk_worker_free(first);
    if (!has_uring)
        skip();
    struct rlimit before;
    getrlimit(RLIMIT_NOFILE, &before);
    const struct rlimit none = {.rlim_cur = 0, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    struct disk_worker *worker = worker_new(8);
    assert_string_equal(disk_worker_reader(worker), "plain");
    disk_worker_trim(worker);
    assert_string_equal(disk_worker_reader(worker), "plain");
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    disk_world_init(&w, &blk_params);
    assert_int_equal(ask(&w, worker, 0, 1, 1000, BATCH_AS_STORED), 0);
    disk_worker_trim(worker);
    assert_string_equal(disk_worker_reader(worker), "uring");
    assert_int_equal(ask(&w, worker, 0, 1, 1000, BATCH_AS_STORED), 0);
    disk_world_release(&w);
    disk_worker_free(worker);
}

/* ---- files ---- */

static void disk_batch__files_are_let_go_of_when_a_part_was_closed(void **state)
{
    struct disk_world w;
    struct disk_worker *worker = worker_new(0);
    disk_world_init(&w, &blk_params);
    assert_int_equal(ask(&w, worker, 0, 1, 3000, BATCH_AS_STORED), 0);
    assert_int_equal(worker->files.n, 6);
    /* The part is replaced by the same under another serial, as node would. */
    uint32_t old = (uint32_t)w.fixture.parts[0]->file.fd;
    char path[TEMP_DIR_MAX + 32];
    disk_fixture_path(&w.fixture, 0, path);
    close((int)old);
    w.fixture.shared.n_closed++;
    assert_int_equal(reader_file_open(path, &w.fixture.parts[0]->file, NULL), 0);
    w.fixture.parts[0]->serial = 100;
    assert_int_equal(ask(&w, worker, 0, 1, 10, BATCH_AS_STORED), 0);
    assert_true(worker->files.n < 6);
    assert_int_equal(ask(&w, worker, 0, 1, 3000, BATCH_AS_STORED), 0);
    disk_worker_trim(worker); /* nothing was closed: nothing to let go of */
    assert_int_equal(worker->files.n, 6);
    w.fixture.shared.n_closed++;
    disk_worker_trim(worker);
    assert_int_equal(worker->files.n, 0);
    assert_int_equal(ask(&w, worker, 0, 1, 3000, BATCH_AS_STORED), 0);
    disk_world_release(&w);
    disk_worker_free(worker);
}

/* ---- sizes ---- */

static void disk_batch__a_million_keys_many_of_them_twice(void **state)
{
    enum { N = 1 << 20 };
    struct disk_world w;
    struct disk_world_params params = blk_params;
    struct disk_worker *worker = worker_new(0);
    uint32_t *numbers = calloc(N, sizeof *numbers);
    params.cache_bytes = 4 << 20;
    disk_world_init(&w, &params);
    for (uint32_t i = 0; i < N; i++)
        numbers[i] = (uint32_t)(hash_u64(i, 1) % 4000);
    struct asked asked = ask_numbers(&w, worker, numbers, N, BATCH_AS_STORED);
    assert_int_equal(asked.n_failed, 0);
    free(asked.out);
    free(numbers);
    disk_world_release(&w);
    disk_worker_free(worker);
}

static void disk_batch__keys_of_one_block_share_a_read(void **state)
{
    struct disk_world w;
    struct disk_world_params params = idx_params;
    struct disk_worker *worker = worker_new(0);
    const struct reader_faults none = {0};
    uint32_t numbers[500];
    params.n_levels = 1;
    params.n_shards = 1;
    disk_world_init(&w, &params);
    struct reader *faulty = make_faulty(worker, &none);
    for (uint32_t i = 0; i < 500; i++)
        numbers[i] = i % 2 ? 1 : 4;
    struct asked asked = ask_numbers(&w, worker, numbers, 500, BATCH_AS_STORED);
    /* Twice: once to learn the length, once to answer. */
    assert_true(reader_faulty_n_reads(faulty) <= 4);
    free(asked.out);
    disk_world_release(&w);
    disk_worker_free(worker);
}

/* ---- a client that takes its memory away ---- */

static sigjmp_buf jump;

static void on_fault(int signo)
{
    siglongjmp(jump, 1);
}

static void disk_batch__a_worker_left_in_the_middle_can_be_used_again(void **state)
{
    struct disk_world w;
    struct disk_world_params params = blk_params;
    struct disk_worker *worker = worker_new(0);
    struct sigaction action = {.sa_handler = on_fault, .sa_flags = SA_NODEFER};
    struct sigaction before;
    uint32_t numbers[3000];
    uint64_t len = batch_body_min(&(struct schema){.value_len = 100}, BATCH_AS_STORED, 3000);
    uint8_t *out = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    params.cache_bytes = 4 << 20;
    disk_world_init(&w, &params);
    for (uint32_t i = 0; i < 3000; i++)
        numbers[i] = i;
    struct buf keys = world_request(&w, numbers, 3000);
    const struct batch_request request = {.n_keys = 3000, .keys = keys.data, .keys_len = keys.len};
    struct batch_result result = {0};
    sigaction(SIGSEGV, &action, &before);
    for (volatile size_t page = 0; page < len / 4096; page += 5) {
        mprotect(out + page * 4096, 4096, PROT_NONE);
        if (sigsetjmp(jump, 1) == 0) {
            disk_batch_run(w.fixture.table, worker, &request, out, len, &result);
            fail_msg("page %zu was not written to", (size_t)page);
        }
        mprotect(out + page * 4096, 4096, PROT_READ | PROT_WRITE);
        disk_worker_leave(worker);
        assert_null(worker->held);
        disk_worker_reset(worker);
        assert_int_equal(worker->n_flights, 0);
        assert_int_equal(reader_n_busy(worker->reader), 0);
    }
    sigaction(SIGSEGV, &before, NULL);
    assert_int_equal(ask(&w, worker, 0, 1, 3000, BATCH_AS_STORED), 0);
    struct block_cache_stats stats;
    block_cache_stats(w.fixture.shared.cache, &stats);
    assert_int_equal(stats.bytes_held, 0);
    munmap(out, len);
    buf_release(&keys);
    disk_world_release(&w);
    disk_worker_free(worker);
}

/* ---- requests that are refused, single keys ---- */

static void disk_batch__malformed_requests_are_refused(void **state)
{
    static const uint8_t zeros[64];
    struct disk_worker *worker = worker_new(0);
    struct batch_result result = {0};
    uint8_t out[256];
    struct disk_world w;
    disk_world_init(&w, &blk_params);
    struct batch_request request = {.n_keys = 2, .keys = zeros, .keys_len = 15};
    assert_int_equal(disk_batch_run(w.fixture.table, worker, &request, out, 256, &result), -EPROTO);
    request = (struct batch_request){.n_keys = 2, .keys = zeros, .keys_len = 16, .form = 1};
    assert_int_equal(disk_batch_run(w.fixture.table, worker, &request, out, 256, &result),
                     -ENOTSUP);
    request.form = BATCH_AS_STORED;
    assert_int_equal(disk_batch_run(w.fixture.table, worker, &request, out, 100, &result), -ENOSPC);
    assert_int_equal(result.len, 64 + 2 * 104);
    disk_world_release(&w);
    disk_world_init(&w, &idx_params);
    request = (struct batch_request){.n_keys = 2, .keys = zeros, .keys_len = 7};
    assert_int_equal(disk_batch_run(w.fixture.table, worker, &request, out, 256, &result), -EPROTO);
    static const uint8_t ends[8] = {5, 0, 0, 0, 4, 0, 0, 0};
    request = (struct batch_request){.n_keys = 2, .keys = ends, .keys_len = 8};
    assert_int_equal(disk_batch_run(w.fixture.table, worker, &request, out, 256, &result), -EPROTO);
    /* A key without bytes is absent. */
    request = (struct batch_request){.n_keys = 2, .keys = zeros, .keys_len = 8};
    assert_int_equal(disk_batch_run(w.fixture.table, worker, &request, out, 256, &result), 0);
    assert_int_equal(out[0], BATCH_ABSENT);
    assert_int_equal(out[1], BATCH_ABSENT);
    disk_world_release(&w);
    disk_worker_free(worker);
}

static void disk_single__gives_a_value_or_says_why_not(void **state)
{
    struct disk_world w;
    struct disk_worker *worker = worker_new(0);
    struct disk_world_params params = idx_params;
    struct buf value = {0};
    params.has_long = true;
    disk_world_init(&w, &params);
    for (uint32_t key = 0; key < 500; key++) {
        char text[WORLD_TEXT];
        int level = world_newest(&w, key);
        world_key_text(key, text);
        int ret = disk_single_find(w.fixture.table, worker, text, strlen(text), &value);
        assert_int_equal(ret, level < 0 ? -ENOENT : 0);
        if (!ret)
            assert_true(
                world_is_value(&w, key, level, value.data, (uint32_t)value.len, BATCH_AS_STORED));
    }
    assert_int_equal(disk_single_find(w.fixture.table, worker, "", 0, &value), -ENOENT);
    disk_fixture_flip(&w.fixture, 0, 100);
    disk_fixture_flip(&w.fixture, 1, 100);
    int n_bad = 0;
    for (uint32_t key = 0; key < 3000; key++) {
        char text[WORLD_TEXT];
        world_key_text(key, text);
        n_bad += disk_single_find(w.fixture.table, worker, text, strlen(text), &value) == -EIO;
    }
    assert_true(n_bad > 0);
    disk_world_release(&w);
    disk_files_clear(&worker->files, worker->reader);
    params = blk_params;
    params.value = "f16[9]";
    disk_world_init(&w, &params);
    uint64_t key = 2;
    assert_int_equal(disk_single_find(w.fixture.table, worker, &key, 8, &value), 0);
    assert_int_equal(value.len, 36);
    assert_true(world_is_value(&w, 2, world_newest(&w, 2), value.data, 36, BATCH_AS_F32));
    assert_int_equal(disk_single_find(w.fixture.table, worker, &key, 7, &value), -EINVAL);
    disk_world_release(&w);
    buf_release(&value);
    disk_worker_free(worker);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(disk_batch__a_read_that_fails_once_costs_no_key),
        cmocka_unit_test(disk_batch__reads_that_always_fail_fail_keys_and_are_told),
        cmocka_unit_test(disk_batch__a_damaged_block_fails_its_keys_only),
        cmocka_unit_test(disk_batch__a_file_cut_short_fails_its_keys_only),
        cmocka_unit_test(disk_batch__a_disk_that_hangs_keeps_no_caller_beyond_the_deadline),
        cmocka_unit_test(disk_batch__a_deadline_takes_back_what_is_under_way),
        cmocka_unit_test(disk_batch__a_broken_reader_is_replaced_within_the_batch),
        cmocka_unit_test(disk_batch__a_plain_reader_does_as_well),
        cmocka_unit_test(disk_batch__a_moment_without_descriptors_makes_no_worker_slow_for_good),
        cmocka_unit_test(disk_batch__files_are_let_go_of_when_a_part_was_closed),
        cmocka_unit_test(disk_batch__a_million_keys_many_of_them_twice),
        cmocka_unit_test(disk_batch__keys_of_one_block_share_a_read),
        cmocka_unit_test(disk_batch__a_worker_left_in_the_middle_can_be_used_again),
        cmocka_unit_test(disk_batch__malformed_requests_are_refused),
        cmocka_unit_test(disk_single__gives_a_value_or_says_why_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
