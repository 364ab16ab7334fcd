/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/duckdb_query.h"

#include "base/buf.h"

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

/* ---- what it calls ---- */

/* Adds the strings of the last column of a result. */
static int add_strings(const struct duckdb_api *api, struct duckdb_result *result, struct buf *out)
{
    duckdb_chunk chunk;
    int ret = 0;
    while (!ret && (chunk = api->fetch_chunk(*result))) {
        uint64_t n = api->data_chunk_get_size(chunk);
        const union duckdb_string *strings =
            api->vector_get_data(api->data_chunk_get_vector(chunk, api->column_count(result) - 1));
        for (uint64_t i = 0; i < n && !ret; i++)
            ret = buf_add(
                out, strings[i].len > DUCKDB_STRING_INLINE ? strings[i].data : strings[i].inlined,
                strings[i].len);
        api->destroy_data_chunk(&chunk);
    }
    return ret ? ret : buf_add_byte(out, 0);
}

/* The plan as EXPLAIN tells it, in JSON; nothing of the query runs. */
static int plan_read(struct duckdb_query *query, const char *sql, struct buf *out, struct err *err)
{
    const struct duckdb_api *api = query->link.api;
    struct duckdb_result result = {0};
    struct buf text = {0};
    int ret = buf_printf(&text, "EXPLAIN (FORMAT json) %s", sql);
    if (ret) {
        buf_release(&text);
        return err_sys(err, ret, "%s: opening", query->what);
    }
    if (api->query(query->link.connection, (const char *)text.data, &result) != DUCKDB_OK)
        ret = duckdb_fault(query->what, api->result_error(&result), err);
    else if (add_strings(api, &result, out))
        ret = err_sys(err, -ENOMEM, "%s: opening", query->what);
    api->destroy_result(&result);
    buf_release(&text);
    return ret;
}

/* Functions that a SELECT can call and that change settings, locked or not, or write files; and one that hides what it calls. */
static bool is_harmful(const char *name, size_t len)
{
    static const char *const known[] = {"ENABLE_",    "DISABLE_",     "FORCE_CHECKPOINT",
                                        "CHECKPOINT", "TRUNCATE_",    "IMPORT_",
                                        "EXPORT_",    "JSON_EXECUTE_"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        size_t n = strlen(known[i]);
        if (len >= n && strncasecmp(name, known[i], n) == 0)
            return true;
    }
    return false;
}

/*
 * Whatever way a function is called, by a word put together or through a view, its name is that of an operator in the plan. In
 * strings of the query quotes have a backslash before them, so what follows "name": is an operator.
 */
static int check_plan(struct duckdb_query *query, const char *sql, struct err *err)
{
    static const char member[] = "\"name\":";
    struct buf plan = {0};
    uint64_t n = 0;
    int ret = plan_read(query, sql, &plan, err);
    for (const char *at = ret ? NULL : (const char *)plan.data; at && !ret;) {
        at = strstr(at, member);
        if (!at)
            break;
        at += sizeof member - 1;
        at += strspn(at, " \t\r\n\"");
        size_t len = strcspn(at, "\"");
        n++;
        if (is_harmful(at, len))
            ret = err_set(err, -EINVAL,
                          "%s: expected a query that only reads, found the function %.*s in it",
                          query->what, (int)strcspn(at, " \""), at);
    }
    buf_release(&plan);
    if (!ret && n == 0)
        ret = err_set(err, -EINVAL, "%s: expected a plan from DuckDB %s, found none", query->what,
                      query->link.api->library_version());
    return ret;
}

static int query_prepare(struct duckdb_query *query, const char *sql, bool is_ours, struct err *err)
{
    const struct duckdb_api *api = query->link.api;
    duckdb_statements statements = NULL;
    int ret = check_word(query, sql, err);
    if (ret)
        return ret;
    uint64_t n = api->extract_statements(query->link.connection, sql, &statements);
    ret = prepare(query, statements, n, err);
    api->destroy_extracted(&statements);
    return ret || is_ours ? ret : check_plan(query, sql, err);
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

int duckdb_query_open(struct duckdb_host *host, const char *what, const char *sql, bool is_ours,
                      struct duckdb_query *query, struct err *err)
{
    *query = (struct duckdb_query){.what = what};
    int ret = duckdb_link_open(host, &query->link, err);
    if (ret)
        return err_wrap(err, ret, "%s", what);
    ret = query_prepare(query, sql, is_ours, err);
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
