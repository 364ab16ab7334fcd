/* SPDX-License-Identifier: Apache-2.0 */
/* A file read by a thread ahead of the reader. */
#include "unit.h"

#include "builder/read_ahead.h"
#include "temp_dir.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_LEN = 5 * READ_AHEAD_LEN + 17 };

static char dir[TEMP_DIR_MAX];
static uint8_t *bytes;
static struct source *source;
static struct read_ahead *ahead;

static int make_file(void **state)
{
    char path[256];
    temp_dir_make(dir);
    snprintf(path, sizeof path, "%s/file", dir);
    bytes = malloc(FILE_LEN);
    for (size_t i = 0; i < FILE_LEN; i++)
        bytes[i] = (uint8_t)(i * 2654435761U >> 13);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, FILE_LEN, file), FILE_LEN);
    fclose(file);
    return source_open(path, &source, NULL);
}

static int remove_file(void **state)
{
    source_close(source);
    free(bytes);
    temp_dir_remove(dir);
    return 0;
}

static void open_at(uint64_t off)
{
    assert_int_equal(read_ahead_open(source, off, &ahead, NULL), 0);
}

/* Reads n bytes, in reads of at most `step`, and compares them with the file's from off on. */
static void assert_reads(uint64_t off, size_t n, size_t step)
{
    uint8_t *data = malloc(step);
    while (n) {
        size_t got = 0;
        assert_int_equal(read_ahead_read(ahead, data, n < step ? n : step, &got, NULL), 0);
        assert_in_range(got, 1, n < step ? n : step);
        assert_memory_equal(data, bytes + off, got);
        off += got;
        n -= got;
    }
    free(data);
}

static void assert_at_end(void)
{
    size_t got = 1;
    uint8_t byte;
    assert_int_equal(read_ahead_read(ahead, &byte, 1, &got, NULL), 0);
    assert_int_equal(got, 0);
}

static void read_ahead__gives_the_file_in_order_and_then_its_end(void **state)
{
    static const size_t steps[] = {4097, READ_AHEAD_LEN, 3 * READ_AHEAD_LEN};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        open_at(1000);
        assert_reads(1000, FILE_LEN - 1000, steps[i]);
        assert_at_end();
        assert_at_end();
        read_ahead_close(ahead);
    }
}

static void read_ahead__jumps_within_a_buffer_behind_it_and_back(void **state)
{
    static const uint64_t places[] = {
        10, 5000, READ_AHEAD_LEN - 1, READ_AHEAD_LEN, 3 * READ_AHEAD_LEN + 5, 7, FILE_LEN - 1, 0};
    open_at(0);
    for (int round = 0; round < 20; round++) {
        for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
            read_ahead_jump(ahead, places[i]);
            assert_reads(places[i], places[i] + 100 < FILE_LEN ? 100 : 1, 64);
        }
        read_ahead_jump(ahead, FILE_LEN);
        assert_at_end();
    }
    read_ahead_close(ahead);
}

static void read_ahead__can_be_closed_at_any_time(void **state)
{
    for (int i = 0; i < 50; i++) {
        open_at((uint64_t)i * 1000);
        if (i % 3)
            assert_reads((uint64_t)i * 1000, 10, 10);
        if (i % 3 == 2)
            read_ahead_jump(ahead, 0);
        read_ahead_close(ahead);
    }
    read_ahead_close(NULL);
}

static void read_ahead__an_error_comes_behind_the_bytes_before_it(void **state)
{
    struct source *memory = NULL;
    struct err err = {0};
    size_t got = 0;
    uint8_t byte;
    /* Address 0 is not mapped: reading there fails. */
    assert_int_equal(source_open("/proc/self/mem", &memory, NULL), 0);
    assert_int_equal(read_ahead_open(memory, 0, &ahead, NULL), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(read_ahead_read(ahead, &byte, 1, &got, &err), -EIO);
        assert_non_null(strstr(err.text, "/proc/self/mem"));
    }
    read_ahead_close(ahead);
    source_close(memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(read_ahead__gives_the_file_in_order_and_then_its_end),
        cmocka_unit_test(read_ahead__jumps_within_a_buffer_behind_it_and_back),
        cmocka_unit_test(read_ahead__can_be_closed_at_any_time),
        cmocka_unit_test(read_ahead__an_error_comes_behind_the_bytes_before_it),
    };
    return cmocka_run_group_tests(tests, make_file, remove_file);
}
