/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of DuckDB's chunks, with no DuckDB: the few functions that reading them takes are stood in for by plain memory. */
#include "unit.h"

#include "builder/duckdb_rows.h"
#include "builder/parquet.h"
#include "temp_dir.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct duckdb_vector_impl {
    void *data;
    uint64_t *valid;
    struct duckdb_vector_impl *child;
};

struct duckdb_chunk_impl {
    uint64_t n_rows;
    struct duckdb_vector_impl columns[2];
    int n_destroyed;
};

static uint64_t fake_size(duckdb_chunk chunk)
{
    return chunk->n_rows;
}

static duckdb_vector fake_vector(duckdb_chunk chunk, uint64_t column)
{
    return &chunk->columns[column];
}

static void fake_destroy(duckdb_chunk *chunk)
{
    (*chunk)->n_destroyed++;
    *chunk = NULL;
}

static void *fake_data(duckdb_vector vector)
{
    return vector->data;
}

static uint64_t *fake_validity(duckdb_vector vector)
{
    return vector->valid;
}

static duckdb_vector fake_child(duckdb_vector vector)
{
    return vector->child;
}

static const struct duckdb_api fake = {.data_chunk_get_size = fake_size,
                                       .data_chunk_get_vector = fake_vector,
                                       .destroy_data_chunk = fake_destroy,
                                       .vector_get_data = fake_data,
                                       .vector_get_validity = fake_validity,
                                       .list_vector_get_child = fake_child,
                                       .array_vector_get_child = fake_child};

static struct duckdb_choice choice_of(enum duckdb_type_id key, enum duckdb_type_id value,
                                      enum duckdb_type_id child, uint64_t array_len)
{
    return (struct duckdb_choice){
        .value = 1,
        .has_value = value != DUCKDB_INVALID,
        .key_column = {.name = "k", .type = key},
        .value_column = {.name = "v", .type = value, .child = child, .array_len = array_len}};
}

/* A chunk of keys only. */
static struct duckdb_rows keys(struct duckdb_chunk_impl *chunk, enum duckdb_type_id type,
                               void *data, uint64_t n)
{
    struct duckdb_rows rows = {0};
    struct duckdb_choice choice = choice_of(type, DUCKDB_INVALID, DUCKDB_INVALID, 0);
    *chunk = (struct duckdb_chunk_impl){.n_rows = n, .columns = {{.data = data}}};
    duckdb_rows_begin(&rows, &fake, chunk, &choice, 1, 1000);
    return rows;
}

static void assert_key(struct duckdb_rows *rows, uint64_t expected)
{
    struct input_row row;
    uint64_t key = 0;
    assert_int_equal(duckdb_rows_next(rows, &row, NULL), 1);
    assert_int_equal(row.key.form, FIELD_U64);
    memcpy(&key, row.key.data, sizeof key);
    assert_int_equal(key, expected);
}

static void assert_bad(struct duckdb_rows *rows, uint64_t line, const char *words)
{
    struct input_row row;
    struct err err = {0};
    assert_int_equal(duckdb_rows_next(rows, &row, &err), -EBADMSG);
    assert_int_equal(row.line, line);
    if (!strstr(err.text, words))
        fail_msg("expected \"%s\", found \"%s\"", words, err.text);
}

static void assert_end(struct duckdb_rows *rows)
{
    struct input_row row;
    assert_int_equal(duckdb_rows_next(rows, &row, NULL), 0);
    duckdb_rows_release(rows);
}

static void keys__of_every_width_and_never_below_0(void **state)
{
    struct duckdb_chunk_impl chunk;
    int8_t i8[] = {127, -1};
    uint8_t u8[] = {255, 0};
    int16_t i16[] = {32767, -32768};
    uint16_t u16[] = {65535};
    int32_t i32[] = {INT32_MAX, -7};
    uint32_t u32[] = {UINT32_MAX};
    int64_t i64[] = {INT64_MAX, INT64_MIN};
    uint64_t u64[] = {UINT64_MAX};
    struct duckdb_rows rows = keys(&chunk, DUCKDB_TINYINT, i8, 2);
    assert_key(&rows, 127);
    assert_bad(&rows, 2, "found -1");
    assert_end(&rows);
    rows = keys(&chunk, DUCKDB_UTINYINT, u8, 2);
    assert_key(&rows, 255);
    assert_key(&rows, 0);
    assert_end(&rows);
    rows = keys(&chunk, DUCKDB_SMALLINT, i16, 2);
    assert_key(&rows, 32767);
    assert_bad(&rows, 2, "found -32768");
    assert_end(&rows);
    rows = keys(&chunk, DUCKDB_USMALLINT, u16, 1);
    assert_key(&rows, 65535);
    assert_end(&rows);
    rows = keys(&chunk, DUCKDB_INTEGER, i32, 2);
    assert_key(&rows, INT32_MAX);
    assert_bad(&rows, 2, "found -7");
    assert_end(&rows);
    rows = keys(&chunk, DUCKDB_UINTEGER, u32, 1);
    assert_key(&rows, UINT32_MAX);
    assert_end(&rows);
    rows = keys(&chunk, DUCKDB_BIGINT, i64, 2);
    assert_key(&rows, INT64_MAX);
    assert_bad(&rows, 2, "found -9223372036854775808");
    assert_end(&rows);
    rows = keys(&chunk, DUCKDB_UBIGINT, u64, 1);
    assert_key(&rows, UINT64_MAX);
    assert_end(&rows);
    assert_int_equal(chunk.n_destroyed, 1);
}

static void keys__of_128_bits_are_within_64(void **state)
{
    struct duckdb_chunk_impl chunk;
    struct duckdb_hugeint wide[] = {{UINT64_MAX, 0}, {0, 1}, {5, UINT64_MAX}};
    struct duckdb_rows rows = keys(&chunk, DUCKDB_HUGEINT, wide, 3);
    assert_key(&rows, UINT64_MAX);
    assert_bad(&rows, 2, "at most 18446744073709551615");
    assert_bad(&rows, 3, "below 0");
    assert_end(&rows);
    rows = keys(&chunk, DUCKDB_UHUGEINT, wide, 3);
    assert_key(&rows, UINT64_MAX);
    assert_bad(&rows, 2, "at most");
    assert_bad(&rows, 3, "at most");
    assert_end(&rows);
}

static void keys__null_is_bad(void **state)
{
    struct duckdb_chunk_impl chunk;
    uint64_t numbers[70] = {0};
    uint64_t valid[2] = {UINT64_MAX, ~(1ULL << 5)};
    struct duckdb_choice choice = choice_of(DUCKDB_UBIGINT, DUCKDB_INVALID, DUCKDB_INVALID, 0);
    struct duckdb_rows rows = {0};
    chunk = (struct duckdb_chunk_impl){.n_rows = 70, .columns = {{numbers, valid, NULL}}};
    duckdb_rows_begin(&rows, &fake, &chunk, &choice, 1001, 0);
    for (int i = 0; i < 69; i++)
        assert_key(&rows, 0);
    assert_bad(&rows, 1070, "found NULL");
    assert_end(&rows);
}

static void strings__lie_in_the_row_or_elsewhere(void **state)
{
    union duckdb_string strings[3] = {{{.len = 12, .inlined = "twelve bytes"}}};
    struct duckdb_chunk_impl chunk;
    struct input_row row;
    char text[] = "thirteen byte";
    strings[1].len = 13;
    strings[1].data = text;
    struct duckdb_rows rows = keys(&chunk, DUCKDB_VARCHAR, strings, 3);
    assert_int_equal(duckdb_rows_len(&rows), 25);
    assert_int_equal(duckdb_rows_next(&rows, &row, NULL), 1);
    assert_int_equal(row.key.form, FIELD_TEXT);
    assert_int_equal(row.key.len, 12);
    assert_memory_equal(row.key.data, "twelve bytes", 12);
    assert_int_equal(duckdb_rows_next(&rows, &row, NULL), 1);
    assert_int_equal(row.key.len, 13);
    assert_ptr_equal(row.key.data, text);
    assert_int_equal(duckdb_rows_next(&rows, &row, NULL), 1);
    assert_int_equal(row.key.len, 0);
    assert_int_equal(row.value.form, FIELD_ABSENT);
    assert_end(&rows);
}

static void assert_floats(struct duckdb_rows *rows, const float *expected, size_t n)
{
    struct input_row row;
    struct err err = {0};
    if (duckdb_rows_next(rows, &row, &err) != 1)
        fail_msg("%s", err.text);
    assert_int_equal(row.value.form, FIELD_FLOATS);
    assert_int_equal(row.value.len, n * sizeof(float));
    if (n)
        assert_memory_equal(row.value.data, expected, n * sizeof(float));
}

static void lists__are_slices_of_their_elements(void **state)
{
    uint64_t ids[4] = {1, 2, 3, 4};
    struct duckdb_list lists[4] = {{3, 2}, {0, 0}, {0, 3}, {0, 1}};
    uint64_t valid = 7;
    float elements[5] = {1, 2, 3, 4, 5};
    struct duckdb_vector_impl child = {.data = elements};
    struct duckdb_chunk_impl chunk = {.n_rows = 4,
                                      .columns = {{ids, NULL, NULL}, {lists, &valid, &child}}};
    struct duckdb_choice choice = choice_of(DUCKDB_UBIGINT, DUCKDB_LIST, DUCKDB_FLOAT, 0);
    struct duckdb_rows rows = {0};
    struct input_row row;
    assert_int_equal(duckdb_choice_check(&choice, NULL), 0);
    duckdb_rows_begin(&rows, &fake, &chunk, &choice, 1, 1000);
    assert_int_equal(duckdb_rows_len(&rows), 4 * 8 + 5 * 4);
    assert_floats(&rows, elements + 3, 2);
    assert_floats(&rows, NULL, 0);
    assert_floats(&rows, elements, 3);
    assert_int_equal(duckdb_rows_next(&rows, &row, NULL), 1);
    assert_int_equal(row.value.form, FIELD_NULL);
    assert_end(&rows);
}

static void lists__a_null_element_or_too_many_are_bad(void **state)
{
    uint64_t ids[3] = {1, 2, 3};
    struct duckdb_list lists[3] = {{0, 2}, {2, 2}, {0, 5}};
    uint64_t valid = ~(1ULL << 3);
    float elements[5] = {1, 2, 3, 4, 5};
    struct duckdb_vector_impl child = {.data = elements, .valid = &valid};
    struct duckdb_chunk_impl chunk = {.n_rows = 3,
                                      .columns = {{ids, NULL, NULL}, {lists, NULL, &child}}};
    struct duckdb_choice choice = choice_of(DUCKDB_UBIGINT, DUCKDB_LIST, DUCKDB_FLOAT, 0);
    struct duckdb_rows rows = {0};
    duckdb_rows_begin(&rows, &fake, &chunk, &choice, 1, 4 * sizeof(float));
    assert_floats(&rows, elements, 2);
    assert_bad(&rows, 2, "element 2 of the vector: expected a number, found NULL");
    assert_bad(&rows, 3, "found 5");
    assert_end(&rows);
}

static void doubles__are_rounded_once_and_stay_finite(void **state)
{
    uint64_t ids[3] = {1, 2, 3};
    double elements[6] = {0.1, -3.4028234663852886e38, (double)NAN, (double)INFINITY, 1, 3.5e38};
    struct duckdb_vector_impl child = {.data = elements};
    struct duckdb_chunk_impl chunk = {.n_rows = 3,
                                      .columns = {{ids, NULL, NULL}, {NULL, NULL, &child}}};
    struct duckdb_choice choice = choice_of(DUCKDB_UBIGINT, DUCKDB_ARRAY, DUCKDB_DOUBLE, 2);
    struct duckdb_rows rows = {0};
    struct input_row row;
    duckdb_rows_begin(&rows, &fake, &chunk, &choice, 1, 1000);
    assert_floats(&rows, (float[]){0.1F, -3.4028234663852886e38F}, 2);
    assert_int_equal(duckdb_rows_next(&rows, &row, NULL), 1);
    assert_true(isnan(((const float *)(const void *)row.value.data)[0]));
    assert_true(isinf(((const float *)(const void *)row.value.data)[1]));
    assert_bad(&rows, 3, "element 2 of the vector: expected a number within the range of f32");
    assert_end(&rows);
}

static void scalars__are_vectors_of_one(void **state)
{
    uint64_t ids[2] = {1, 2};
    int32_t numbers[2] = {-5, 16777217};
    struct duckdb_chunk_impl chunk = {.n_rows = 2,
                                      .columns = {{ids, NULL, NULL}, {numbers, NULL, NULL}}};
    struct duckdb_choice choice = choice_of(DUCKDB_UBIGINT, DUCKDB_INTEGER, DUCKDB_INVALID, 0);
    struct duckdb_rows rows = {0};
    duckdb_rows_begin(&rows, &fake, &chunk, &choice, 1, 1000);
    assert_floats(&rows, (float[]){-5}, 1);
    assert_floats(&rows, (float[]){16777216}, 1);
    assert_end(&rows);
}

static void columns__of_other_types_are_refused(void **state)
{
    enum { DATE = 13, DECIMAL = 19, STRUCT = 25, MAP = 26, LATER = 99 };
    static const enum duckdb_type_id keys_refused[] = {DUCKDB_FLOAT,
                                                       DUCKDB_DOUBLE,
                                                       DUCKDB_LIST,
                                                       (enum duckdb_type_id)DATE,
                                                       (enum duckdb_type_id)DECIMAL,
                                                       (enum duckdb_type_id)LATER};
    static const enum duckdb_type_id values_refused[] = {
        DUCKDB_HUGEINT, (enum duckdb_type_id)DATE, (enum duckdb_type_id)STRUCT,
        (enum duckdb_type_id)MAP, (enum duckdb_type_id)LATER};
    for (size_t i = 0; i < sizeof keys_refused / sizeof *keys_refused; i++) {
        struct duckdb_choice choice = choice_of(keys_refused[i], DUCKDB_BLOB, DUCKDB_INVALID, 0);
        assert_int_equal(duckdb_choice_check(&choice, NULL), -EINVAL);
    }
    for (size_t i = 0; i < sizeof values_refused / sizeof *values_refused; i++) {
        struct duckdb_choice choice =
            choice_of(DUCKDB_UBIGINT, values_refused[i], DUCKDB_INVALID, 0);
        assert_int_equal(duckdb_choice_check(&choice, NULL), -EINVAL);
        choice = choice_of(DUCKDB_UBIGINT, DUCKDB_LIST, values_refused[i], 0);
        assert_int_equal(duckdb_choice_check(&choice, NULL), -EINVAL);
    }
}

static void sql__names_one_file_whatever_it_is_called(void **state)
{
    struct buf sql = {0};
    const char *names[] = {"id", "a \"b\""};
    assert_int_equal(parquet_select(&sql, "x/it's [1]*?.parquet", names, 2, 0, UINT64_MAX), 0);
    assert_string_equal((const char *)sql.data,
                        "SELECT \"id\", \"a \"\"b\"\"\" FROM read_parquet('./x/it''s "
                        "[[]1][*][?].parquet', hive_partitioning = false)");
    buf_clear(&sql);
    assert_int_equal(parquet_select(&sql, "/p", NULL, 0, 10, 20), 0);
    assert_string_equal(
        (const char *)sql.data,
        "SELECT * FROM read_parquet('/p', hive_partitioning = false, file_row_number "
        "= true) WHERE file_row_number >= 10 AND file_row_number < 20");
    buf_release(&sql);
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void parquet__a_file_that_changed_is_told(void **state)
{
    char dir[TEMP_DIR_MAX];
    char path[TEMP_DIR_MAX + 16];
    char other[TEMP_DIR_MAX + 16];
    struct stat st;
    struct err err = {0};
    temp_dir_make(dir);
    snprintf(path, sizeof path, "%s/a.parquet", dir);
    snprintf(other, sizeof other, "%s/b.parquet", dir);
    write_file(path, "PAR1 what PAR1");
    write_file(other, "PAR1 what PAR1");
    assert_int_equal(parquet_check(path, &st, &err), 0);
    assert_int_equal(parquet_check_same(path, &st, &err), 0);
    assert_int_equal(rename(other, path), 0);
    assert_int_equal(parquet_check_same(path, &st, &err), -ESTALE);
    assert_non_null(strstr(err.text, path));
    assert_int_equal(parquet_check(path, &st, &err), 0);
    write_file(path, "PAR1 other PAR1");
    assert_int_equal(parquet_check_same(path, &st, &err), -ESTALE);
    assert_int_equal(remove(path), 0);
    assert_int_equal(parquet_check_same(path, &st, &err), -ENOENT);
    temp_dir_remove(dir);
}

static void faults__are_one_line_with_a_meaning(void **state)
{
    struct err err = {0};
    assert_int_equal(duckdb_fault("query",
                                  "Binder Error: no\n  such column\n\nLINE 1: SELECT x\n       ^",
                                  &err),
                     -EINVAL);
    assert_string_equal(err.text, "query: DuckDB: Binder Error: no such column");
    assert_int_equal(duckdb_fault("q", "Out of Memory Error: 1/2\nPossible solutions:\n* x", &err),
                     -ENOMEM);
    assert_null(strstr(err.text, "Possible"));
    assert_int_equal(duckdb_fault("q", "IO Error: No files found that match", &err), -ENOENT);
    assert_int_equal(duckdb_fault("q", "IO Error: read", &err), -EIO);
    assert_int_equal(duckdb_fault("q", "INTERRUPT Error: Interrupted!", &err), -ECANCELED);
    assert_int_equal(duckdb_fault("q", NULL, &err), -EIO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys__of_every_width_and_never_below_0),
        cmocka_unit_test(keys__of_128_bits_are_within_64),
        cmocka_unit_test(keys__null_is_bad),
        cmocka_unit_test(strings__lie_in_the_row_or_elsewhere),
        cmocka_unit_test(lists__are_slices_of_their_elements),
        cmocka_unit_test(lists__a_null_element_or_too_many_are_bad),
        cmocka_unit_test(doubles__are_rounded_once_and_stay_finite),
        cmocka_unit_test(scalars__are_vectors_of_one),
        cmocka_unit_test(columns__of_other_types_are_refused),
        cmocka_unit_test(sql__names_one_file_whatever_it_is_called),
        cmocka_unit_test(parquet__a_file_that_changed_is_told),
        cmocka_unit_test(faults__are_one_line_with_a_meaning),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
