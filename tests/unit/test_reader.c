/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "failing_malloc.h"
#include "io/reader.h"
#include "io/reader_faulty.h"
#include "io/reader_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = READER_PAGE, PAGES = 300, POOL_PAGES = 64, DEPTH = 32 };

static const int64_t FOREVER = INT64_MAX;

static uint8_t byte_at(uint64_t off)
{
    return (uint8_t)((off >> 12) * 31 + off % 251);
}

static void check_page(const uint8_t *buf, uint64_t off, size_t len)
{
    for (size_t i = 0; i < len; i += 61)
        assert_int_equal(buf[i], byte_at(off + i));
}

static void make_file(const char *dir, size_t len, char path[64])
{
    snprintf(path, 64, "%s/fkv-reader-XXXXXX", dir);
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    uint8_t *bytes = malloc(len + 1);
    for (size_t i = 0; i < len; i++)
        bytes[i] = byte_at(i);
    assert_int_equal(write(fd, bytes, len), (ssize_t)len);
    free(bytes);
    close(fd);
}

/* A file of PAGES pages, opened; its name is gone. */
static struct reader_file open_file(const char *dir)
{
    char path[64];
    struct err err = {0};
    struct reader_file file = {.fd = -1};
    make_file(dir, PAGES * PAGE, path);
    int ret = reader_file_open(path, &file, &err);
    unlink(path);
    assert_int_equal(ret, 0);
    assert_int_equal(file.len, PAGES * PAGE);
    return file;
}

typedef int (*new_fn)(const struct reader_params *params, struct reader **out, struct err *err);

/* Where io_uring is forbidden, its tests have nothing to say. */
static bool has_uring(void)
{
    struct reader_params params = {.depth = 1};
    struct reader *reader = NULL;
    if (reader_uring_new(&params, &reader, NULL))
        return false;
    reader_free(reader);
    return true;
}

static uint8_t *pages_alloc(size_t n)
{
    uint8_t *pages = aligned_alloc(PAGE, n * PAGE);
    assert_non_null(pages);
    memset(pages, 0xEE, n * PAGE);
    return pages;
}

static void for_each_kind(void (*check)(new_fn new_reader))
{
    check(reader_plain_new);
    if (has_uring())
        check(reader_uring_new);
}

static struct reader *open_reader(new_fn new_reader, unsigned depth)
{
    struct reader_params params = {.depth = depth};
    struct reader *reader = NULL;
    assert_int_equal(new_reader(&params, &reader, NULL), 0);
    return reader;
}

static uint32_t add(struct reader *reader, const struct reader_file *file)
{
    uint32_t index = 99;
    assert_int_equal(reader_add_file(reader, file, &index, NULL), 0);
    return index;
}

/* Reads in random order with all slots busy, half of the buffers in the pool. */
static void read_many(new_fn new_reader, const char *dir)
{
    struct reader_file file = open_file(dir);
    uint8_t *pool = pages_alloc(POOL_PAGES);
    uint8_t *other = pages_alloc(POOL_PAGES);
    struct reader_params params = {
        .depth = DEPTH, .pool = pool, .pool_len = (size_t)POOL_PAGES * PAGE};
    struct reader *reader = NULL;
    assert_int_equal(new_reader(&params, &reader, NULL), 0);
    uint32_t index = add(reader, &file);
    uint64_t offs[1000];
    uint8_t *bufs[1000];
    uint8_t *spare[DEPTH];
    for (int i = 0; i < DEPTH; i++)
        spare[i] = (i % 2 ? pool : other) + (size_t)i * 2 * PAGE;
    unsigned n_spare = DEPTH;
    unsigned n_queued = 0;
    unsigned n_back = 0;
    while (n_back < 1000) {
        while (n_queued < 1000 && n_spare) {
            uint32_t len = (1 + n_queued % 2) * PAGE;
            bufs[n_queued] = spare[--n_spare];
            offs[n_queued] = (uint64_t)(n_queued * 7919 % (PAGES - 1)) * PAGE;
            struct reader_read read = {index, len, offs[n_queued], bufs[n_queued], n_queued};
            assert_int_equal(reader_queue(reader, &read), 0);
            n_queued++;
        }
        struct reader_done done[DEPTH];
        unsigned n = 0;
        assert_int_equal(reader_wait(reader, 5, FOREVER, done, DEPTH, &n), 0);
        assert_true(n >= 5 || n_back + n == 1000);
        for (unsigned i = 0; i < n; i++) {
            uint64_t tag = done[i].tag;
            assert_int_equal(done[i].result, 0);
            check_page(bufs[tag], offs[tag], (1 + tag % 2) * PAGE);
            spare[n_spare++] = bufs[tag];
        }
        n_back += n;
        assert_int_equal(reader_n_busy(reader), n_queued - n_back);
    }
    assert_int_equal(reader_remove_file(reader, index), 0);
    reader_free(reader);
    close(file.fd);
    free(pool);
    free(other);
}

static void check_many(new_fn new_reader)
{
    read_many(new_reader, "/tmp");
    read_many(new_reader, "/dev/shm"); /* a file system that may have no direct reads */
}

static void reader__reads_come_back_once_with_their_tags(void **state)
{
    for_each_kind(check_many);
}

static void check_refusals(new_fn new_reader)
{
    struct reader_file file = open_file("/tmp");
    struct reader *reader = open_reader(new_reader, 2);
    uint8_t *buf = pages_alloc(3);
    uint32_t index = add(reader, &file);
    const uint64_t end = (uint64_t)PAGES * PAGE;
    const struct reader_read bad[] = {
        {index, 0, 0, buf, 0},
        {index, 100, 0, buf, 0},
        {index, PAGE, 100, buf, 0},
        {index, PAGE, 0, buf + 512, 0},
        {index, PAGE, 0, NULL, 0},
        {index + 1, PAGE, 0, buf, 0},
        {index, PAGE, end, buf, 0},
        {index, 2 * PAGE, end - PAGE, buf, 0},
        {index, PAGE, ~0xFFFULL, buf, 0},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(reader_queue(reader, &bad[i]), -EINVAL);
    assert_int_equal(reader_n_busy(reader), 0);

    struct reader_read good = {index, PAGE, end - PAGE, buf, 7};
    assert_int_equal(reader_queue(reader, &good), 0);
    good.buf = buf + PAGE;
    assert_int_equal(reader_queue(reader, &good), 0);
    good.buf = buf + 2 * PAGE;
    assert_int_equal(reader_queue(reader, &good), -EAGAIN);
    assert_int_equal(reader_remove_file(reader, index), -EBUSY);
    reader_submit(reader);
    struct reader_done done[2];
    unsigned n = 0;
    assert_int_equal(reader_wait(reader, 9, FOREVER, done, 2, &n), 0);
    assert_int_equal(n, 2);
    assert_int_equal(reader_remove_file(reader, index), 0);
    assert_int_equal(reader_remove_file(reader, index), -EINVAL);
    assert_int_equal(reader_remove_file(reader, 77), -EINVAL);
    assert_int_equal(reader_queue(reader, &good), -EINVAL);
    reader_free(reader);
    close(file.fd);
    free(buf);
}

static void reader__what_is_not_whole_pages_of_a_known_file_is_refused(void **state)
{
    for_each_kind(check_refusals);
}

static void check_depths(new_fn new_reader)
{
    struct reader *reader = NULL;
    struct err err = {0};
    struct reader_params params = {.depth = 0};
    assert_int_equal(new_reader(&params, &reader, &err), -EINVAL);
    params.depth = READER_DEPTH_MAX + 1;
    assert_int_equal(new_reader(&params, &reader, &err), -EINVAL);
    assert_null(reader);
    assert_non_null(strstr(err.text, "depth"));
    params.depth = READER_DEPTH_MAX;
    assert_int_equal(new_reader(&params, &reader, &err), 0);
    reader_free(reader);
}

static void reader__depths_beyond_the_limits_are_refused(void **state)
{
    for_each_kind(check_depths);
    check_depths(reader_new);
    reader_free(NULL);
}

static void check_nothing(new_fn new_reader)
{
    struct reader *reader = open_reader(new_reader, 4);
    struct reader_done done;
    unsigned n = 9;
    assert_int_equal(reader_wait(reader, 1, FOREVER, &done, 1, &n), 0);
    assert_int_equal(n, 0);
    n = 9;
    assert_int_equal(reader_wait(reader, 0, 0, &done, 1, &n), 0);
    assert_int_equal(n, 0);
    reader_cancel(reader);
    reader_free(reader);
}

static void reader__waiting_for_nothing_returns_at_once(void **state)
{
    for_each_kind(check_nothing);
}

/* The file was cut after it was registered. */
static void check_cut(new_fn new_reader)
{
    char path[64];
    struct reader_file file = {.fd = -1};
    make_file("/tmp", 4 * PAGE, path);
    assert_int_equal(reader_file_open(path, &file, NULL), 0);
    assert_int_equal(truncate(path, PAGE + 100), 0);
    unlink(path);
    struct reader *reader = open_reader(new_reader, 4);
    uint8_t *buf = pages_alloc(8);
    uint32_t index = add(reader, &file);
    for (uint64_t i = 0; i < 3; i++) {
        struct reader_read read = {index, (uint32_t)(2 - i % 2) * PAGE, i * PAGE,
                                   buf + i * 2 * PAGE, i};
        assert_int_equal(reader_queue(reader, &read), 0);
    }
    struct reader_read last = {index, PAGE, 0, buf + 6 * PAGE, 3};
    assert_int_equal(reader_queue(reader, &last), 0);
    struct reader_done done[4];
    unsigned n = 0;
    assert_int_equal(reader_wait(reader, 4, FOREVER, done, 4, &n), 0);
    assert_int_equal(n, 4);
    for (unsigned i = 0; i < 4; i++) {
        if (done[i].tag == 3)
            assert_int_equal(done[i].result, 0);
        else
            assert_true(done[i].result == -ENODATA || done[i].result == -EIO);
    }
    check_page(buf + 6 * PAGE, 0, PAGE);
    reader_free(reader);
    close(file.fd);
    free(buf);
}

static void reader__a_file_that_became_shorter_is_an_error_of_the_read(void **state)
{
    for_each_kind(check_cut);
}

/* A descriptor that cannot be read: a bad file among good ones hurts its own reads only. */
static void check_bad_descriptor(new_fn new_reader)
{
    struct reader_file good = open_file("/tmp");
    struct reader_file bad = {.fd = open("/tmp", O_PATH | O_DIRECTORY), .len = 8 * PAGE};
    struct reader_file unreadable = {.fd = open("/dev/null", O_WRONLY), .len = 8 * PAGE};
    struct reader_file none = {.fd = -1, .len = PAGE};
    struct reader *reader = open_reader(new_reader, 30);
    uint32_t good_index = add(reader, &good);
    uint32_t bad_index = 0;
    assert_int_equal(reader_add_file(reader, &none, &bad_index, NULL), -EINVAL);
    /* Registered or not: O_PATH descriptors may be refused at once. */
    if (reader_add_file(reader, &bad, &bad_index, NULL))
        assert_int_equal(reader_remove_file(reader, 1), -EINVAL);
    bad_index = add(reader, &unreadable);
    uint8_t *buf = pages_alloc(30);
    for (uint64_t i = 0; i < 30; i++) {
        struct reader_read read = {i % 2 ? bad_index : good_index, PAGE, i / 4 * PAGE,
                                   buf + i * PAGE, i};
        assert_int_equal(reader_queue(reader, &read), 0);
    }
    struct reader_done done[30];
    unsigned n = 0;
    assert_int_equal(reader_wait(reader, 30, FOREVER, done, 30, &n), 0);
    assert_int_equal(n, 30);
    for (unsigned i = 0; i < 30; i++) {
        uint64_t tag = done[i].tag;
        assert_int_equal(done[i].result, tag % 2 ? -EBADF : 0);
        if (tag % 2 == 0)
            check_page(buf + tag * PAGE, tag / 4 * PAGE, PAGE);
    }
    reader_free(reader);
    close(good.fd);
    close(bad.fd);
    close(unreadable.fd);
    free(buf);
}

static void reader__errors_are_of_single_reads(void **state)
{
    for_each_kind(check_bad_descriptor);
}

static void check_many_files(new_fn new_reader)
{
    struct reader_file file = open_file("/tmp");
    struct reader *reader = open_reader(new_reader, 4);
    /* More than are registered. */
    for (uint32_t i = 0; i < 1100; i++)
        assert_int_equal(add(reader, &file), i);
    assert_int_equal(reader_remove_file(reader, 17), 0);
    assert_int_equal(reader_remove_file(reader, 1050), 0);
    assert_int_equal(add(reader, &file), 17);
    uint8_t *buf = pages_alloc(4);
    const uint32_t indexes[] = {0, 17, 1023, 1099};
    for (uint64_t i = 0; i < 4; i++) {
        struct reader_read read = {indexes[i], PAGE, i * PAGE, buf + i * PAGE, i};
        assert_int_equal(reader_queue(reader, &read), 0);
    }
    struct reader_read removed = {1050, PAGE, 0, buf, 4};
    assert_int_equal(reader_queue(reader, &removed), -EINVAL);
    struct reader_done done[4];
    unsigned n = 0;
    assert_int_equal(reader_wait(reader, 4, FOREVER, done, 4, &n), 0);
    assert_int_equal(n, 4);
    for (uint64_t i = 0; i < 4; i++) {
        assert_int_equal(done[i].result, 0);
        check_page(buf + i * PAGE, i * PAGE, PAGE);
    }
    reader_free(reader);
    close(file.fd);
    free(buf);
}

static void reader__thousands_of_files_are_no_matter(void **state)
{
    for_each_kind(check_many_files);
}

/* A pipe is a disk that answers when the test says so. */
struct slow_disk {
    struct reader *reader;
    struct reader_file file;
    int peer;
    uint32_t index;
    uint8_t *buf;
};

static void slow_disk_open(struct slow_disk *disk, unsigned depth)
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    *disk = (struct slow_disk){.file = {.fd = fds[0], .len = 1 << 20}, .peer = fds[1]};
    disk->reader = open_reader(reader_uring_new, depth);
    disk->index = add(disk->reader, &disk->file);
    disk->buf = pages_alloc(depth * 2);
}

static void slow_disk_close(struct slow_disk *disk)
{
    reader_free(disk->reader);
    close(disk->file.fd);
    close(disk->peer);
    free(disk->buf);
}

static void slow_disk_queue(struct slow_disk *disk, uint64_t tag, uint32_t len)
{
    struct reader_read read = {disk->index, len, 0, disk->buf + tag * PAGE, tag};
    assert_int_equal(reader_queue(disk->reader, &read), 0);
}

static void reader__a_deadline_ends_the_wait_and_not_the_read(void **state)
{
    if (!has_uring())
        skip();
    struct slow_disk disk;
    slow_disk_open(&disk, 4);
    slow_disk_queue(&disk, 0, PAGE);
    struct reader_done done[4];
    unsigned n = 9;
    int64_t start_ns = reader_now_ns();
    assert_int_equal(reader_wait(disk.reader, 1, start_ns + 20000000, done, 4, &n), 0);
    assert_int_equal(n, 0);
    assert_true(reader_now_ns() - start_ns >= 20000000);
    assert_int_equal(reader_wait(disk.reader, 1, INT64_MIN, done, 4, &n), 0);
    assert_int_equal(n, 0);
    assert_int_equal(reader_n_busy(disk.reader), 1);
    uint8_t page[PAGE];
    memset(page, 0x55, PAGE);
    assert_int_equal(write(disk.peer, page, PAGE), PAGE);
    assert_int_equal(reader_wait(disk.reader, 1, FOREVER, done, 4, &n), 0);
    assert_int_equal(n, 1);
    assert_int_equal(done[0].result, 0);
    assert_memory_equal(disk.buf, page, PAGE);
    slow_disk_close(&disk);
}

static void reader__short_reads_are_gone_on_with(void **state)
{
    if (!has_uring())
        skip();
    struct slow_disk disk;
    slow_disk_open(&disk, 4);
    slow_disk_queue(&disk, 0, 2 * PAGE);
    struct reader_done done;
    unsigned n = 9;
    uint8_t bytes[2 * PAGE];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = byte_at(i);
    const size_t cuts[] = {0, 100, PAGE, PAGE + 1, 2 * PAGE};
    for (int i = 1; i < 5; i++) {
        assert_int_equal(write(disk.peer, bytes + cuts[i - 1], cuts[i] - cuts[i - 1]),
                         (ssize_t)(cuts[i] - cuts[i - 1]));
        int64_t deadline_ns = i < 4 ? reader_now_ns() + 5000000 : FOREVER;
        assert_int_equal(reader_wait(disk.reader, 1, deadline_ns, &done, 1, &n), 0);
        assert_int_equal(n, i == 4);
    }
    assert_int_equal(done.result, 0);
    assert_memory_equal(disk.buf, bytes, sizeof bytes);
    /* The other end goes away in the middle of a read. */
    slow_disk_queue(&disk, 0, PAGE);
    assert_int_equal(write(disk.peer, bytes, 10), 10);
    assert_int_equal(close(disk.peer), 0);
    disk.peer = -1;
    assert_int_equal(reader_wait(disk.reader, 1, FOREVER, &done, 1, &n), 0);
    assert_int_equal(n, 1);
    assert_int_equal(done.result, -ENODATA);
    slow_disk_close(&disk);
}

static void reader__no_buffer_is_written_to_after_a_cancel(void **state)
{
    if (!has_uring())
        skip();
    for (unsigned depth = 1; depth <= 64; depth = depth * 3 + 1) {
        struct slow_disk disk;
        slow_disk_open(&disk, depth);
        for (unsigned i = 0; i < depth; i++)
            slow_disk_queue(&disk, i, PAGE);
        struct reader_done done[64];
        unsigned n = 9;
        if (depth > 1) /* some in flight, some not handed over */
            assert_int_equal(reader_wait(disk.reader, 0, 0, done, 64, &n), 0);
        reader_cancel(disk.reader);
        assert_int_equal(reader_n_busy(disk.reader), 0);
        uint8_t page[PAGE];
        memset(page, 0x55, PAGE);
        assert_int_equal(write(disk.peer, page, PAGE), PAGE);
        assert_int_equal(reader_wait(disk.reader, 1, FOREVER, done, 64, &n), 0);
        assert_int_equal(n, 0);
        for (size_t i = 0; i < (size_t)depth * PAGE; i++)
            assert_int_equal(disk.buf[i], 0xEE);
        /* The reader is as good as new. */
        slow_disk_queue(&disk, 0, PAGE);
        assert_int_equal(reader_wait(disk.reader, 1, FOREVER, done, 64, &n), 0);
        assert_int_equal(n, 1);
        assert_int_equal(done[0].result, 0);
        assert_int_equal(disk.buf[0], 0x55);
        /* A read that never ends does not keep it from being freed. */
        slow_disk_queue(&disk, 0, PAGE);
        reader_submit(disk.reader);
        slow_disk_close(&disk);
    }
}

/* The descriptor of the only ring there is. */
static int ring_fd(void)
{
    for (int fd = 3; fd < 256; fd++) {
        char name[64];
        char target[64] = "";
        snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
        ssize_t len = readlink(name, target, sizeof target - 1);
        if (len > 0 && strstr(target, "io_uring"))
            return fd;
    }
    return -1;
}

/* Reads that the kernel never took are not waited for. */
static void reader__a_ring_that_broke_can_be_cancelled_and_freed(void **state)
{
    enum { N = 20 };
    if (!has_uring())
        skip();
    struct reader_file file = open_file("/tmp");
    struct reader *reader = open_reader(reader_uring_new, DEPTH);
    uint32_t index = add(reader, &file);
    uint8_t *buf = pages_alloc(N);
    struct reader_done done[N];
    unsigned n = 0;
    int null = open("/dev/null", O_RDONLY);
    int fd = ring_fd();
    assert_true(fd >= 0);
    for (uint64_t i = 0; i < N; i++) {
        struct reader_read read = {index, PAGE, i * PAGE, buf + i * PAGE, i};
        assert_int_equal(reader_queue(reader, &read), 0);
    }
    assert_int_equal(dup2(null, fd), fd);
    assert_true(reader_wait(reader, 1, FOREVER, done, N, &n) < 0);
    assert_int_equal(reader_n_busy(reader), N);
    reader_cancel(reader);
    assert_int_equal(reader_n_busy(reader), 0);
    reader_free(reader);
    close(null);
    close(file.fd);
    free(buf);
}

static void check_cancel(new_fn new_reader)
{
    struct reader_file file = open_file("/tmp");
    struct reader *reader = open_reader(new_reader, DEPTH);
    uint32_t index = add(reader, &file);
    uint8_t *buf = pages_alloc(DEPTH);
    for (int round = 0; round < 20; round++) {
        for (uint64_t i = 0; i < DEPTH; i++) {
            struct reader_read read = {index, PAGE, i * PAGE, buf + i * PAGE, i};
            assert_int_equal(reader_queue(reader, &read), 0);
        }
        struct reader_done done[DEPTH];
        unsigned n = 0;
        if (round % 2)
            assert_int_equal(reader_wait(reader, 3, FOREVER, done, DEPTH / 2, &n), 0);
        reader_cancel(reader);
        memset(buf, 0xEE, DEPTH * PAGE);
        assert_int_equal(reader_n_busy(reader), 0);
        assert_int_equal(reader_wait(reader, 1, FOREVER, done, DEPTH, &n), 0);
        assert_int_equal(n, 0);
        for (size_t i = 0; i < DEPTH * PAGE; i += 64)
            assert_int_equal(buf[i], 0xEE);
    }
    assert_int_equal(reader_remove_file(reader, index), 0);
    reader_free(reader);
    close(file.fd);
    free(buf);
}

static void reader__cancelled_reads_never_come_back(void **state)
{
    for_each_kind(check_cancel);
}

static void reader__a_step_knows_what_the_kernel_may_answer(void **state)
{
    struct reader_slot slot = {.read = {.len = 4 * PAGE}};
    int result = 1;
    /* Buffered: any byte counts. */
    assert_int_equal(reader_advance(&slot, false, 100, &result), READER_AGAIN);
    assert_int_equal(slot.n_read, 100);
    assert_int_equal(reader_advance(&slot, false, 4 * PAGE - 100, &result), READER_FINISHED);
    assert_int_equal(result, 0);
    /* Direct: whole pages count. */
    slot.n_read = 0;
    assert_int_equal(reader_advance(&slot, true, PAGE + 512, &result), READER_AGAIN);
    assert_int_equal(slot.n_read, PAGE);
    assert_int_equal(reader_advance(&slot, true, 0, &result), READER_FINISHED);
    assert_int_equal(result, -ENODATA);
    /* A disk that gets no further, whatever it says, is given up. */
    const int64_t stuck[] = {512, -EINTR, -EAGAIN};
    const int results[] = {-EIO, -EINTR, -EAGAIN};
    for (int i = 0; i < 3; i++) {
        slot = (struct reader_slot){.read = {.len = 4 * PAGE}};
        int n = 1;
        while (reader_advance(&slot, true, stuck[i], &result) == READER_AGAIN)
            assert_true(++n < 100);
        assert_int_equal(n, 16);
        assert_int_equal(result, results[i]);
        assert_int_equal(slot.n_read, 0);
    }
    slot = (struct reader_slot){.read = {.len = PAGE}};
    assert_int_equal(reader_advance(&slot, true, -EIO, &result), READER_FINISHED);
    assert_int_equal(result, -EIO);
    assert_int_equal(reader_advance(&slot, true, PAGE + 1, &result), READER_FINISHED);
    assert_int_equal(result, -EIO);
}

static void reader__files_are_opened_direct_or_buffered(void **state)
{
    char path[64];
    struct reader_file file = {.fd = -1};
    struct err err = {0};
    assert_int_equal(reader_file_open("/tmp/fkv-no-such-file", &file, &err), -ENOENT);
    assert_non_null(strstr(err.text, "/tmp/fkv-no-such-file"));
    assert_true(reader_file_open("/tmp", &file, &err) < 0);
    /* Neither takes direct reads of regular files on all kernels: they are no regular files. */
    assert_int_equal(reader_file_open("/dev/zero", &file, &err), -EINVAL);
    assert_int_equal(file.fd, -1);
    make_file("/tmp", 0, path);
    assert_int_equal(reader_file_open(path, &file, &err), 0);
    assert_int_equal(file.len, 0);
    close(file.fd);
    unlink(path);
    /* /proc has no direct reads on any kernel. */
    assert_int_equal(reader_file_open("/proc/self/status", &file, &err), 0);
    assert_false(file.is_direct);
    assert_int_equal(fcntl(file.fd, F_GETFL) & O_DIRECT, 0);
    close(file.fd);
}

/* What a container's profile does: system call 425 is refused with -error. */
static int forbid_uring(int error)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = 4, .filter = filter};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

/* In a process of its own: 0 when all is as it should be, 77 where seccomp is not to be had. */
static int without_uring(int error)
{
    if (forbid_uring(error))
        return 77;
    struct reader_params params = {.depth = 8};
    struct reader *reader = NULL;
    struct err err = {0};
    if (reader_uring_new(&params, &reader, &err) != -ENOTSUP || reader)
        return 1;
    if (!strstr(err.text, "io_uring"))
        return 2;
    if (reader_new(&params, &reader, &err) || strcmp(reader_name(reader), "plain") != 0)
        return 3;
    reader_free(reader);
    return 0;
}

static void reader__without_io_uring_the_plain_reader_takes_over(void **state)
{
    const int errors[] = {EPERM, ENOSYS, EACCES};
    for (int i = 0; i < 3; i++) {
        pid_t pid = fork();
        if (pid == 0)
            _exit(without_uring(errors[i]));
        int status = 0;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        if (WEXITSTATUS(status) != 77)
            assert_int_equal(WEXITSTATUS(status), 0);
    }
}

static void check_memory(new_fn new_reader)
{
    struct reader_params params = {.depth = 8};
    bool is_done = false;
    for (unsigned nth = 1; nth < 20 && !is_done; nth++) {
        struct reader *reader = NULL;
        failing_malloc_arm(nth);
        int ret = new_reader(&params, &reader, NULL);
        is_done = !failing_malloc_disarm();
        if (is_done)
            assert_int_equal(ret, 0);
        else
            assert_int_equal(ret, -ENOMEM);
        reader_free(reader);
    }
    assert_true(is_done);
}

static void reader__no_memory_is_an_error_and_no_leak(void **state)
{
    for_each_kind(check_memory);
}

/* Each fault at each place: its read fails as said, all others are good. */
static void check_fault(new_fn new_reader, enum reader_fault fault)
{
    struct reader_file file = open_file("/tmp");
    struct reader *reader = NULL;
    assert_int_equal(reader_faulty_new(open_reader(new_reader, 8), 8, &reader, NULL), 0);
    assert_string_equal(reader_name(reader), "faulty");
    uint32_t index = add(reader, &file);
    uint8_t *buf = pages_alloc(16);
    for (unsigned nth = 0; nth <= 8; nth++) {
        struct reader_faults faults = {.fault = fault, .nth = nth, .late_ns = 2000000};
        reader_faulty_set(reader, &faults);
        for (uint64_t i = 0; i < 8; i++) {
            struct reader_read read = {index, 2 * PAGE, i * 3 * PAGE, buf + i * 2 * PAGE, i};
            assert_int_equal(reader_queue(reader, &read), 0);
        }
        struct reader_done done[8];
        unsigned n = 0;
        assert_int_equal(reader_wait(reader, 8, FOREVER, done, 8, &n), 0);
        assert_int_equal(n, 8);
        assert_int_equal(reader_faulty_n_reads(reader), 8);
        for (unsigned i = 0; i < 8; i++) {
            uint64_t tag = done[i].tag;
            bool is_hit = tag + 1 == nth;
            const uint8_t *last = buf + (tag + 1) * 2 * PAGE - 1;
            int expected = !is_hit                 ? 0
                           : fault == READER_FAIL  ? -EIO
                           : fault == READER_SHORT ? -ENODATA
                                                   : 0;
            assert_int_equal(done[i].result, expected);
            bool is_good = expected == 0 && !(is_hit && fault == READER_TORN);
            if (expected == 0)
                assert_int_equal(*last == byte_at((tag * 3 + 2) * PAGE - 1), is_good);
            if (is_good)
                check_page(buf + tag * 2 * PAGE, tag * 3 * PAGE, 2 * PAGE);
        }
    }
    assert_int_equal(reader_remove_file(reader, index), 0);
    reader_free(reader);
    close(file.fd);
    free(buf);
}

static void check_faults(new_fn new_reader)
{
    check_fault(new_reader, READER_FAIL);
    check_fault(new_reader, READER_SHORT);
    check_fault(new_reader, READER_LATE);
    check_fault(new_reader, READER_TORN);
}

static void reader_faulty__the_nth_read_goes_wrong(void **state)
{
    for_each_kind(check_faults);
}

static void check_late(new_fn new_reader)
{
    struct reader_file file = open_file("/tmp");
    struct reader *reader = NULL;
    assert_int_equal(reader_faulty_new(open_reader(new_reader, 4), 4, &reader, NULL), 0);
    uint32_t index = add(reader, &file);
    uint8_t *buf = pages_alloc(2);
    reader_faulty_set(
        reader, &(struct reader_faults){.fault = READER_LATE, .nth = 2, .late_ns = INT64_MAX / 2});
    for (uint64_t i = 0; i < 2; i++) {
        struct reader_read read = {index, PAGE, 0, buf + i * PAGE, i};
        assert_int_equal(reader_queue(reader, &read), 0);
    }
    struct reader_done done[2];
    unsigned n = 0;
    assert_int_equal(reader_wait(reader, 2, reader_now_ns() + 20000000, done, 2, &n), 0);
    if (n == 0) /* a machine so slow that not even the other was done in time */
        assert_int_equal(reader_wait(reader, 1, FOREVER, done, 2, &n), 0);
    assert_int_equal(n, 1);
    assert_int_equal(done[0].tag, 0);
    assert_int_equal(reader_remove_file(reader, index), -EBUSY);
    reader_cancel(reader);
    assert_int_equal(reader_remove_file(reader, index), 0);
    assert_int_equal(buf[PAGE], 0xEE);
    reader_free(reader);
    close(file.fd);
    free(buf);
}

static void reader_faulty__a_late_read_is_cancelled(void **state)
{
    for_each_kind(check_late);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reader__reads_come_back_once_with_their_tags),
        cmocka_unit_test(reader__what_is_not_whole_pages_of_a_known_file_is_refused),
        cmocka_unit_test(reader__depths_beyond_the_limits_are_refused),
        cmocka_unit_test(reader__waiting_for_nothing_returns_at_once),
        cmocka_unit_test(reader__a_file_that_became_shorter_is_an_error_of_the_read),
        cmocka_unit_test(reader__errors_are_of_single_reads),
        cmocka_unit_test(reader__thousands_of_files_are_no_matter),
        cmocka_unit_test(reader__a_deadline_ends_the_wait_and_not_the_read),
        cmocka_unit_test(reader__short_reads_are_gone_on_with),
        cmocka_unit_test(reader__no_buffer_is_written_to_after_a_cancel),
        cmocka_unit_test(reader__a_ring_that_broke_can_be_cancelled_and_freed),
        cmocka_unit_test(reader__cancelled_reads_never_come_back),
        cmocka_unit_test(reader__a_step_knows_what_the_kernel_may_answer),
        cmocka_unit_test(reader__files_are_opened_direct_or_buffered),
        cmocka_unit_test(reader__without_io_uring_the_plain_reader_takes_over),
        cmocka_unit_test(reader__no_memory_is_an_error_and_no_leak),
        cmocka_unit_test(reader_faulty__the_nth_read_goes_wrong),
        cmocka_unit_test(reader_faulty__a_late_read_is_cancelled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
