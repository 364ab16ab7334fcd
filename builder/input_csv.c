/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CSV as RFC 4180 has it. The cut and the row decoder walk the same four states, so a quote in the wrong place spoils its
 * own row and no other.
 */
#include "builder/input_columns.h"
#include "builder/input_format.h"

#include <errno.h>
#include <string.h>

enum {
    AT_START,  /* of a field */
    IN_PLAIN,  /* inside an unquoted field */
    IN_QUOTES, /* inside a quoted field */
    IN_CLOSED, /* after a quote inside a quoted field: its end, or the first of "" */
};

static uint8_t state_after(uint8_t state, char c)
{
    if (state == IN_QUOTES)
        return c == '"' ? IN_CLOSED : IN_QUOTES;
    if (c == '"')
        return state == AT_START ? IN_QUOTES : state == IN_CLOSED ? IN_QUOTES : IN_PLAIN;
    if (c == ',' || c == '\n')
        return AT_START;
    return IN_PLAIN;
}

static void csv_cut(struct row_cut *cut, const char *data, size_t len)
{
    uint8_t state = cut->state;
    uint64_t lines = cut->lines_seen;
    size_t i = cut->scanned;
    for (; i < len; i++) {
        char c = data[i];
        bool was_quoted = state == IN_QUOTES;
        state = state_after(state, c);
        if (c != '\n')
            continue;
        lines++;
        if (was_quoted)
            continue;
        cut->row_end = i + 1;
        cut->lines = lines;
        if (cut->first) {
            i++;
            break;
        }
    }
    cut->scanned = i;
    cut->state = state;
    cut->lines_seen = lines;
}

/* Moves to the end of the row, past a fault. */
static void row_skip(struct input_block *block, size_t from, uint8_t state)
{
    struct row_cut cut = {.first = true, .state = state, .scanned = from};
    csv_cut(&cut, block->data, block->len);
    block->line += cut.row_end ? cut.lines : cut.lines_seen;
    block->pos = cut.row_end ? cut.row_end : block->len;
}

/* Decodes a quoted field in place; *pos is behind the opening quote and moves behind the closing one. */
static int quoted_field(struct input_block *block, size_t *pos, struct field *field,
                        struct err *err)
{
    char *to = block->data + *pos;
    *field = (struct field){FIELD_TEXT, to, 0};
    for (;;) {
        char *from = block->data + *pos;
        char *quote = memchr(from, '"', block->len - *pos);
        if (!quote) {
            *pos = block->len;
            return err_set(err, -EBADMSG, "expected a closing quote, found the end of the file");
        }
        size_t n = (size_t)(quote - from);
        for (const char *p = from; (p = memchr(p, '\n', (size_t)(quote - p))); p++)
            block->line++;
        memmove(to, from, n);
        to += n;
        *pos += n + 1;
        if (*pos >= block->len || block->data[*pos] != '"')
            break;
        *to++ = '"';
        *pos += 1;
    }
    field->len = (size_t)(to - field->data);
    return 0;
}

/* Ends of a field: ',' '\n' or the block's end. A CR is dropped before a LF. */
static int plain_field(struct input_block *block, size_t *pos, struct field *field, struct err *err)
{
    char *from = block->data + *pos;
    char *at = from;
    const char *end = block->data + block->len;
    while (at < end && *at != ',' && *at != '\n' && *at != '"')
        at++;
    if (at < end && *at == '"') {
        *pos = (size_t)(at - block->data);
        return err_set(err, -EBADMSG,
                       "expected quotes around the whole field, found one inside (RFC 4180: quote "
                       "the field and double the quote)");
    }
    size_t len = (size_t)(at - from);
    *pos += len;
    if (len && from[len - 1] == '\r' && (at == end || *at == '\n'))
        len--;
    *field = (struct field){FIELD_TEXT, from, len};
    return 0;
}

/* After a quoted field: skips a CR before the row's end, and checks that the field is over. */
static int quoted_end(struct input_block *block, size_t *pos, struct err *err)
{
    size_t at = *pos;
    if (at < block->len && block->data[at] == '\r' &&
        (at + 1 == block->len || block->data[at + 1] == '\n'))
        at++;
    if (at < block->len && block->data[at] != ',' && block->data[at] != '\n')
        return err_set(err, -EBADMSG, "expected a comma or the row's end after a closing quote");
    *pos = at;
    return 0;
}

/* Decodes the row at block->pos; n_fields counts. On a fault block->pos is where the next row begins. */
static int row_decode(const struct input_columns *columns, struct input_block *block,
                      struct input_row *row, uint32_t *n_fields, struct err *err)
{
    size_t pos = block->pos;
    for (uint32_t i = 0;; i++) {
        struct field field = {0};
        bool is_quoted = pos < block->len && block->data[pos] == '"';
        int ret = 0;
        if (is_quoted) {
            pos++;
            ret = quoted_field(block, &pos, &field, err);
            if (!ret)
                ret = quoted_end(block, &pos, err);
        } else {
            ret = plain_field(block, &pos, &field, err);
        }
        if (ret) {
            row_skip(block, pos, IN_PLAIN);
            return ret;
        }
        if (i == columns->key)
            row->key = field;
        if (i == columns->value)
            row->value = field;
        *n_fields = i + 1;
        bool at_end = pos >= block->len || block->data[pos] == '\n';
        block->line += pos < block->len && at_end;
        row->is_cut = pos >= block->len;
        pos++;
        if (at_end)
            break;
    }
    block->pos = pos < block->len ? pos : block->len;
    return 0;
}

static bool skip_empty_line(struct input_block *block)
{
    const char *at = block->data + block->pos;
    size_t left = block->len - block->pos;
    size_t len = left && at[0] == '\n' ? 1 : left > 1 && at[0] == '\r' && at[1] == '\n' ? 2 : 0;
    block->pos += len;
    block->line += len != 0;
    return len != 0;
}

static int csv_next(const struct input_columns *columns, struct input_block *block,
                    struct input_row *row, struct err *err)
{
    while (skip_empty_line(block))
        ;
    if (block->pos >= block->len)
        return 0;
    row->line = block->line;
    block->row_begin = block->pos;
    uint32_t n = 0;
    int ret = row_decode(columns, block, row, &n, err);
    if (!ret)
        ret = input_columns_count(columns, n, row, "comma", err);
    return ret ? ret : 1;
}

static int csv_columns(const struct input_options *options, char *header, size_t len,
                       struct input_columns *out, struct err *err)
{
    const char *names[INPUT_COLUMNS_MAX];
    size_t lens[INPUT_COLUMNS_MAX];
    uint32_t n = 0;
    struct input_block block = {.data = header, .len = len};
    for (size_t pos = 0; header && n < INPUT_COLUMNS_MAX; pos++) {
        struct field field = {0};
        int ret;
        if (pos < len && header[pos] == '"') {
            pos++;
            ret = quoted_field(&block, &pos, &field, err);
            if (!ret)
                ret = quoted_end(&block, &pos, err);
        } else {
            ret = plain_field(&block, &pos, &field, err);
        }
        if (ret)
            return err_wrap(err, -EINVAL, "header");
        names[n] = field.data;
        lens[n++] = field.len;
        if (pos >= len)
            break;
    }
    return input_columns_choose(options, names, lens, n, header != NULL, out, err);
}

const struct input_format_ops input_csv = {.name = "CSV",
                                           .is_text = true,
                                           .has_header = true,
                                           .cut = csv_cut,
                                           .next = csv_next,
                                           .columns = csv_columns};
