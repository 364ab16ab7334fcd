/* SPDX-License-Identifier: Apache-2.0 */
/*
 * duckdb_rows: the rows of one DuckDB chunk, as typed keys and values. No number goes through text.
 *
 *   key    an integer of any width, 0 to UINT64_MAX -> FIELD_U64; VARCHAR, BLOB -> FIELD_TEXT
 *   value  VARCHAR, BLOB -> FIELD_TEXT; a FLOAT, DOUBLE or integer, or a LIST or ARRAY of them -> FIELD_FLOATS, each rounded once
 *          to nearest; NULL -> FIELD_NULL
 *
 * A row is bad when its key is NULL or below 0, an element is NULL, or a finite DOUBLE is beyond the largest f32.
 *
 * Threads: a struct duckdb_rows is used by one at a time, several of them (of one query too) in parallel.
 * Memory: the chunk, and room for the elements of one row; rows point into both, until the next row.
 * Errors: -EBADMSG for a bad row, -EINVAL for a column of another type, -ENOMEM.
 */
#ifndef FKV_BUILDER_DUCKDB_ROWS_H
#define FKV_BUILDER_DUCKDB_ROWS_H

#include "builder/duckdb_query.h"
#include "builder/input.h"

/* Which columns hold key and value, of what types. */
struct duckdb_choice {
    uint32_t key; /* index in the chunk, from 0 */
    uint32_t value;
    bool has_value; /* else there are keys only */
    struct duckdb_column key_column;
    struct duckdb_column value_column;
};

/* A column of a chunk, as DuckDB lays it out. */
struct duckdb_view {
    struct duckdb_column column;
    const void *data;      /* a row's number, string or list; nothing for an ARRAY */
    const uint64_t *valid; /* a bit a row; NULL: all are */
    const void *elements;  /* of LIST and ARRAY */
    const uint64_t *elements_valid;
};

struct duckdb_rows {
    const struct duckdb_api *api;
    duckdb_chunk chunk;
    struct duckdb_view key;
    struct duckdb_view value;
    bool has_value;
    uint64_t n_rows;
    uint64_t next;      /* row of the chunk */
    uint64_t first_row; /* the number of the chunk's first row */
    size_t value_len_max;
    uint64_t key_number;
    float *floats;
    size_t floats_cap;
};

/* Can keys and values be made of columns of these types? What to write instead is said when not. */
int duckdb_choice_check(const struct duckdb_choice *choice, struct err *err);

/* Takes over the chunk; what rows held before is let go. Elements of longer values than value_len_max are not looked at. */
void duckdb_rows_begin(struct duckdb_rows *rows, const struct duckdb_api *api, duckdb_chunk chunk,
                       const struct duckdb_choice *choice, uint64_t first_row,
                       size_t value_len_max);
void duckdb_rows_release(struct duckdb_rows *rows);

/* The next row: as input_next(). */
int duckdb_rows_next(struct duckdb_rows *rows, struct input_row *row, struct err *err);

/* Bytes of the chunk's keys and values. */
uint64_t duckdb_rows_len(const struct duckdb_rows *rows);

#endif
