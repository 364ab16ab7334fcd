/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "base/metrics.h"

#include <string.h>

static void histogram__buckets_tile_the_line(void **state)
{
    uint64_t begin = 0;
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS - 1; i++) {
        uint64_t end = histogram_bucket_end_ns(i);
        assert_true(end > begin);
        assert_int_equal(histogram_bucket(begin), i);
        assert_int_equal(histogram_bucket(end - 1), i);
        begin = end;
    }
    assert_int_equal(begin, 1ull << HISTOGRAM_HIGH_BITS);
    assert_int_equal(histogram_bucket(begin), HISTOGRAM_BUCKETS - 1);
    assert_int_equal(histogram_bucket(UINT64_MAX), HISTOGRAM_BUCKETS - 1);
}

static void histogram__a_quantile_is_known_to_a_quarter(void **state)
{
    static struct histogram histogram;
    assert_int_equal(histogram_quantile_ns(&histogram, 0.5), 0);
    for (uint64_t us = 1; us <= 1000; us++)
        histogram_add(&histogram, us * 1000);
    assert_int_equal(histogram_count(&histogram), 1000);
    uint64_t p50 = histogram_quantile_ns(&histogram, 0.5);
    uint64_t p99 = histogram_quantile_ns(&histogram, 0.99);
    assert_in_range(p50, 500000, 625000);
    assert_in_range(p99, 990000, 1237500);
    histogram_add(&histogram, UINT64_MAX / 2);
    assert_int_equal(histogram_quantile_ns(&histogram, 1.0), 1ull << HISTOGRAM_HIGH_BITS);
}

static void metrics__text_is_prometheus(void **state)
{
    static struct histogram histogram;
    struct buf buf = {0};
    histogram_add(&histogram, 100);
    histogram_add(&histogram, 1000000);
    assert_int_equal(metrics_head(&buf, "fkv_x", "counter", "What it counts."), 0);
    assert_int_equal(metrics_value(&buf, "fkv_x", "table=\"ads\"", 7), 0);
    assert_int_equal(metrics_value(&buf, "fkv_x", "", 8), 0);
    assert_int_equal(buf_add_byte(&buf, 0), 0);
    assert_string_equal(
        (char *)buf.data,
        "# HELP fkv_x What it counts.\n# TYPE fkv_x counter\nfkv_x{table=\"ads\"} 7\nfkv_x 8\n");
    buf_clear(&buf);
    assert_int_equal(metrics_histogram(&buf, "lat", "table=\"ads\"", &histogram), 0);
    assert_int_equal(buf_add_byte(&buf, 0), 0);
    const char *text = (char *)buf.data;
    assert_non_null(strstr(text, "lat_bucket{table=\"ads\",le=\"2.56e-07\"} 1\n"));
    assert_non_null(strstr(text, "lat_bucket{table=\"ads\",le=\"+Inf\"} 2\n"));
    assert_non_null(strstr(text, "lat_count{table=\"ads\"} 2\n"));
    assert_non_null(strstr(text, "lat_sum{table=\"ads\"} 0.0010001\n"));
    buf_release(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(histogram__buckets_tile_the_line),
        cmocka_unit_test(histogram__a_quantile_is_known_to_a_quarter),
        cmocka_unit_test(metrics__text_is_prometheus),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
