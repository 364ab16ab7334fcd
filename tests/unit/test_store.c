/* SPDX-License-Identifier: Apache-2.0 */
/* The store's contract over a directory, memory and the faulty backend (store_suite.h); names and URLs; and what a
 * failing backend leaves behind. */
#include "unit.h"

#include "base/buf.h"
#include "base/scope.h"
#include "faulty_backend.h"
#include "memory_backend.h"
#include "store/path.h"
#include "store/store.h"
#include "store/url.h"
#include "store_suite.h"
#include "temp_dir.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int open_memory(void *context, struct store_case *out)
{
    return store_open_backend(memory_backend_new(), "memory:", &out->store, NULL);
}

static int open_faulty(void *context, struct store_case *out)
{
    struct faulty *faulty = faulty_new(memory_backend_new(), false);
    return store_open_backend(&faulty->backend, "faulty:", &out->store, NULL);
}

static void close_memory(void *context, struct store_case *at)
{
    store_close(at->store);
}

struct dirs {
    char dir[TEMP_DIR_MAX];
    char outside[TEMP_DIR_MAX];
};

static int open_dir(void *context, struct store_case *out)
{
    struct dirs *dirs = context;
    char path[TEMP_DIR_MAX + 16];
    temp_dir_make(dirs->dir);
    temp_dir_make(dirs->outside);
    snprintf(path, sizeof path, "%s/secret", dirs->outside);
    scope_fclose FILE *file = fopen(path, "w");
    if (!file || fputs("secret", file) < 0)
        return -EIO;
    out->dir = dirs->dir;
    out->outside = dirs->outside;
    return store_open(dirs->dir, &out->store, NULL);
}

static void close_dir(void *context, struct store_case *at)
{
    struct dirs *dirs = context;
    store_close(at->store);
    temp_dir_remove(dirs->dir);
    temp_dir_remove(dirs->outside);
}

/* How many names a directory holds, and how many of them are temporary. */
static size_t count(struct store *store, const char *dir, size_t *n_temporary)
{
    struct store_list list = {0};
    assert_int_equal(store_list(store, dir, &list, NULL), 0);
    size_t n = list.n_names;
    *n_temporary = 0;
    for (size_t i = 0; i < n; i++)
        *n_temporary += store_is_temporary(list.names[i]);
    store_list_release(&list);
    return n;
}

static void store__knows_its_temporary_names(void **state)
{
    char temporary[STORE_PATH_MAX];
    assert_int_equal(path_temporary("log/1.json", temporary, NULL), 0);
    assert_memory_equal(temporary, "log/.tmp-", 9);
    assert_true(store_is_temporary(path_leaf(temporary)));
    assert_true(store_is_temporary(".tmp-1-0123456789abcdef"));
    const char *const others[] = {"",
                                  ".tmp",
                                  ".tmp-",
                                  ".tmp-1",
                                  ".tmp-1-",
                                  ".tmp--0123456789abcdef",
                                  ".tmp-1-0123456789abcde",
                                  ".tmp-1-0123456789abcdef0",
                                  ".tmp-x-0123456789abcdef",
                                  "tmp-1-0123456789abcdef",
                                  "0000000001.json"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_false(store_is_temporary(others[i]));
}

static void store__url_has_two_spellings_for_a_directory(void **state)
{
    struct url url;
    struct err err = {0};
    static const char *const same[] = {"/srv/fkv", "file:///srv/fkv", "file:////srv//fkv/",
                                       "/srv/./fkv/."};
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        assert_int_equal(url_parse(same[i], &url, &err), 0);
        assert_string_equal(url.dir, "/srv/fkv");
        assert_string_equal(url.canonical, "file:///srv/fkv");
    }
    assert_int_equal(url_parse("/", &url, &err), 0);
    assert_string_equal(url.dir, "/");
    static const char *const bad[] = {"",           "srv/fkv",  "file://", "file://host/srv",
                                      "http://x/y", "file:/srv"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(url_parse(bad[i], &url, &err), -EINVAL);
    char too_long[STORE_URL_MAX + 2];
    memset(too_long, '/', sizeof too_long);
    too_long[sizeof too_long - 1] = '\0';
    assert_int_equal(url_parse(too_long, &url, &err), -EINVAL);
    struct store *store = NULL;
    assert_int_equal(store_open("/no/such/directory", &store, &err), -ENOENT);
    assert_non_null(strstr(err.text, "/no/such/directory"));
}

/* One way to change a store, for the fault tests. */
typedef int (*change_fn)(struct store *store, struct err *err);

static int change_put_new(struct store *store, struct err *err)
{
    return store_put_new(store, "d/new", "after", 5, err);
}
static int change_put(struct store *store, struct err *err)
{
    return store_put(store, "d/old", "after", 5, err);
}
static int change_write(struct store *store, struct err *err)
{
    struct store_writer *writer = NULL;
    int ret = store_writer_open(store, "d/new", &writer, err);
    if (ret)
        return ret;
    ret = store_writer_append(writer, "aft", 3, err);
    if (!ret)
        ret = store_writer_append(writer, "er", 2, err);
    if (!ret)
        return store_writer_commit(writer, err);
    store_writer_abort(writer);
    return ret;
}

static const struct {
    change_fn change;
    const char *path;
    const char *before; /* NULL: absent */
} changes[] = {
    {change_put_new, "d/new", NULL},
    {change_put, "d/old", "before"},
    {change_write, "d/new", NULL},
};

/* Afterwards: all of the old or all of the new, the new if success was reported, and only temporaries besides. */
static void check_after_fault(struct store *store, size_t which, int ret)
{
    struct buf buf = {0};
    const char *before = changes[which].before;
    int found = store_get(store, changes[which].path, 100, &buf, NULL);
    bool is_after = !found && buf.len == 5 && memcmp(buf.data, "after", 5) == 0;
    bool is_before =
        before ? !found && buf.len == 6 && memcmp(buf.data, before, 6) == 0 : found == -ENOENT;
    assert_true(is_after || (is_before && ret != 0));
    buf_release(&buf);
    size_t n_temporary = 0;
    size_t n = count(store, "d", &n_temporary);
    bool is_added = is_after && !before;
    assert_int_equal(n - n_temporary, is_added ? 2 : 1);
}

static void fault_round(size_t which, enum faulty_mode mode, unsigned nth, bool *was_hit)
{
    struct backend *memory = memory_backend_new();
    struct faulty *faulty = faulty_new(memory, true);
    struct store *plain = NULL;
    struct store *store = NULL;
    struct err err = {0};
    assert_int_equal(store_open_backend(memory, "memory:", &plain, NULL), 0);
    assert_int_equal(store_open_backend(&faulty->backend, "faulty:", &store, NULL), 0);
    assert_int_equal(store_mkdir(plain, "d", NULL), 0);
    assert_int_equal(store_put_new(plain, "d/old", "before", 6, NULL), 0);
    faulty_arm(faulty, nth, mode, -EIO);
    int ret = changes[which].change(store, &err);
    *was_hit = faulty->was_hit;
    if (ret)
        assert_true(err.text[0]);
    check_after_fault(plain, which, ret);
    store_close(store);
    store_close(plain);
}

static void store__is_before_or_after_whichever_call_fails(void **state)
{
    for (size_t which = 0; which < sizeof changes / sizeof *changes; which++) {
        for (int mode = FAULTY_FAIL; mode <= FAULTY_DIE; mode++) {
            bool was_hit = true;
            unsigned nth = 1;
            for (; was_hit; nth++)
                fault_round(which, (enum faulty_mode)mode, nth, &was_hit);
            assert_true(nth > 4);
        }
    }
}

/* ESTALE from a read: somebody renamed another file onto the one that was open. */
static void store__reads_anew_what_was_replaced_meanwhile(void **state)
{
    struct faulty *faulty = faulty_new(memory_backend_new(), false);
    struct buf text = {0};
    struct store *store = NULL;
    struct err err = {0};
    assert_int_equal(store_open_backend(&faulty->backend, "faulty:", &store, NULL), 0);
    assert_int_equal(store_mkdir(store, "nodes", NULL), 0);
    assert_int_equal(store_put(store, "nodes/a", "new", 3, NULL), 0);
    faulty_arm(faulty, 2, FAULTY_FAIL, -ESTALE);
    assert_int_equal(store_get(store, "nodes/a", 10, &text, &err), 0);
    assert_true(faulty->was_hit);
    assert_memory_equal(text.data, "new", 3);
    assert_int_equal(text.len, 3);
    assert_string_equal(err.text, "");
    faulty_arm(faulty, 1, FAULTY_DIE, -ESTALE);
    assert_int_equal(store_get(store, "nodes/a", 10, &text, &err), -ESTALE);
    assert_true(err.text[0]);
    assert_int_equal(text.len, 3);
    buf_release(&text);
    store_close(store);
}

int main(void)
{
    struct dirs dirs;
    const struct store_suite suites[] = {
        {"memory", open_memory, close_memory, NULL},
        {"faulty", open_faulty, close_memory, NULL},
        {"dir", open_dir, close_dir, &dirs},
    };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(store__knows_its_temporary_names),
        cmocka_unit_test(store__url_has_two_spellings_for_a_directory),
        cmocka_unit_test(store__is_before_or_after_whichever_call_fails),
        cmocka_unit_test(store__reads_anew_what_was_replaced_meanwhile),
    };
    int n_failed = 0;
    for (size_t i = 0; i < sizeof suites / sizeof *suites; i++)
        n_failed += store_suite_run(&suites[i]);
    return n_failed + cmocka_run_group_tests(tests, NULL, NULL);
}
