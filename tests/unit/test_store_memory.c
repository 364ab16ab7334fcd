/* SPDX-License-Identifier: Apache-2.0 */
/* A directory store without memory, and without room on the disk: before or after, never half. */
#include "unit.h"

#include "base/scope.h"
#include "failing_malloc.h"
#include "store/store.h"
#include "store/write_behind.h"
#include "temp_dir.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>

enum { BIG_LEN = 2 * WRITE_BEHIND_LEN + 4097 };

struct fixture {
    char dir[TEMP_DIR_MAX];
    uint8_t *big;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    *state = f;
    temp_dir_make_fast(f->dir);
    f->big = calloc(1, BIG_LEN);
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    temp_dir_remove(f->dir);
    free(f->big);
    free(f);
    return 0;
}

static int write_big(struct store *store, const uint8_t *big, struct err *err)
{
    struct store_writer *writer = NULL;
    int ret = store_writer_open(store, "d/big", &writer, err);
    if (ret)
        return ret;
    ret = store_writer_append(writer, big, BIG_LEN, err);
    if (!ret)
        return store_writer_commit(writer, err);
    store_writer_abort(writer);
    return ret;
}

/* Everything a publisher does; the first failure. */
static int use_store(const struct fixture *f, struct err *err)
{
    struct store *store = NULL;
    struct store_list list = {0};
    struct buf text = {0};
    int ret = store_open(f->dir, &store, err);
    if (!ret)
        ret = store_mkdir(store, "d/e", err);
    if (!ret)
        ret = store_put_new(store, "d/new", "after", 5, err);
    if (!ret)
        ret = store_put(store, "d/beat", "after", 5, err);
    if (!ret)
        ret = write_big(store, f->big, err);
    if (!ret)
        ret = store_get(store, "d/new", 100, &text, err);
    if (!ret)
        ret = store_list(store, "d", &list, err);
    store_list_release(&list);
    buf_release(&text);
    store_close(store);
    return ret;
}

/* What is there is whole, and no temporary file is left. */
static void check_and_empty(const struct fixture *f)
{
    static const char *const names[] = {"new", "beat", "big", "e"};
    static const uint64_t lens[] = {5, 5, BIG_LEN, 0};
    struct store *store = NULL;
    struct store_list list = {0};
    assert_int_equal(store_open(f->dir, &store, NULL), 0);
    int ret = store_list(store, "d", &list, NULL);
    assert_true(ret == 0 || ret == -ENOENT);
    for (size_t i = 0; i < list.n_names; i++) {
        char path[300];
        struct store_stat st;
        size_t which = 0;
        while (which < 4 && strcmp(list.names[i], names[which]) != 0)
            which++;
        assert_true(which < 4);
        snprintf(path, sizeof path, "d/%s", list.names[i]);
        assert_int_equal(store_stat(store, path, &st, NULL), 0);
        assert_int_equal(st.len, lens[which]);
    }
    store_list_release(&list);
    assert_int_equal(store_remove_tree(store, "d", NULL), 0);
    store_close(store);
}

static void store__without_memory_is_before_or_after(void **state)
{
    const struct fixture *f = *state;
    bool was_hit = true;
    unsigned nth = 1;
    for (; was_hit; nth++) {
        struct err err = {0};
        failing_malloc_arm(nth);
        int ret = use_store(f, &err);
        was_hit = failing_malloc_disarm();
        assert_int_equal(ret, was_hit ? -ENOMEM : 0);
        assert_int_equal(err.code, ret);
        check_and_empty(f);
    }
    assert_true(nth > 15);
}

static void store__without_room_says_so_and_leaves_nothing(void **state)
{
    const struct fixture *f = *state;
    struct rlimit old;
    struct store *store = NULL;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    assert_int_equal(store_open(f->dir, &store, NULL), 0);
    assert_int_equal(store_mkdir(store, "d", NULL), 0);
    signal(SIGXFSZ, SIG_IGN);
    /* A file may be so long only: the first buffer, the second, the tail and the sync come to grief in turn. */
    static const rlim_t limits[] = {
        0, 4096, WRITE_BEHIND_LEN, WRITE_BEHIND_LEN + 4096, 2 * WRITE_BEHIND_LEN, BIG_LEN - 1};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        struct err err = {0};
        struct rlimit tight = {limits[i], old.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
        int ret = write_big(store, f->big, &err);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
        assert_int_equal(ret, -EFBIG);
        assert_non_null(strstr(err.text, "d/big"));
        struct store_list list = {0};
        assert_int_equal(store_list(store, "d", &list, NULL), 0);
        assert_int_equal(list.n_names, 0);
        store_list_release(&list);
    }
    signal(SIGXFSZ, SIG_DFL);
    assert_int_equal(write_big(store, f->big, NULL), 0);
    store_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(store__without_memory_is_before_or_after, setup, teardown),
        cmocka_unit_test_setup_teardown(store__without_room_says_so_and_leaves_nothing, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
