/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "format/filter.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int order(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static uint64_t *hashes_make(size_t n, uint64_t seed)
{
    uint64_t *hashes = calloc(n + 1, sizeof *hashes);
    for (size_t i = 0; i < n; i++)
        hashes[i] = hash_u64(i, seed);
    qsort(hashes, n, sizeof *hashes, order);
    return hashes;
}

/* Builds, opens, and checks that every hash is admitted; gives how many of 20,000 others are, and
 * the filter's bytes. */
static size_t build_and_ask(const uint64_t *hashes, size_t n, uint32_t n_partitions, size_t *len)
{
    struct filter_builder *builder = filter_builder_new(n_partitions, 0, 1);
    const struct buf *places = NULL;
    const struct buf *bytes = NULL;
    struct filter filter;
    size_t n_admitted = 0;
    for (size_t i = 0; i < n; i++)
        assert_int_equal(filter_builder_add(builder, hashes[i], NULL), 0);
    assert_int_equal(filter_builder_finish(builder, &places, &bytes, NULL), 0);
    assert_int_equal(places->len, n_partitions * sizeof(struct filter_entry));
    assert_int_equal(filter_open((const struct filter_entry *)(const void *)places->data,
                                 n_partitions, bytes->data, bytes->len, 0, 1, "part", &filter,
                                 NULL),
                     0);
    for (size_t i = 0; i < n; i++)
        assert_true(filter_has(&filter, hashes[i]));
    for (uint64_t i = 0; i < 20000; i++)
        n_admitted += filter_has(&filter, hash_u64(i, 1ULL << 40));
    *len = bytes->len;
    filter_release(&filter);
    filter_builder_free(builder);
    return n_admitted;
}

static void filter__no_key_is_denied_and_few_others_are_admitted(void **state)
{
    static const size_t sizes[] = {1000, 30000, FILTER_KEYS};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        size_t len = 0;
        uint64_t *hashes = hashes_make(sizes[i], 3);
        assert_in_range(build_and_ask(hashes, sizes[i], 1, &len), 40, 130); /* 1/256 is 78 */
        assert_true(len * 8 <= sizes[i] * (sizes[i] < 10000 ? 12 : 10));
        free(hashes);
    }
}

static void filter__every_small_count_works(void **state)
{
    for (size_t n = 0; n < 300; n++) {
        size_t len = 0;
        uint64_t *hashes = hashes_make(n, n);
        size_t n_admitted = build_and_ask(hashes, n, 1 + n % 5, &len);
        assert_true(n > 0 || (len == 0 && n_admitted == 0));
        assert_true(len <= 4 * n + 24 * (1 + n % 5));
        free(hashes);
    }
}

static void filter__repeats_and_neighbours_are_keys_like_others(void **state)
{
    enum { N = 5000 };
    static uint64_t hashes[N];
    size_t len = 0;
    for (size_t i = 0; i < N; i++)
        hashes[i] = i / 4;
    build_and_ask(hashes, N, 3, &len);
    assert_true(len * 8 <= N / 4 * 12);
}

static void filter__forged_places_are_refused(void **state)
{
    static const struct {
        uint64_t off;
        uint32_t span;
        uint16_t window_bits;
        int ret;
    } cases[] = {
        {0, 64, 4, 0},
        {8, 64, 4, -EBADMSG},
        {0, 60, 4, -EBADMSG},
        {0, 80, 4, -EBADMSG},
        {0, 64, 19, -EBADMSG},
        {0, 64, 33, -EBADMSG},
        {0, 0xFFFFFFF0, 4, -EBADMSG},
        {0, 0, 0, -EBADMSG},
    };
    static const uint8_t bytes[96];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct filter_entry entry = {0};
        struct filter filter = {0};
        store_le64(&entry.off, cases[i].off);
        store_le32(&entry.span, cases[i].span);
        store_le16(&entry.window_bits, cases[i].window_bits);
        assert_int_equal(filter_open(&entry, 1, bytes, sizeof bytes, 0, 1, "part", &filter, NULL),
                         cases[i].ret);
        filter_release(&filter);
    }
    struct filter_entry entry = {0};
    struct filter filter = {0};
    assert_int_equal(filter_open(&entry, 0, bytes, 0, 0, 1, "part", &filter, NULL), -EBADMSG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(filter__no_key_is_denied_and_few_others_are_admitted),
        cmocka_unit_test(filter__every_small_count_works),
        cmocka_unit_test(filter__repeats_and_neighbours_are_keys_like_others),
        cmocka_unit_test(filter__forged_places_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
