/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/row.h"

#include "base/bytes.h"
#include "builder/number.h"
#include "codec/vector.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { SHOWN_MAX = 40 };

size_t row_len_max(const struct schema *schema)
{
    const size_t slack = 1 << 20;
    if (schema->elem != ELEM_NONE)
        return 32 * (size_t)schema->dim + slack;
    return 2 * (size_t)(schema->value_len ? schema->value_len : VALUE_LEN_MAX) + slack;
}

int row_parser_init(struct row_parser *parser, const struct job *job, const struct schema *schema)
{
    *parser = (struct row_parser){.schema = schema,
                                  .is_delta = job->is_delta && !job->diff_base,
                                  .bare_key_deletes = job->tombstones_file_mode};
    if (schema->elem == ELEM_NONE)
        return 0;
    parser->floats = malloc(sizeof(float) * schema->dim);
    parser->stored = malloc(schema->value_len);
    if (parser->floats && parser->stored)
        return 0;
    row_parser_release(parser);
    return -ENOMEM;
}

void row_parser_release(struct row_parser *parser)
{
    free(parser->floats);
    free(parser->stored);
    *parser = (struct row_parser){0};
}

/* The start of a field, fit to be shown. */
static const char *shown(const struct field *field, char out[SHOWN_MAX + 4])
{
    size_t n = field->len < SHOWN_MAX ? field->len : SHOWN_MAX;
    for (size_t i = 0; i < n; i++)
        out[i] = isprint((unsigned char)field->data[i]) ? field->data[i] : '?';
    strcpy(out + n, n < field->len ? "..." : "");
    return out;
}

/* Of a field that is no bytes. */
static const char *form_name(enum field_form form)
{
    if (form == FIELD_U64)
        return "a column of integers (VARCHAR and BLOB columns are bytes)";
    if (form == FIELD_FLOATS)
        return "a column of numbers (VARCHAR and BLOB columns are bytes)";
    return "another JSON value";
}

static int parse_u64_key(const struct schema *schema, const struct field *field,
                         struct part_entry *entry, struct err *err)
{
    char text[SHOWN_MAX + 4];
    int ret = 0;
    if (field->form == FIELD_U64)
        memcpy(&entry->key, field->data, sizeof entry->key);
    else
        ret =
            field->form == FIELD_ARRAY ? -EINVAL : number_u64(field->data, field->len, &entry->key);
    if (ret == -ERANGE)
        return err_set(err, -EBADMSG, "key: expected at most 18446744073709551615, found \"%s\"",
                       shown(field, text));
    if (ret)
        return err_set(err, -EBADMSG, "key: expected decimal digits (u64), found \"%s\"",
                       shown(field, text));
    entry->hash = schema_hash_u64(schema, entry->key);
    return 0;
}

static int parse_bytes_key(const struct schema *schema, const struct field *field,
                           struct part_entry *entry, struct err *err)
{
    if (field->form != FIELD_TEXT)
        return err_set(err, -EBADMSG, "key: expected a string for a bytes key, found %s",
                       form_name(field->form));
    if (field->len < 1 || field->len > KEY_BYTES_MAX)
        return err_set(err, -EBADMSG, "key: expected 1 to %d bytes, found %zu", KEY_BYTES_MAX,
                       field->len);
    entry->key_bytes = (const uint8_t *)field->data;
    entry->key_len = (uint8_t)field->len;
    entry->hash = schema_hash_bytes(schema, field->data, field->len);
    return 0;
}

static int parse_bytes_value(const struct schema *schema, const struct field *field,
                             struct part_entry *entry, struct err *err)
{
    if (field->form != FIELD_TEXT && field->form != FIELD_RAW)
        return err_set(err, -EBADMSG,
                       "value: expected a string or {\"b64\": …} for a bytes value, found %s",
                       form_name(field->form));
    if (schema->value_len && field->len != schema->value_len)
        return err_set(err, -EBADMSG, "value: expected exactly %u bytes, found %zu",
                       schema->value_len, field->len);
    if (field->len > VALUE_LEN_MAX)
        return err_set(err, -EBADMSG, "value: expected at most %d bytes, found %zu", VALUE_LEN_MAX,
                       field->len);
    entry->value = (const uint8_t *)field->data;
    entry->value_len = (uint32_t)field->len;
    return 0;
}

/* Largest magnitude that does not become Inf when stored: the halfway point beyond the largest finite number. */
static float overflow_limit(enum elem elem)
{
    return elem == ELEM_F16 ? 65520.0F : 0x1.ffp127F;
}

static int check_overflow(const struct schema *schema, const float *floats, struct err *err)
{
    float limit = overflow_limit(schema->elem);
    for (uint32_t i = 0; i < schema->dim; i++) {
        float magnitude = __builtin_fabsf(floats[i]);
        if (magnitude >= limit && magnitude < __builtin_inff())
            return err_set(err, -EBADMSG,
                           "element %u of the vector: %g is too large to be stored as %s", i + 1,
                           (double)floats[i], elem_name(schema->elem));
    }
    return 0;
}

/* Stores the floats as the schema's elements. */
static int store_vector(struct row_parser *parser, const float *floats, struct part_entry *entry,
                        struct err *err)
{
    const struct schema *schema = parser->schema;
    int ret = 0;
    if (schema->elem == ELEM_F16 || schema->elem == ELEM_BF16)
        ret = check_overflow(schema, floats, err);
    if (ret)
        return ret;
    ret = vector_encode(schema->elem, floats, schema->dim, parser->stored);
    if (ret == -EDOM)
        return err_set(err, -EBADMSG,
                       "the vector holds NaN or Inf, which i8 cannot store (f16 and f32 can)");
    if (ret)
        return err_sys(err, ret, "storing the vector");
    entry->value = parser->stored;
    entry->value_len = schema->value_len;
    return 0;
}

static int parse_vector(struct row_parser *parser, const struct field *field,
                        struct part_entry *entry, struct err *err)
{
    uint32_t dim = parser->schema->dim;
    if (field->form == FIELD_FLOATS) {
        if (field->len == dim * sizeof(float))
            return store_vector(parser, (const float *)(const void *)field->data, entry, err);
        return err_set(err, -EBADMSG, "expected a vector of %u elements, found %zu", dim,
                       field->len / sizeof(float));
    }
    int ret = number_vector(field->data, field->len, dim, parser->floats, err);
    return ret ? ret : store_vector(parser, parser->floats, entry, err);
}

/* Elements as f32, whatever they are stored as; or as they are stored in a table of f16. */
static int raw_vector(struct row_parser *parser, const struct field *field,
                      struct part_entry *entry, struct err *err)
{
    const struct schema *schema = parser->schema;
    size_t len = sizeof(float) * schema->dim;
    bool is_f16 = schema->elem == ELEM_F16 && field->len == schema->value_len;
    if (is_f16 || (schema->elem == ELEM_F32 && field->len == len)) {
        entry->value = (const uint8_t *)field->data;
        entry->value_len = schema->value_len;
        return 0;
    }
    if (field->len != len)
        return err_set(err, -EBADMSG, "value: expected %u elements of f32, %zu bytes%s, found %zu",
                       schema->dim, len,
                       schema->elem == ELEM_F16 ? " (or of f16, half of that)" : "", field->len);
    memcpy(parser->floats, field->data, len);
    return store_vector(parser, parser->floats, entry, err);
}

/* A record: the key and the value are there, and lie in the row as a part holds them. */
static int parse_raw(struct row_parser *parser, const struct input_row *row,
                     struct part_entry *entry, struct err *err)
{
    const struct schema *schema = parser->schema;
    if (schema->key_type == KEY_BYTES) {
        entry->key_bytes = (const uint8_t *)row->key.data;
        entry->key_len = (uint8_t)row->key.len;
        entry->hash = schema_hash_bytes(schema, row->key.data, row->key.len);
    } else if (row->key.len == sizeof(uint64_t)) {
        entry->key = load_le64(row->key.data);
        entry->hash = schema_hash_u64(schema, entry->key);
    } else {
        return err_set(err, -EBADMSG,
                       "key: expected 8 bytes, a little-endian u64, found %zu byte%s", row->key.len,
                       row->key.len == 1 ? "" : "s");
    }
    return schema->elem == ELEM_NONE ? parse_bytes_value(schema, &row->value, entry, err)
                                     : raw_vector(parser, &row->value, entry, err);
}

static int parse_deletion(const struct row_parser *parser, const struct input_row *row,
                          struct part_entry *entry, struct err *err)
{
    if (!parser->is_delta)
        return err_set(err, -EBADMSG,
                       "the row deletes its key, which only a delta can; in a whole table "
                       "(--diff-base), leave the row out");
    if (row->value.form != FIELD_ABSENT && row->value.form != FIELD_NULL)
        return err_set(err, -EBADMSG, "the row deletes its key and has a value all the same");
    entry->tombstone = true;
    return 0;
}

int row_parse(struct row_parser *parser, const struct input_row *row, struct part_entry *entry,
              struct err *err)
{
    const struct schema *schema = parser->schema;
    *entry = (struct part_entry){0};
    if (row->key.form == FIELD_RAW)
        return parse_raw(parser, row, entry, err);
    int ret = schema->key_type == KEY_U64 ? parse_u64_key(schema, &row->key, entry, err)
                                          : parse_bytes_key(schema, &row->key, entry, err);
    if (ret)
        return ret;
    if (row->is_cut && row->value.form == FIELD_ABSENT && parser->bare_key_deletes)
        return err_set(err, -EBADMSG,
                       "expected a line end after a key that is to be deleted, found the end of "
                       "the file: it may have been cut short");
    if (row->value.form == FIELD_NULL && !parser->is_delta)
        return err_set(
            err, -EBADMSG,
            "value: expected one, found NULL, which deletes a key, and only a delta can");
    if (row->deleted || row->value.form == FIELD_NULL ||
        (row->value.form == FIELD_ABSENT && parser->bare_key_deletes))
        return parse_deletion(parser, row, entry, err);
    if (row->value.form == FIELD_ABSENT)
        return err_set(err, -EBADMSG, "expected a key and a value, found a key only");
    if (schema->elem != ELEM_NONE)
        return parse_vector(parser, &row->value, entry, err);
    return parse_bytes_value(schema, &row->value, entry, err);
}
