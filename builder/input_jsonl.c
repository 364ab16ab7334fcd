/* SPDX-License-Identifier: Apache-2.0 */
/* JSON Lines: one object a line with the members key and value, or deleted; other members are read over. */
#include "builder/input_format.h"
#include "builder/json_scan.h"

#include <errno.h>
#include <string.h>

static bool is_name(const char *name, size_t len, const char *wanted)
{
    return len == strlen(wanted) && memcmp(name, wanted, len) == 0;
}

/* {"b64": "…"}; the brace is next. */
static int base64_field(struct json_scan *scan, struct field *field, struct err *err)
{
    char *name = NULL;
    size_t len = 0;
    int ret = json_scan_expect(scan, '{', err);
    if (!ret)
        ret = json_scan_string(scan, &name, &len, err);
    if (ret)
        return ret;
    if (!is_name(name, len, "b64"))
        return err_set(err, -EBADMSG,
                       "JSON: expected an object for bytes to be {\"b64\": \"…\"}, found another "
                       "member");
    field->form = FIELD_TEXT;
    ret = json_scan_expect(scan, ':', err);
    if (!ret)
        ret = json_scan_string(scan, &field->data, &field->len, err);
    if (!ret)
        ret = json_scan_expect(scan, '}', err);
    return ret ? ret : json_scan_base64(field->data, &field->len, err);
}

static int take_field(struct json_scan *scan, struct field *field, const char *name,
                      struct err *err)
{
    if (field->form != FIELD_ABSENT)
        return err_set(err, -EBADMSG, "JSON: member \"%s\": expected it once", name);
    char c = json_scan_peek(scan);
    if (c == '"') {
        field->form = FIELD_TEXT;
        return json_scan_string(scan, &field->data, &field->len, err);
    }
    if (c == '{')
        return base64_field(scan, field, err);
    if (c == 't' || c == 'f' || c == 'n')
        return err_set(err, -EBADMSG,
                       "JSON: member \"%s\": expected a string, a number or an array, found "
                       "true, false or null",
                       name);
    field->form = c == '[' ? FIELD_ARRAY : FIELD_NUMBER;
    return json_scan_skip(scan, &field->data, &field->len, err);
}

static int take_deleted(struct json_scan *scan, bool *deleted, struct err *err)
{
    char *text = NULL;
    size_t len = 0;
    int ret = json_scan_skip(scan, &text, &len, err);
    if (ret)
        return ret;
    if (is_name(text, len, "true"))
        *deleted = true;
    else if (!is_name(text, len, "false"))
        return err_set(err, -EBADMSG, "JSON: member \"deleted\": expected true or false");
    return 0;
}

static int take_member(const struct input_columns *columns, struct json_scan *scan,
                       struct input_row *row, struct err *err)
{
    char *name = NULL;
    size_t len = 0;
    int ret = json_scan_string(scan, &name, &len, err);
    if (!ret)
        ret = json_scan_expect(scan, ':', err);
    if (ret)
        return ret;
    if (is_name(name, len, columns->key_name))
        return take_field(scan, &row->key, columns->key_name, err);
    if (is_name(name, len, columns->value_name))
        return take_field(scan, &row->value, columns->value_name, err);
    if (is_name(name, len, "deleted"))
        return take_deleted(scan, &row->deleted, err);
    return json_scan_skip(scan, &name, &len, err);
}

static int take_object(const struct input_columns *columns, struct json_scan *scan,
                       struct input_row *row, struct err *err)
{
    int ret = json_scan_expect(scan, '{', err);
    if (ret)
        return ret;
    if (!json_scan_take(scan, '}')) {
        do
            ret = take_member(columns, scan, row, err);
        while (!ret && json_scan_take(scan, ','));
        if (!ret)
            ret = json_scan_expect(scan, '}', err);
    }
    if (ret)
        return ret;
    json_scan_peek(scan);
    if (scan->pos != scan->len)
        return err_set(err, -EBADMSG, "JSON: expected one object a line, found more at byte %zu",
                       scan->pos);
    if (row->key.form == FIELD_ABSENT)
        return err_set(err, -EBADMSG, "JSON: expected a member \"%s\", found none",
                       columns->key_name);
    return 0;
}

static int jsonl_next(const struct input_columns *columns, struct input_block *block,
                      struct input_row *row, struct err *err)
{
    for (;;) {
        struct json_scan scan = {0};
        int got = input_block_line(block, &row->line, &scan.text, &scan.len);
        if (got <= 0)
            return got;
        /* A line of blanks is as good as an empty one. */
        if (json_scan_peek(&scan) == 0 && scan.pos == scan.len)
            continue;
        int ret = take_object(columns, &scan, row, err);
        return ret ? ret : 1;
    }
}

static int jsonl_columns(const struct input_options *options, char *header, size_t len,
                         struct input_columns *out, struct err *err)
{
    out->key_name = options->key_column ? options->key_column : "key";
    out->value_name = options->value_column ? options->value_column : "value";
    if (strcmp(out->key_name, out->value_name) == 0)
        return err_set(err, -EINVAL, "key and value are the same member, \"%s\"", out->key_name);
    return 0;
}

const struct input_format_ops input_jsonl = {.name = "JSONL",
                                             .is_text = true,
                                             .cut = row_cut_lines,
                                             .next = jsonl_next,
                                             .columns = jsonl_columns};
