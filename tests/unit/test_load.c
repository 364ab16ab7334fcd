/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "io/load.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CHUNK = 64 << 10 };

/* A file of len bytes in dir, byte i being i * 7 >> 3. The descriptor; the name is gone. */
static int make_file(const char *dir, size_t len)
{
    char path[256];
    snprintf(path, sizeof path, "%s/fkv-load-XXXXXX", dir);
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    unlink(path);
    uint8_t *bytes = malloc(len + 1);
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)(i * 7 >> 3);
    assert_int_equal(write(fd, bytes, len), (ssize_t)len);
    free(bytes);
    return fd;
}

struct seen {
    uint64_t next;
    int fail_at; /* nth chunk, from 1; 0: none */
    int n;
};

static int see(void *context, uint64_t off, const void *data, size_t len, struct err *err)
{
    struct seen *seen = context;
    assert_int_equal(off, seen->next);
    seen->next += len;
    for (size_t i = 0; i < len; i += 501)
        assert_int_equal(((const uint8_t *)data)[i], (uint8_t)((off + i) * 7 >> 3));
    return ++seen->n == seen->fail_at ? err_set(err, -EBADMSG, "chunk %d", seen->n) : 0;
}

static void load_one(const char *dir, size_t len)
{
    struct err err = {0};
    struct memory memory = {0};
    struct seen seen = {0};
    int fd = make_file(dir, len);
    int flags = fcntl(fd, F_GETFL);
    assert_int_equal(load_file(fd, "f", len, CHUNK, see, &seen, &memory, &err), 0);
    assert_int_equal(seen.next, len);
    assert_int_equal(memory.len, len);
    assert_int_equal(memory.mapped, memory_mapped_len(len));
    assert_true(memory.mapped >= len);
    if (len >= 2 << 20)
        assert_int_equal((uintptr_t)memory.data % (2 << 20), 0);
    for (size_t i = 0; i < len; i += 333)
        assert_int_equal(((uint8_t *)memory.data)[i], (uint8_t)(i * 7 >> 3));
    assert_int_equal(fcntl(fd, F_GETFL), flags); /* direct I/O was ours alone */
    close(fd);
    memory_release(&memory);
    assert_null(memory.data);
}

static void load__gives_the_bytes_whatever_the_length_and_file_system(void **state)
{
    static const size_t lens[] = {0,         1,       4095,    4096,          4097,    CHUNK,
                                  CHUNK + 1, 1000000, 2 << 20, (2 << 20) + 1, 5000000, 3 << 21};
    for (size_t i = 0; i < sizeof lens / sizeof *lens; i++) {
        load_one("/var/tmp", lens[i]);
        load_one("/dev/shm", lens[i]); /* tmpfs: direct I/O may be refused */
    }
}

static void load__short_file_is_no_data_and_says_where(void **state)
{
    struct err err = {0};
    struct memory memory = {0};
    int fd = make_file("/var/tmp", 100000);
    assert_int_equal(load_file(fd, "p.part", 200000, CHUNK, NULL, NULL, &memory, &err), -ENODATA);
    assert_non_null(strstr(err.text, "p.part"));
    assert_non_null(strstr(err.text, "ends at 100000"));
    assert_null(memory.data);
    close(fd);
}

static void load__longer_file_gives_its_front(void **state)
{
    struct err err = {0};
    struct memory memory = {0};
    int fd = make_file("/var/tmp", 200000);
    assert_int_equal(load_file(fd, "f", 8192, CHUNK, NULL, NULL, &memory, &err), 0);
    assert_int_equal(memory.len, 8192);
    memory_release(&memory);
    close(fd);
}

static void load__range_gives_the_bytes_from_an_offset_on(void **state)
{
    struct err err = {0};
    struct memory memory = {0};
    const size_t off = CHUNK + 8192;
    struct seen seen = {.next = off};
    int fd = make_file("/var/tmp", 3 * CHUNK + 100);
    size_t len = 2 * CHUNK - 8192 + 100;
    assert_int_equal(load_range(fd, "f", off, len, CHUNK, see, &seen, &memory, &err), 0);
    assert_int_equal(seen.n, 2);
    for (size_t i = 0; i < len; i += 333)
        assert_int_equal(((uint8_t *)memory.data)[i], (uint8_t)((off + i) * 7 >> 3));
    memory_release(&memory);
    assert_int_equal(load_range(fd, "f", off, len + 1, CHUNK, NULL, NULL, &memory, &err), -ENODATA);
    assert_int_equal(load_range(fd, "f", 100, 4096, CHUNK, NULL, NULL, &memory, &err), -EINVAL);
    assert_null(memory.data);
    close(fd);
}

static void load__check_stops_it_with_its_error(void **state)
{
    struct err err = {0};
    struct memory memory = {0};
    struct seen seen = {.fail_at = 2};
    int fd = make_file("/var/tmp", 5 * CHUNK);
    assert_int_equal(load_file(fd, "f", 5 * CHUNK, CHUNK, see, &seen, &memory, &err), -EBADMSG);
    assert_string_equal(err.text, "chunk 2");
    assert_int_equal(seen.n, 2);
    assert_null(memory.data);
    close(fd);
}

static void load__bad_chunk_length_and_bad_descriptor_are_refused(void **state)
{
    struct err err = {0};
    struct memory memory = {0};
    assert_int_equal(load_file(-1, "f", 4096, 100, NULL, NULL, &memory, &err), -EINVAL);
    assert_int_equal(load_file(-1, "f", 4096, 4096, NULL, NULL, &memory, &err), -EBADF);
}

static void memory__impossible_amount_is_no_memory(void **state)
{
    struct err err = {0};
    struct memory memory = {0};
    assert_int_equal(memory_alloc(SIZE_MAX, &memory, &err), -ENOMEM);
    assert_int_equal(memory_alloc((size_t)1 << 60, &memory, &err), -ENOMEM);
    assert_int_equal(memory_alloc_sparse(SIZE_MAX, &memory, &err), -ENOMEM);
    assert_int_equal(memory_alloc_sparse((size_t)1 << 60, &memory, &err), -ENOMEM);
    assert_null(memory.data);
    memory_release(&memory); /* nothing to do */
    memory_release(NULL);
}

static void write_into(const struct memory *memory)
{
    ((volatile uint8_t *)memory->data)[5] = 1;
}

static void memory__protected_one_faults_on_a_write(void **state)
{
    struct memory memory = {0};
    assert_int_equal(memory_alloc(3 << 20, &memory, NULL), 0);
    write_into(&memory);
    assert_int_equal(memory_protect(&memory), 0);
    assert_int_equal(((uint8_t *)memory.data)[5], 1);
    pid_t pid = fork();
    if (pid == 0) {
        signal(SIGSEGV, SIG_DFL);
        write_into(&memory);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    memory_release(&memory);
}

/* How many pages of the file are in the page cache. */
static size_t cached_pages(int fd, size_t len)
{
    unsigned char *in_core = calloc(1, len / 4096 + 1);
    size_t n = 0;
    void *map = mmap(NULL, len, PROT_READ, MAP_SHARED, fd, 0);
    assert_ptr_not_equal(map, MAP_FAILED);
    assert_int_equal(mincore(map, len, in_core), 0);
    for (size_t i = 0; i < len / 4096; i++)
        n += in_core[i] & 1;
    munmap(map, len);
    free(in_core);
    return n;
}

static void load__leaves_the_page_cache_alone(void **state)
{
    struct err err = {0};
    struct memory memory = {0};
    struct statfs fs;
    size_t len = 128 * CHUNK;
    struct seen seen = {0};
    int fd = make_file("/var/tmp", len);
    assert_int_equal(fstatfs(fd, &fs), 0);
    if (fs.f_type == 0x01021994) { /* TMPFS_MAGIC: nothing but page cache */
        close(fd);
        skip();
    }
    assert_int_equal(fsync(fd), 0);
    assert_int_equal(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
    assert_true(cached_pages(fd, len) < len / 4096 / 16);
    assert_int_equal(load_file(fd, "f", len, CHUNK, see, &seen, &memory, &err), 0);
    memory_release(&memory);
    assert_true(cached_pages(fd, len) < len / 4096 / 16);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(load__gives_the_bytes_whatever_the_length_and_file_system),
        cmocka_unit_test(load__short_file_is_no_data_and_says_where),
        cmocka_unit_test(load__longer_file_gives_its_front),
        cmocka_unit_test(load__range_gives_the_bytes_from_an_offset_on),
        cmocka_unit_test(load__check_stops_it_with_its_error),
        cmocka_unit_test(load__bad_chunk_length_and_bad_descriptor_are_refused),
        cmocka_unit_test(memory__impossible_amount_is_no_memory),
        cmocka_unit_test(memory__protected_one_faults_on_a_write),
        cmocka_unit_test(load__leaves_the_page_cache_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
