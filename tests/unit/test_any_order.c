/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of every kind, read in the order they were written in. */
#include "unit.h"

#include "format/any_order.h"
#include "format/part_layout.h"
#include "paged_entries.h"

#include <errno.h>

enum { N = 5000 };

struct shape {
    enum table_kind kind;
    enum key_type key_type;
    const char *value;
    uint32_t (*len)(size_t);
    uint32_t level;
    uint32_t n_partitions; /* of `mem`; 0: chosen */
};

static const struct shape shapes[] = {
    {KIND_MEM, KEY_U64, "bytes[8]", len_fixed_8, 0, 0},
    {KIND_MEM, KEY_U64, "bytes[8]", len_fixed_8, 1, 7},
    {KIND_MEM, KEY_U64, "bytes", len_wild, 0, 2},
    {KIND_MEM, KEY_BYTES, "bytes", len_varied, 1, 0},
    {KIND_MEM, KEY_BYTES, "bytes[8]", len_fixed_8, 0, 3},
    {KIND_BLK, KEY_U64, "bytes", len_wild, 0, 0},
    {KIND_BLK, KEY_BYTES, "bytes[8]", len_fixed_8, 1, 0},
    {KIND_IDX, KEY_U64, "bytes[8]", len_fixed_8, 1, 0},
    {KIND_IDX, KEY_BYTES, "bytes", len_varied, 0, 0},
};

struct made {
    struct schema schema;
    struct entries entries;
    struct buf bytes;
    void *memory;
    struct any_part *part;
};

static void made_open(struct made *made)
{
    struct err err = {0};
    made->memory = fixture_aligned(&made->bytes);
    if (any_part_open(made->memory, made->bytes.len, "part", &made->part, &err))
        fail_msg("%s", err.text);
}

/* Shard 1 of 2; in a delta each seventh entry is a tombstone. */
static struct made make(const struct shape *shape)
{
    struct made made = {.schema = fixture_schema(shape->key_type, shape->value, 2)};
    made.schema.kind = shape->kind;
    made.entries = entries_make(&made.schema, N, shape->len);
    struct part_entry *at = made.entries.at;
    struct paged_params params = {.schema = &made.schema,
                                  .shard = 1,
                                  .level = shape->level,
                                  .n_entries = N,
                                  .n_bytes = 50 * N};
    for (size_t i = 0; shape->level && i < N; i += 7) {
        at[i].tombstone = true;
        at[i].value = NULL;
        at[i].value_len = 0;
    }
    int ret = -EINVAL;
    if (shape->kind == KIND_MEM)
        ret = fixture_write(&made.schema, shape->level, 1, shape->n_partitions, at, N, &made.bytes,
                            NULL);
    else if (shape->kind == KIND_BLK)
        ret = paged_fixture_write_blk(&params, at, N, &made.bytes, NULL);
    else
        ret = paged_fixture_write_idx(&params, at, N, &made.bytes, NULL);
    assert_int_equal(ret, 0);
    made_open(&made);
    return made;
}

static void made_release(struct made *made)
{
    any_part_free(made->part);
    free(made->memory);
    buf_release(&made->bytes);
    entries_free(&made->entries);
}

static void check(const struct made *made, size_t slice_len)
{
    const struct part_info *info = any_part_info(made->part);
    struct any_order order;
    struct part_entry entry, found;
    uint8_t last_key[KEY_BYTES_MAX];
    struct part_entry last = {0};
    uint64_t n = 0;
    int got;
    any_order_init(&order, made->part, slice_len);
    while ((got = any_order_next(&order, &entry)) > 0) {
        if (n++)
            assert_true(any_order_compare(made->schema.kind, &last, &entry) < 0);
        assert_int_equal(any_part_find(made->part, &entry, &found), 1);
        assert_true(found.value == entry.value && found.value_len == entry.value_len);
        assert_int_equal(found.tombstone, entry.tombstone);
        last = entry;
        if (entry.key_bytes) {
            memcpy(last_key, entry.key_bytes, entry.key_len);
            last.key_bytes = last_key;
        }
    }
    assert_int_equal(got, 0);
    assert_int_equal(n, info->n_keys + info->n_tombstones);
    any_order_release(&order);
}

static void order__every_entry_comes_once_and_in_the_order_of_its_kind(void **state)
{
    static const size_t slices[] = {0, 1024, 1500, 1 << 20};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        struct made made = make(&shapes[i]);
        for (size_t k = 0; k < sizeof slices / sizeof *slices; k++)
            check(&made, slices[k]);
        made_release(&made);
    }
}

/* n keys of which each three share a hash. */
static struct made make_collisions(size_t n)
{
    struct made made = {.schema = fixture_schema(KEY_BYTES, "bytes[8]", 1)};
    made.entries = entries_make(&made.schema, n, len_fixed_8);
    for (size_t i = 0; i < n; i++)
        made.entries.at[i].hash = made.entries.at[i - i % 3].hash;
    assert_int_equal(fixture_write(&made.schema, 0, 0, 4, made.entries.at, n, &made.bytes, NULL),
                     0);
    return made;
}

static void order__keys_of_one_hash_come_in_order_of_key(void **state)
{
    struct made made = make_collisions(3000);
    made_open(&made);
    check(&made, 0);
    made_release(&made);
}

/* Two collisions that have changed places. */
static void order__a_part_out_of_order_is_refused(void **state)
{
    struct made made = make_collisions(300);
    struct part_footer footer;
    struct part_collision kept;
    memcpy(&footer, made.bytes.data + made.bytes.len - PART_FOOTER_LEN, sizeof footer);
    struct part_collision *at =
        (struct part_collision *)(void *)(made.bytes.data + load_le64(&footer.collisions.off));
    assert_int_equal(load_le64(&at[0].hash), load_le64(&at[1].hash));
    kept = at[0];
    at[0] = at[1];
    at[1] = kept;
    made_open(&made);
    struct any_order order;
    struct part_entry entry;
    int got;
    any_order_init(&order, made.part, 0);
    while ((got = any_order_next(&order, &entry)) > 0)
        ;
    assert_int_equal(got, -EBADMSG);
    any_order_release(&order);
    made_release(&made);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order__every_entry_comes_once_and_in_the_order_of_its_kind),
        cmocka_unit_test(order__keys_of_one_hash_come_in_order_of_key),
        cmocka_unit_test(order__a_part_out_of_order_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
