/* SPDX-License-Identifier: Apache-2.0 */
/* The store's contract, the same for a directory and for memory; and what a failing backend leaves behind. */
#include "unit.h"

#include "base/scope.h"
#include "faulty_backend.h"
#include "memory_backend.h"
#include "store/path.h"
#include "store/store.h"
#include "store/url.h"
#include "temp_dir.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct fixture {
    char dir[TEMP_DIR_MAX]; /* empty: in memory */
    struct store *store;
};

static int setup_memory(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    *state = f;
    return store_open_backend(memory_backend_new(), "memory:", &f->store, NULL);
}

static int setup_dir(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    *state = f;
    temp_dir_make(f->dir);
    return store_open(f->dir, &f->store, NULL);
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    store_close(f->store);
    if (f->dir[0])
        temp_dir_remove(f->dir);
    free(f);
    return 0;
}

static struct store *store_of(void **state)
{
    return ((struct fixture *)*state)->store;
}

static void assert_holds(struct store *store, const char *path, const char *text)
{
    struct buf buf = {0};
    struct err err = {0};
    assert_int_equal(store_get(store, path, 1 << 20, &buf, &err), 0);
    assert_int_equal(buf.len, strlen(text));
    assert_memory_equal(buf.data, text, buf.len);
    buf_release(&buf);
}

static void assert_absent(struct store *store, const char *path)
{
    struct store_stat st;
    assert_int_equal(store_stat(store, path, &st, NULL), -ENOENT);
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

static void store__put_new_is_put_if_absent(void **state)
{
    struct store *store = store_of(state);
    struct err err = {0};
    size_t n_temporary = 0;
    assert_int_equal(store_mkdir(store, "log", &err), 0);
    assert_int_equal(store_put_new(store, "log/1", "one", 3, &err), 0);
    assert_int_equal(store_put_new(store, "log/1", "two", 3, &err), -EEXIST);
    assert_non_null(strstr(err.text, "log/1"));
    assert_holds(store, "log/1", "one");
    assert_int_equal(count(store, "log", &n_temporary), 1);
    assert_int_equal(n_temporary, 0);
}

static void store__put_replaces_whole(void **state)
{
    struct store *store = store_of(state);
    size_t n_temporary = 0;
    assert_int_equal(store_mkdir(store, "nodes", NULL), 0);
    assert_int_equal(store_put(store, "nodes/a.json", "long first text", 15, NULL), 0);
    assert_int_equal(store_put(store, "nodes/a.json", "second", 6, NULL), 0);
    assert_holds(store, "nodes/a.json", "second");
    assert_int_equal(count(store, "nodes", &n_temporary), 1);
}

static void store__get_keeps_to_its_limit(void **state)
{
    struct store *store = store_of(state);
    struct err err = {0};
    struct buf buf = {0};
    assert_int_equal(store_put_new(store, "x", "12345", 5, NULL), 0);
    assert_int_equal(store_get(store, "x", 4, &buf, &err), -E2BIG);
    assert_int_equal(buf.len, 0);
    assert_non_null(strstr(err.text, "/x: expected at most 4 bytes, found 5"));
    assert_int_equal(store_get(store, "x", 5, &buf, NULL), 0);
    assert_int_equal(store_get(store, "x", 5, &buf, NULL), 0);
    assert_int_equal(buf.len, 10); /* appended */
    assert_int_equal(store_get(store, "y", 5, &buf, &err), -ENOENT);
    assert_int_equal(store_put_new(store, "empty", NULL, 0, NULL), 0);
    assert_int_equal(store_get(store, "empty", 5, &buf, NULL), 0);
    assert_int_equal(buf.len, 10);
    assert_int_equal(store_mkdir(store, "dir", NULL), 0);
    assert_int_equal(store_get(store, "dir", 5, &buf, NULL), -EISDIR);
    buf_release(&buf);
}

static void store__reader_reads_by_offset(void **state)
{
    struct store *store = store_of(state);
    struct store_reader *reader = NULL;
    char text[8] = "";
    size_t n = 0;
    assert_int_equal(store_put_new(store, "x", "0123456789", 10, NULL), 0);
    assert_int_equal(store_reader_open(store, "x", &reader, NULL), 0);
    assert_int_equal(store_reader_len(reader), 10);
    assert_int_equal(store_reader_read(reader, 3, text, 4, &n, NULL), 0);
    assert_int_equal(n, 4);
    assert_memory_equal(text, "3456", 4);
    assert_int_equal(store_reader_read(reader, 8, text, 8, &n, NULL), 0);
    assert_int_equal(n, 2);
    assert_int_equal(store_reader_read(reader, 50, text, 8, &n, NULL), 0);
    assert_int_equal(n, 0);
    store_reader_close(reader);
    store_reader_close(NULL);
    assert_int_equal(store_reader_open(store, "none", &reader, NULL), -ENOENT);
}

static void store__writer_shows_nothing_before_commit(void **state)
{
    struct store *store = store_of(state);
    struct store_writer *writer = NULL;
    size_t n_temporary = 0;
    assert_int_equal(store_mkdir(store, "d", NULL), 0);
    assert_int_equal(store_writer_open(store, "d/part", &writer, NULL), 0);
    assert_int_equal(store_writer_append(writer, "abc", 3, NULL), 0);
    assert_absent(store, "d/part");
    assert_int_equal(store_writer_append(writer, "def", 3, NULL), 0);
    assert_int_equal(count(store, "d", &n_temporary), 1);
    assert_int_equal(n_temporary, 1);
    assert_int_equal(store_writer_rename(writer, "../d/part", NULL), -EINVAL);
    assert_int_equal(store_writer_rename(writer, "d/L00-abc.part", NULL), 0);
    assert_int_equal(store_writer_commit(writer, NULL), 0);
    assert_absent(store, "d/part");
    assert_holds(store, "d/L00-abc.part", "abcdef");
    assert_int_equal(count(store, "d", &n_temporary), 1);
}

static void store__writer_replaces_nothing_and_aborts_without_trace(void **state)
{
    struct store *store = store_of(state);
    struct store_writer *writer = NULL;
    size_t n_temporary = 0;
    assert_int_equal(store_mkdir(store, "d", NULL), 0);
    assert_int_equal(store_put_new(store, "d/p", "old", 3, NULL), 0);
    assert_int_equal(store_writer_open(store, "d/p", &writer, NULL), 0);
    assert_int_equal(store_writer_append(writer, "new", 3, NULL), 0);
    assert_int_equal(store_writer_commit(writer, NULL), -EEXIST);
    assert_holds(store, "d/p", "old");
    assert_int_equal(store_writer_open(store, "d/q", &writer, NULL), 0);
    store_writer_abort(writer);
    store_writer_abort(NULL);
    assert_int_equal(count(store, "d", &n_temporary), 1);
    assert_int_equal(store_writer_open(store, "none/q", &writer, NULL), -ENOENT);
}

static void store__link_gives_one_blob_two_names(void **state)
{
    struct store *store = store_of(state);
    assert_int_equal(store_mkdir(store, "a", NULL), 0);
    assert_int_equal(store_mkdir(store, "b", NULL), 0);
    assert_int_equal(store_put_new(store, "a/p", "bytes", 5, NULL), 0);
    assert_int_equal(store_link(store, "a/p", "b/p", NULL), 0);
    assert_int_equal(store_link(store, "a/p", "b/p", NULL), -EEXIST);
    assert_int_equal(store_link(store, "a/none", "b/q", NULL), -ENOENT);
    assert_int_equal(store_link(store, "a/p", "none/q", NULL), -ENOENT);
    assert_int_equal(store_remove(store, "a/p", NULL), 0);
    assert_holds(store, "b/p", "bytes");
}

static void store__rename_replaces_nothing_that_counts(void **state)
{
    struct store *store = store_of(state);
    struct err err = {0};
    assert_int_equal(store_mkdir(store, "staging/t1", NULL), 0);
    assert_int_equal(store_mkdir(store, "v", NULL), 0);
    assert_int_equal(store_put_new(store, "staging/t1/part", "p", 1, NULL), 0);
    assert_int_equal(store_rename(store, "staging/t1", "v/1", &err), 0);
    assert_holds(store, "v/1/part", "p");
    assert_absent(store, "staging/t1");
    assert_int_equal(store_mkdir(store, "staging/t2", NULL), 0);
    assert_int_equal(store_rename(store, "staging/t2", "v/1", &err), -EEXIST);
    assert_int_equal(store_rename(store, "staging/t2", "v/1/part", &err), -EEXIST);
    assert_int_equal(store_mkdir(store, "v/2", NULL), 0);
    assert_int_equal(store_rename(store, "staging/t2", "v/2", &err), 0);
    assert_int_equal(store_rename(store, "staging/none", "v/3", &err), -ENOENT);
    assert_int_equal(store_put_new(store, "f", "f", 1, NULL), 0);
    assert_int_equal(store_rename(store, "f", "v/1/part", &err), -EEXIST);
    assert_int_equal(store_rename(store, "f", "v/2", &err), -EEXIST);
    assert_int_equal(store_rename(store, "f", "g", &err), 0);
    assert_holds(store, "g", "f");
    assert_holds(store, "v/1/part", "p");
}

static void store__mkdir_makes_parents_and_forgives_existing_ones(void **state)
{
    struct store *store = store_of(state);
    struct store_stat st;
    struct err err = {0};
    assert_int_equal(store_mkdir(store, "tables/ads/v", NULL), 0);
    assert_int_equal(store_mkdir(store, "tables/ads/v", NULL), 0);
    assert_int_equal(store_mkdir(store, "tables/ads/staging/t", NULL), 0);
    assert_int_equal(store_stat(store, "tables/ads/staging/t", &st, NULL), 0);
    assert_true(st.is_dir);
    assert_int_equal(store_put_new(store, "file", "x", 1, NULL), 0);
    assert_int_equal(store_mkdir(store, "file", &err), -ENOTDIR);
    assert_int_not_equal(store_mkdir(store, "file/below", &err), 0);
}

static void store__remove_forgives_absence(void **state)
{
    struct store *store = store_of(state);
    assert_int_equal(store_remove(store, "none", NULL), 0);
    assert_int_equal(store_remove(store, "none/none", NULL), 0);
    assert_int_equal(store_remove_tree(store, "none", NULL), 0);
    assert_int_equal(store_mkdir(store, "d", NULL), 0);
    assert_int_equal(store_remove(store, "d", NULL), -EISDIR);
    assert_int_equal(store_mkdir(store, "t/a/b", NULL), 0);
    assert_int_equal(store_put_new(store, "t/a/b/f", "x", 1, NULL), 0);
    assert_int_equal(store_put_new(store, "t/f", "x", 1, NULL), 0);
    assert_int_equal(store_remove_tree(store, "t", NULL), 0);
    assert_absent(store, "t");
    assert_int_equal(store_put_new(store, "f", "x", 1, NULL), 0);
    assert_int_equal(store_remove_tree(store, "f", NULL), 0);
    assert_absent(store, "f");
}

static void store__lists_one_level(void **state)
{
    struct store *store = store_of(state);
    struct store_list list = {0};
    assert_int_equal(store_list(store, "tables", &list, NULL), -ENOENT);
    assert_int_equal(store_mkdir(store, "tables/ads/v", NULL), 0);
    assert_int_equal(store_mkdir(store, "tables/user", NULL), 0);
    assert_int_equal(store_list(store, "tables", &list, NULL), 0);
    assert_int_equal(list.n_names, 2);
    store_list_release(&list);
    assert_int_equal(store_put_new(store, "f", "x", 1, NULL), 0);
    assert_int_equal(store_list(store, "f", &list, NULL), -ENOTDIR);
    store_list_release(&list);
    store_list_release(NULL);
}

static void store__no_path_climbs_out(void **state)
{
    struct store *store = store_of(state);
    char too_long[STORE_PATH_MAX + 8];
    char long_name[PATH_COMPONENT_MAX + 2];
    memset(too_long, 'a', sizeof too_long - 1);
    too_long[sizeof too_long - 1] = '\0';
    for (size_t i = 100; i < sizeof too_long - 1; i += 100)
        too_long[i] = '/';
    memset(long_name, 'a', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    const char *const bad[] = {"",     "/",        "/etc/passwd", "..",     "../x",   "a/../b",
                               "a/..", "./a",      "a/.",         "a//b",   "a/",     ".",
                               "a\nb", "a/\x01/b", "\x7f",        too_long, long_name};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct err err = {0};
        struct store_stat st;
        struct store_list list;
        struct buf buf = {0};
        struct store_reader *reader = NULL;
        struct store_writer *writer = NULL;
        assert_int_equal(store_stat(store, bad[i], &st, &err), -EINVAL);
        assert_true(err.text[0]);
        assert_int_equal(store_list(store, bad[i], &list, NULL), -EINVAL);
        assert_int_equal(store_get(store, bad[i], 1, &buf, NULL), -EINVAL);
        assert_int_equal(store_reader_open(store, bad[i], &reader, NULL), -EINVAL);
        assert_int_equal(store_writer_open(store, bad[i], &writer, NULL), -EINVAL);
        assert_int_equal(store_put_new(store, bad[i], "", 0, NULL), -EINVAL);
        assert_int_equal(store_put(store, bad[i], "", 0, NULL), -EINVAL);
        assert_int_equal(store_link(store, bad[i], "b", NULL), -EINVAL);
        assert_int_equal(store_link(store, "b", bad[i], NULL), -EINVAL);
        assert_int_equal(store_rename(store, bad[i], "b", NULL), -EINVAL);
        assert_int_equal(store_rename(store, "b", bad[i], NULL), -EINVAL);
        assert_int_equal(store_mkdir(store, bad[i], NULL), -EINVAL);
        assert_int_equal(store_remove(store, bad[i], NULL), -EINVAL);
        assert_int_equal(store_remove_tree(store, bad[i], NULL), -EINVAL);
    }
    assert_int_equal(path_check("...", NULL), 0);
    assert_int_equal(path_check("a/..b/c..", NULL), 0);
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
    assert_int_equal(url_parse("nfs://server/export", &url, &err), -EINVAL);
    assert_non_null(strstr(err.text, "nfs:// is not supported in this build"));
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

#define BOTH(test)                                                                                 \
    cmocka_unit_test_setup_teardown(test, setup_memory, teardown),                                 \
        cmocka_unit_test_setup_teardown(test, setup_dir, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(store__put_new_is_put_if_absent),
        BOTH(store__put_replaces_whole),
        BOTH(store__get_keeps_to_its_limit),
        BOTH(store__reader_reads_by_offset),
        BOTH(store__writer_shows_nothing_before_commit),
        BOTH(store__writer_replaces_nothing_and_aborts_without_trace),
        BOTH(store__link_gives_one_blob_two_names),
        BOTH(store__rename_replaces_nothing_that_counts),
        BOTH(store__mkdir_makes_parents_and_forgives_existing_ones),
        BOTH(store__remove_forgives_absence),
        BOTH(store__lists_one_level),
        BOTH(store__no_path_climbs_out),
        cmocka_unit_test(store__knows_its_temporary_names),
        cmocka_unit_test(store__url_has_two_spellings_for_a_directory),
        cmocka_unit_test(store__is_before_or_after_whichever_call_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
