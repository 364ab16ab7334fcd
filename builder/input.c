/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading in blocks: fill the block from the stream, let the format find the end of its last whole row, and keep what follows
 * for the next block. A row that does not fit grows the block up to row_len_max; a longer one is discarded up to its end and
 * handed on as one bad row.
 */
#include "builder/input.h"

#include "base/buf.h"
#include "base/bytes.h"
#include "builder/input_format.h"
#include "builder/stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>

enum { HEADER_MAX = 1 << 20 };

struct input {
    const struct input_format_ops *ops;
    struct input_options options;
    struct input_columns columns;
    struct stream *stream;
    struct buf carry; /* read, but behind the last block's last row */
    uint64_t line;
    uint64_t bytes_text;
    bool at_end;
};

static const struct input_format_ops *format_ops(enum input_format format)
{
    switch (format) {
    case INPUT_TSV:
        return &input_tsv;
    case INPUT_CSV:
        return &input_csv;
    case INPUT_JSONL:
        return &input_jsonl;
    case INPUT_RECORD:
    case INPUT_PARQUET:
    case INPUT_SQL:
    case INPUT_AUTO:
        break;
    }
    return NULL;
}

int input_format_of(const char *path, enum input_format asked, enum input_format *out,
                    struct err *err)
{
    static const struct {
        const char *suffix;
        enum input_format format;
    } known[] = {
        {".tsv", INPUT_TSV},     {".txt", INPUT_TSV},      {".csv", INPUT_CSV},
        {".jsonl", INPUT_JSONL}, {".ndjson", INPUT_JSONL},
    };
    if (asked != INPUT_AUTO) {
        *out = asked;
        return 0;
    }
    size_t len = stream_plain_name_len(path);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        size_t suffix_len = strlen(known[i].suffix);
        if (len > suffix_len &&
            strncasecmp(path + len - suffix_len, known[i].suffix, suffix_len) == 0) {
            *out = known[i].format;
            return 0;
        }
    }
    return err_set(err, -EINVAL,
                   "%s: cannot tell the format from the name: expected .tsv, .csv, .jsonl or "
                   ".ndjson (then .gz or .zst), or say it with --format",
                   path);
}

int input_columns_check(const struct input_options *options, enum input_format format,
                        struct err *err)
{
    struct input_columns columns;
    /* Names can only be looked up in a header, which is read when the file is opened. */
    if (options->header && format != INPUT_JSONL)
        return 0;
    return format_ops(format)->columns(options, NULL, 0, &columns, err);
}

/* Line ends in data[0, len). In strips whose counts fit a byte each, which the compiler turns into vectors. */
static uint64_t count_lines(const char *data, size_t len)
{
    enum { WIDTH = 64, ROUNDS = 255 };
    uint64_t n = 0;
    while (len >= WIDTH) {
        uint8_t counts[WIDTH] = {0};
        size_t rounds = len / WIDTH < ROUNDS ? len / WIDTH : ROUNDS;
        for (size_t r = 0; r < rounds; r++, data += WIDTH)
            for (int i = 0; i < WIDTH; i++)
                counts[i] += data[i] == '\n';
        for (int i = 0; i < WIDTH; i++)
            n += counts[i];
        len -= rounds * WIDTH;
    }
    for (size_t i = 0; i < len; i++)
        n += data[i] == '\n';
    return n;
}

void row_cut_lines(struct row_cut *cut, const char *data, size_t len)
{
    const char *from = data + cut->scanned;
    size_t n_new = len - cut->scanned;
    const char *end = NULL;
    if (n_new)
        end = cut->first ? memchr(from, '\n', n_new) : memrchr(from, '\n', n_new);
    cut->scanned = len;
    if (!end)
        return;
    cut->row_end = (size_t)(end - data) + 1;
    cut->lines = count_lines(data, cut->row_end);
}

int input_block_line(struct input_block *block, uint64_t *line, char **text, size_t *len)
{
    while (block->pos < block->len) {
        char *at = block->data + block->pos;
        char *end = memchr(at, '\n', block->len - block->pos);
        size_t n = end ? (size_t)(end - at) : block->len - block->pos;
        block->row_begin = block->pos;
        block->pos += n + (end ? 1 : 0);
        *line = block->line++;
        if (n && at[n - 1] == '\r')
            n--;
        if (n == 0)
            continue;
        *text = at;
        *len = n;
        return 1;
    }
    return 0;
}

/* A mapping of its own: it grows without a copy, and what long rows took goes back at the end. */
static int block_reserve(struct input_block *block, size_t cap, struct err *err)
{
    if (block->cap >= cap)
        return 0;
    void *data = block->data
                     ? mremap(block->data, block->cap, cap, MREMAP_MAYMOVE)
                     : mmap(NULL, cap, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED)
        return err_sys(err, -ENOMEM, "a block of %zu bytes for rows", cap);
    block->data = data;
    block->cap = cap;
    return 0;
}

void input_block_release(struct input_block *block)
{
    if (block->data)
        munmap(block->data, block->cap);
    *block = (struct input_block){0};
}

/* Tops the block up to its capacity. */
static int block_fill(struct input *input, struct input_block *block, struct err *err)
{
    if (input->at_end || block->len == block->cap)
        return 0;
    size_t n = 0;
    int ret =
        stream_read(input->stream, block->data + block->len, block->cap - block->len, &n, err);
    if (ret)
        return ret;
    input->at_end = n < block->cap - block->len;
    block->len += n;
    input->bytes_text += n;
    return 0;
}

/* The block is full of a row without its end: reads on to the end and throws the row away. */
static int discard_row(struct input *input, struct input_block *block, struct row_cut *cut,
                       struct err *err)
{
    block->too_long_line = input->line;
    cut->first = true;
    while (cut->row_end == 0 && !input->at_end) {
        input->line += cut->lines_seen;
        *cut = (struct row_cut){.state = cut->state, .first = true};
        block->len = 0;
        int ret = block_fill(input, block, err);
        if (ret)
            return ret;
        input->ops->cut(cut, block->data, block->len);
    }
    size_t end = cut->row_end ? cut->row_end : block->len;
    input->line += cut->row_end ? cut->lines : cut->lines_seen;
    int ret = buf_add(&input->carry, block->data + end, block->len - end);
    block->len = 0;
    return ret ? err_sys(err, ret, "reading rows") : 0;
}

/* Finds where the block's whole rows end, reading on while there is none. */
static int block_cut(struct input *input, struct input_block *block, struct row_cut *cut,
                     struct err *err)
{
    size_t row_len_max = input->options.row_len_max;
    for (;;) {
        int ret = block_fill(input, block, err);
        if (ret)
            return ret;
        input->ops->cut(cut, block->data, block->len);
        if (cut->row_end || input->at_end)
            return 0;
        if (block->cap >= row_len_max)
            return discard_row(input, block, cut, err);
        size_t cap = block->cap + block->cap / 4 + 1;
        if (cap > row_len_max)
            cap = row_len_max;
        ret = block_reserve(block, cap, err);
        if (ret)
            return ret;
    }
}

static int block_start(struct input *input, struct input_block *block, struct err *err)
{
    size_t cap = input->options.block_len ? input->options.block_len : INPUT_BLOCK_LEN;
    if (cap < input->carry.len + 1)
        cap = input->carry.len + 1;
    int ret = block_reserve(block, cap, err);
    if (ret)
        return ret;
    if (input->carry.len)
        memcpy(block->data, input->carry.data, input->carry.len);
    block->len = input->carry.len;
    buf_clear(&input->carry);
    block->pos = 0;
    block->line = input->line;
    block->too_long_line = 0;
    return 0;
}

int input_take(struct input *input, struct input_block *block, struct err *err)
{
    if (input->at_end && input->carry.len == 0)
        return 0;
    struct row_cut cut = {0};
    int ret = block_start(input, block, err);
    if (!ret)
        ret = block_cut(input, block, &cut, err);
    if (ret)
        return ret;
    if (block->too_long_line) {
        block->line = input->line;
        return 1;
    }
    /* At the end of the file the last row may lack its line end. */
    size_t end = input->at_end ? block->len : cut.row_end;
    ret = buf_add(&input->carry, block->data + end, block->len - end);
    if (ret)
        return err_sys(err, ret, "reading rows");
    block->len = end;
    input->line += cut.lines;
    return end > 0;
}

static int too_long(const struct input *input, struct err *err)
{
    return err_set(err, -EBADMSG, "expected a row of at most %zu bytes, found a longer one",
                   input->options.row_len_max);
}

int input_next(const struct input *input, struct input_block *block, struct input_row *row,
               struct err *err)
{
    *row = (struct input_row){0};
    if (block->too_long_line) {
        row->line = block->too_long_line;
        block->too_long_line = 0;
        return too_long(input, err);
    }
    int got = input->ops->next(&input->columns, block, row, err);
    /* The limit is the row's, however large the block happens to be. */
    if (got && block->pos - block->row_begin > input->options.row_len_max)
        return too_long(input, err);
    return got;
}

/* Reads what decides where rows begin: a byte order mark, and the header's whole row. */
static int start_fill(struct input *input, struct input_block *block, bool has_header,
                      struct row_cut *cut, struct err *err)
{
    for (;;) {
        int ret = block_fill(input, block, err);
        if (ret)
            return ret;
        if (cut->scanned == 0 && block->len >= 3 && memcmp(block->data, "\xEF\xBB\xBF", 3) == 0)
            block->pos = cut->scanned = 3;
        if (!has_header || block->len < 3)
            return 0;
        input->ops->cut(cut, block->data, block->len);
        if (cut->row_end || input->at_end)
            return 0;
        if (block->cap >= HEADER_MAX)
            return err_set(err, -EINVAL, "expected a header line of at most %d bytes",
                           (int)HEADER_MAX);
        ret = block_reserve(block, 2 * block->cap, err);
        if (ret)
            return ret;
    }
}

/* Reads the header, settles the columns, and keeps what follows for the first block. */
static int read_start(struct input *input, struct input_block *block, struct err *err)
{
    bool has_header = input->options.header && input->ops != &input_jsonl;
    struct row_cut cut = {.first = true};
    int ret = block_reserve(block, has_header ? 4096 : 4, err);
    if (!ret)
        ret = start_fill(input, block, has_header, &cut, err);
    if (ret)
        return ret;
    char *header = NULL;
    size_t len = 0;
    if (has_header) {
        size_t end = cut.row_end ? cut.row_end : block->len;
        header = block->data + block->pos;
        len = end - block->pos;
        block->pos = end;
        input->line += cut.lines;
    }
    ret = buf_add(&input->carry, block->data + block->pos, block->len - block->pos);
    if (ret)
        return err_sys(err, ret, "reading rows");
    while (len && (header[len - 1] == '\n' || header[len - 1] == '\r'))
        len--;
    return input->ops->columns(&input->options, header, len, &input->columns, err);
}

int input_open(const char *path, enum input_format format, const struct input_options *options,
               struct input **out, struct err *err)
{
    struct input *input = calloc(1, sizeof *input);
    if (!input)
        return err_sys(err, -ENOMEM, "%s: opening", path);
    input->ops = format_ops(format);
    input->options = *options;
    input->line = 1;
    int ret = stream_open(path, &input->stream, err);
    if (!ret) {
        struct input_block start = {0};
        ret = read_start(input, &start, err);
        input_block_release(&start);
        if (ret == -EINVAL)
            err_wrap(err, ret, "%s", path);
    }
    if (ret) {
        input_close(input);
        return ret;
    }
    *out = input;
    return 0;
}

void input_close(struct input *input)
{
    if (!input)
        return;
    stream_close(input->stream);
    buf_release(&input->carry);
    free(input);
}

uint64_t input_bytes_read(const struct input *input)
{
    return stream_file_bytes(input->stream);
}

uint64_t input_bytes_text(const struct input *input)
{
    return input->bytes_text;
}

uint64_t input_line(const struct input *input)
{
    return input->line;
}
