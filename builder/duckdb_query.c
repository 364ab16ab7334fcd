/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/duckdb_query.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Behind blanks, remarks and opening parentheses. */
static const char *first_word(const char *sql)
{
    for (;;) {
        sql += strspn(sql, " \t\r\n\f\v(");
        if (strncmp(sql, "--", 2) == 0)
            sql += strcspn(sql, "\n");
        else if (strncmp(sql, "/*", 2) == 0 && strstr(sql, "*/"))
            sql = strstr(sql, "*/") + 2;
        else
            return sql;
    }
}

static int refuse(const struct duckdb_query *query, const char *found, size_t len, struct err *err)
{
    return err_set(err, -EINVAL,
                   "%s: expected a query that only reads (SELECT, FROM, WITH or VALUES), found "
                   "%.*s; do that in DuckDB first",
                   query->what, (int)len, found);
}

/* Some statements leave things behind when they are merely prepared (EXPORT a directory), so the word comes first. */
static int check_word(const struct duckdb_query *query, const char *sql, struct err *err)
{
    static const char *const known[] = {"SELECT", "FROM", "WITH", "VALUES", "PIVOT", "UNPIVOT"};
    const char *word = first_word(sql);
    size_t len = 0;
    while (isalpha((unsigned char)word[len]))
        len++;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (len == strlen(known[i]) && strncasecmp(word, known[i], len) == 0)
            return 0;
    if (!*word)
        return err_set(err, -EINVAL, "%s: expected a SELECT, found nothing", query->what);
    return refuse(query, word, len ? len : 1, err);
}

static int prepare(struct duckdb_query *query, duckdb_statements statements, uint64_t n,
                   struct err *err)
{
    const struct duckdb_api *api = query->link.api;
    if (n == 0)
        return duckdb_fault(query->what, api->extract_statements_error(statements), err);
    if (n > 1)
        return err_set(err, -EINVAL,
                       "%s: expected one SELECT, found %llu statements (a PIVOT counts as several, "
                       "unless it names its values with IN)",
                       query->what, (unsigned long long)n);
    if (api->prepare_extracted_statement(query->link.connection, statements, 0, &query->prepared) !=
        DUCKDB_OK)
        return duckdb_fault(query->what, api->prepare_error(query->prepared), err);
    /* WITH may precede what writes. */
    if (api->prepared_statement_type(query->prepared) != DUCKDB_STATEMENT_SELECT)
        return refuse(query, "one that writes", sizeof "one that writes" - 1, err);
    uint64_t n_params = api->nparams(query->prepared);
    if (n_params)
        return err_set(err, -EINVAL, "%s: expected a query without parameters, found %llu (? or $)",
                       query->what, (unsigned long long)n_params);
    return 0;
}

static int query_prepare(struct duckdb_query *query, const char *sql, struct err *err)
{
    const struct duckdb_api *api = query->link.api;
    duckdb_statements statements = NULL;
    int ret = check_word(query, sql, err);
    if (ret)
        return ret;
    uint64_t n = api->extract_statements(query->link.connection, sql, &statements);
    ret = prepare(query, statements, n, err);
    api->destroy_extracted(&statements);
    return ret;
}

static void column_describe(const struct duckdb_api *api, struct duckdb_result *result,
                            uint32_t index, struct duckdb_column *out)
{
    duckdb_type type = api->column_logical_type(result, index);
    *out = (struct duckdb_column){.name = api->column_name(result, index),
                                  .type = (enum duckdb_type_id)api->get_type_id(type)};
    duckdb_type child = NULL;
    if (out->type == DUCKDB_LIST)
        child = api->list_type_child_type(type);
    if (out->type == DUCKDB_ARRAY) {
        child = api->array_type_child_type(type);
        out->array_len = api->array_type_array_size(type);
    }
    if (child) {
        out->child = (enum duckdb_type_id)api->get_type_id(child);
        api->destroy_logical_type(&child);
    }
    api->destroy_logical_type(&type);
}

static int query_columns(struct duckdb_query *query, struct err *err)
{
    const struct duckdb_api *api = query->link.api;
    uint64_t n = api->column_count(&query->result);
    query->columns = calloc(n ? n : 1, sizeof *query->columns);
    if (!query->columns)
        return err_sys(err, -ENOMEM, "%s: opening", query->what);
    query->n_columns = (uint32_t)n;
    for (uint32_t i = 0; i < query->n_columns; i++)
        column_describe(api, &query->result, i, &query->columns[i]);
    return 0;
}

int duckdb_query_open(struct duckdb_host *host, const char *what, const char *sql,
                      struct duckdb_query *query, struct err *err)
{
    *query = (struct duckdb_query){.what = what};
    int ret = duckdb_link_open(host, &query->link, err);
    if (ret)
        return err_wrap(err, ret, "%s", what);
    ret = query_prepare(query, sql, err);
    if (!ret) {
        query->has_result = true;
        const struct duckdb_api *api = query->link.api;
        if (api->execute_prepared_streaming(query->prepared, &query->result) != DUCKDB_OK)
            ret = duckdb_fault(what, api->result_error(&query->result), err);
    }
    if (!ret)
        ret = query_columns(query, err);
    if (ret)
        duckdb_query_close(query);
    return ret;
}

void duckdb_query_close(struct duckdb_query *query)
{
    const struct duckdb_api *api = query->link.api;
    if (query->has_result)
        api->destroy_result(&query->result);
    if (query->prepared)
        api->destroy_prepare(&query->prepared);
    duckdb_link_close(&query->link);
    free(query->columns);
    *query = (struct duckdb_query){0};
}

int duckdb_query_fetch(struct duckdb_query *query, duckdb_chunk *out, struct err *err)
{
    const struct duckdb_api *api = query->link.api;
    for (;;) {
        duckdb_chunk chunk = api->fetch_chunk(query->result);
        if (!chunk) {
            const char *text = api->result_error(&query->result);
            return text && text[0] ? duckdb_fault(query->what, text, err) : 0;
        }
        if (api->data_chunk_get_size(chunk)) {
            *out = chunk;
            return 1;
        }
        api->destroy_data_chunk(&chunk);
    }
}
