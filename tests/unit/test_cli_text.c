/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "builder/cli/args.h"
#include "builder/cli/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void args__read_numbers_and_percentages(void **state)
{
    uint64_t n = 0;
    double pct = 0;
    assert_int_equal(arg_u64("9223372036854775807", &n), 0);
    assert_int_equal(n, INT64_MAX);
    assert_int_equal(arg_u64("9223372036854775808", &n), -EINVAL);
    assert_int_equal(arg_u64("1x", &n), -EINVAL);
    assert_int_equal(arg_u64("+1", &n), -EINVAL);
    assert_int_equal(arg_u64("", &n), -EINVAL);
    assert_int_equal(arg_percent("12.5%", &pct), 0);
    assert_true(pct == 12.5);
    assert_int_equal(arg_percent("20", &pct), 0);
    assert_int_equal(arg_percent("20%%", &pct), -EINVAL);
    assert_int_equal(arg_percent("-3", &pct), -EINVAL);
}

static void args__cut_pairs_at_the_first_sign(void **state)
{
    struct arg_pair pair;
    char longest[200];
    arg_split_pair("ads=44", &pair);
    assert_string_equal(pair.table, "ads");
    assert_string_equal(pair.rest, "44");
    arg_split_pair("ads", &pair);
    assert_string_equal(pair.table, "ads");
    assert_null(pair.rest);
    arg_split_pair("a=b=c", &pair);
    assert_string_equal(pair.rest, "b=c");
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    arg_split_pair(longest, &pair);
    assert_int_not_equal(table_name_check(pair.table, NULL), 0); /* cut short, but still too long */
}

static const char *size_of(uint64_t n)
{
    static char out[TEXT_MAX];
    text_size(n, out);
    return out;
}

static const char *age_of(double seconds)
{
    static char out[TEXT_MAX];
    text_age((int64_t)(seconds * 1e9), out);
    return out;
}

static void text__says_sizes_counts_and_ages_as_people_do(void **state)
{
    char out[TEXT_MAX];
    assert_string_equal(size_of(0), "0 B");
    assert_string_equal(size_of(1023), "1023 B");
    assert_string_equal(size_of(1536), "1.5 KiB");
    assert_string_equal(size_of((1 << 20) - 1), "1.0 MiB");
    assert_string_equal(size_of(UINT64_MAX), "16.0 EiB");
    text_count(0, out);
    assert_string_equal(out, "0");
    text_count(1234567, out);
    assert_string_equal(out, "1,234,567");
    text_count(UINT64_MAX, out);
    assert_string_equal(out, "18,446,744,073,709,551,615");
    assert_string_equal(age_of(-5), "0.0 s");
    assert_string_equal(age_of(4.2), "4.2 s");
    assert_string_equal(age_of(600), "10 min");
    assert_string_equal(age_of(86400), "24 h");
    assert_string_equal(age_of(864000), "10 d");
    text_rfc3339(1772368205250000000, out);
    assert_string_equal(out, "2026-03-01T12:30:05.250Z");
}

static void grid__lines_columns_up(void **state)
{
    static const char *const headers[] = {"NAME", ">N", "REST", NULL};
    struct grid grid;
    char *text = NULL;
    size_t len = 0;
    FILE *file = open_memstream(&text, &len);
    grid_init(&grid, headers);
    grid_add(&grid, "ünï");
    grid_add(&grid, "%d", 1234);
    grid_add(&grid, "x");
    grid_add(&grid, "b");
    grid_add(&grid, "%d", 7);
    grid_add(&grid, "%s", "");
    grid_print(&grid, file);
    fclose(file);
    assert_string_equal(text, "NAME     N  REST\nünï   1234  x\nb        7  \n");
    assert_null(grid.cells);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(args__read_numbers_and_percentages),
        cmocka_unit_test(args__cut_pairs_at_the_first_sign),
        cmocka_unit_test(text__says_sizes_counts_and_ages_as_people_do),
        cmocka_unit_test(grid__lines_columns_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
