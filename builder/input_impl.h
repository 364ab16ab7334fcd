/* SPDX-License-Identifier: Apache-2.0 */
/*
 * input_impl: what the files input*.c share of an open input.
 *
 * Invariant: `pos` is where a row begins; the bytes that follow it are first those of `carry`, then the stream's.
 *
 * Threads: as input.h. Memory: the input's. Errors: as input.h.
 */
#ifndef FKV_BUILDER_INPUT_IMPL_H
#define FKV_BUILDER_INPUT_IMPL_H

#include "base/buf.h"
#include "builder/input_format.h"
#include "builder/stream.h"

struct input {
    const struct input_format_ops *ops;
    struct input_options options;
    struct input_columns columns;
    struct input_duckdb *duckdb; /* of Parquet and SQL, instead of a stream and what follows it */
    struct stream *stream;
    struct buf carry; /* read, but behind the last block's last row */
    uint64_t begin;   /* where the piece's first row begins, in the text */
    uint64_t end;     /* rows that begin here or later are another piece's */
    uint64_t pos;     /* where the next block begins */
    uint64_t line;    /* of the next block; 1 at begin */
    bool at_end;      /* the stream has no more bytes */
};

/* What reads the rows of a format; NULL for one that is not read so. */
const struct input_format_ops *input_format_ops_of(enum input_format format);

/* Makes room for cap bytes in all. */
int input_block_reserve(struct input_block *block, size_t cap, struct err *err);

/* Adds bytes of the stream, at most up to the block's capacity; none once input->at_end. */
int input_block_fill(struct input *input, struct input_block *block, struct err *err);

/* Opens the stream where the piece's first row begins, reads the header when there is one, and settles the columns. */
int input_start(struct input *input, const struct input_piece *piece, struct err *err);

/* Line ends in data[0, len). */
uint64_t input_count_lines(const char *data, size_t len);

#endif
