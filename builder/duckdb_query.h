/* SPDX-License-Identifier: Apache-2.0 */
/*
 * duckdb_query: one SELECT, its columns, and its rows as they come, a chunk at a time.
 *
 * Only a single statement that reads is let through: by its first word, by what DuckDB says it is, and, of a query that is not ours,
 * by the functions in its plan.
 *
 * Threads: one at a time. Memory: the columns' names; chunks belong to the caller and outlive the query.
 * Errors: -EINVAL for a query that is wrong or would write, what duckdb_fault() makes of the rest; texts begin with `what`.
 */
#ifndef FKV_BUILDER_DUCKDB_QUERY_H
#define FKV_BUILDER_DUCKDB_QUERY_H

#include "builder/duckdb_host.h"

struct duckdb_column {
    const char *name;          /* lives as long as the query */
    enum duckdb_type_id type;  /* ids that are not named in duckdb_api.h too */
    enum duckdb_type_id child; /* of the elements of a LIST or ARRAY */
    uint64_t array_len;        /* elements of each ARRAY */
};

struct duckdb_query {
    const char *what; /* for texts; borrowed */
    struct duckdb_link link;
    duckdb_prepared prepared;
    struct duckdb_result result;
    bool has_result;
    struct duckdb_column *columns;
    uint32_t n_columns;
};

/* Begins the query; its rows are fetched later. what is borrowed; query stays where it is. is_ours: its text needs no such look. */
int duckdb_query_open(struct duckdb_host *host, const char *what, const char *sql, bool is_ours,
                      struct duckdb_query *query, struct err *err);
void duckdb_query_close(struct duckdb_query *query);

/* The next rows, at least one: 1, or 0 at the end. The caller destroys the chunk. */
int duckdb_query_fetch(struct duckdb_query *query, duckdb_chunk *out, struct err *err);

#endif
