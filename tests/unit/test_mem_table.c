/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "table_fixture.h"

#include <errno.h>

static int find_text(const struct mem_table *table, uint64_t key, char *out)
{
    const uint8_t *value = NULL;
    uint32_t len = 0;
    int ret = mem_table_find_u64(table, key, &value, &len);
    if (ret == 1) {
        memcpy(out, value, len);
        out[len] = '\0';
    }
    return ret;
}

static void mem_table__the_newest_level_answers(void **state)
{
    struct fixture f = {.schema = fixture_schema(KEY_U64, "bytes", 3)};
    char text[16] = "";
    struct part_entry base[] = {fixture_u64(&f.schema, 1, "one", 3),
                                fixture_u64(&f.schema, 2, "two", 3),
                                fixture_u64(&f.schema, 3, "three", 5)};
    struct part_entry first[] = {fixture_u64(&f.schema, 2, "zwei", 4),
                                 fixture_u64(&f.schema, 3, NULL, 0),
                                 fixture_u64(&f.schema, 4, "vier", 4)};
    struct part_entry second[] = {fixture_u64(&f.schema, 3, "trois", 5),
                                  fixture_u64(&f.schema, 4, NULL, 0)};
    fixture_add_level(&f, 1, base, 3);
    fixture_add_level(&f, 2, first, 3);
    fixture_add_level(&f, 5, second, 2);
    const struct mem_table *table = fixture_table(&f);
    assert_int_equal(find_text(table, 1, text), 1);
    assert_string_equal(text, "one");
    assert_int_equal(find_text(table, 2, text), 1);
    assert_string_equal(text, "zwei");
    assert_int_equal(find_text(table, 3, text), 1);
    assert_string_equal(text, "trois");
    assert_int_equal(find_text(table, 4, text), 0);
    assert_int_equal(find_text(table, 5, text), 0);
    fixture_release(&f);
}

static void mem_table__bytes_keys_are_told_apart_by_every_byte(void **state)
{
    struct fixture f = {.schema = fixture_schema(KEY_BYTES, "bytes", 2)};
    char long_key[KEY_BYTES_MAX + 1];
    const uint8_t *value = NULL;
    uint32_t len = 0;
    memset(long_key, 'k', KEY_BYTES_MAX);
    long_key[KEY_BYTES_MAX] = '\0';
    struct part_entry base[] = {fixture_bytes(&f.schema, "a", "1", 1),
                                fixture_bytes(&f.schema, "ab", "", 0),
                                fixture_bytes(&f.schema, long_key, "long", 4)};
    fixture_add_level(&f, 1, base, 3);
    const struct mem_table *table = fixture_table(&f);
    assert_int_equal(mem_table_find_bytes(table, "a", 1, &value, &len), 1);
    assert_int_equal(mem_table_find_bytes(table, "ab", 2, &value, &len), 1);
    assert_int_equal(len, 0);
    assert_int_equal(mem_table_find_bytes(table, long_key, KEY_BYTES_MAX, &value, &len), 1);
    assert_int_equal(len, 4);
    assert_int_equal(mem_table_find_bytes(table, long_key, KEY_BYTES_MAX - 1, &value, &len), 0);
    assert_int_equal(mem_table_find_bytes(table, "", 0, &value, &len), 0);
    assert_int_equal(mem_table_find_bytes(table, "a", 1000, &value, &len), 0);
    assert_int_equal(mem_table_find_u64(table, 1, &value, &len), -EINVAL);
    fixture_release(&f);
}

/* Keys forced into one hash: all are found by that hash, and a tombstone hides only its own. */
static void mem_table__colliding_keys_and_their_tombstones_are_found(void **state)
{
    struct fixture f = {.schema = fixture_schema(KEY_BYTES, "bytes", 1)};
    uint64_t hash = schema_hash_bytes(&f.schema, "b", 1);
    struct part_entry base[] = {fixture_bytes(&f.schema, "a", "A", 1),
                                fixture_bytes(&f.schema, "b", "B", 1),
                                fixture_bytes(&f.schema, "c", "C", 1)};
    struct part_entry delta[] = {fixture_bytes(&f.schema, "a", NULL, 0),
                                 fixture_bytes(&f.schema, "b", NULL, 0)};
    const uint8_t *value = NULL;
    uint32_t len = 0;
    for (int i = 0; i < 3; i++)
        base[i].hash = hash;
    delta[0].hash = hash;
    fixture_add_level(&f, 1, base, 3);
    assert_int_equal(mem_table_find_bytes(fixture_table(&f), "b", 1, &value, &len), 1);
    assert_int_equal(*value, 'B');
    /* "c" hashes elsewhere really, so a lookup cannot be led to it; the point is that "b", second in
     * the list of its hash, is found, and then found deleted. */
    fixture_add_level(&f, 1, delta, 2);
    assert_int_equal(mem_table_find_bytes(fixture_table(&f), "b", 1, &value, &len), 0);
    fixture_release(&f);
}

static void mem_table__parts_must_fit_their_places(void **state)
{
    struct fixture f = {.schema = fixture_schema(KEY_U64, "bytes[8]", 2)};
    struct mem_table *table = NULL;
    struct err err = {0};
    fixture_add_level(&f, 2, NULL, 0);
    fixture_add_level(&f, 2, NULL, 0);
    const struct part *swapped[2] = {f.parts[1], f.parts[0]};
    assert_int_equal(mem_table_new(&f.schema, 1, swapped, &table, &err), -EBADMSG);
    const struct part *delta_as_base[2] = {f.parts[2], f.parts[3]};
    assert_int_equal(mem_table_new(&f.schema, 1, delta_as_base, &table, &err), -EBADMSG);
    const struct part *right[2] = {f.parts[0], f.parts[1]};
    struct schema other = f.schema;
    other.hash_seed++;
    assert_int_equal(mem_table_new(&other, 1, right, &table, &err), -EBADMSG);
    other = fixture_schema(KEY_U64, "bytes[9]", 2);
    assert_int_equal(mem_table_new(&other, 1, right, &table, &err), -EBADMSG);
    other = fixture_schema(KEY_BYTES, "bytes[8]", 2);
    assert_int_equal(mem_table_new(&other, 1, right, &table, &err), -EBADMSG);
    other = f.schema;
    assert_int_equal(mem_table_new(&other, 0, right, &table, &err), -EINVAL);
    assert_int_equal(mem_table_new(&other, LEVELS_MAX + 1, right, &table, &err), -EINVAL);
    other.n_shards = 0;
    assert_int_equal(mem_table_new(&other, 1, right, &table, &err), -EINVAL);
    assert_null(table);
    fixture_release(&f);
}

static void mem_table__shards_of_a_level_have_as_many_partitions(void **state)
{
    struct schema schema = fixture_schema(KEY_U64, "bytes[8]", 2);
    const struct part *parts[2];
    struct part *opened[2] = {0};
    void *memory[2];
    struct mem_table *table = NULL;
    for (uint32_t shard = 0; shard < 2; shard++) {
        struct buf bytes = {0};
        assert_int_equal(fixture_write(&schema, 0, shard, 1 + shard, NULL, 0, &bytes, NULL), 0);
        memory[shard] = fixture_aligned(&bytes);
        assert_int_equal(part_open(memory[shard], bytes.len, "x", &opened[shard], NULL), 0);
        parts[shard] = opened[shard];
        buf_release(&bytes);
    }
    assert_int_equal(mem_table_new(&schema, 1, parts, &table, NULL), -EBADMSG);
    for (int i = 0; i < 2; i++) {
        part_free(opened[i]);
        free(memory[i]);
    }
}

static void mem_table__an_empty_table_answers_absent(void **state)
{
    struct fixture f = {.schema = fixture_schema(KEY_U64, "bytes[64]", 4)};
    char text[80];
    fixture_add_level(&f, 3, NULL, 0);
    fixture_add_level(&f, 1, NULL, 0);
    for (uint64_t key = 0; key < 5000; key++)
        assert_int_equal(find_text(fixture_table(&f), key, text), 0);
    fixture_release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mem_table__the_newest_level_answers),
        cmocka_unit_test(mem_table__bytes_keys_are_told_apart_by_every_byte),
        cmocka_unit_test(mem_table__colliding_keys_and_their_tombstones_are_found),
        cmocka_unit_test(mem_table__parts_must_fit_their_places),
        cmocka_unit_test(mem_table__shards_of_a_level_have_as_many_partitions),
        cmocka_unit_test(mem_table__an_empty_table_answers_absent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
