/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "base/hash.h"
#include "format/front_coded.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { KEY_ROOM = 256 };

/* Keys as C arrays of a length byte and up to 255 bytes. */
static int order(const void *a, const void *b)
{
    const uint8_t *x = a;
    const uint8_t *y = b;
    size_t common = x[0] < y[0] ? x[0] : y[0];
    int order = memcmp(x + 1, y + 1, common);
    return order ? order : x[0] - y[0];
}

struct built {
    struct fc_builder builder;
    struct front_coded fc;
};

static void build(struct built *built, const uint8_t (*keys)[KEY_ROOM], size_t n)
{
    *built = (struct built){0};
    for (size_t i = 0; i < n; i++)
        assert_int_equal(fc_builder_add(&built->builder, keys[i] + 1, keys[i][0]), 0);
    assert_int_equal(fc_builder_finish(&built->builder), 0);
    const struct buf *bytes = &built->builder.bytes;
    uint8_t *exact = malloc(bytes->len ? bytes->len : 1);
    if (bytes->len)
        memcpy(exact, bytes->data, bytes->len);
    assert_int_equal(fc_open(n, built->builder.places.data, built->builder.places.len, exact,
                             bytes->len, "keys", &built->fc, NULL),
                     0);
}

static void built_free(struct built *built)
{
    free((void *)(uintptr_t)built->fc.bytes);
    fc_builder_release(&built->builder);
}

static void assert_bound(const struct built *b, const uint8_t (*keys)[KEY_ROOM], size_t n,
                         const uint8_t *asked)
{
    size_t low = 0;
    size_t high = n;
    uint64_t rank = 0;
    bool is_equal = false;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (order(keys[mid], asked) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    assert_int_equal(fc_lower_bound(&b->fc, asked + 1, asked[0], &rank, &is_equal), 0);
    assert_int_equal(rank, low);
    assert_int_equal(is_equal, low < n && order(keys[low], asked) == 0);
}

/* Many keys at once: each has its rank. */
static void assert_searches(const struct built *b, const uint8_t (*keys)[KEY_ROOM], size_t n)
{
    struct fc_search *searches = calloc(n + 1, sizeof *searches);
    for (size_t i = 0; i < n; i++) {
        size_t at = i * 7919 % n;
        searches[i] = (struct fc_search){.key = keys[at] + 1, .len = keys[at][0]};
    }
    fc_search(&b->fc, searches, (uint32_t)n);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(searches[i].ret, 0);
        assert_true(searches[i].is_equal);
        assert_memory_equal(keys[searches[i].rank], keys[i * 7919 % n], KEY_ROOM);
    }
    free(searches);
}

static void check(uint8_t (*keys)[KEY_ROOM], size_t n)
{
    struct built b;
    struct fc_cursor cursor;
    qsort(keys, n, sizeof *keys, order);
    build(&b, (const uint8_t(*)[KEY_ROOM])keys, n);
    assert_int_equal(fc_seek(&b.fc, 0, &cursor), 0);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(fc_next(&cursor), 1);
        assert_int_equal(cursor.key_len, keys[i][0]);
        assert_memory_equal(cursor.key, keys[i] + 1, keys[i][0]);
    }
    assert_int_equal(fc_next(&cursor), 0);
    for (size_t i = 0; i < n; i += n < 300 ? 1 : 31) {
        uint8_t asked[KEY_ROOM];
        memcpy(asked, keys[i], KEY_ROOM);
        assert_bound(&b, (const uint8_t(*)[KEY_ROOM])keys, n, asked);
        asked[asked[0]]++;
        assert_bound(&b, (const uint8_t(*)[KEY_ROOM])keys, n, asked);
        if (asked[0] > 1)
            asked[0]--;
        assert_bound(&b, (const uint8_t(*)[KEY_ROOM])keys, n, asked);
        assert_int_equal(fc_seek(&b.fc, i, &cursor), 0);
        assert_int_equal(fc_next(&cursor), 1);
        assert_memory_equal(cursor.key, keys[i] + 1, keys[i][0]);
    }
    assert_searches(&b, (const uint8_t(*)[KEY_ROOM])keys, n);
    assert_bound(&b, (const uint8_t(*)[KEY_ROOM])keys, n, (const uint8_t *)"\1\0");
    assert_bound(&b, (const uint8_t(*)[KEY_ROOM])keys, n, (const uint8_t *)"\3\xFF\xFF\xFF");
    built_free(&b);
}

static size_t make(uint8_t (*keys)[KEY_ROOM], size_t n, const char *format)
{
    for (size_t i = 0; i < n; i++) {
        memset(keys[i], 0, KEY_ROOM);
        keys[i][0] = (uint8_t)snprintf((char *)keys[i] + 1, KEY_ROOM - 1, format, i);
    }
    return n;
}

static void front_coded__keys_round_trip(void **state)
{
    enum { N = 10000 };
    uint8_t(*keys)[KEY_ROOM] = calloc(N, KEY_ROOM);
    for (size_t n = 0; n < 70; n++)
        check(keys, make(keys, n, "user:%zu"));
    check(keys, make(keys, FC_CHUNK - 1, "%zx"));
    check(keys, make(keys, FC_CHUNK, "%zx"));
    check(keys, make(keys, FC_CHUNK + 1, "%08zu"));
    check(keys, make(keys, N, "a/rather/long/common/prefix/of/all/keys/%zu/and/an/end"));
    free(keys);
}

static void front_coded__longest_shortest_and_nested_keys(void **state)
{
    enum { N = 510 };
    uint8_t(*keys)[KEY_ROOM] = calloc(N, KEY_ROOM);
    for (size_t i = 0; i < 255; i++) { /* "a", "aa", … and "0xFF", "0xFF 0xFF", … */
        keys[i][0] = keys[255 + i][0] = (uint8_t)(i + 1);
        memset(keys[i] + 1, 'a', i + 1);
        memset(keys[255 + i] + 1, 0xFF, i + 1);
    }
    check(keys, N);
    free(keys);
}

static void front_coded__random_keys_take_what_they_must(void **state)
{
    enum { N = 20000 };
    uint8_t(*keys)[KEY_ROOM] = calloc(N, KEY_ROOM);
    for (size_t i = 0; i < N; i++) {
        uint64_t x = hash_u64(i, 3);
        keys[i][0] = 16;
        memcpy(keys[i] + 1, &x, 8);
        x = hash_u64(i, 4);
        memcpy(keys[i] + 9, &x, 8);
    }
    check(keys, N);
    struct built b;
    build(&b, (const uint8_t(*)[KEY_ROOM])keys, N);
    assert_true(b.builder.bytes.len < 17 * N + N / 4);
    assert_true(b.builder.bytes.len > 15 * N);
    built_free(&b);
    free(keys);
}

static void front_coded__wrong_keys_are_refused(void **state)
{
    struct fc_builder builder = {0};
    assert_int_equal(fc_builder_add(&builder, "", 0), -EINVAL);
    assert_int_equal(fc_builder_add(&builder, "bb", 2), 0);
    assert_int_equal(fc_builder_add(&builder, "bb", 2), -EINVAL);
    assert_int_equal(fc_builder_add(&builder, "b", 1), -EINVAL);
    assert_int_equal(fc_builder_add(&builder, "bba", 3), 0);
    fc_builder_release(&builder);
}

static void front_coded__forged_bytes_stay_within(void **state)
{
    enum { N = 5000 };
    uint8_t(*keys)[KEY_ROOM] = calloc(N, KEY_ROOM);
    make(keys, N, "%08zu");
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct built b;
        struct fc_cursor cursor;
        uint64_t rank = 0;
        bool is_equal = false;
        build(&b, (const uint8_t(*)[KEY_ROOM])keys, N);
        uint8_t *bytes = (uint8_t *)(uintptr_t)b.fc.bytes;
        for (size_t i = 0; i < 1 + seed * 20; i++)
            bytes[hash_u64(i, seed) % b.fc.len] = (uint8_t)hash_u64(i, seed + 1);
        for (size_t i = 0; i < N; i += 50) {
            fc_lower_bound(&b.fc, keys[i] + 1, keys[i][0], &rank, &is_equal);
            assert_true(rank <= N);
            if (fc_seek(&b.fc, i, &cursor) == 0)
                fc_next(&cursor);
        }
        built_free(&b);
    }
    free(keys);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(front_coded__keys_round_trip),
        cmocka_unit_test(front_coded__longest_shortest_and_nested_keys),
        cmocka_unit_test(front_coded__random_keys_take_what_they_must),
        cmocka_unit_test(front_coded__wrong_keys_are_refused),
        cmocka_unit_test(front_coded__forged_bytes_stay_within),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
