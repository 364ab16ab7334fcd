/* SPDX-License-Identifier: Apache-2.0 */
/*
 * input_duckdb: Parquet files and SQL queries as inputs: what input.h says of an input, behind input.c.
 *
 * A block is one chunk of DuckDB's, up to 2048 rows; it is decoded by duckdb_rows in any thread while the next one is fetched. Key and
 * value are the first two columns, or those that the options name. Rows count from 1. A piece of a Parquet file is a range of row
 * numbers, see parquet.h; a query is one piece, and its text stands where a path would.
 *
 * Threads, errors: as in input.h, and -ESTALE for a file that was changed under our hands.
 * Memory: a chunk a block, whatever its rows take, and what DuckDB's host allows the query.
 */
#ifndef FKV_BUILDER_INPUT_DUCKDB_H
#define FKV_BUILDER_INPUT_DUCKDB_H

#include "builder/input.h"

struct duckdb_rows;
struct input_duckdb;

/* options->duckdb is there. */
int input_duckdb_open(const struct input_piece *piece, enum input_format format,
                      const struct input_options *options, struct input_duckdb **out,
                      struct err *err);
void input_duckdb_close(struct input_duckdb *input);

/* The next block: 1, or 0 at the end. *rows is made when there is none yet. */
int input_duckdb_take(struct input_duckdb *input, struct duckdb_rows **rows, struct err *err);
void input_duckdb_rows_free(struct duckdb_rows *rows);

/* A file's bytes in proportion to the rows taken; 0 of a query. */
uint64_t input_duckdb_bytes_read(const struct input_duckdb *input);
/* Of the keys and values taken. */
uint64_t input_duckdb_bytes_taken(const struct input_duckdb *input);
/* The number of the next block's first row. */
uint64_t input_duckdb_line(const struct input_duckdb *input);

#endif
