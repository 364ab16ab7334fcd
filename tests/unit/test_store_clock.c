/* SPDX-License-Identifier: Apache-2.0 */
/* The store's clock: read over memory, directories and stores that are slow, wrong or failing. */
#include "unit.h"

#include "faulty_backend.h"
#include "memory_backend.h"
#include "store/clock.h"
#include "store/store.h"
#include "temp_dir.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MS_NS     1000000LL
#define SECOND_NS 1000000000LL

static int64_t realtime_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return t.tv_sec * SECOND_NS + t.tv_nsec;
}

static void assert_near(int64_t a, int64_t b, int64_t by)
{
    assert_true(llabs(a - b) <= by);
}

static void assert_empty(struct store *store, const char *dir)
{
    struct store_list list = {0};
    assert_int_equal(store_list(store, dir, &list, NULL), 0);
    assert_int_equal(list.n_names, 0);
    store_list_release(&list);
}

static struct store *open_memory(void)
{
    struct store *store = NULL;
    assert_int_equal(store_open_backend(memory_backend_new(), "memory:", &store, NULL), 0);
    assert_int_equal(store_mkdir(store, "nodes", NULL), 0);
    return store;
}

static void clock__is_this_hosts_own_without_a_store(void **state)
{
    struct store_clock clock = store_clock_local();
    assert_near(store_clock_now_ns(&clock), realtime_ns(), 50 * MS_NS);
    assert_int_equal(clock.error_ns, 0);
}

/* Both stamp files with this host's clock, so what is read is that, within the error that is told. */
static void read_and_compare(struct store *store)
{
    struct store_clock clock = {0};
    assert_int_equal(store_clock_read(store, "nodes", &clock, NULL), 0);
    assert_true(clock.error_ns > 0 && clock.error_ns < SECOND_NS);
    assert_near(store_clock_now_ns(&clock), realtime_ns(), clock.error_ns + 10 * MS_NS);
    assert_empty(store, "nodes");
}

static void clock__reads_what_the_store_stamps(void **state)
{
    char dir[TEMP_DIR_MAX];
    struct store *store = open_memory();
    read_and_compare(store);
    store_close(store);
    temp_dir_make(dir);
    assert_int_equal(store_open(dir, &store, NULL), 0);
    assert_int_equal(store_mkdir(store, "nodes", NULL), 0);
    read_and_compare(store);
    store_close(store);
    temp_dir_remove(dir);
}

/* A store whose clock is off: memory's, but for the times that stat gives. */
struct shifted {
    struct backend backend;
    struct backend *inner;
    int64_t by_s;
};

static struct shifted *shifted_of(struct backend *backend)
{
    return (struct shifted *)backend;
}

static void shifted_close(struct backend *backend)
{
    struct shifted *shifted = shifted_of(backend);
    shifted->inner->ops->close(shifted->inner);
}

static int shifted_stat(struct backend *backend, const char *path, struct store_stat *out,
                        struct err *err)
{
    struct shifted *shifted = shifted_of(backend);
    int ret = shifted->inner->ops->stat(shifted->inner, path, out, err);
    out->mtime.tv_sec += shifted->by_s;
    return ret;
}

static int shifted_create(struct backend *backend, const char *path, struct backend_file **out,
                          struct err *err)
{
    struct backend *inner = shifted_of(backend)->inner;
    return inner->ops->create(inner, path, out, err);
}

static void shifted_close_file(struct backend_file *file)
{
    /* Memory's files are closed by memory's own function, whatever backend they are reached through. */
    static void (*close_file)(struct backend_file * file);
    if (!close_file) {
        struct backend *memory = memory_backend_new();
        close_file = memory->ops->close_file;
        memory->ops->close(memory);
    }
    close_file(file);
}

static int shifted_remove(struct backend *backend, const char *path, bool is_dir, struct err *err)
{
    struct backend *inner = shifted_of(backend)->inner;
    return inner->ops->remove(inner, path, is_dir, err);
}

static int read_shifted(int64_t by_s, struct store_clock *out, struct err *err)
{
    static const struct backend_ops ops = {
        .close = shifted_close,
        .stat = shifted_stat,
        .create = shifted_create,
        .close_file = shifted_close_file,
        .remove = shifted_remove,
    };
    struct shifted shifted = {{&ops}, memory_backend_new(), by_s};
    struct store *store = NULL;
    assert_int_equal(shifted.inner->ops->mkdir(shifted.inner, "nodes", NULL), 0);
    assert_int_equal(store_open_backend(&shifted.backend, "shifted:", &store, NULL), 0);
    int ret = store_clock_read(store, "nodes", out, err);
    store_close(store);
    return ret;
}

static void clock__follows_a_store_that_is_hours_off(void **state)
{
    static const int64_t shifts_s[] = {-7200, -3, 3, 7200, 400000000};
    for (size_t i = 0; i < sizeof shifts_s / sizeof *shifts_s; i++) {
        struct store_clock clock = {0};
        assert_int_equal(read_shifted(shifts_s[i], &clock, NULL), 0);
        assert_near(store_clock_now_ns(&clock) - realtime_ns(), shifts_s[i] * SECOND_NS,
                    clock.error_ns + 10 * MS_NS);
    }
}

static void clock__refuses_times_that_cannot_be(void **state)
{
    struct store_clock clock = {.offset_ns = 7};
    struct err err = {0};
    assert_int_equal(read_shifted(-4000000000LL, &clock, &err), -EBADMSG);
    assert_non_null(strstr(err.text, "expected a time after 1970"));
    assert_int_equal(read_shifted(100000000000LL, &clock, &err), -EBADMSG);
    assert_int_equal(clock.offset_ns, 7);
}

static void clock__needs_a_directory_to_write_in(void **state)
{
    struct store *store = open_memory();
    struct store_clock clock = {.offset_ns = 7};
    char too_long[STORE_PATH_MAX];
    memset(too_long, 'a', sizeof too_long - 1);
    too_long[sizeof too_long - 1] = '\0';
    assert_int_equal(store_clock_read(store, "none", &clock, NULL), -ENOENT);
    assert_int_equal(store_clock_read(store, too_long, &clock, NULL), -E2BIG);
    assert_int_equal(clock.offset_ns, 7);
    store_close(store);
}

static void wait_at_create(void *context, const char *op, const char *path)
{
    static const struct timespec pause = {0, 40 * MS_NS};
    if (strcmp(op, "create") == 0)
        nanosleep(&pause, NULL);
}

static void clock__says_how_far_off_a_slow_store_may_be(void **state)
{
    struct faulty *faulty = faulty_new(memory_backend_new(), false);
    struct store *store = NULL;
    struct store_clock clock = {0};
    assert_int_equal(store_open_backend(&faulty->backend, "faulty:", &store, NULL), 0);
    assert_int_equal(store_mkdir(store, "nodes", NULL), 0);
    faulty->before = wait_at_create;
    assert_int_equal(store_clock_read(store, "nodes", &clock, NULL), 0);
    assert_true(clock.error_ns >= 20 * MS_NS);
    assert_near(store_clock_now_ns(&clock), realtime_ns(), clock.error_ns + 10 * MS_NS);
    store_close(store);
}

static void clock__leaves_nothing_and_says_nothing_whichever_call_fails(void **state)
{
    bool was_hit = true;
    unsigned nth = 1;
    for (; was_hit; nth++) {
        struct backend *memory = memory_backend_new();
        struct faulty *faulty = faulty_new(memory, true);
        struct store *plain = NULL;
        struct store *store = NULL;
        struct store_clock clock = {.offset_ns = 7};
        struct err err = {0};
        assert_int_equal(store_open_backend(memory, "memory:", &plain, NULL), 0);
        assert_int_equal(store_open_backend(&faulty->backend, "faulty:", &store, NULL), 0);
        assert_int_equal(store_mkdir(plain, "nodes", NULL), 0);
        faulty_arm(faulty, nth, FAULTY_FAIL, -EIO);
        int ret = store_clock_read(store, "nodes", &clock, &err);
        was_hit = faulty->was_hit;
        /* The third is the removal: the time is known, and gc removes the file. */
        assert_int_equal(ret, was_hit && nth < 3 ? -EIO : 0);
        assert_int_equal(clock.offset_ns == 7, ret != 0);
        assert_int_equal(err.code, ret);
        if (nth != 3)
            assert_empty(plain, "nodes");
        store_close(store);
        store_close(plain);
    }
    assert_int_equal(nth, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clock__is_this_hosts_own_without_a_store),
        cmocka_unit_test(clock__reads_what_the_store_stamps),
        cmocka_unit_test(clock__follows_a_store_that_is_hours_off),
        cmocka_unit_test(clock__refuses_times_that_cannot_be),
        cmocka_unit_test(clock__needs_a_directory_to_write_in),
        cmocka_unit_test(clock__says_how_far_off_a_slow_store_may_be),
        cmocka_unit_test(clock__leaves_nothing_and_says_nothing_whichever_call_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
