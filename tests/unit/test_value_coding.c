/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "base/hash.h"
#include "builder/value_coding.h"

#include <stdlib.h>

enum { SHORT_LEN = 64, LONG_LEN = 1 << 20 };

static void add(struct value_sample *sample, uint64_t i, const uint8_t *value, size_t len)
{
    struct part_entry entry = {
        .hash = hash_u64(i, 1), .key = i, .value = value, .value_len = (uint32_t)len};
    assert_int_equal(value_sample_add(sample, &entry, i), 0);
}

static struct value_coding choose(struct value_sample *sample, uint64_t n, uint64_t len)
{
    struct job job = {.compress = COMPRESS_AUTO};
    struct schema schema = {.kind = KIND_BLK, .n_shards = 1};
    struct value_totals totals = {.n_values = n, .len = len, .n_shards = 1};
    struct value_coding coding = {0};
    assert_int_equal(value_coding_choose(&job, &schema, sample, &totals, &coding, NULL), 0);
    value_sample_release(sample);
    return coding;
}

static void value_coding__a_few_bytes_are_left_alone(void **state)
{
    for (uint64_t n = 1; n <= 20; n++) {
        struct value_sample sample = {0};
        for (uint64_t i = 0; i < n; i++)
            add(&sample, i, (const uint8_t *)"v", 1);
        struct value_coding coding = choose(&sample, n, n);
        assert_int_equal(coding.compression, COMPRESSION_NONE);
        value_coding_release(&coding);
    }
}

/* Whichever of them it is that is not empty. */
static void value_coding__values_that_are_mostly_empty(void **state)
{
    uint8_t value[34] = {1, 2, 3};
    for (uint64_t full = 0; full < 200; full += 7) {
        struct value_sample sample = {0};
        for (uint64_t i = 0; i < 200; i++)
            add(&sample, i, value, i == full ? sizeof value : 0);
        struct value_coding coding = choose(&sample, 200, sizeof value);
        assert_int_equal(coding.compression, COMPRESSION_NONE);
        value_coding_release(&coding);
    }
}

/* Short values that shrink well are nothing beside one long that does not. */
static void value_coding__values_count_by_their_whole_length(void **state)
{
    for (int has_long = 0; has_long < 2; has_long++) {
        struct value_sample sample = {0};
        uint8_t *noise = malloc(LONG_LEN);
        uint8_t same[SHORT_LEN] = {0};
        uint64_t len = 0;
        for (size_t i = 0; i < LONG_LEN; i++)
            noise[i] = (uint8_t)(hash_u64(i, 1) >> 24);
        for (uint64_t i = 0; i < 2000; i++, len += SHORT_LEN)
            add(&sample, i, same, SHORT_LEN);
        if (has_long)
            add(&sample, 2000, noise, LONG_LEN);
        struct value_coding coding = choose(&sample, 2001, len + (has_long ? LONG_LEN : 0));
        assert_int_equal(coding.compression, has_long ? COMPRESSION_NONE : COMPRESSION_ZSTD);
        assert_true(has_long == (coding.ratio_tried > 0.85));
        value_coding_release(&coding);
        free(noise);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(value_coding__a_few_bytes_are_left_alone),
        cmocka_unit_test(value_coding__values_that_are_mostly_empty),
        cmocka_unit_test(value_coding__values_count_by_their_whole_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
