/* SPDX-License-Identifier: Apache-2.0 */
/* Tab-separated rows: one line a row, no quoting, bytes that would break a row are escaped with a backslash. */
#include "builder/input_columns.h"
#include "builder/input_format.h"

#include <errno.h>
#include <string.h>

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The byte an escape stands for, at[0] being the backslash; -1 for none. *len is the escape's length. */
static int escape_byte(const char *at, size_t left, size_t *len)
{
    *len = 2;
    if (left < 2)
        return -1;
    switch (at[1]) {
    case 't':
        return '\t';
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case '0':
        return 0;
    case '\\':
        return '\\';
    case 'x':
        break;
    default:
        return -1;
    }
    if (left < 4 || hex_digit(at[2]) < 0 || hex_digit(at[3]) < 0)
        return -1;
    *len = 4;
    return hex_digit(at[2]) << 4 | hex_digit(at[3]);
}

/* Resolves the field's escapes in place. */
static int field_unescape(struct field *field, struct err *err)
{
    char *escape = memchr(field->data, '\\', field->len);
    if (!escape)
        return 0;
    char *to = escape;
    const char *from = escape;
    const char *end = field->data + field->len;
    while (from < end) {
        if (*from != '\\') {
            *to++ = *from++;
            continue;
        }
        size_t len = 0;
        int byte = escape_byte(from, (size_t)(end - from), &len);
        if (byte < 0)
            return err_set(err, -EBADMSG,
                           "expected \\t, \\n, \\r, \\0, \\\\ or \\xHH, found another backslash at "
                           "byte %zu of the field",
                           (size_t)(from - field->data));
        *to++ = (char)byte;
        from += len;
    }
    field->len = (size_t)(to - field->data);
    return 0;
}

/* Splits a line at tabs into the wanted fields; returns how many fields it has (counting stops after the last that matters). */
static uint32_t line_split(const struct input_columns *columns, char *text, size_t len,
                           struct input_row *row)
{
    char *end = text + len;
    uint32_t last = columns->key > columns->value ? columns->key : columns->value;
    uint32_t i = 0;
    for (char *at = text;; i++) {
        char *tab = memchr(at, '\t', (size_t)(end - at));
        char *stop = tab ? tab : end;
        struct field field = {FIELD_TEXT, at, (size_t)(stop - at)};
        if (i == columns->key)
            row->key = field;
        if (i == columns->value)
            row->value = field;
        if (!tab || i > last)
            return i + 1;
        at = tab + 1;
    }
}

static int tsv_next(const struct input_columns *columns, struct input_block *block,
                    struct input_row *row, struct err *err)
{
    char *text = NULL;
    size_t len = 0;
    int got = input_block_line(block, &row->line, &text, &len);
    if (got <= 0)
        return got;
    row->is_cut = block->data[block->pos - 1] != '\n';
    uint32_t n = line_split(columns, text, len, row);
    int ret = input_columns_count(columns, n, row, "tab", err);
    if (!ret)
        ret = field_unescape(&row->key, err);
    if (!ret && row->value.form == FIELD_TEXT)
        ret = field_unescape(&row->value, err);
    return ret ? ret : 1;
}

static int tsv_columns(const struct input_options *options, char *header, size_t len,
                       struct input_columns *out, struct err *err)
{
    const char *names[INPUT_COLUMNS_MAX];
    size_t lens[INPUT_COLUMNS_MAX];
    uint32_t n = 0;
    for (char *at = header; header && n < INPUT_COLUMNS_MAX; n++) {
        size_t left = len - (size_t)(at - header);
        char *tab = memchr(at, '\t', left);
        names[n] = at;
        lens[n] = tab ? (size_t)(tab - at) : left;
        if (!tab) {
            n++;
            break;
        }
        at = tab + 1;
    }
    return input_columns_choose(options, names, lens, n, header != NULL, out, err);
}

const struct input_format_ops input_tsv = {.name = "TSV",
                                           .is_text = true,
                                           .has_header = true,
                                           .cut = row_cut_lines,
                                           .next = tsv_next,
                                           .columns = tsv_columns};
