/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "base/hash.h"
#include "format/ef_chunk.h"

#include <errno.h>
#include <stdlib.h>

static int order(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

struct built {
    struct ef_builder builder;
    struct elias_fano ef;
};

static void build(struct built *built, const uint64_t *numbers, size_t n)
{
    *built = (struct built){0};
    for (size_t i = 0; i < n; i++)
        assert_int_equal(ef_builder_add(&built->builder, numbers[i]), 0);
    assert_int_equal(ef_builder_finish(&built->builder), 0);
    /* Memory of exactly the right length, for the sanitizer. */
    const struct buf *bytes = &built->builder.bytes;
    uint8_t *exact = malloc(bytes->len ? bytes->len : 1);
    if (bytes->len)
        memcpy(exact, bytes->data, bytes->len);
    assert_int_equal(ef_open(n, built->builder.firsts.data, built->builder.firsts.len, exact,
                             bytes->len, "numbers", &built->ef, NULL),
                     0);
}

static void built_free(struct built *built)
{
    free((void *)built->ef.bytes);
    ef_builder_release(&built->builder);
}

/* What the sorted array says, the encoded one says too. */
static void check(const uint64_t *numbers, size_t n, const uint64_t *asked, size_t m)
{
    struct built b;
    struct ef_cursor cursor;
    uint64_t *ranks = calloc(m + 1, sizeof *ranks);
    uint64_t number = 0;
    build(&b, numbers, n);
    ef_seek(&b.ef, 0, &cursor);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(ef_next(&cursor, &number), 1);
        assert_int_equal(number, numbers[i]);
        assert_int_equal(ef_get(&b.ef, i), numbers[i]);
    }
    assert_int_equal(ef_next(&cursor, &number), 0);
    ef_seek(&b.ef, n + 5, &cursor);
    assert_int_equal(ef_next(&cursor, &number), 0);
    ef_find(&b.ef, asked, (uint32_t)m, ranks);
    for (size_t i = 0; i < m; i++) {
        size_t low = 0;
        size_t high = n;
        while (low < high) {
            size_t mid = (low + high) / 2;
            if (numbers[mid] < asked[i])
                low = mid + 1;
            else
                high = mid;
        }
        assert_int_equal(ef_lower_bound(&b.ef, asked[i]), low);
        bool is_there = low < n && numbers[low] == asked[i];
        assert_int_equal(ranks[i], is_there ? low : EF_NONE);
        while (low < n && numbers[low] == asked[i])
            low++;
        number = 12345;
        assert_int_equal(ef_floor(&b.ef, asked[i], &number), low);
        assert_int_equal(number, low ? numbers[low - 1] : 12345);
    }
    free(ranks);
    built_free(&b);
}

/* n numbers of a shape, asked for themselves, their neighbours and the ends. */
static void check_shape(size_t n, uint64_t (*shape)(size_t, size_t))
{
    uint64_t *numbers = calloc(n + 1, sizeof *numbers);
    uint64_t *asked = calloc(3 * n + 4, sizeof *asked);
    size_t m = 0;
    for (size_t i = 0; i < n; i++)
        numbers[i] = shape(i, n);
    qsort(numbers, n, sizeof *numbers, order);
    for (size_t i = 0; i < n; i++) {
        asked[m++] = numbers[i];
        asked[m++] = numbers[i] + 1;
        asked[m++] = numbers[i] - 1;
    }
    asked[m++] = 0;
    asked[m++] = 1;
    asked[m++] = UINT64_MAX;
    asked[m++] = 1ULL << 63;
    check(numbers, n, asked, m);
    free(numbers);
    free(asked);
}

static uint64_t shape_random(size_t i, size_t n)
{
    return hash_u64(i, 7);
}
static uint64_t shape_dense(size_t i, size_t n)
{
    return 1000000 + i;
}
static uint64_t shape_equal(size_t i, size_t n)
{
    return 77;
}
static uint64_t shape_runs(size_t i, size_t n)
{
    return i / 1500 * 1000003;
}
static uint64_t shape_clustered(size_t i, size_t n)
{
    return (hash_u64(i % 5, 1) & ~0xFFFFFULL) + i * 3;
}
/* All but the last are dense: one bucket of a chunk holds nearly all. */
static uint64_t shape_lone(size_t i, size_t n)
{
    return i + 1 == n ? UINT64_MAX : i;
}
static uint64_t shape_ends(size_t i, size_t n)
{
    return i % 2 ? UINT64_MAX - i : i;
}
static uint64_t shape_squares(size_t i, size_t n)
{
    return (uint64_t)i * i * i;
}

typedef uint64_t shape_fn(size_t, size_t);
static shape_fn *const shapes[] = {shape_random,    shape_dense, shape_equal, shape_runs,
                                   shape_clustered, shape_lone,  shape_ends,  shape_squares};
enum { N_SHAPES = sizeof shapes / sizeof shapes[0] };

static void elias_fano__small_counts_of_every_shape(void **state)
{
    for (size_t s = 0; s < N_SHAPES; s++)
        for (size_t n = 0; n < 150; n++)
            check_shape(n, shapes[s]);
}

static void elias_fano__counts_around_a_chunk(void **state)
{
    for (size_t s = 0; s < N_SHAPES; s++) {
        check_shape(EF_CHUNK - 1, shapes[s]);
        check_shape(EF_CHUNK, shapes[s]);
        check_shape(EF_CHUNK + 1, shapes[s]);
        check_shape(3 * EF_CHUNK + 17, shapes[s]);
    }
}

static void elias_fano__a_walk_may_begin_anywhere(void **state)
{
    enum { N = 9000 };
    static uint64_t numbers[N];
    struct built b;
    for (size_t i = 0; i < N; i++)
        numbers[i] = shape_random(i, N);
    qsort(numbers, N, sizeof *numbers, order);
    build(&b, numbers, N);
    for (size_t from = 0; from < N; from += 97) {
        struct ef_cursor cursor;
        ef_seek(&b.ef, from, &cursor);
        for (size_t i = from; i < N && i < from + 5; i++) {
            uint64_t number = 0;
            assert_int_equal(ef_next(&cursor, &number), 1);
            assert_int_equal(number, numbers[i]);
        }
    }
    built_free(&b);
}

/* log2(C(2^64, n)) / n is log2(2^64 / n) + 1.4427 bits for n far below 2^64: 46.07 at 700,000. */
static void elias_fano__random_numbers_take_little_more_than_they_must(void **state)
{
    enum { N = 700000 };
    uint64_t *numbers = calloc(N, sizeof *numbers);
    struct built b;
    for (size_t i = 0; i < N; i++)
        numbers[i] = shape_random(i, N);
    qsort(numbers, N, sizeof *numbers, order);
    build(&b, numbers, N);
    double bits = 8.0 * (double)(b.builder.bytes.len + b.builder.firsts.len) / N;
    assert_true(bits >= 46.0 && bits <= 46.07 * 1.03);
    built_free(&b);
    for (size_t i = 0; i < N; i++)
        numbers[i] = shape_dense(i, N);
    build(&b, numbers, N);
    bits = 8.0 * (double)(b.builder.bytes.len + b.builder.firsts.len) / N;
    assert_true(bits < 2.5);
    built_free(&b);
    free(numbers);
}

static void elias_fano__descending_numbers_are_refused(void **state)
{
    struct ef_builder builder = {0};
    assert_int_equal(ef_builder_add(&builder, 5), 0);
    assert_int_equal(ef_builder_add(&builder, 5), 0);
    assert_int_equal(ef_builder_add(&builder, 4), -EINVAL);
    ef_builder_release(&builder);
}

static void elias_fano__forged_places_are_refused(void **state)
{
    static uint64_t numbers[5000];
    struct elias_fano ef;
    struct built b;
    for (size_t i = 0; i < 5000; i++)
        numbers[i] = i * 1000;
    build(&b, numbers, 5000);
    struct buf *places = &b.builder.firsts;
    struct buf *bytes = &b.builder.bytes;
    assert_int_equal(
        ef_open(5000, places->data, places->len - 16, bytes->data, bytes->len, "x", &ef, NULL),
        -EBADMSG);
    assert_int_equal(
        ef_open(5000, places->data, places->len, bytes->data, bytes->len - 1, "x", &ef, NULL),
        -EBADMSG);
    assert_int_equal(
        ef_open(9000, places->data, places->len, bytes->data, bytes->len, "x", &ef, NULL),
        -EBADMSG);
    uint64_t place = load_le64(places->data + 24);
    store_le64(places->data + 24, place | 0x3FFF << 6);
    assert_int_equal(
        ef_open(5000, places->data, places->len, bytes->data, bytes->len, "x", &ef, NULL),
        -EBADMSG);
    store_le64(places->data + 24, place | 1ULL << 63);
    assert_int_equal(
        ef_open(5000, places->data, places->len, bytes->data, bytes->len, "x", &ef, NULL),
        -EBADMSG);
    store_le64(places->data + 24, place);
    store_le64(places->data, UINT64_MAX);
    assert_int_equal(
        ef_open(5000, places->data, places->len, bytes->data, bytes->len, "x", &ef, NULL),
        -EBADMSG);
    built_free(&b);
}

/* Whatever the bits say, every answer is a rank and no byte beyond is read. */
static void elias_fano__forged_bits_stay_within(void **state)
{
    enum { N = 6000 };
    static uint64_t numbers[N];
    for (size_t i = 0; i < N; i++)
        numbers[i] = shape_random(i, N);
    qsort(numbers, N, sizeof *numbers, order);
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct built b;
        struct ef_cursor cursor;
        uint64_t number = 0;
        uint64_t asked[64];
        uint64_t ranks[64];
        build(&b, numbers, N);
        uint8_t *bytes = (uint8_t *)(uintptr_t)b.ef.bytes;
        for (size_t i = 0; i < b.builder.bytes.len; i++)
            bytes[i] = seed == 0 ? 0 : seed == 1 ? 0xFF : (uint8_t)hash_u64(i, seed);
        for (uint64_t i = 0; i < 64; i++) {
            asked[i] = hash_u64(i, seed);
            assert_true(ef_lower_bound(&b.ef, asked[i]) <= N);
            assert_true(ef_floor(&b.ef, asked[i], &number) <= N);
        }
        ef_find(&b.ef, asked, 64, ranks);
        for (uint64_t i = 0; i < 64; i++)
            assert_true(ranks[i] < N || ranks[i] == EF_NONE);
        ef_seek(&b.ef, 10, &cursor);
        for (size_t i = 10; i < N; i++)
            assert_int_equal(ef_next(&cursor, &number), 1);
        assert_int_equal(ef_next(&cursor, &number), 0);
        built_free(&b);
    }
}

static void ef_chunk__selecting_a_bit(void **state)
{
    for (uint64_t i = 0; i < 2000; i++) {
        uint64_t x = i < 64    ? 1ULL << i
                     : i == 64 ? UINT64_MAX
                               : hash_u64(i, 1) & hash_u64(i, i % 3);
        uint32_t r = 0;
        for (uint32_t bit = 0; bit < 64; bit++)
            if (x >> bit & 1)
                assert_int_equal(ef_select(x, r++), bit);
        assert_int_equal(ef_popcount(x), r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ef_chunk__selecting_a_bit),
        cmocka_unit_test(elias_fano__small_counts_of_every_shape),
        cmocka_unit_test(elias_fano__counts_around_a_chunk),
        cmocka_unit_test(elias_fano__a_walk_may_begin_anywhere),
        cmocka_unit_test(elias_fano__random_numbers_take_little_more_than_they_must),
        cmocka_unit_test(elias_fano__descending_numbers_are_refused),
        cmocka_unit_test(elias_fano__forged_places_are_refused),
        cmocka_unit_test(elias_fano__forged_bits_stay_within),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
