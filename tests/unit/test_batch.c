/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "base/hash.h"
#include "codec/vector.h"
#include "query/batch.h"
#include "query/single.h"
#include "table_fixture.h"

#include <errno.h>

/*
 * The world: keys 0 to N_WORLD - 1, of which key k is in level l by a rule, deleted by another.
 * Every answer is compared with the rule.
 */
enum { N_WORLD = 3000, VALUE_MAX = 6000, KEY_TEXT = 32 };

struct world {
    struct fixture fixture;
    uint32_t n_levels;
    uint32_t fixed_len; /* 0: varying */
    char keys[N_WORLD][KEY_TEXT];
    uint8_t *values;
};

static bool is_in_level(uint32_t key, uint32_t level)
{
    return level == 0 ? key % 3 != 0 : key % (7 * level) == 1;
}

static bool is_tombstone(uint32_t key, uint32_t level)
{
    return level > 0 && key % 4 == 1;
}

static uint32_t value_len_of(const struct world *w, uint32_t key, uint32_t level)
{
    return w->fixed_len ? w->fixed_len : (key * 31 + level) % 300;
}

static void value_of(const struct world *w, uint32_t key, uint32_t level, uint8_t *out)
{
    uint32_t len = value_len_of(w, key, level);
    for (uint32_t i = 0; i < len; i++)
        out[i] = (uint8_t)(hash_u64(key, level) >> (i % 8 * 8)) ^ (uint8_t)i;
}

/* The level that answers for the key, or -1. */
static int newest(const struct world *w, uint32_t key)
{
    for (uint32_t level = w->n_levels; level-- > 0;)
        if (is_in_level(key, level))
            return is_tombstone(key, level) ? -1 : (int)level;
    return -1;
}

/* Keys have 1 to about 20 bytes, some share long beginnings. */
static void key_text(uint32_t key, char out[KEY_TEXT])
{
    snprintf(out, KEY_TEXT, key % 2 ? "%u" : "a/long/prefix/%u", key);
}

static void world_init(struct world *w, enum key_type key_type, const char *value,
                       uint32_t n_shards, uint32_t n_levels)
{
    *w = (struct world){.n_levels = n_levels};
    w->fixture.schema = fixture_schema(key_type, value, n_shards);
    w->fixed_len = w->fixture.schema.value_len;
    w->values = malloc((size_t)N_WORLD * VALUE_MAX);
    for (uint32_t key = 0; key < N_WORLD; key++)
        key_text(key, w->keys[key]);
    for (uint32_t level = 0; level < n_levels; level++) {
        static struct part_entry entries[N_WORLD];
        size_t n = 0;
        for (uint32_t key = 0; key < N_WORLD; key++) {
            uint8_t *bytes = w->values + (size_t)key * VALUE_MAX;
            uint32_t len = value_len_of(w, key, level);
            if (!is_in_level(key, level))
                continue;
            value_of(w, key, level, bytes);
            if (is_tombstone(key, level))
                bytes = NULL;
            entries[n++] = key_type == KEY_U64
                               ? fixture_u64(&w->fixture.schema, key, bytes, len)
                               : fixture_bytes(&w->fixture.schema, w->keys[key], bytes, len);
        }
        fixture_add_level(&w->fixture, 1 + level, entries, n);
    }
    fixture_table(&w->fixture);
}

static void world_release(struct world *w)
{
    fixture_release(&w->fixture);
    free(w->values);
}

/* The keys first, first + step, …; released with buf_release(). */
static struct buf request_of(const struct world *w, uint32_t first, uint32_t step, uint32_t n)
{
    struct buf keys = {0};
    uint32_t end = 0;
    if (w->fixture.schema.key_type == KEY_U64) {
        for (uint32_t i = 0; i < n; i++) {
            uint64_t key = first + i * step;
            assert_int_equal(buf_add(&keys, &key, sizeof key), 0);
        }
        return keys;
    }
    for (uint32_t i = 0; i < n; i++) {
        char text[KEY_TEXT];
        key_text(first + i * step, text);
        end += (uint32_t)strlen(text);
        assert_int_equal(buf_add(&keys, &end, sizeof end), 0);
    }
    for (uint32_t i = 0; i < n; i++) {
        char text[KEY_TEXT];
        key_text(first + i * step, text);
        assert_int_equal(buf_add(&keys, text, strlen(text)), 0);
    }
    return keys;
}

static void check_value(const struct world *w, uint32_t key, int level, const uint8_t *found,
                        uint32_t len, enum batch_form form)
{
    uint8_t stored[VALUE_MAX];
    static float row[VECTOR_DIM_MAX];
    value_of(w, key, (uint32_t)level, stored);
    if (form == BATCH_AS_STORED) {
        assert_int_equal(len, value_len_of(w, key, (uint32_t)level));
        if (len)
            assert_memory_equal(found, stored, len);
        return;
    }
    vector_decoder_portable(w->fixture.schema.elem)(stored, w->fixture.schema.dim, row);
    assert_memory_equal(found, row, 4 * (size_t)w->fixture.schema.dim);
}

static void check_answers(const struct world *w, const uint8_t *out,
                          const struct batch_result *result, uint32_t first, uint32_t step,
                          uint32_t n, enum batch_form form)
{
    uint32_t n_found = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t key = first + i * step;
        int level = key < N_WORLD ? newest(w, key) : -1;
        const uint8_t *value = out + result->values_off + (size_t)i * result->stride;
        uint32_t len = w->fixed_len;
        assert_int_equal(out[i], level >= 0 ? BATCH_FOUND : BATCH_ABSENT);
        if (!result->stride) {
            uint32_t off8 = load_le32(out + result->locs_off + 8 * (size_t)i);
            len = load_le32(out + result->locs_off + 8 * (size_t)i + 4);
            value = out + result->values_off + 8 * (size_t)off8;
            assert_true(range_within(result->values_off + 8 * (uint64_t)off8, len, result->len));
        }
        n_found += level >= 0;
        if (level >= 0) {
            check_value(w, key, level, value, len, form);
            continue;
        }
        if (!result->stride)
            assert_int_equal(len, 0);
        for (uint32_t j = 0; j < result->stride; j++)
            assert_int_equal(value[j], 0);
    }
    assert_int_equal(result->n_found, n_found);
}

/* The same answer comes over whatever was in the output before: no byte of that is handed on. */
static void check_all_written(const struct world *w, const struct batch_request *request,
                              const uint8_t *expected, uint64_t len)
{
    static const uint8_t poisons[] = {0x00, 0xa5, 0xff};
    struct batch_result result = {0};
    uint8_t *out = malloc(len + 1);
    for (size_t i = 0; i < sizeof poisons; i++) {
        memset(out, poisons[i], len + 1);
        assert_int_equal(batch_run(w->fixture.table, request, out, len, &result), 0);
        assert_memory_equal(out, expected, len);
        assert_int_equal(out[len], poisons[i]);
    }
    free(out);
}

/* Asks with a body of exactly the right size, in memory of exactly that size (the sanitizer
 * watches its end). */
static void ask(const struct world *w, uint32_t first, uint32_t step, uint32_t n,
                enum batch_form form)
{
    struct buf keys = request_of(w, first, step, n);
    uint8_t *copy = malloc(keys.len + 1);
    memcpy(copy + 1, keys.len ? keys.data : (const uint8_t *)"", keys.len);
    struct batch_request request = {
        .n_keys = n, .keys = copy + 1, .keys_len = keys.len, .form = form};
    struct batch_result result = {0};
    uint64_t cap = batch_body_min(&w->fixture.schema, form, n);
    uint8_t *out = malloc(cap + 1);
    int ret = batch_run(w->fixture.table, &request, out, cap, &result);
    if (ret == -ENOSPC && !w->fixed_len) {
        assert_true(result.len > cap);
        cap = result.len;
        free(out);
        out = malloc(cap);
        ret = batch_run(w->fixture.table, &request, out, cap, &result);
    }
    assert_int_equal(ret, 0);
    assert_int_equal(result.len, cap);
    check_answers(w, out, &result, first, step, n, form);
    check_all_written(w, &request, out, cap);
    free(out);
    free(copy);
    buf_release(&keys);
}

static void ask_all_sizes(const struct world *w, enum batch_form form)
{
    static const uint32_t sizes[] = {0, 1, 2, 31, 32, 33, 63, 64, 65, 96, 97, 129, 1000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        ask(w, (uint32_t)i * 13, 1 + (uint32_t)i % 3, sizes[i], form);
    ask(w, 0, 1, N_WORLD + 500, form);
}

static void run_world(enum key_type key_type, const char *value, uint32_t n_shards,
                      uint32_t n_levels, enum batch_form form)
{
    struct world *w = malloc(sizeof *w);
    world_init(w, key_type, value, n_shards, n_levels);
    ask_all_sizes(w, form);
    world_release(w);
    free(w);
}

static void batch__fixed_values_of_every_length_are_copied_whole(void **state)
{
    static const uint32_t lens[] = {1, 7, 8, 9, 15, 16, 17, 63, 64, 65, 100, 127, 400, 2500, 4096};
    for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++) {
        char value[32];
        snprintf(value, sizeof value, "bytes[%u]", lens[i]);
        run_world(KEY_U64, value, 1 + (uint32_t)i % 3, 1, BATCH_AS_STORED);
    }
}

static void batch__long_fixed_values_come_from_the_heap(void **state)
{
    run_world(KEY_U64, "bytes[5000]", 2, 2, BATCH_AS_STORED);
}

static void batch__varying_values_come_with_their_places(void **state)
{
    run_world(KEY_U64, "bytes", 1, 1, BATCH_AS_STORED);
    run_world(KEY_U64, "bytes", 3, 4, BATCH_AS_STORED);
}

static void batch__bytes_keys_are_compared_whole(void **state)
{
    run_world(KEY_BYTES, "bytes", 1, 1, BATCH_AS_STORED);
    run_world(KEY_BYTES, "bytes[64]", 3, 1, BATCH_AS_STORED);
    run_world(KEY_BYTES, "bytes[13]", 2, 4, BATCH_AS_STORED);
}

static void batch__deltas_and_tombstones_hide_what_is_below(void **state)
{
    run_world(KEY_U64, "bytes[64]", 1, 2, BATCH_AS_STORED);
    run_world(KEY_U64, "bytes[20]", 5, 8, BATCH_AS_STORED);
}

static void batch__vectors_come_as_stored_or_as_f32(void **state)
{
    static const char *const values[] = {"f32[17]", "f16[96]", "f16[3]", "bf16[33]", "i8[50]"};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        run_world(KEY_U64, values[i], 1, 1 + (uint32_t)i % 2, BATCH_AS_STORED);
        run_world(KEY_U64, values[i], 1, 1 + (uint32_t)i % 2, BATCH_AS_F32);
        run_world(KEY_BYTES, values[i], 1, 1, BATCH_AS_F32);
    }
    run_world(KEY_U64, "f16[2500]", 1, 1, BATCH_AS_F32);
}

static void batch__bytes_values_cannot_be_asked_as_f32(void **state)
{
    struct world *w = malloc(sizeof *w);
    struct batch_request request = {.form = BATCH_AS_F32};
    struct batch_result result;
    uint8_t out[64];
    world_init(w, KEY_U64, "bytes[8]", 1, 1);
    assert_int_equal(batch_run(w->fixture.table, &request, out, sizeof out, &result), -ENOTSUP);
    request.form = (enum batch_form)7;
    assert_int_equal(batch_run(w->fixture.table, &request, out, sizeof out, &result), -EPROTO);
    world_release(w);
    free(w);
}

static void batch__too_little_room_says_how_much_is_needed(void **state)
{
    struct world *w = malloc(sizeof *w);
    struct batch_result result = {0};
    uint8_t out[4096];
    memset(out, 0xEE, sizeof out);
    world_init(w, KEY_U64, "bytes[64]", 1, 1);
    struct buf keys = request_of(w, 1, 1, 10);
    struct batch_request request = {.n_keys = 10, .keys = keys.data, .keys_len = keys.len};
    assert_int_equal(batch_run(w->fixture.table, &request, out, 703, &result), -ENOSPC);
    assert_int_equal(result.len, 64 + 10 * 64);
    for (size_t i = 703; i < sizeof out; i++)
        assert_int_equal(out[i], 0xEE);
    buf_release(&keys);
    world_release(w);
    free(w);
}

static void batch__malformed_keys_are_refused(void **state)
{
    struct world *w = malloc(sizeof *w);
    struct batch_result result = {0};
    static uint8_t out[1 << 16];
    uint8_t keys[64] = {0};
    struct batch_request request = {.n_keys = 2, .keys = keys, .keys_len = 15};
    world_init(w, KEY_U64, "bytes[8]", 1, 1);
    assert_int_equal(batch_run(w->fixture.table, &request, out, sizeof out, &result), -EPROTO);
    request.keys_len = 17;
    assert_int_equal(batch_run(w->fixture.table, &request, out, sizeof out, &result), -EPROTO);
    request.n_keys = BATCH_KEYS_MAX + 1;
    assert_int_equal(batch_run(w->fixture.table, &request, out, sizeof out, &result), -EPROTO);
    world_release(w);

    world_init(w, KEY_BYTES, "bytes", 1, 1);
    request = (struct batch_request){.n_keys = 2, .keys = keys, .keys_len = 7};
    assert_int_equal(batch_run(w->fixture.table, &request, out, sizeof out, &result), -EPROTO);
    request.keys_len = 20;
    store_le32(keys, 13); /* beyond the 12 bytes of keys */
    store_le32(keys + 4, 13);
    assert_int_equal(batch_run(w->fixture.table, &request, out, sizeof out, &result), -EPROTO);
    store_le32(keys, 5);
    store_le32(keys + 4, 4); /* backwards */
    assert_int_equal(batch_run(w->fixture.table, &request, out, sizeof out, &result), -EPROTO);
    world_release(w);
    free(w);
}

static void batch__empty_and_overlong_keys_are_absent(void **state)
{
    struct world *w = malloc(sizeof *w);
    struct batch_result result = {0};
    static uint8_t out[1 << 16];
    static uint8_t keys[12 + 1 + 0 + 5000];
    struct batch_request request = {.n_keys = 3, .keys = keys, .keys_len = sizeof keys};
    world_init(w, KEY_BYTES, "bytes", 1, 1);
    store_le32(keys, 1);
    store_le32(keys + 4, 1);
    store_le32(keys + 8, 1 + 5000);
    keys[12] = '1';
    assert_int_equal(batch_run(w->fixture.table, &request, out, sizeof out, &result), 0);
    assert_int_equal(out[0], newest(w, 1) >= 0 ? BATCH_FOUND : BATCH_ABSENT);
    assert_int_equal(out[1], BATCH_ABSENT);
    assert_int_equal(out[2], BATCH_ABSENT);
    world_release(w);
    free(w);
}

static void batch__a_deadline_gone_by_ends_it(void **state)
{
    struct world *w = malloc(sizeof *w);
    struct batch_result result = {0};
    static uint8_t out[1 << 16];
    uint8_t key[8] = {0};
    struct batch_request request = {.n_keys = 1, .keys = key, .keys_len = 8, .deadline_ns = 1};
    world_init(w, KEY_U64, "bytes[8]", 1, 1);
    assert_int_equal(batch_run(w->fixture.table, &request, out, sizeof out, &result), -ETIMEDOUT);
    request.deadline_ns = UINT64_MAX;
    assert_int_equal(batch_run(w->fixture.table, &request, out, sizeof out, &result), 0);
    world_release(w);
    free(w);
}

/* Every heap reference of the base is made wild; nothing but FAILED may come of it. */
static void single__values_are_found_where_they_lie(void **state)
{
    static const char *const values[] = {"bytes", "bytes[20]", "f32[3]", "bf16[5]", "i8[7]"};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        struct world *w = malloc(sizeof *w);
        world_init(w, i % 2 ? KEY_U64 : KEY_BYTES, values[i], 2, 3);
        enum elem elem = w->fixture.schema.elem;
        enum batch_form form = elem == ELEM_NONE ? BATCH_AS_STORED : BATCH_AS_F32;
        for (uint32_t key = 0; key < N_WORLD + 10; key++) {
            struct buf request = request_of(w, key, 1, 1);
            struct single single = {0};
            uint8_t *made = NULL;
            size_t head = i % 2 ? 0 : sizeof(uint32_t);
            int level = key < N_WORLD ? newest(w, key) : -1;
            int ret =
                single_find(w->fixture.table, request.data + head, request.len - head, &single);
            assert_int_equal(ret, level >= 0 ? 0 : -ENOENT);
            if (level >= 0) {
                const uint8_t *bytes = single_bytes(&single, &made);
                assert_int_equal(made != NULL, elem != ELEM_NONE && elem != ELEM_F32);
                check_value(w, key, level, bytes, (uint32_t)single.len, form);
            }
            free(made);
            buf_release(&request);
        }
        assert_int_equal(single_find(w->fixture.table, "x", i % 2, &(struct single){0}),
                         i % 2 ? -EINVAL : -ENOENT);
        world_release(w);
        free(w);
    }
}

static void batch__corrupt_references_fail_their_keys_only(void **state)
{
    for (int is_bytes = 0; is_bytes < 2; is_bytes++) {
        struct world *w = malloc(sizeof *w);
        struct batch_result result = {0};
        static uint8_t out[1 << 20];
        world_init(w, is_bytes ? KEY_BYTES : KEY_U64, "bytes", 1, 1);
        uint8_t *memory = w->fixture.memory[0];
        size_t n_wild = 0;
        /* Slots end before the sections; overwrite references of the known hashes. */
        for (uint32_t key = 0; key < N_WORLD; key++) {
            uint64_t hash =
                is_bytes ? schema_hash_bytes(&w->fixture.schema, w->keys[key], strlen(w->keys[key]))
                         : schema_hash_u64(&w->fixture.schema, key);
            for (size_t at = 0; key % 10 == 1 && at + 16 <= w->fixture.len[0]; at += 16)
                if (load_le64(memory + at) == hash) {
                    store_le64(memory + at + 8, UINT64_MAX - key);
                    n_wild++;
                }
        }
        assert_true(n_wild > 100);
        struct buf keys = request_of(w, 0, 1, N_WORLD);
        struct batch_request request = {.n_keys = N_WORLD, .keys = keys.data, .keys_len = keys.len};
        assert_int_equal(batch_run(w->fixture.table, &request, out, sizeof out, &result), 0);
        for (uint32_t key = 0; key < N_WORLD; key++) {
            int expected = newest(w, key) < 0 ? BATCH_ABSENT
                           : key % 10 == 1    ? BATCH_FAILED
                                              : BATCH_FOUND;
            assert_int_equal(out[key], expected);
        }
        buf_release(&keys);
        world_release(w);
        free(w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batch__fixed_values_of_every_length_are_copied_whole),
        cmocka_unit_test(batch__long_fixed_values_come_from_the_heap),
        cmocka_unit_test(batch__varying_values_come_with_their_places),
        cmocka_unit_test(batch__bytes_keys_are_compared_whole),
        cmocka_unit_test(batch__deltas_and_tombstones_hide_what_is_below),
        cmocka_unit_test(batch__vectors_come_as_stored_or_as_f32),
        cmocka_unit_test(batch__bytes_values_cannot_be_asked_as_f32),
        cmocka_unit_test(batch__too_little_room_says_how_much_is_needed),
        cmocka_unit_test(batch__malformed_keys_are_refused),
        cmocka_unit_test(batch__empty_and_overlong_keys_are_absent),
        cmocka_unit_test(batch__a_deadline_gone_by_ends_it),
        cmocka_unit_test(batch__corrupt_references_fail_their_keys_only),
        cmocka_unit_test(single__values_are_found_where_they_lie),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
