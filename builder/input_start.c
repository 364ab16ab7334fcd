/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a piece's rows begin. At the file's start: behind a byte order mark and the header. In the middle: where the piece
 * says, when that is exact; else behind the first line end at or after the byte before the piece, which is right unless that
 * line end is quoted (CSV), or where the format finds it likely (records). Whoever cut the file compares borders and reads such a piece again.
 */
#include "builder/input_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { HEADER_MAX = 1 << 20, LOOK_LEN = 64 << 10, MARK_LEN = 3 };

static const char byte_order_mark[] = "\xEF\xBB\xBF";

static bool has_header(const struct input *input)
{
    return input->options.header && input->ops->has_header;
}

/* Reads what decides where rows begin: a byte order mark, and the header's whole row. */
static int start_fill(struct input *input, struct input_block *block, struct row_cut *cut,
                      struct err *err)
{
    for (;;) {
        int ret = input_block_fill(input, block, err);
        if (ret)
            return ret;
        if (cut->scanned == 0 && block->len >= MARK_LEN &&
            memcmp(block->data, byte_order_mark, MARK_LEN) == 0)
            block->pos = cut->scanned = MARK_LEN;
        if (!has_header(input) || block->len < MARK_LEN)
            return 0;
        input->ops->cut(cut, block->data, block->len);
        if (cut->row_end || input->at_end)
            return 0;
        if (block->cap >= HEADER_MAX)
            return err_set(err, -EINVAL, "expected a header line of at most %d bytes",
                           (int)HEADER_MAX);
        ret = input_block_reserve(block, 2 * block->cap, err);
        if (ret)
            return ret;
    }
}

/* Reads the header, settles the columns, and keeps what follows for the first block. */
static int read_start(struct input *input, struct input_block *block, struct err *err)
{
    struct row_cut cut = {.first = true};
    char *header = NULL;
    size_t len = 0;
    int ret = input_block_reserve(block, has_header(input) ? 4096 : 4, err);
    if (!ret && input->ops->is_text)
        ret = start_fill(input, block, &cut, err);
    if (ret)
        return ret;
    if (has_header(input)) {
        size_t end = cut.row_end ? cut.row_end : block->len;
        header = block->data + block->pos;
        len = end - block->pos;
        block->pos = end;
        input->line += cut.lines;
    }
    input->pos = block->pos;
    ret = buf_add(&input->carry, block->data + block->pos, block->len - block->pos);
    if (ret)
        return err_sys(err, ret, "reading rows");
    while (len && (header[len - 1] == '\n' || header[len - 1] == '\r'))
        len--;
    return input->ops->columns(&input->options, header, len, &input->columns, err);
}

static int start_at_zero(struct input *input, const char *path, struct err *err)
{
    struct input_block block = {0};
    int ret = stream_open(path, 0, &input->stream, err);
    if (ret)
        return ret;
    ret = read_start(input, &block, err);
    input_block_release(&block);
    return ret == -EINVAL ? err_wrap(err, ret, "%s", path) : ret;
}

/* The columns of a piece that does not hold the header itself. */
static int columns_of_file(struct input *input, const char *path, struct err *err)
{
    int ret;
    if (has_header(input)) {
        ret = start_at_zero(input, path, err);
        stream_close(input->stream);
        input->stream = NULL;
        buf_clear(&input->carry);
        input->at_end = false;
        input->line = 1;
        return ret;
    }
    ret = input->ops->columns(&input->options, NULL, 0, &input->columns, err);
    return ret == -EINVAL ? err_wrap(err, ret, "%s", path) : ret;
}

/* Moves behind the next line end; input->pos is the byte before the piece. */
static int look_for_line(struct input *input, struct input_block *block, struct err *err)
{
    int ret = input_block_reserve(block, LOOK_LEN, err);
    while (!ret) {
        input->pos += block->len;
        block->len = 0;
        ret = input_block_fill(input, block, err);
        if (ret || block->len == 0)
            return ret;
        char *end = memchr(block->data, '\n', block->len);
        if (!end)
            continue;
        size_t n = (size_t)(end - block->data) + 1;
        input->pos += n;
        ret = buf_add(&input->carry, end + 1, block->len - n);
        return ret ? err_sys(err, ret, "reading rows") : 0;
    }
    return ret;
}

/* Does the first row begin behind a byte order mark that the piece begins in? */
static int look_at_mark(const struct input *input, const struct input_piece *piece, bool *out,
                        struct err *err)
{
    char mark[MARK_LEN];
    size_t n = 0;
    *out = false;
    if (piece->begin > MARK_LEN || has_header(input))
        return 0;
    int ret = stream_read_at(input->stream, 0, mark, sizeof mark, &n, err);
    *out = !ret && n == MARK_LEN && memcmp(mark, byte_order_mark, MARK_LEN) == 0;
    return ret;
}

static int start_in_text(struct input *input, const struct input_piece *piece, struct err *err)
{
    struct input_block block = {0};
    bool is_mark = false;
    input->pos = piece->is_exact ? piece->begin : piece->begin - 1;
    int ret = stream_open(piece->path, input->pos, &input->stream, err);
    if (!ret && !piece->is_exact)
        ret = look_at_mark(input, piece, &is_mark, err);
    if (!ret && is_mark) {
        ret = stream_skip(input->stream, MARK_LEN - input->pos, &(uint64_t){0}, err);
        input->pos = MARK_LEN;
    } else if (!ret && !piece->is_exact) {
        ret = look_for_line(input, &block, err);
    }
    input_block_release(&block);
    input->begin = input->pos;
    return ret;
}

static int start_in_rows(struct input *input, const struct input_piece *piece, struct err *err)
{
    input->pos = piece->begin;
    int ret = stream_open(piece->path, piece->begin, &input->stream, err);
    if (!ret && !piece->is_exact)
        ret = input->ops->border(input->stream, piece->begin, &input->pos, err);
    if (!ret)
        ret = stream_skip(input->stream, input->pos - piece->begin, &(uint64_t){0}, err);
    input->begin = input->pos;
    return ret;
}

int input_start(struct input *input, const struct input_piece *piece, struct err *err)
{
    if (piece->begin == 0)
        return start_at_zero(input, piece->path, err);
    int ret = columns_of_file(input, piece->path, err);
    if (ret)
        return ret;
    return input->ops->border ? start_in_rows(input, piece, err) : start_in_text(input, piece, err);
}
