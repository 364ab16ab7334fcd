/* SPDX-License-Identifier: Apache-2.0 */
/*
 * input_format: what one format of rows supplies to input.c.
 *
 * Threads: next() runs in many threads at once and must not write to columns. Memory: rows point into the block.
 * Errors: as in input.h.
 */
#ifndef FKV_BUILDER_INPUT_FORMAT_H
#define FKV_BUILDER_INPUT_FORMAT_H

#include "builder/input.h"

struct stream;

/* Which fields of a row to take, settled when the input is opened. */
struct input_columns {
    uint32_t key; /* TSV, CSV: index from 0 */
    uint32_t value;
    uint32_t exact;       /* number of fields every row must have (key only: one less); 0: any */
    const char *key_name; /* JSON members */
    const char *value_name;
};

/* Finds row ends in text that arrives in pieces. Zero-initialise for each block. */
struct row_cut {
    bool first;          /* stop at the first row end, not the last */
    uint8_t state;       /* the format's own */
    size_t scanned;      /* bytes looked at */
    size_t row_end;      /* end of the last (first) whole row within them; 0: none yet */
    uint64_t lines;      /* line ends within [0, row_end) */
    uint64_t lines_seen; /* line ends within [0, scanned), counted while row_end is 0 */
    bool is_broken;      /* no row begins at row_end, and nothing says where the next one does */
};

struct input_format_ops {
    const char *name;
    bool is_text;    /* lines, perhaps behind a byte order mark */
    bool has_header; /* options.header means something */
    /* Scans data[cut->scanned, len) and moves cut on. Called again with more bytes while row_end is 0. */
    void (*cut)(struct row_cut *cut, const char *data, size_t len);
    int (*next)(const struct input_columns *columns, struct input_block *block,
                struct input_row *row, struct err *err);
    /* Settles the columns; header is the first row's text (one whole row), or NULL. */
    int (*columns)(const struct input_options *options, char *header, size_t len,
                   struct input_columns *out, struct err *err);

    /* The three below: of formats whose rows say how long they are; NULL for lines. */

    /* Bytes of the row that data[0, len) begins; 0 while they do not tell. */
    uint64_t (*row_len)(const char *data, size_t len);
    /* What is wrong with the row that data[0, len), not empty, begins: broken, or without its end at the end of the file. -EBADMSG. */
    int (*fault)(const char *data, size_t len, struct err *err);
    /* The first offset at or behind `from` where a row seems to begin. */
    int (*border)(struct stream *stream, uint64_t from, uint64_t *out, struct err *err);
};

extern const struct input_format_ops input_tsv;
extern const struct input_format_ops input_csv;
extern const struct input_format_ops input_jsonl;
extern const struct input_format_ops input_record;

/* Row ends at every LF. */
void row_cut_lines(struct row_cut *cut, const char *data, size_t len);

/* The next line of a block without its LF or CRLF: 1, or 0 at the end. Skips empty lines. */
int input_block_line(struct input_block *block, uint64_t *line, char **text, size_t *len);

#endif
