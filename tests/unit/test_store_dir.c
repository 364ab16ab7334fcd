/* SPDX-License-Identifier: Apache-2.0 */
/* What only a directory store has: two ways of opening a path, direct writes, kill -9. */
#include "unit.h"

#include "base/scope.h"
#include "store/beneath.h"
#include "store/store.h"
#include "store/write_behind.h"
#include "temp_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

struct fixture {
    char outside[TEMP_DIR_MAX]; /* beside the store, with a secret in it */
    char dir[TEMP_DIR_MAX];
    struct store *store;
};

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

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    *state = f;
    temp_dir_make(f->outside);
    temp_dir_make(f->dir);
    write_file(f->outside, "secret", "secret");
    return store_open(f->dir, &f->store, NULL);
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    store_close(f->store);
    temp_dir_remove(f->dir);
    temp_dir_remove(f->outside);
    free(f);
    return 0;
}

static void beneath__both_ways_agree(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(store_mkdir(f->store, "a/b", NULL), 0);
    assert_int_equal(store_put_new(f->store, "a/b/file", "x", 1, NULL), 0);
    link_to("b", f->dir, "a/link");
    link_to("b/file", f->dir, "a/filelink");
    scope_fd int root = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(root >= 0);
    static const struct {
        const char *path;
        int flags;
        int expected; /* 0: opens */
    } cases[] = {
        {"a", O_RDONLY | O_DIRECTORY, 0},
        {"a/b/file", O_RDONLY, 0},
        {"a/b/file", O_PATH | O_NOFOLLOW, 0},
        {"a/none", O_RDONLY, -ENOENT},
        {"none/x", O_RDONLY, -ENOENT},
        {"a/b/file/x", O_RDONLY, -ENOTDIR},
        {"a/b/file", O_RDONLY | O_DIRECTORY, -ENOTDIR},
        {"a/link", O_RDONLY | O_DIRECTORY, -ELOOP},
        {"a/link/file", O_RDONLY, -ELOOP},
        {"a/filelink", O_RDONLY, -ELOOP},
        {"a/filelink", O_PATH | O_NOFOLLOW, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int (*const ways[])(int, const char *, int) = {beneath_open, beneath_open_walking,
                                                       beneath_open_at_once};
        for (int way = 0; way < 3; way++) {
            int fd = ways[way](root, cases[i].path, cases[i].flags);
            if (way == 2 && (fd == -ENOSYS || fd == -EPERM))
                continue; /* no openat2 here */
            if (fd >= 0)
                close(fd);
            assert_int_equal(fd < 0 ? fd : 0, cases[i].expected);
        }
    }
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

static void store_dir__writes_where_direct_io_is_refused(void **state)
{
    char dir[] = "/dev/shm/fkv-test-XXXXXX";
    struct store *store = NULL;
    if (!mkdtemp(dir))
        skip();
    assert_int_equal(store_open(dir, &store, NULL), 0);
    write_and_compare(store, "big", WRITE_BEHIND_LEN + 4097);
    store_close(store);
    temp_dir_remove(dir);
}

/* Reads that direct I/O refuses are made through the page cache, on file systems with and without it. */
static void read_and_compare(const char *dir)
{
    enum { LEN = 3 * STORE_DIRECT_ALIGN + 100 };
    struct store *store = NULL;
    struct store_reader *reader = NULL;
    scope_free uint8_t *bytes = aligned_alloc(STORE_DIRECT_ALIGN, 4 * STORE_DIRECT_ALIGN);
    size_t n = 0;
    assert_int_equal(store_open(dir, &store, NULL), 0);
    for (size_t i = 0; i < LEN; i++)
        bytes[i] = byte_at(i);
    assert_int_equal(store_put(store, "x", bytes, LEN, NULL), 0);
    assert_int_equal(store_reader_open(store, "x", &reader, NULL), 0);
    store_reader_direct(reader);
    static const struct {
        size_t off, len, at;
    } reads[] = {{0, 4 * STORE_DIRECT_ALIGN, 0},
                 {STORE_DIRECT_ALIGN, STORE_DIRECT_ALIGN, 0},
                 {STORE_DIRECT_ALIGN, 10, 0},
                 {7, 2 * STORE_DIRECT_ALIGN, 3},
                 {0, STORE_DIRECT_ALIGN, 0}};
    for (size_t i = 0; i < sizeof reads / sizeof *reads; i++) {
        size_t left = LEN - reads[i].off;
        memset(bytes, 0, 4 * STORE_DIRECT_ALIGN);
        assert_int_equal(
            store_reader_read(reader, reads[i].off, bytes + reads[i].at, reads[i].len, &n, NULL),
            0);
        assert_int_equal(n, reads[i].len < left ? reads[i].len : left);
        for (size_t k = 0; k < n; k++)
            assert_int_equal(bytes[reads[i].at + k], byte_at(reads[i].off + k));
    }
    store_reader_close(reader);
    store_close(store);
}

static void store_dir__reads_directly_what_is_aligned(void **state)
{
    struct fixture *f = *state;
    char dir[] = "/dev/shm/fkv-test-XXXXXX";
    read_and_compare(f->dir);
    if (!mkdtemp(dir))
        skip();
    read_and_compare(dir);
    temp_dir_remove(dir);
}

static void write_behind__goes_on_after_a_flush(void **state)
{
    struct fixture *f = *state;
    struct write_behind *writer = NULL;
    char path[PATH_MAX];
    path_at(path, f->dir, "file");
    scope_fd int fd = open(path, O_RDWR | O_CREAT, 0600);
    assert_int_equal(write_behind_new(fd, &writer), 0);
    size_t total = 0;
    static const size_t pieces[] = {5, 4091, WRITE_BEHIND_LEN, 3, WRITE_BEHIND_LEN + 1, 9};
    scope_free uint8_t *bytes = malloc(3 * WRITE_BEHIND_LEN);
    for (size_t i = 0; i < 3 * WRITE_BEHIND_LEN; i++)
        bytes[i] = byte_at(i);
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        assert_int_equal(write_behind_append(writer, bytes + total, pieces[i]), 0);
        assert_int_equal(write_behind_flush(writer), 0);
        total += pieces[i];
    }
    write_behind_free(writer);
    scope_free uint8_t *back = malloc(total + 1);
    assert_int_equal(pread(fd, back, total + 1, 0), total);
    assert_memory_equal(back, bytes, total);
}

static void write_behind__a_failed_write_is_not_forgotten(void **state)
{
    struct write_behind *writer = NULL;
    scope_fd int fd = open("/dev/full", O_WRONLY);
    if (fd < 0)
        skip();
    scope_free uint8_t *bytes = calloc(1, WRITE_BEHIND_LEN);
    assert_int_equal(write_behind_new(fd, &writer), 0);
    int ret = write_behind_append(writer, bytes, WRITE_BEHIND_LEN);
    assert_true(ret == 0 || ret == -ENOSPC); /* the helper may or may not be done */
    assert_int_equal(write_behind_flush(writer), -ENOSPC);
    assert_int_equal(write_behind_flush(writer), -ENOSPC);
    write_behind_free(writer);
    assert_int_equal(write_behind_new(fd, &writer), 0);
    assert_int_equal(write_behind_append(writer, bytes, 10), 0);
    assert_int_equal(write_behind_flush(writer), -ENOSPC);
    write_behind_free(writer);
}

/* Puts the same name over and over until killed; tells when the first put is done. */
static void put_for_ever(const char *dir, int done)
{
    struct store *store = NULL;
    char text[20000];
    if (store_open(dir, &store, NULL))
        _exit(1);
    for (char c = 'a';; c = c == 'z' ? 'a' : (char)(c + 1)) {
        memset(text, c, sizeof text);
        if (store_put(store, "k/beat", text, sizeof text, NULL))
            _exit(1);
        if (done >= 0 && write(done, "", 1) != 1)
            _exit(1);
        done = -1;
    }
}

static void store_dir__a_killed_writer_leaves_whole_files(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(store_mkdir(f->store, "k", NULL), 0);
    for (int round = 0; round < 10; round++) {
        char byte = 0;
        int done[2];
        assert_int_equal(pipe(done), 0);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0)
            put_for_ever(f->dir, done[1]);
        close(done[1]);
        /* However slow the machine is, it is killed while it puts, not while it starts. */
        assert_int_equal(read(done[0], &byte, 1), 1);
        close(done[0]);
        usleep(3000 + (useconds_t)round * 1777);
        kill(pid, SIGKILL);
        int status = 0;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        struct buf buf = {0};
        int ret = store_get(f->store, "k/beat", 100000, &buf, NULL);
        assert_int_equal(ret, 0);
        assert_int_equal(buf.len, 20000);
        for (size_t i = 1; i < buf.len; i++)
            assert_int_equal(buf.data[i], buf.data[0]);
        buf_release(&buf);
    }
    struct store_list list = {0};
    assert_int_equal(store_list(f->store, "k", &list, NULL), 0);
    for (size_t i = 0; i < list.n_names; i++)
        assert_true(strcmp(list.names[i], "beat") == 0 || store_is_temporary(list.names[i]));
    store_list_release(&list);
}

#define IN_DIR(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_DIR(beneath__both_ways_agree),
        cmocka_unit_test(store_dir__writes_where_direct_io_is_refused),
        IN_DIR(store_dir__reads_directly_what_is_aligned),
        IN_DIR(write_behind__goes_on_after_a_flush),
        cmocka_unit_test(write_behind__a_failed_write_is_not_forgotten),
        IN_DIR(store_dir__a_killed_writer_leaves_whole_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
