/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/input_duckdb.h"

#include "builder/duckdb_rows.h"
#include "builder/number.h"
#include "builder/parquet.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How a query is called where a file would be. */
static const char query_place[] = "query";

struct input_duckdb {
    const struct input_options *options;
    const char *path; /* NULL: a query */
    struct stat st;   /* of the file when it was opened */
    struct duckdb_query query;
    struct duckdb_choice choice;
    uint64_t n_rows_file; /* of all pieces */
    uint64_t line;
    uint64_t bytes_taken;
};

/* ---- columns ---- */

/* "id", "embedding": as many as fit. */
static const char *columns_list(const struct duckdb_query *query, char *out, size_t cap)
{
    size_t n = 0;
    out[0] = 0;
    for (uint32_t i = 0; i < query->n_columns; i++) {
        const char *name = query->columns[i].name;
        if (n + strlen(name) + 32 > cap) {
            snprintf(out + n, cap - n, ", … %u in all", query->n_columns);
            break;
        }
        n += (size_t)snprintf(out + n, cap - n, "%s\"%s\"", i ? ", " : "", name);
    }
    return out;
}

static int column_find(const struct duckdb_query *query, const char *flag, const char *asked,
                       uint32_t *out, struct err *err)
{
    char list[400];
    uint64_t number = 0;
    for (uint32_t i = 0; i < query->n_columns; i++) {
        if (strcmp(query->columns[i].name, asked) == 0) {
            *out = i;
            return 0;
        }
    }
    if (number_u64(asked, strlen(asked), &number) == 0 && number >= 1 &&
        number <= query->n_columns) {
        *out = (uint32_t)number - 1;
        return 0;
    }
    return err_set(err, -EINVAL,
                   "%s: %s: expected one of the columns %s, or a number from 1 to %u; "
                   "found \"%s\"",
                   query->what, flag, columns_list(query, list, sizeof list), query->n_columns,
                   asked);
}

static int choose_columns(const struct duckdb_query *query, const struct input_options *options,
                          struct duckdb_choice *out, struct err *err)
{
    struct duckdb_choice choice = {.value = 1, .has_value = query->n_columns > 1};
    int ret = 0;
    if (options->key_column)
        ret = column_find(query, "--key-column", options->key_column, &choice.key, err);
    if (!ret && options->value_column) {
        choice.has_value = true;
        ret = column_find(query, "--value-column", options->value_column, &choice.value, err);
    }
    if (ret)
        return ret;
    if (choice.has_value && choice.key == choice.value)
        return err_set(err, -EINVAL, "%s: key and value are the same column, \"%s\"", query->what,
                       query->columns[choice.key].name);
    choice.key_column = query->columns[choice.key];
    if (choice.has_value)
        choice.value_column = query->columns[choice.value];
    ret = duckdb_choice_check(&choice, err);
    if (ret)
        return err_wrap(err, ret, "%s", query->what);
    *out = choice;
    return 0;
}

/* ---- opening ---- */

static int open_query(struct input_duckdb *input, const char *sql, struct err *err)
{
    int ret =
        duckdb_query_open(input->options->duckdb, query_place, sql, false, &input->query, err);
    return ret ? ret : choose_columns(&input->query, input->options, &input->choice, err);
}

/* Queries on Parquet files are ours, so what DuckDB objects to is the file. */
static int file_fault(int ret, struct err *err)
{
    if (ret != -EINVAL)
        return ret;
    if (err)
        err->code = -EBADMSG;
    return -EBADMSG;
}

/* The SQL for the piece's rows: the columns are found by a query that reads none. */
static int piece_select(struct input_duckdb *input, const struct input_piece *piece,
                        struct buf *sql, struct err *err)
{
    struct duckdb_query query;
    struct duckdb_choice choice;
    int ret = parquet_select(sql, input->path, NULL, 0, 0, UINT64_MAX);
    if (!ret)
        ret = buf_printf(sql, " LIMIT 0");
    if (ret)
        return err_sys(err, ret, "%s: opening", input->path);
    ret = duckdb_query_open(input->options->duckdb, input->path, (const char *)sql->data, true,
                            &query, err);
    if (ret)
        return file_fault(ret, err);
    ret = choose_columns(&query, input->options, &choice, err);
    if (!ret) {
        const char *names[] = {choice.key_column.name, choice.value_column.name};
        buf_clear(sql);
        ret = parquet_select(sql, input->path, names, choice.has_value ? 2 : 1, piece->begin,
                             piece->end);
        if (ret)
            err_sys(err, ret, "%s: opening", input->path);
    }
    duckdb_query_close(&query);
    return ret;
}

static int open_file(struct input_duckdb *input, const struct input_piece *piece, struct err *err)
{
    struct buf sql = {0};
    int ret = parquet_check(input->path, &input->st, err);
    if (!ret)
        ret = parquet_n_rows(input->options->duckdb, input->path, &input->n_rows_file, err);
    if (!ret)
        ret = piece_select(input, piece, &sql, err);
    if (!ret)
        ret = file_fault(duckdb_query_open(input->options->duckdb, input->path,
                                           (const char *)sql.data, true, &input->query, err),
                         err);
    buf_release(&sql);
    if (ret)
        return ret;
    const struct duckdb_query *query = &input->query;
    input->choice = (struct duckdb_choice){
        .value = 1, .has_value = query->n_columns > 1, .key_column = query->columns[0]};
    if (input->choice.has_value)
        input->choice.value_column = query->columns[1];
    return 0;
}

int input_duckdb_open(const struct input_piece *piece, enum input_format format,
                      const struct input_options *options, struct input_duckdb **out,
                      struct err *err)
{
    struct input_duckdb *input = calloc(1, sizeof *input);
    if (!input)
        return err_sys(err, -ENOMEM, "opening an input");
    input->options = options;
    input->line = 1;
    int ret;
    if (!options->duckdb) {
        ret = err_set(err, -EINVAL, "%s: Parquet and SQL cannot be read here", piece->path);
    } else if (format == INPUT_SQL) {
        ret = open_query(input, piece->path, err);
    } else {
        input->path = piece->path;
        ret = open_file(input, piece, err);
    }
    if (ret) {
        input_duckdb_close(input);
        return ret;
    }
    *out = input;
    return 0;
}

void input_duckdb_close(struct input_duckdb *input)
{
    if (!input)
        return;
    duckdb_query_close(&input->query);
    free(input);
}

/* ---- blocks ---- */

static int fetch_fault(const struct input_duckdb *input, int ret, struct err *err)
{
    if (!input->path || ret == -ECANCELED)
        return ret;
    /* That it was written to explains what was found in it, or not. */
    struct err changed = {0};
    int now = parquet_check_same(input->path, &input->st, &changed);
    if (!now)
        return file_fault(ret, err);
    if (err)
        *err = changed;
    return now;
}

int input_duckdb_take(struct input_duckdb *input, struct duckdb_rows **rows, struct err *err)
{
    duckdb_chunk chunk = NULL;
    if (!*rows)
        *rows = calloc(1, sizeof **rows);
    if (!*rows)
        return err_sys(err, -ENOMEM, "a block of rows");
    int got = duckdb_query_fetch(&input->query, &chunk, err);
    if (got < 0)
        return fetch_fault(input, got, err);
    if (got == 0)
        return input->path ? parquet_check_same(input->path, &input->st, err) : 0;
    duckdb_rows_begin(*rows, input->query.link.api, chunk, &input->choice, input->line,
                      input->options->row_len_max);
    input->line += (*rows)->n_rows;
    input->bytes_taken += duckdb_rows_len(*rows);
    return 1;
}

void input_duckdb_rows_free(struct duckdb_rows *rows)
{
    if (!rows)
        return;
    duckdb_rows_release(rows);
    free(rows);
}

uint64_t input_duckdb_bytes_read(const struct input_duckdb *input)
{
    uint64_t n_taken = input->line - 1;
    if (!input->n_rows_file)
        return 0;
    return (uint64_t)((double)input->st.st_size * (double)n_taken / (double)input->n_rows_file);
}

uint64_t input_duckdb_bytes_taken(const struct input_duckdb *input)
{
    return input->bytes_taken;
}

uint64_t input_duckdb_line(const struct input_duckdb *input)
{
    return input->line;
}
