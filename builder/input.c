/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading in blocks: fill the block from the stream, let the format find the end of its last whole row, and keep what follows
 * for the next block. A row that does not fit grows the block up to row_len_max; a longer one is discarded up to its end and
 * handed on as one bad row.
 */
#include "builder/input.h"

#include "builder/duckdb_rows.h"
#include "builder/input_duckdb.h"
#include "builder/input_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>

const struct input_format_ops *input_format_ops_of(enum input_format format)
{
    switch (format) {
    case INPUT_TSV:
        return &input_tsv;
    case INPUT_CSV:
        return &input_csv;
    case INPUT_JSONL:
        return &input_jsonl;
    case INPUT_RECORD:
        return &input_record;
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
        {".tsv", INPUT_TSV},       {".txt", INPUT_TSV},         {".csv", INPUT_CSV},
        {".jsonl", INPUT_JSONL},   {".ndjson", INPUT_JSONL},    {".rec", INPUT_RECORD},
        {".fkvrec", INPUT_RECORD}, {".parquet", INPUT_PARQUET},
    };
    if (asked != INPUT_AUTO) {
        *out = asked;
        return 0;
    }
    size_t len = stream_plain_name_len(path);
    /* Parquet is compressed within, and read from its end. */
    bool is_plain = path[len] == 0;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        size_t suffix_len = strlen(known[i].suffix);
        if (len > suffix_len &&
            strncasecmp(path + len - suffix_len, known[i].suffix, suffix_len) == 0 &&
            (is_plain || known[i].format != INPUT_PARQUET)) {
            *out = known[i].format;
            return 0;
        }
    }
    return err_set(err, -EINVAL,
                   "%s: cannot tell the format from the name: expected .tsv, .csv, .jsonl, "
                   ".ndjson, .rec or .fkvrec (then .gz or .zst), or .parquet, or say it with "
                   "--format",
                   path);
}

int input_columns_check(const struct input_options *options, enum input_format format,
                        struct err *err)
{
    struct input_columns columns;
    /* Names can only be looked up in a header or in a schema, which are read when the file is opened. */
    const struct input_format_ops *ops = input_format_ops_of(format);
    if (!ops || (options->header && ops->has_header))
        return 0;
    return ops->columns(options, NULL, 0, &columns, err);
}

/* A mapping of its own: it grows without a copy, and what long rows took goes back at the end. */
int input_block_reserve(struct input_block *block, size_t cap, struct err *err)
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
    input_duckdb_rows_free(block->rows);
    *block = (struct input_block){0};
}

/* How much to read: up to the piece's end, and behind it in small steps, as only the last row's end is wanted there. */
static size_t fill_len(const struct input *input, const struct input_block *block)
{
    enum { BEHIND_LEN = 64 << 10 };
    size_t room = block->cap - block->len;
    uint64_t at = input->pos + block->len;
    uint64_t most = at < input->end ? input->end - at : BEHIND_LEN;
    return room < most ? room : (size_t)most;
}

int input_block_fill(struct input *input, struct input_block *block, struct err *err)
{
    size_t n = 0;
    size_t len = fill_len(input, block);
    if (input->at_end || len == 0)
        return 0;
    int ret = stream_read(input->stream, block->data + block->len, len, &n, err);
    if (ret)
        return ret;
    block->len += n;
    input->at_end = n < len;
    /* Before the last row is decoded: were the file cut short, it would be called bad. */
    return input->at_end ? stream_check(input->stream, err) : 0;
}

/* The last row end before the piece's, or else the first one behind it. */
static void piece_cut(const struct input *input, struct row_cut *cut, const char *data, size_t len)
{
    uint64_t limit = input->end - input->pos;
    if (len > limit && cut->scanned < limit) {
        input->ops->cut(cut, data, (size_t)limit);
        if (cut->row_end)
            return;
    }
    cut->first |= len > limit;
    input->ops->cut(cut, data, len);
}

/* The block is full of a row without its end: reads on to the end and throws the row away. */
static int discard_row(struct input *input, struct input_block *block, struct row_cut *cut,
                       struct err *err)
{
    block->too_long_line = input->line;
    cut->first = true;
    while (cut->row_end == 0 && !input->at_end) {
        input->line += cut->lines_seen;
        input->pos += block->len;
        *cut = (struct row_cut){.state = cut->state, .first = true};
        block->len = 0;
        int ret = input_block_fill(input, block, err);
        if (ret)
            return ret;
        input->ops->cut(cut, block->data, block->len);
    }
    size_t end = cut->row_end ? cut->row_end : block->len;
    input->line += cut->row_end ? cut->lines : cut->lines_seen;
    input->pos += end;
    int ret = buf_add(&input->carry, block->data + end, block->len - end);
    block->len = 0;
    return ret ? err_sys(err, ret, "reading rows") : 0;
}

/* The row at pos cannot be read, nor what follows it. The block holds `len` bytes of it. */
static int row_fault(const struct input *input, const struct input_block *block, struct err *err)
{
    int ret = stream_check(input->stream, err);
    if (ret)
        return ret;
    ret = input->ops->fault(block->data, block->len, err);
    return err_wrap(err, ret, "%s: byte %llu", stream_path(input->stream),
                    (unsigned long long)input->pos);
}

/* The block holds the start of a row of len bytes, which are too many: goes on behind it. */
static int hop_over(struct input *input, struct input_block *block, uint64_t len, struct err *err)
{
    uint64_t skipped = 0;
    uint64_t left = len - block->len;
    int ret = stream_skip(input->stream, left, &skipped, err);
    if (ret)
        return ret;
    if (skipped < left)
        return row_fault(input, block, err);
    block->too_long_line = input->line++;
    block->len = 0;
    input->pos += len;
    return 0;
}

/* Makes the block, full of a row without its end, longer. Clears `grown` when the row was thrown away instead. */
static int block_grow(struct input *input, struct input_block *block, struct row_cut *cut,
                      bool *grown, struct err *err)
{
    /* A byte more than a row may have: the last one of a file may be that long and lack its end. */
    size_t cap_max = input->options.row_len_max + 1;
    uint64_t len = input->ops->row_len ? input->ops->row_len(block->data, block->len) : 0;
    *grown = len < cap_max && block->cap < cap_max;
    if (len >= cap_max)
        return hop_over(input, block, len, err);
    if (!*grown)
        return discard_row(input, block, cut, err);
    size_t cap = block->cap + block->cap / 4 + 1;
    if (cap < len)
        cap = (size_t)len;
    if (cap > cap_max)
        cap = cap_max;
    return input_block_reserve(block, cap, err);
}

/* Finds where the block's whole rows end, reading on while there is none. */
static int block_cut(struct input *input, struct input_block *block, struct row_cut *cut,
                     struct err *err)
{
    for (bool grown = true; grown;) {
        int ret = input_block_fill(input, block, err);
        if (ret)
            return ret;
        piece_cut(input, cut, block->data, block->len);
        if (cut->row_end || input->at_end || cut->is_broken)
            return 0;
        if (block->len < block->cap)
            continue;
        ret = block_grow(input, block, cut, &grown, err);
        if (ret)
            return ret;
    }
    return 0;
}

static int block_start(struct input *input, struct input_block *block, struct err *err)
{
    size_t cap = input->options.block_len ? input->options.block_len : INPUT_BLOCK_LEN;
    if (cap < input->carry.len + 1)
        cap = input->carry.len + 1;
    int ret = input_block_reserve(block, cap, err);
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

/* At the end of the file the last row may lack its line end; a row that says its length may not. */
static size_t whole_rows(const struct input *input, const struct input_block *block,
                         const struct row_cut *cut)
{
    if (input->ops->row_len)
        return cut->row_end;
    bool has_tail = input->at_end && block->len <= input->end - input->pos;
    return has_tail || !cut->row_end ? block->len : cut->row_end;
}

/* Offsets are row numbers, see input_duckdb.h. */
static int take_rows(struct input *input, struct input_block *block, struct err *err)
{
    int got = input_duckdb_take(input->duckdb, &block->rows, err);
    input->line = input_duckdb_line(input->duckdb);
    input->pos = input->begin + input->line - 1;
    return got;
}

int input_take(struct input *input, struct input_block *block, struct err *err)
{
    if (input->duckdb)
        return take_rows(input, block, err);
    if (input->pos >= input->end || (input->at_end && input->carry.len == 0))
        return stream_check(input->stream, err);
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
    size_t end = whole_rows(input, block, &cut);
    if (end == 0 && block->len)
        return row_fault(input, block, err);
    ret = buf_add(&input->carry, block->data + end, block->len - end);
    if (ret)
        return err_sys(err, ret, "reading rows");
    block->len = end;
    input->pos += end;
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
    if (input->duckdb)
        return duckdb_rows_next(block->rows, row, err);
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

int input_open(const struct input_piece *piece, enum input_format format,
               const struct input_options *options, struct input **out, struct err *err)
{
    struct input *input = calloc(1, sizeof *input);
    if (!input)
        return err_sys(err, -ENOMEM, "%s: opening", piece->path);
    input->ops = input_format_ops_of(format);
    input->options = *options;
    input->end = UINT64_MAX;
    input->line = 1;
    bool is_typed = format == INPUT_PARQUET || format == INPUT_SQL;
    int ret = is_typed ? input_duckdb_open(piece, format, options, &input->duckdb, err)
                       : input_start(input, piece, err);
    if (is_typed)
        input->begin = input->pos = piece->begin;
    input->end = piece->end;
    if (!ret && !is_typed && input->end != UINT64_MAX && !stream_is_plain(input->stream))
        ret = err_set(err, -EINVAL, "%s: a compressed file cannot be cut into pieces", piece->path);
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
    input_duckdb_close(input->duckdb);
    stream_close(input->stream);
    buf_release(&input->carry);
    free(input);
}

int input_count_rows(const char *path, enum input_format format,
                     const struct input_options *options, uint64_t upto, uint64_t *n,
                     struct err *err)
{
    struct input_piece piece = {.path = path, .end = upto, .is_exact = true};
    struct input *input = NULL;
    struct input_block block = {0};
    int got = input_open(&piece, format, options, &input, err);
    while (!got && (got = input_take(input, &block, err)) > 0)
        got = 0;
    if (!got)
        *n = input->line - 1;
    input_block_release(&block);
    input_close(input);
    return got;
}

uint64_t input_begin(const struct input *input)
{
    return input->begin;
}

uint64_t input_end(const struct input *input)
{
    return input->pos;
}

uint64_t input_bytes_read(const struct input *input)
{
    if (input->duckdb)
        return input_duckdb_bytes_read(input->duckdb);
    return stream_is_plain(input->stream) ? input_bytes_text(input)
                                          : stream_file_bytes(input->stream);
}

uint64_t input_bytes_text(const struct input *input)
{
    return input->duckdb ? input_duckdb_bytes_taken(input->duckdb) : input->pos - input->begin;
}

uint64_t input_line(const struct input *input)
{
    return input->line;
}
