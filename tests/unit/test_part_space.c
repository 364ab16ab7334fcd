/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "format/part_space.h"
#include "paged_entries.h"

#include <errno.h>

struct shape {
    enum table_kind kind;
    enum key_type key_type;
    const char *value;
    uint32_t (*len)(size_t);
    uint32_t level; /* above 0, each seventh entry is a tombstone */
};

static const struct shape shapes[] = {
    {KIND_MEM, KEY_U64, "bytes[8]", len_fixed_8, 0},
    {KIND_MEM, KEY_U64, "bytes[8]", len_fixed_8, 1},
    {KIND_MEM, KEY_U64, "bytes[10000]", len_fixed_10000, 0},
    {KIND_MEM, KEY_U64, "bytes", len_varied, 1},
    {KIND_MEM, KEY_BYTES, "bytes", len_varied, 0},
    {KIND_MEM, KEY_BYTES, "bytes[8]", len_fixed_8, 2},
    {KIND_BLK, KEY_U64, "bytes[8]", len_fixed_8, 0},
    {KIND_BLK, KEY_U64, "bytes[8]", len_fixed_8, 1},
    {KIND_BLK, KEY_U64, "bytes", len_wild, 0},
    {KIND_BLK, KEY_BYTES, "bytes", len_wild, 1},
    {KIND_BLK, KEY_BYTES, "bytes", len_varied, 0},
    {KIND_IDX, KEY_U64, "bytes[8]", len_fixed_8, 0},
    {KIND_IDX, KEY_U64, "bytes[4096]", len_fixed_4096, 1},
    {KIND_IDX, KEY_U64, "bytes", len_wild, 0},
    {KIND_IDX, KEY_BYTES, "bytes", len_varied, 1},
    {KIND_IDX, KEY_BYTES, "bytes[8]", len_fixed_8, 0},
};

struct made {
    struct schema schema;
    struct entries entries;
    struct buf bytes;
    uint64_t values_len;
    uint64_t keys_len; /* of bytes keys */
};

static struct made make(const struct shape *shape, size_t n)
{
    struct made made = {.schema = fixture_schema(shape->key_type, shape->value, 1)};
    made.schema.kind = shape->kind;
    made.entries = entries_make(&made.schema, n, shape->len);
    struct part_entry *at = made.entries.at;
    struct paged_params params = {.schema = &made.schema,
                                  .level = shape->level,
                                  .n_entries = n,
                                  .n_bytes = 50 * n,
                                  .has_filter = true};
    for (size_t i = 0; i < n; i++) {
        if (shape->level && i % 7 == 0) {
            at[i].tombstone = true;
            at[i].value = NULL;
            at[i].value_len = 0;
        }
        made.values_len += at[i].value_len;
        made.keys_len += at[i].key_bytes ? at[i].key_len : 0;
    }
    int ret = shape->kind == KIND_BLK ? paged_fixture_write_blk(&params, at, n, &made.bytes, NULL)
              : shape->kind == KIND_IDX
                  ? paged_fixture_write_idx(&params, at, n, &made.bytes, NULL)
                  : fixture_write(&made.schema, shape->level, 0, 0, at, n, &made.bytes, NULL);
    assert_int_equal(ret, 0);
    return made;
}

static void made_release(struct made *made)
{
    buf_release(&made->bytes);
    entries_free(&made->entries);
}

static const uint8_t *footer_of(const struct made *made)
{
    return made->bytes.data + made->bytes.len - PART_FOOTER_LEN;
}

static struct part_space measure(const struct made *made)
{
    struct part_space space = {0};
    struct err err = {0};
    if (part_space_measure(footer_of(made), made->bytes.len, "part", &space, &err) ||
        (space.directory_len &&
         part_space_add_heaps(&space, made->bytes.data + space.directory_off, "part", &err)))
        fail_msg("%s", err.text);
    return space;
}

static void part_space__adds_up_to_the_part(void **state)
{
    static const size_t sizes[] = {0, 1, 3000};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        for (size_t j = 0; j < sizeof sizes / sizeof *sizes; j++) {
            struct made made = make(&shapes[i], sizes[j]);
            struct part_space space = measure(&made);
            uint64_t sum = 0;
            for (int k = 0; k < SPACE_N; k++)
                sum += space.len[k];
            assert_int_equal(sum, made.bytes.len);
            assert_int_equal(space.kind, shapes[i].kind);
            assert_int_equal(space.info.level, shapes[i].level);
            assert_int_equal(space.info.n_keys + space.info.n_tombstones, sizes[j]);
            made_release(&made);
        }
    }
}

/* Bytes of values are those put in: exactly in blocks, and but for padding of records in heaps. */
static void part_space__tells_values_from_the_rest(void **state)
{
    enum { N = 3000 };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        struct made made = make(&shapes[i], N);
        struct part_space space = measure(&made);
        uint64_t values = made.values_len;
        uint64_t slack = 0;
        if (space.values_hold_keys)
            values += made.keys_len + N; /* a byte for a key's length */
        if (space.directory_len)
            slack = 16 * (uint64_t)N;
        assert_true(space.len[SPACE_VALUES] + N >= values);
        assert_true(space.len[SPACE_VALUES] <= values + slack);
        assert_true(space.len[SPACE_KEYS] > 0);
        if (shapes[i].kind != KIND_IDX)
            assert_true(space.len[SPACE_KEYS] <= 8 * N);
        bool has_filter = shapes[i].kind == KIND_BLK ||
                          (shapes[i].kind == KIND_IDX && shapes[i].key_type == KEY_BYTES);
        if (shapes[i].kind != KIND_MEM)
            assert_int_equal(space.len[SPACE_FILTER] > 0, has_filter);
        if (shapes[i].kind == KIND_BLK)
            assert_true(space.n_blocks > 0);
        if (shapes[i].kind == KIND_IDX)
            assert_int_equal(space.len[SPACE_VALUES], values);
        made_release(&made);
    }
}

static void part_space__memory_is_the_tail_or_all(void **state)
{
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        struct made made = make(&shapes[i], 2000);
        struct part_space space = measure(&made);
        struct paged_info info;
        uint64_t tail_off = 0;
        if (shapes[i].kind != KIND_MEM)
            assert_int_equal(
                paged_tail(footer_of(&made), made.bytes.len, "part", &tail_off, &info, NULL), 0);
        assert_int_equal(space.memory, made.bytes.len - tail_off);
        made_release(&made);
    }
}

static void part_space__a_footer_that_lies_is_refused(void **state)
{
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        struct made made = make(&shapes[i], 100);
        struct part_space space;
        struct err err = {0};
        uint64_t len = made.bytes.len;
        uint8_t footer[PART_FOOTER_LEN];
        memcpy(footer, footer_of(&made), sizeof footer);
        for (size_t at = 0; at < 160; at++) {
            footer[at] ^= 0x41;
            assert_true(part_space_measure(footer, len, "part", &space, &err) < 0);
            assert_true(err.text[0] != 0);
            footer[at] ^= 0x41;
        }
        assert_int_equal(part_space_measure(footer, len + 1, "part", &space, NULL), -EBADMSG);
        assert_int_equal(part_space_measure(footer, 0, "part", &space, NULL), -EBADMSG);
        made_release(&made);
    }
}

/* A footer whose checksum is right may still say anything. */
static void part_space__forged_sections_never_add_up_beyond_the_part(void **state)
{
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        struct made made = make(&shapes[i], 100);
        bool is_mem = shapes[i].kind == KIND_MEM;
        size_t end = is_mem ? 160 : 256;
        for (size_t at = 40; at + 8 <= end; at += 8) {
            static const uint64_t lies[] = {0, 1, 4096, 1ull << 32, UINT64_MAX, UINT64_MAX - 63};
            for (size_t j = 0; j < sizeof lies / sizeof *lies; j++) {
                uint8_t footer[PART_FOOTER_LEN];
                struct part_space space;
                uint64_t sum = 0;
                memcpy(footer, footer_of(&made), sizeof footer);
                store_le64(footer + at, lies[j]);
                store_le64(footer + end, hash_checksum(footer, end));
                if (part_space_measure(footer, made.bytes.len, "part", &space, NULL))
                    continue;
                for (int k = 0; k < SPACE_N; k++)
                    sum += space.len[k];
                assert_int_equal(sum, made.bytes.len);
                assert_true(space.memory <= made.bytes.len);
                assert_true(range_within(space.directory_off, space.directory_len, made.bytes.len));
            }
        }
        made_release(&made);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(part_space__adds_up_to_the_part),
        cmocka_unit_test(part_space__tells_values_from_the_rest),
        cmocka_unit_test(part_space__memory_is_the_tail_or_all),
        cmocka_unit_test(part_space__a_footer_that_lies_is_refused),
        cmocka_unit_test(part_space__forged_sections_never_add_up_beyond_the_part),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
