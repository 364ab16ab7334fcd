/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "store_suite.h"

#include "base/scope.h"
#include "store/path.h"
#include "store/write_behind.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static void path_at(char *out, const char *dir, const char *name)
{
    assert_true(snprintf(out, PATH_MAX, "%s/%s", dir, name) < PATH_MAX);
}

static void write_file(const char *dir, const char *name, const char *text)
{
    char path[PATH_MAX];
    path_at(path, dir, name);
    scope_fclose FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
}

static void link_to(const char *target, const char *dir, const char *name)
{
    char path[PATH_MAX];
    path_at(path, dir, name);
    assert_int_equal(symlink(target, path), 0);
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

static void store__put_new_is_put_if_absent(const struct store_case *at)
{
    struct store *store = at->store;
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

static void store__put_replaces_whole(const struct store_case *at)
{
    struct store *store = at->store;
    size_t n_temporary = 0;
    assert_int_equal(store_mkdir(store, "nodes", NULL), 0);
    assert_int_equal(store_put(store, "nodes/a.json", "long first text", 15, NULL), 0);
    assert_int_equal(store_put(store, "nodes/a.json", "second", 6, NULL), 0);
    assert_holds(store, "nodes/a.json", "second");
    assert_int_equal(count(store, "nodes", &n_temporary), 1);
}

static void store__get_keeps_to_its_limit(const struct store_case *at)
{
    struct store *store = at->store;
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

static void store__reader_reads_by_offset(const struct store_case *at)
{
    struct store *store = at->store;
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

static void store__writer_shows_nothing_before_commit(const struct store_case *at)
{
    struct store *store = at->store;
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

static void store__writer_replaces_nothing_and_aborts_without_trace(const struct store_case *at)
{
    struct store *store = at->store;
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

static void store__link_gives_one_blob_two_names(const struct store_case *at)
{
    struct store *store = at->store;
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

static void store__rename_replaces_nothing_that_counts(const struct store_case *at)
{
    struct store *store = at->store;
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

static void store__mkdir_makes_parents_and_forgives_existing_ones(const struct store_case *at)
{
    struct store *store = at->store;
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

static void store__remove_forgives_absence(const struct store_case *at)
{
    struct store *store = at->store;
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

static void store__lists_one_level(const struct store_case *at)
{
    struct store *store = at->store;
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

static void store__no_path_climbs_out(const struct store_case *at)
{
    struct store *store = at->store;
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

/* Byte i of a test file: no period that divides a buffer. */
static uint8_t byte_at(size_t i)
{
    return (uint8_t)(i * 2654435761U >> 13);
}

/* A file of len bytes, appended in odd pieces, reads back the same. */
static void write_and_compare(struct store *store, const char *name, size_t len)
{
    struct store_writer *writer = NULL;
    scope_free uint8_t *bytes = malloc(len + 1);
    for (size_t i = 0; i < len; i++)
        bytes[i] = byte_at(i);
    assert_int_equal(store_writer_open(store, name, &writer, NULL), 0);
    size_t piece = 1;
    for (size_t off = 0; off < len; off += piece) {
        piece = (off * 7 + 4096) % 3000017 + 1;
        if (piece > len - off)
            piece = len - off;
        assert_int_equal(store_writer_append(writer, bytes + off, piece, NULL), 0);
    }
    assert_int_equal(store_writer_commit(writer, NULL), 0);
    struct buf back = {0};
    assert_int_equal(store_get(store, name, len, &back, NULL), 0);
    assert_int_equal(back.len, len);
    assert_true(len == 0 || memcmp(back.data, bytes, len) == 0);
    buf_release(&back);
    assert_int_equal(store_remove(store, name, NULL), 0);
}

static void store__large_writes_come_back_whole(const struct store_case *at)
{
    static const size_t lens[] = {0,
                                  1,
                                  4095,
                                  4096,
                                  100000,
                                  WRITE_BEHIND_LEN - 1,
                                  WRITE_BEHIND_LEN,
                                  WRITE_BEHIND_LEN + 1,
                                  WRITE_BEHIND_LEN + 4096,
                                  3 * WRITE_BEHIND_LEN,
                                  3 * WRITE_BEHIND_LEN + 12345};
    for (size_t i = 0; i < sizeof lens / sizeof *lens; i++)
        write_and_compare(at->store, "big", lens[i]);
}

struct racer {
    struct store *store;
    int id;
    unsigned n_won;
};

static void *race(void *context)
{
    struct racer *racer = context;
    for (int i = 0; i < 100; i++) {
        char path[32];
        char text[32];
        snprintf(path, sizeof path, "race/%d", i);
        snprintf(text, sizeof text, "%d", racer->id);
        int ret = store_put_new(racer->store, path, text, strlen(text), NULL);
        racer->n_won += ret == 0;
        if (ret && ret != -EEXIST)
            return (void *)"failed";
    }
    return NULL;
}

static void store__put_new_has_one_winner(const struct store_case *at)
{
    struct racer racers[3];
    pthread_t threads[3];
    assert_int_equal(store_mkdir(at->store, "race", NULL), 0);
    for (int i = 0; i < 3; i++) {
        racers[i] = (struct racer){.store = at->store, .id = i};
        assert_int_equal(pthread_create(&threads[i], NULL, race, &racers[i]), 0);
    }
    for (int i = 0; i < 3; i++) {
        void *failed = NULL;
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    assert_int_equal(racers[0].n_won + racers[1].n_won + racers[2].n_won, 100);
    struct store_list list = {0};
    assert_int_equal(store_list(at->store, "race", &list, NULL), 0);
    assert_int_equal(list.n_names, 100);
    store_list_release(&list);
}

static void store__follows_no_link_out(const struct store_case *at)
{
    if (!at->dir)
        skip();
    struct store *store = at->store;
    struct err err = {0};
    struct buf buf = {0};
    struct store_stat st;
    struct store_list list;
    struct store_writer *writer = NULL;
    link_to(at->outside, at->dir, "out");
    link_to("secret", at->outside, "inner");
    char secret[PATH_MAX];
    path_at(secret, at->outside, "secret");
    link_to(secret, at->dir, "secret");
    assert_int_equal(store_get(store, "secret", 100, &buf, &err), -EPERM);
    assert_non_null(strstr(err.text, "a symbolic link"));
    assert_int_equal(store_get(store, "out/secret", 100, &buf, NULL), -EPERM);
    assert_int_equal(store_stat(store, "secret", &st, NULL), -EPERM);
    assert_int_equal(store_stat(store, "out/secret", &st, NULL), -EPERM);
    assert_int_equal(store_list(store, "out", &list, NULL), -EPERM);
    assert_int_equal(store_put_new(store, "out/x", "x", 1, NULL), -EPERM);
    assert_int_equal(store_put(store, "out/x", "x", 1, NULL), -EPERM);
    assert_int_equal(store_writer_open(store, "out/x", &writer, NULL), -EPERM);
    assert_int_equal(store_mkdir(store, "out/x", NULL), -EPERM);
    assert_int_equal(store_link(store, "out/secret", "x", NULL), -EPERM);
    assert_int_equal(store_rename(store, "out/secret", "x", NULL), -EPERM);
    assert_int_equal(store_remove(store, "out/secret", NULL), -EPERM);
    /* put replaces the link itself, and the target keeps its bytes. */
    assert_int_equal(store_put(store, "secret", "mine", 4, NULL), 0);
    assert_int_equal(store_get(store, "secret", 100, &buf, NULL), 0);
    assert_int_equal(buf.len, 4);
    buf_release(&buf);
    assert_int_equal(access(secret, F_OK), 0);
}

static void store__removes_links_and_not_what_they_name(const struct store_case *at)
{
    if (!at->dir)
        skip();
    char inner[PATH_MAX];
    char secret[PATH_MAX];
    assert_int_equal(store_mkdir(at->store, "t/a", NULL), 0);
    path_at(inner, at->dir, "t/a");
    link_to(at->outside, inner, "out");
    link_to("../..", inner, "up");
    write_file(inner, "odd\nname", "x");
    assert_int_equal(store_remove_tree(at->store, "t", NULL), 0);
    path_at(secret, at->outside, "secret");
    assert_int_equal(access(secret, F_OK), 0);
    link_to(at->outside, at->dir, "out");
    assert_int_equal(store_remove_tree(at->store, "out", NULL), 0);
    assert_int_equal(access(secret, F_OK), 0);
}

static void store__refuses_what_is_no_file(const struct store_case *at)
{
    if (!at->dir)
        skip();
    char path[PATH_MAX];
    struct buf buf = {0};
    path_at(path, at->dir, "fifo");
    assert_int_equal(mkfifo(path, 0600), 0);
    /* Without care this would wait for a writer for ever. */
    assert_int_equal(store_get(at->store, "fifo", 100, &buf, NULL), -EPERM);
    buf_release(&buf);
}

#define CASE(name)                                                                                 \
    {                                                                                              \
#name, name                                                                                \
    }

static const struct {
    const char *name;
    void (*run)(const struct store_case *at);
} cases[] = {
    CASE(store__put_new_is_put_if_absent),
    CASE(store__put_replaces_whole),
    CASE(store__get_keeps_to_its_limit),
    CASE(store__reader_reads_by_offset),
    CASE(store__writer_shows_nothing_before_commit),
    CASE(store__writer_replaces_nothing_and_aborts_without_trace),
    CASE(store__link_gives_one_blob_two_names),
    CASE(store__rename_replaces_nothing_that_counts),
    CASE(store__mkdir_makes_parents_and_forgives_existing_ones),
    CASE(store__remove_forgives_absence),
    CASE(store__lists_one_level),
    CASE(store__no_path_climbs_out),
    CASE(store__large_writes_come_back_whole),
    CASE(store__put_new_has_one_winner),
    CASE(store__follows_no_link_out),
    CASE(store__removes_links_and_not_what_they_name),
    CASE(store__refuses_what_is_no_file),
};
enum { N_CASES = sizeof cases / sizeof *cases };

struct running {
    const struct store_suite *suite;
    size_t which;
    struct store_case at;
};

static int setup_case(void **state)
{
    struct running *running = *state;
    running->at = (struct store_case){0};
    return running->suite->open(running->suite->context, &running->at);
}

static void run_case(void **state)
{
    const struct running *running = *state;
    cases[running->which].run(&running->at);
}

static int teardown_case(void **state)
{
    struct running *running = *state;
    running->suite->close(running->suite->context, &running->at);
    return 0;
}

int store_suite_run(const struct store_suite *suite)
{
    static char names[N_CASES][128];
    struct running running[N_CASES];
    struct CMUnitTest tests[N_CASES];
    for (size_t i = 0; i < N_CASES; i++) {
        snprintf(names[i], sizeof names[i], "%s %s", suite->name, cases[i].name);
        running[i] = (struct running){.suite = suite, .which = i};
        tests[i] = (struct CMUnitTest){names[i], run_case, setup_case, teardown_case, &running[i]};
    }
    return cmocka_run_group_tests_name(suite->name, tests, NULL, NULL);
}
