/* SPDX-License-Identifier: Apache-2.0 */
/*
 * input: the seam between files of rows and the builder. One table of functions a format.
 *
 * An input is read in blocks of whole rows: taking a block (reading, decompressing, finding the last row's end) is
 * serial and cheap, decoding its rows is the dear part and runs in any thread. A row's place is its piece and the
 * number of its first line there, so order and error texts do not depend on who decoded it.
 *
 * Text rules, the same for every format: lines end in LF or CRLF, empty lines are skipped, a UTF-8 byte order mark at the
 * start of a file is skipped, the last line may lack its end (but then it deletes nothing: a file cut short would).
 *   TSV    no quoting; \t \n \r \\ \0 and \xHH stand for bytes, any other backslash is an error
 *   CSV    RFC 4180: fields may be quoted, "" is a quote, quoted fields may hold commas and line ends
 *   JSONL  one object a line; strings are UTF-8, {"b64": "…"} holds any bytes
 * Parquet files and SQL queries give typed fields instead of text, see input_duckdb.h; their lines are rows.
 *
 * Record files (input_record.h) are no text. A record's "line" is its number. A head that is damaged, or a file that ends within
 * a record, is -EBADMSG from input_take(), after the rows before it: it cannot be skipped as a bad row is.
 *
 * Threads: input_take() one at a time for an input; input_next() one at a time for a block, blocks in parallel.
 * Memory: a block owns its bytes and grows to the longest row (options.row_len_max); rows point into it.
 * Errors: -EBADMSG for a damaged compressed or record file, -ESTALE for a file that changed while it was read, -EINVAL for columns that do not exist, -ENOENT, -EACCES, -EIO, -ENOMEM.
 * A row that cannot be decoded gives -EBADMSG from input_next() and the next call goes on with the row after it.
 */
#ifndef FKV_BUILDER_INPUT_H
#define FKV_BUILDER_INPUT_H

#include "base/err.h"
#include "builder/job.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    INPUTS_MAX = 1 << 20,
    INPUT_BLOCK_LEN = 1 << 20,
    INPUT_COLUMNS_MAX = 4096,
};

struct duckdb_host;
struct duckdb_rows;

struct input_options {
    bool header;
    const char *key_column; /* as in struct job */
    const char *value_column;
    size_t block_len;           /* bytes a block has when rows are short; 0: INPUT_BLOCK_LEN */
    size_t row_len_max;         /* longer rows are bad */
    struct duckdb_host *duckdb; /* of Parquet and SQL inputs; borrowed, else NULL */
};

/*
 * Rows that begin within a range of a file's bytes. Only plain files are cut; a compressed one is one piece.
 * Of a Parquet file begin and end are row numbers from 0, see parquet.h; they are always exact.
 */
struct input_piece {
    const char *path;
    uint64_t begin;
    uint64_t end; /* UINT64_MAX: the file's */
    /* a row begins at `begin`; else the first one behind it is looked for, and may be guessed */
    bool is_exact;
    uint64_t rows_before; /* lines (records) of the file before begin; UINT64_MAX: not known */
};

enum field_form {
    FIELD_ABSENT, /* the row has no such field */
    FIELD_TEXT,   /* bytes, escapes resolved */
    FIELD_NUMBER, /* a bare JSON number */
    FIELD_ARRAY,  /* a JSON array, brackets included */
    FIELD_RAW, /* bytes as they are stored: a u64 key, a vector's elements little-endian (records) */
    FIELD_U64,    /* one uint64_t (Parquet, SQL) */
    FIELD_FLOATS, /* floats, aligned (Parquet, SQL) */
    FIELD_NULL,   /* (Parquet, SQL) */
};

struct field {
    enum field_form form;
    char *data; /* into the block */
    size_t len; /* bytes, of numbers too */
};

struct input_row {
    uint64_t line; /* the first line of the piece is 1 */
    struct field key;
    struct field value;
    bool deleted; /* the row says so itself (JSON) */
    bool is_cut;  /* the last line, and it has no end (TSV, CSV) */
};

struct input_block {
    char *data;
    size_t len; /* whole rows */
    size_t cap;
    size_t pos;               /* the next row */
    size_t row_begin;         /* the row that input_next() gave */
    uint64_t line;            /* of the next row */
    uint64_t too_long_line;   /* the row that did not fit row_len_max begins here; 0: none */
    struct duckdb_rows *rows; /* of Parquet and SQL inputs, instead of all above */
};

struct input;

/* The format of a path: asked itself, or for INPUT_AUTO by its suffixes; -EINVAL when it has none we know. */
int input_format_of(const char *path, enum input_format asked, enum input_format *out,
                    struct err *err);

/* Are the options' columns of a form that the format has? */
int input_columns_check(const struct input_options *options, enum input_format format,
                        struct err *err);

/*
 * Opens a piece; options are borrowed. Reads the header when there is one, from the file's start.
 *
 * A file's pieces hold each of its rows once if each begins where the one before it ended, and the first at 0. Where that is not
 * so, a border was guessed wrongly: such a piece is opened again with is_exact at the border where the one before it
 * ended. Until then all that is wrong with its rows may be the border's fault.
 */
int input_open(const struct input_piece *piece, enum input_format format,
               const struct input_options *options, struct input **out, struct err *err);
void input_close(struct input *input);

/* Where the piece's first row really begins; and, after its last block, where its last one ends. */
uint64_t input_begin(const struct input *input);
uint64_t input_end(const struct input *input);

/* What input_row.line counts, of the rows that begin in [0, upto) of the file, header and empty lines included. */
int input_count_rows(const char *path, enum input_format format,
                     const struct input_options *options, uint64_t upto, uint64_t *n,
                     struct err *err);

/* The next rows: 1 with a block, 0 at the piece's end. */
int input_take(struct input *input, struct input_block *block, struct err *err);

/* The block's next row: 1, 0 at its end, -EBADMSG for a row that is bad: row->line and err say where and why. */
int input_next(const struct input *input, struct input_block *block, struct input_row *row,
               struct err *err);

void input_block_release(struct input_block *block);

/* Bytes of the file (compressed ones when it is) consumed so far, and after decompression. */
uint64_t input_bytes_read(const struct input *input);
uint64_t input_bytes_text(const struct input *input);
/* The line that the next block begins with. */
uint64_t input_line(const struct input *input);

#endif
