/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/duckdb_rows.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- types ---- */

/* Bytes of a number of the type; 0: not one that becomes an element. */
static size_t number_width(enum duckdb_type_id type)
{
    switch (type) {
    case DUCKDB_TINYINT:
    case DUCKDB_UTINYINT:
        return 1;
    case DUCKDB_SMALLINT:
    case DUCKDB_USMALLINT:
        return 2;
    case DUCKDB_INTEGER:
    case DUCKDB_UINTEGER:
    case DUCKDB_FLOAT:
        return 4;
    case DUCKDB_BIGINT:
    case DUCKDB_UBIGINT:
    case DUCKDB_DOUBLE:
        return 8;
    default:
        return 0;
    }
}

static bool is_bytes(enum duckdb_type_id type)
{
    return type == DUCKDB_VARCHAR || type == DUCKDB_BLOB;
}

static bool is_vector(enum duckdb_type_id type)
{
    return type == DUCKDB_LIST || type == DUCKDB_ARRAY;
}

static bool is_integer(enum duckdb_type_id type)
{
    return type == DUCKDB_HUGEINT || type == DUCKDB_UHUGEINT ||
           (number_width(type) && type != DUCKDB_FLOAT && type != DUCKDB_DOUBLE);
}

/* SQL's names, by the numbers of the C API. */
static const char *type_name(enum duckdb_type_id type)
{
    static const char *const names[] = {
        [1] = "BOOLEAN",       [2] = "TINYINT",       [3] = "SMALLINT",     [4] = "INTEGER",
        [5] = "BIGINT",        [6] = "UTINYINT",      [7] = "USMALLINT",    [8] = "UINTEGER",
        [9] = "UBIGINT",       [10] = "FLOAT",        [11] = "DOUBLE",      [12] = "TIMESTAMP",
        [13] = "DATE",         [14] = "TIME",         [15] = "INTERVAL",    [16] = "HUGEINT",
        [17] = "VARCHAR",      [18] = "BLOB",         [19] = "DECIMAL",     [20] = "TIMESTAMP_S",
        [21] = "TIMESTAMP_MS", [22] = "TIMESTAMP_NS", [23] = "ENUM",        [24] = "LIST",
        [25] = "STRUCT",       [26] = "MAP",          [27] = "UUID",        [28] = "UNION",
        [29] = "BIT",          [30] = "TIMETZ",       [31] = "TIMESTAMPTZ", [32] = "UHUGEINT",
        [33] = "ARRAY",
    };
    const char *name = (size_t)type < sizeof names / sizeof *names ? names[type] : NULL;
    return name ? name : "another type";
}

/* "DECIMAL[]" */
static const char *column_type(const struct duckdb_column *column, char out[48])
{
    if (column->type == DUCKDB_LIST)
        snprintf(out, 48, "%s[]", type_name(column->child));
    else if (column->type == DUCKDB_ARRAY)
        snprintf(out, 48, "%s[%llu]", type_name(column->child),
                 (unsigned long long)column->array_len);
    else
        snprintf(out, 48, "%s", type_name(column->type));
    return out;
}

int duckdb_choice_check(const struct duckdb_choice *choice, struct err *err)
{
    char found[48];
    const struct duckdb_column *key = &choice->key_column;
    const struct duckdb_column *value = &choice->value_column;
    if (!is_integer(key->type) && !is_bytes(key->type))
        return err_set(err, -EINVAL,
                       "key: expected a column of integers, VARCHAR or BLOB, found \"%s\" of type "
                       "%s; cast it with --sql, as in SELECT x::VARCHAR or x::UBIGINT",
                       key->name, column_type(key, found));
    if (!choice->has_value || is_bytes(value->type) || number_width(value->type) ||
        (is_vector(value->type) && number_width(value->child)))
        return 0;
    return err_set(
        err, -EINVAL,
        "value: expected a column of VARCHAR or BLOB, or of FLOAT, DOUBLE or integers, or "
        "of lists or arrays of them, found \"%s\" of type %s; cast it with --sql, as in "
        "SELECT x::%s",
        value->name, column_type(value, found), is_vector(value->type) ? "FLOAT[]" : "VARCHAR");
}

/* ---- a chunk ---- */

static void view_fill(const struct duckdb_api *api, duckdb_vector vector,
                      const struct duckdb_column *column, struct duckdb_view *view)
{
    *view = (struct duckdb_view){.column = *column,
                                 .data = api->vector_get_data(vector),
                                 .valid = api->vector_get_validity(vector)};
    duckdb_vector child = NULL;
    if (column->type == DUCKDB_LIST)
        child = api->list_vector_get_child(vector);
    if (column->type == DUCKDB_ARRAY)
        child = api->array_vector_get_child(vector);
    if (!child)
        return;
    view->elements = api->vector_get_data(child);
    view->elements_valid = api->vector_get_validity(child);
}

static void chunk_drop(struct duckdb_rows *rows)
{
    if (rows->chunk)
        rows->api->destroy_data_chunk(&rows->chunk);
    rows->chunk = NULL;
    rows->n_rows = rows->next = 0;
}

void duckdb_rows_begin(struct duckdb_rows *rows, const struct duckdb_api *api, duckdb_chunk chunk,
                       const struct duckdb_choice *choice, uint64_t first_row, size_t value_len_max)
{
    chunk_drop(rows);
    rows->api = api;
    rows->chunk = chunk;
    rows->n_rows = api->data_chunk_get_size(chunk);
    rows->first_row = first_row;
    rows->value_len_max = value_len_max;
    rows->has_value = choice->has_value;
    view_fill(api, api->data_chunk_get_vector(chunk, choice->key), &choice->key_column, &rows->key);
    if (rows->has_value)
        view_fill(api, api->data_chunk_get_vector(chunk, choice->value), &choice->value_column,
                  &rows->value);
}

void duckdb_rows_release(struct duckdb_rows *rows)
{
    chunk_drop(rows);
    free(rows->floats);
    *rows = (struct duckdb_rows){0};
}

/* ---- one row ---- */

static bool is_valid(const uint64_t *valid, uint64_t row)
{
    return !valid || (valid[row / 64] >> (row % 64) & 1);
}

static const char *string_data(const union duckdb_string *string)
{
    return string->len <= DUCKDB_STRING_INLINE ? string->inlined : string->data;
}

static void text_field(const struct duckdb_view *view, uint64_t row, struct field *field)
{
    const union duckdb_string *string = (const union duckdb_string *)view->data + row;
    /* Rows are only read from here on. */
    *field =
        (struct field){.form = FIELD_TEXT, .data = (char *)string_data(string), .len = string->len};
}

static int64_t signed_at(const void *data, enum duckdb_type_id type, uint64_t i)
{
    switch (type) {
    case DUCKDB_TINYINT:
        return ((const int8_t *)data)[i];
    case DUCKDB_SMALLINT:
        return ((const int16_t *)data)[i];
    case DUCKDB_INTEGER:
        return ((const int32_t *)data)[i];
    default:
        return ((const int64_t *)data)[i];
    }
}

static uint64_t unsigned_at(const void *data, enum duckdb_type_id type, uint64_t i)
{
    switch (type) {
    case DUCKDB_UTINYINT:
        return ((const uint8_t *)data)[i];
    case DUCKDB_USMALLINT:
        return ((const uint16_t *)data)[i];
    case DUCKDB_UINTEGER:
        return ((const uint32_t *)data)[i];
    default:
        return ((const uint64_t *)data)[i];
    }
}

static int wide_key(const struct duckdb_view *view, uint64_t row, uint64_t *out, struct err *err)
{
    const struct duckdb_hugeint *wide = (const struct duckdb_hugeint *)view->data + row;
    if (view->column.type == DUCKDB_HUGEINT && (int64_t)wide->upper < 0)
        return err_set(err, -EBADMSG, "key: expected an integer of 0 or more, found one below 0");
    if (wide->upper)
        return err_set(err, -EBADMSG,
                       "key: expected at most 18446744073709551615, found a larger one");
    *out = wide->lower;
    return 0;
}

static int integer_key(const struct duckdb_view *view, uint64_t row, uint64_t *out, struct err *err)
{
    switch (view->column.type) {
    case DUCKDB_HUGEINT:
    case DUCKDB_UHUGEINT:
        return wide_key(view, row, out, err);
    case DUCKDB_TINYINT:
    case DUCKDB_SMALLINT:
    case DUCKDB_INTEGER:
    case DUCKDB_BIGINT:
        break;
    default:
        *out = unsigned_at(view->data, view->column.type, row);
        return 0;
    }
    int64_t key = signed_at(view->data, view->column.type, row);
    if (key < 0)
        return err_set(err, -EBADMSG, "key: expected an integer of 0 or more, found %lld",
                       (long long)key);
    *out = (uint64_t)key;
    return 0;
}

static int take_key(struct duckdb_rows *rows, uint64_t row, struct field *field, struct err *err)
{
    const struct duckdb_view *view = &rows->key;
    if (!is_valid(view->valid, row))
        return err_set(err, -EBADMSG, "key: expected one, found NULL");
    if (is_bytes(view->column.type)) {
        text_field(view, row, field);
        return 0;
    }
    *field = (struct field){FIELD_U64, (char *)&rows->key_number, sizeof rows->key_number};
    return integer_key(view, row, &rows->key_number, err);
}

/* out[i] = elements[from + i], as floats. A finite double that becomes Inf: its index; n when there is none. */
static uint64_t floats_fill(const void *elements, enum duckdb_type_id type, uint64_t from,
                            uint64_t n, float *out)
{
    const double *doubles = (const double *)elements + from;
    switch (type) {
    case DUCKDB_DOUBLE:
        for (uint64_t i = 0; i < n; i++) {
            out[i] = (float)doubles[i];
            if (__builtin_isinf(out[i]) && !__builtin_isinf(doubles[i]))
                return i;
        }
        return n;
    case DUCKDB_TINYINT:
    case DUCKDB_SMALLINT:
    case DUCKDB_INTEGER:
    case DUCKDB_BIGINT:
        for (uint64_t i = 0; i < n; i++)
            out[i] = (float)signed_at(elements, type, from + i);
        return n;
    default:
        for (uint64_t i = 0; i < n; i++)
            out[i] = (float)unsigned_at(elements, type, from + i);
        return n;
    }
}

static int floats_reserve(struct duckdb_rows *rows, uint64_t n, struct err *err)
{
    if (rows->floats_cap >= n)
        return 0;
    float *floats = realloc(rows->floats, n * sizeof *floats);
    if (!floats)
        return err_sys(err, -ENOMEM, "a vector of %llu elements", (unsigned long long)n);
    rows->floats = floats;
    rows->floats_cap = n;
    return 0;
}

/* elements[from, from + n) are the row's vector. */
static int vector_field(struct duckdb_rows *rows, const void *elements, const uint64_t *valid,
                        enum duckdb_type_id type, uint64_t from, uint64_t n, struct field *field,
                        struct err *err)
{
    if (n > rows->value_len_max / sizeof(float))
        return err_set(err, -EBADMSG, "expected a vector of a few elements, found %llu",
                       (unsigned long long)n);
    for (uint64_t i = 0; valid && i < n; i++)
        if (!is_valid(valid, from + i))
            return err_set(err, -EBADMSG,
                           "element %llu of the vector: expected a number, found NULL",
                           (unsigned long long)i + 1);
    *field = (struct field){FIELD_FLOATS, NULL, n * sizeof(float)};
    if (type == DUCKDB_FLOAT) {
        field->data = (char *)elements + from * sizeof(float);
        return 0;
    }
    int ret = floats_reserve(rows, n, err);
    if (ret)
        return ret;
    uint64_t bad = floats_fill(elements, type, from, n, rows->floats);
    if (bad < n)
        return err_set(err, -EBADMSG,
                       "element %llu of the vector: expected a number within the range of f32, "
                       "found %g",
                       (unsigned long long)bad + 1, ((const double *)elements)[from + bad]);
    field->data = (char *)rows->floats;
    return 0;
}

static int take_value(struct duckdb_rows *rows, uint64_t row, struct field *field, struct err *err)
{
    const struct duckdb_view *view = &rows->value;
    const struct duckdb_column *column = &view->column;
    if (!is_valid(view->valid, row)) {
        field->form = FIELD_NULL;
        return 0;
    }
    if (is_bytes(column->type)) {
        text_field(view, row, field);
        return 0;
    }
    if (column->type == DUCKDB_ARRAY)
        return vector_field(rows, view->elements, view->elements_valid, column->child,
                            row * column->array_len, column->array_len, field, err);
    if (column->type == DUCKDB_LIST) {
        const struct duckdb_list *list = (const struct duckdb_list *)view->data + row;
        return vector_field(rows, view->elements, view->elements_valid, column->child, list->offset,
                            list->len, field, err);
    }
    return vector_field(rows, view->data, NULL, column->type, row, 1, field, err);
}

int duckdb_rows_next(struct duckdb_rows *rows, struct input_row *row, struct err *err)
{
    *row = (struct input_row){0};
    if (rows->next == rows->n_rows)
        return 0;
    uint64_t i = rows->next++;
    row->line = rows->first_row + i;
    int ret = take_key(rows, i, &row->key, err);
    if (!ret && rows->has_value)
        ret = take_value(rows, i, &row->value, err);
    return ret ? ret : 1;
}

/* ---- sizes ---- */

static uint64_t view_len(const struct duckdb_view *view, uint64_t n_rows)
{
    const struct duckdb_column *column = &view->column;
    uint64_t len = 0;
    if (is_bytes(column->type)) {
        const union duckdb_string *strings = view->data;
        for (uint64_t i = 0; i < n_rows; i++)
            len += is_valid(view->valid, i) ? strings[i].len : 0;
        return len;
    }
    if (column->type == DUCKDB_LIST) {
        const struct duckdb_list *lists = view->data;
        for (uint64_t i = 0; i < n_rows; i++)
            len += is_valid(view->valid, i) ? lists[i].len : 0;
        return len * number_width(column->child);
    }
    if (column->type == DUCKDB_ARRAY)
        return n_rows * column->array_len * number_width(column->child);
    size_t width = number_width(column->type);
    return n_rows * (width ? width : sizeof(struct duckdb_hugeint));
}

uint64_t duckdb_rows_len(const struct duckdb_rows *rows)
{
    return view_len(&rows->key, rows->n_rows) +
           (rows->has_value ? view_len(&rows->value, rows->n_rows) : 0);
}
