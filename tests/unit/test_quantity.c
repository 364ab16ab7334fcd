/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "base/quantity.h"

#include <errno.h>

static void quantity__reads_sizes_and_refuses_the_rest(void **state)
{
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {{"0", 0},
                {"17", 17},
                {"1K", 1024},
                {"1k", 1024},
                {"512M", 1 << 29},
                {"1.5G", 3 << 29},
                {"2GiB", 1ULL << 31},
                {"64KB", 65536},
                {"100B", 100},
                {"1T", 1ULL << 40},
                {"0.5K", 512},
                {"9223372036854775807", INT64_MAX}};
    static const char *const bad[] = {
        "",    "K",    "-1",  "1X",  "1KK",   "0x10",     "1e",
        "1 G", "9e30", "nan", "inf", "1GiBs", "8388608T", "9223372036854775808"};
    uint64_t n = 0;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_int_equal(quantity_size(good[i].text, &n), 0);
        assert_int_equal(n, good[i].bytes);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(quantity_size(bad[i], &n), -EINVAL);
}

static void quantity__reads_times_and_refuses_the_rest(void **state)
{
    static const struct {
        const char *text;
        int64_t ns;
    } good[] = {{"0", 0},
                {"30", 30000000000},
                {"30s", 30000000000},
                {"500ms", 500000000},
                {"5m", 300000000000},
                {"2h", 7200000000000},
                {"1.5d", 129600000000000},
                {"1234567890123456789ns", 1234567890123456789},
                {"0.5ms", 500000}};
    static const char *const bad[] = {"", "s", "-1", "1x", "1hh", "soon", "1e300", "9223372037"};
    int64_t ns = 0;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_int_equal(quantity_duration_ns(good[i].text, &ns), 0);
        assert_int_equal(ns, good[i].ns);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(quantity_duration_ns(bad[i], &ns), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quantity__reads_sizes_and_refuses_the_rest),
        cmocka_unit_test(quantity__reads_times_and_refuses_the_rest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
