/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parquet: Parquet files as DuckDB reads them: is it one, how many rows in which groups, and the SQL that reads some of them.
 *
 * A group of rows is what such a file can be cut at: each is compressed by itself, and DuckDB skips those whose rows are not
 * asked for. So the pieces of a file are ranges of row numbers, from 0, that begin and end between groups.
 *
 * Threads: any, each with data of its own. Memory: a number a group.
 * Errors: -EBADMSG for a file that is no Parquet or is cut short, -EISDIR, -ENOENT, -EACCES, -ENOMEM; the file is named.
 */
#ifndef FKV_BUILDER_PARQUET_H
#define FKV_BUILDER_PARQUET_H

#include "base/buf.h"
#include "builder/duckdb_query.h"

#include <sys/stat.h>

/* By the format that was asked for, or the name. */
bool parquet_is_input(const char *input, enum input_format asked);

/* -EINVAL for a URL, which DuckDB would not read; says what to do instead. */
int parquet_check_path(const char *path, struct err *err);

/* A regular file that begins and ends as a Parquet file does. st says which file it was. */
int parquet_check(const char *path, struct stat *st, struct err *err);

/* -ESTALE when the file is another one by now, or was written to. */
int parquet_check_same(const char *path, const struct stat *before, struct err *err);

struct parquet_groups {
    uint64_t *ends; /* rows up to the end of each group, ascending */
    size_t n;
};
int parquet_groups_read(struct duckdb_host *host, const char *path, struct parquet_groups *out,
                        struct err *err);
void parquet_groups_release(struct parquet_groups *groups);

/*
 * Where to cut a file into pieces of about piece_len of its bytes each: as groups, of which several may have become one. None for
 * a file without rows, or of at most piece_len bytes. Starts a DuckDB within the job's bounds for it.
 */
int parquet_cut(const struct job *job, const char *path, uint64_t piece_len,
                struct parquet_groups *out, struct err *err);

int parquet_n_rows(struct duckdb_host *host, const char *path, uint64_t *out, struct err *err);

/* Adds "columns FROM read_parquet(path)", of rows [begin, end) only when they are not all. names[i] NULL: all columns. */
int parquet_select(struct buf *sql, const char *path, const char *const *names, size_t n_names,
                   uint64_t begin, uint64_t end);

#endif
