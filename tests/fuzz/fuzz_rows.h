/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_rows: any bytes as rows of one format, then as keys and values of several schemas.
 *
 * The rows must not depend on where the text was cut into blocks; blocks are exact heap copies, so that a byte read too far is seen.
 * Nor on where a file was cut into pieces, once their borders agree.
 *
 * Threads: one. Memory: freed before return. Failures abort.
 */
#ifndef FKV_TESTS_FUZZ_ROWS_H
#define FKV_TESTS_FUZZ_ROWS_H

#include "base/hash.h"
#include "builder/input_format.h"
#include "builder/row.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static inline void rows_expect(bool is_true)
{
    if (!is_true)
        abort();
}

/* One row into the digest; its fields lie in the block. */
static inline void rows_note(struct digest_state *digest, const struct input_block *block,
                             const struct input_row *row, int got)
{
    const struct field *fields[] = {&row->key, &row->value};
    uint64_t head[3] = {row->line, (uint64_t)got, row->deleted};
    digest_state_update(digest, head, got > 0 ? sizeof head : 2 * sizeof *head);
    for (int i = 0; got > 0 && i < 2; i++) {
        const struct field *field = fields[i];
        uint64_t shape[2] = {field->form, field->len};
        digest_state_update(digest, shape, sizeof shape);
        if (field->form == FIELD_ABSENT)
            continue;
        rows_expect(field->data >= block->data &&
                    field->data + field->len <= block->data + block->len);
        digest_state_update(digest, field->data, field->len);
    }
}

static inline void rows_block(const struct input_format_ops *ops,
                              const struct input_columns *columns, struct row_parser *parser,
                              const uint8_t *data, size_t len, uint64_t line,
                              struct digest_state *digest)
{
    struct input_block block = {.data = malloc(len), .len = len, .cap = len, .line = line};
    rows_expect(block.data != NULL);
    memcpy(block.data, data, len);
    for (;;) {
        struct input_row row = {0};
        struct part_entry entry;
        struct err err = {0};
        size_t before = block.pos;
        int got = ops->next(columns, &block, &row, &err);
        if (got == 0)
            break;
        rows_expect(got > 0 || (got == -EBADMSG && err.text[0]));
        rows_expect(block.pos > before && block.pos <= block.len);
        rows_note(digest, &block, &row, got);
        if (got > 0 && row_parse(parser, &row, &entry, NULL) == 0 && !entry.tombstone)
            rows_expect(!parser->schema->value_len || entry.value_len == parser->schema->value_len);
    }
    rows_expect(block.pos == block.len);
    free(block.data);
}

/* All rows, read in blocks of `piece` bytes or as many more as a row needs. */
static inline void rows_read(const struct input_format_ops *ops,
                             const struct input_columns *columns, struct row_parser *parser,
                             const uint8_t *data, size_t len, size_t piece, struct digest *out)
{
    struct digest_state *digest = digest_state_new();
    uint64_t line = 1;
    size_t pos = 0;
    rows_expect(digest != NULL);
    while (pos < len) {
        struct row_cut cut = {0};
        size_t n = 0;
        do {
            n = len - pos - n < piece ? len - pos : n + piece;
            ops->cut(&cut, (const char *)data + pos, n);
        } while (!cut.row_end && !cut.is_broken && pos + n < len);
        size_t end = pos + n < len || ops->row_len ? cut.row_end : n;
        if (end == 0) {
            struct err err = {0};
            rows_expect(ops->fault((const char *)data + pos, n, &err) == -EBADMSG && err.text[0]);
            break;
        }
        rows_block(ops, columns, parser, data + pos, end, line, digest);
        line += cut.lines;
        pos += end;
    }
    digest_state_finish(digest, out);
    digest_state_free(digest);
}

static inline void rows_try(const struct input_format_ops *ops, const uint8_t *data, size_t len)
{
    static const struct {
        enum key_type key;
        const char *value;
    } shapes[] = {
        {KEY_U64, "f16[3]"}, {KEY_BYTES, "bytes"}, {KEY_BYTES, "i8[2]"}, {KEY_U64, "bytes[4]"}};
    struct input_options options = {0};
    struct input_columns columns;
    struct digest whole;
    struct digest cut;
    if (len < 2)
        return;
    unsigned which = data[0] % 4;
    size_t piece = 1 + data[1];
    struct schema schema = {.kind = KIND_MEM, .key_type = shapes[which].key, .n_shards = 1};
    struct job job = {.is_delta = data[0] & 4, .tombstones_file_mode = data[0] & 4};
    struct row_parser parser;
    rows_expect(schema_set_value(&schema, shapes[which].value, NULL) == 0);
    rows_expect(row_parser_init(&parser, &job, &schema) == 0);
    if (data[0] & 8 && !ops->row_len)
        options = (struct input_options){.key_column = "3", .value_column = "1"};
    rows_expect(ops->columns(&options, NULL, 0, &columns, NULL) == 0);
    rows_read(ops, &columns, &parser, data + 2, len - 2, len, &whole);
    rows_read(ops, &columns, &parser, data + 2, len - 2, piece, &cut);
    rows_expect(digest_equal(&whole, &cut));
    row_parser_release(&parser);
}

/* What a piece of the file gave. */
struct piece_rows {
    int code; /* what taking blocks ended with */
    uint64_t begin;
    uint64_t end;
    uint64_t lines;
};

static inline struct piece_rows piece_read(struct input_piece piece, enum input_format format,
                                           size_t block_len, uint64_t before,
                                           struct digest_state *digest)
{
    struct input_options options = {.block_len = block_len, .row_len_max = 64};
    struct piece_rows out = {0};
    struct input *input = NULL;
    struct input_block block = {0};
    struct input_row row;
    rows_expect(input_open(&piece, format, &options, &input, NULL) == 0);
    while ((out.code = input_take(input, &block, NULL)) > 0) {
        for (int got; (got = input_next(input, &block, &row, NULL));) {
            row.line += before;
            if (digest)
                rows_note(digest, &block, &row, got);
        }
    }
    rows_expect(out.code == 0 || out.code == -EBADMSG);
    out.begin = input_begin(input);
    out.end = input_end(input);
    out.lines = input_line(input) - 1;
    input_block_release(&block);
    input_close(input);
    return out;
}

/* The text as a file, whole and in two pieces; when the second one began in the wrong place, then again where the first one ended. */
static inline void pieces_try(enum input_format format, const char *path, uint64_t border,
                              size_t block_len)
{
    struct digest_state *whole = digest_state_new();
    struct digest_state *cut = digest_state_new();
    struct digest a;
    struct digest b;
    rows_expect(whole && cut);
    struct input_piece all = {.path = path, .end = UINT64_MAX, .is_exact = true};
    struct input_piece first = {.path = path, .end = border, .is_exact = true};
    struct input_piece second = {.path = path, .begin = border, .end = UINT64_MAX};
    struct piece_rows everything = piece_read(all, format, 0, 0, whole);
    struct piece_rows head = piece_read(first, format, block_len, 0, cut);
    if (head.code == 0) {
        struct piece_rows tail = piece_read(second, format, block_len, head.lines, NULL);
        second.is_exact = tail.begin != head.end;
        second.begin = second.is_exact ? head.end : border;
        tail = piece_read(second, format, block_len, head.lines, cut);
        rows_expect(tail.begin == head.end && tail.code == everything.code);
        rows_expect(tail.code || tail.end == everything.end);
    } else {
        rows_expect(head.code == everything.code);
    }
    digest_state_finish(whole, &a);
    digest_state_finish(cut, &b);
    rows_expect(digest_equal(&a, &b));
    digest_state_free(whole);
    digest_state_free(cut);
}

static inline void rows_try_pieces(enum input_format format, const uint8_t *data, size_t len)
{
    char path[64];
    if (len < 4)
        return;
    int fd = memfd_create("rows", 0);
    rows_expect(fd >= 0 && write(fd, data + 2, len - 2) == (ssize_t)(len - 2));
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    pieces_try(format, path, 1 + (data[1] | data[0] << 8) % (len - 2), 1 + data[0] % 80);
    close(fd);
}

/* The same text as a header line. */
static inline void rows_try_header(const struct input_format_ops *ops, const uint8_t *data,
                                   size_t len)
{
    struct input_options options = {.header = true, .key_column = "id", .value_column = "v"};
    struct input_columns columns;
    char *header = malloc(len + 1);
    rows_expect(header != NULL);
    memcpy(header, data, len);
    (void)ops->columns(&options, header, len, &columns, NULL);
    free(header);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#endif
