/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "base/hash.h"
#include "format/mph.h"
#include "format/schema.h"

#include <errno.h>
#include <string.h>

static struct schema good(void)
{
    struct schema schema = {.kind = KIND_MEM, .key_type = KEY_U64, .n_shards = 3, .mode = 0444};
    assert_int_equal(schema_set_value(&schema, "f16[100]", NULL), 0);
    return schema;
}

static void schema__value_texts_round_trip(void **state)
{
    static const struct {
        const char *text;
        enum elem elem;
        uint32_t dim;
        uint32_t value_len;
    } cases[] = {
        {"bytes", ELEM_NONE, 0, 0},
        {"bytes[1]", ELEM_NONE, 0, 1},
        {"bytes[16777216]", ELEM_NONE, 0, 16777216},
        {"f32[1]", ELEM_F32, 1, 4},
        {"f16[96]", ELEM_F16, 96, 192},
        {"bf16[65536]", ELEM_BF16, 65536, 131072},
        {"i8[100]", ELEM_I8, 100, 104},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct schema schema = {0};
        char text[VALUE_TEXT_MAX];
        assert_int_equal(schema_set_value(&schema, cases[i].text, NULL), 0);
        assert_int_equal(schema.elem, cases[i].elem);
        assert_int_equal(schema.dim, cases[i].dim);
        assert_int_equal(schema.value_len, cases[i].value_len);
        schema_value_text(&schema, text);
        assert_string_equal(text, cases[i].text);
    }
}

static void schema__other_value_texts_are_refused_and_change_nothing(void **state)
{
    static const char *const bad[] = {
        "",          "byte",      "bytes[]",
        "bytes[0]",  "bytes[01]", "bytes[16777217]",
        "bytes[-1]", "bytes[5",   "bytes[5]x",
        "f32",       "f32[0]",    "f32[65537]",
        "f16[1e3]",  "f64[3]",    "bytes[99999999999999999999]",
        "[5]",       "i8[ 5]",    "bytesbytesbytes",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct schema schema = good();
        struct schema before = schema;
        struct err err = {0};
        assert_int_equal(schema_set_value(&schema, bad[i], &err), -EINVAL);
        assert_non_null(strstr(err.text, "value type: expected"));
        assert_memory_equal(&schema, &before, sizeof schema);
    }
}

static void schema__every_field_is_checked(void **state)
{
    struct schema schema = good();
    assert_int_equal(schema_check(&schema, NULL), 0);
#define BAD(field, value)                                                                          \
    do {                                                                                           \
        struct err err = {0};                                                                      \
        schema = good();                                                                           \
        schema.field = (value);                                                                    \
        assert_int_equal(schema_check(&schema, &err), -EINVAL);                                    \
        assert_true(strncmp(err.text, "schema: ", 8) == 0);                                        \
    } while (0)
    BAD(kind, (enum table_kind)0);
    BAD(key_type, (enum key_type)3);
    BAD(elem, (enum elem)9);
    BAD(elem, ELEM_NONE);
    BAD(dim, 0);
    BAD(dim, VECTOR_DIM_MAX + 1);
    BAD(value_len, 199);
    BAD(n_shards, 0);
    BAD(n_shards, SHARDS_MAX + 1);
    BAD(mode, 01000);
    BAD(owner[0], '/');
    BAD(owner[0], '-');
    BAD(group[0], '\n');
#undef BAD
    schema = good();
    memset(schema.owner, 'a', sizeof schema.owner);
    assert_int_equal(schema_check(&schema, NULL), -EINVAL);
    schema = good();
    strcpy(schema.owner, "www-data");
    strcpy(schema.group, "1000");
    assert_int_equal(schema_check(&schema, NULL), 0);
    schema = (struct schema){
        .kind = KIND_MEM, .key_type = KEY_U64, .n_shards = 1, .value_len = VALUE_LEN_MAX + 1};
    assert_int_equal(schema_check(&schema, NULL), -EINVAL);
}

static void schema__the_first_difference_of_shape_is_named(void **state)
{
    struct schema a = good();
    struct schema b = good();
    struct err err = {0};
    assert_true(schema_same_shape(&a, &b, &err));
    b.mode = 0400; /* who may read it is no shape */
    assert_true(schema_same_shape(&a, &b, &err));
    b.key_type = KEY_BYTES;
    assert_false(schema_same_shape(&a, &b, &err));
    assert_string_equal(err.text, "schema: the base has u64 keys, the delta bytes");
    b = good();
    assert_int_equal(schema_set_value(&b, "bf16[100]", NULL), 0);
    assert_false(schema_same_shape(&a, &b, &err));
    assert_string_equal(err.text, "schema: the base has values f16[100], the delta bf16[100]");
    b = good();
    b.n_shards = 4;
    assert_false(schema_same_shape(&a, &b, NULL));
    b = good();
    b.hash_seed = 1;
    assert_false(schema_same_shape(&a, &b, NULL));
}

static void schema__names_round_trip(void **state)
{
    enum key_type type;
    enum table_kind kind;
    assert_int_equal(key_type_from_name("u64", &type, NULL), 0);
    assert_string_equal(key_type_name(type), "u64");
    assert_int_equal(key_type_from_name("bytes", &type, NULL), 0);
    assert_string_equal(key_type_name(type), "bytes");
    assert_int_equal(key_type_from_name("int", &type, NULL), -EINVAL);
    for (int i = KIND_MEM; i <= KIND_IDX; i++) {
        assert_int_equal(table_kind_from_name(table_kind_name((enum table_kind)i), &kind, NULL), 0);
        assert_int_equal(kind, i);
    }
    assert_string_equal(table_kind_name(KIND_BLK), "blk");
    assert_int_equal(table_kind_from_name("lsm", &kind, NULL), -EINVAL);
    assert_int_equal(table_kind_from_name("", &kind, NULL), -EINVAL);
}

/* A level's partitions over all shards must be the shards' own partitions, one after the other. */
static void schema__shards_are_whole_runs_of_partitions(void **state)
{
    static const uint32_t shards[] = {1, 2, 3, 7, 240, 2400, 4096};
    static const uint32_t partitions[] = {1, 2, 3, 5, 100, 1000};
    for (size_t s = 0; s < sizeof shards / sizeof shards[0]; s++)
        for (size_t p = 0; p < sizeof partitions / sizeof partitions[0]; p++)
            for (uint64_t i = 0; i < 2000; i++) {
                struct schema schema = good();
                schema.n_shards = shards[s];
                uint64_t hash = i < 10 ? UINT64_MAX - i : hash_u64(i, 1);
                uint32_t place = mph_partition(hash, shards[s] * partitions[p]);
                assert_int_equal(place / partitions[p], schema_shard(&schema, hash));
            }
}

static void hash__u64_inverse_gives_the_key_back(void **state)
{
    for (uint64_t i = 0; i < 10000; i++) {
        uint64_t key = i < 100 ? i : i < 200 ? UINT64_MAX - i : hash_u64(i, 3);
        assert_int_equal(hash_u64_inverse(hash_u64(key, i * 77), i * 77), key);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(schema__value_texts_round_trip),
        cmocka_unit_test(schema__other_value_texts_are_refused_and_change_nothing),
        cmocka_unit_test(schema__every_field_is_checked),
        cmocka_unit_test(schema__the_first_difference_of_shape_is_named),
        cmocka_unit_test(schema__names_round_trip),
        cmocka_unit_test(schema__shards_are_whole_runs_of_partitions),
        cmocka_unit_test(hash__u64_inverse_gives_the_key_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
