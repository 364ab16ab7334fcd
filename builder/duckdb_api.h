/* SPDX-License-Identifier: Apache-2.0 */
/*
 * duckdb_api: the few functions of DuckDB's stable C API that the builder needs, found at run time.
 *
 * The program is built and runs without DuckDB; only who reads Parquet or asks for SQL needs its library. So the types and
 * prototypes are declared here, as the C API documents them, and each function is a pointer that dlsym() fills. The library is
 * never closed again: it has threads and thread-local data of its own.
 *
 * Threads: the table is written once, by duckdb_api_load(), and only read from then on. Memory: none.
 * Errors: -ENOENT when no library was found, -ELIBBAD for one that cannot be used; the text says where it was looked for and how to
 * get one.
 */
#ifndef FKV_BUILDER_DUCKDB_API_H
#define FKV_BUILDER_DUCKDB_API_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- what the library's functions take and give ---- */

typedef struct duckdb_database_impl *duckdb_database;
typedef struct duckdb_connection_impl *duckdb_connection;
typedef struct duckdb_config_impl *duckdb_config;
typedef struct duckdb_statements_impl *duckdb_statements;
typedef struct duckdb_prepared_impl *duckdb_prepared;
typedef struct duckdb_chunk_impl *duckdb_chunk;
typedef struct duckdb_vector_impl *duckdb_vector;
typedef struct duckdb_type_impl *duckdb_type;

/* Passed by value to duckdb_fetch_chunk(), so its size matters; the first five members are no longer used. */
struct duckdb_result {
    uint64_t old_counts[3];
    void *old_columns;
    char *old_error;
    void *internal;
};

enum { DUCKDB_OK = 0 };

enum duckdb_type_id {
    DUCKDB_INVALID = 0,
    DUCKDB_TINYINT = 2,
    DUCKDB_SMALLINT = 3,
    DUCKDB_INTEGER = 4,
    DUCKDB_BIGINT = 5,
    DUCKDB_UTINYINT = 6,
    DUCKDB_USMALLINT = 7,
    DUCKDB_UINTEGER = 8,
    DUCKDB_UBIGINT = 9,
    DUCKDB_FLOAT = 10,
    DUCKDB_DOUBLE = 11,
    DUCKDB_HUGEINT = 16,
    DUCKDB_VARCHAR = 17,
    DUCKDB_BLOB = 18,
    DUCKDB_LIST = 24,
    DUCKDB_UHUGEINT = 32,
    DUCKDB_ARRAY = 33,
};

enum { DUCKDB_STATEMENT_SELECT = 1 };

/* Rows of a chunk at most. */
enum { DUCKDB_CHUNK_ROWS = 2048 };

/* A row of a VARCHAR or BLOB vector: the bytes themselves when they are few. */
enum { DUCKDB_STRING_INLINE = 12 };
union duckdb_string {
    struct {
        uint32_t len;
        char inlined[DUCKDB_STRING_INLINE];
    };
    struct {
        uint32_t len_again;
        char prefix[4];
        const char *data;
    };
};

/* A row of a LIST vector: elements [offset, offset + len) of the child vector. */
struct duckdb_list {
    uint64_t offset;
    uint64_t len;
};

/* A row of a HUGEINT (upper signed) or UHUGEINT vector. */
struct duckdb_hugeint {
    uint64_t lower;
    uint64_t upper;
};

_Static_assert(sizeof(struct duckdb_result) == 48, "as the C API has it");
_Static_assert(sizeof(union duckdb_string) == 16, "as the C API has it");

/* ---- the functions, each under its name behind "duckdb_" ---- */

/* Functions that return int give DUCKDB_OK or not. Texts are valid until what they were asked of is destroyed. */
struct duckdb_api {
    const char *(*library_version)(void);
    void (*free)(void *data);

    int (*create_config)(duckdb_config *out);
    int (*set_config)(duckdb_config config, const char *name, const char *value);
    void (*destroy_config)(duckdb_config *config);
    int (*open_ext)(const char *path, duckdb_database *out, duckdb_config config, char **error);
    void (*close)(duckdb_database *database);
    int (*connect)(duckdb_database database, duckdb_connection *out);
    void (*disconnect)(duckdb_connection *connection);
    void (*interrupt)(duckdb_connection connection); /* from any thread */

    uint64_t (*extract_statements)(duckdb_connection connection, const char *sql,
                                   duckdb_statements *out);
    const char *(*extract_statements_error)(duckdb_statements statements);
    void (*destroy_extracted)(duckdb_statements *statements);
    int (*prepare_extracted_statement)(duckdb_connection connection, duckdb_statements statements,
                                       uint64_t index, duckdb_prepared *out);
    const char *(*prepare_error)(duckdb_prepared prepared);
    int (*prepared_statement_type)(duckdb_prepared prepared);
    uint64_t (*nparams)(duckdb_prepared prepared);
    void (*destroy_prepare)(duckdb_prepared *prepared);

    int (*query)(duckdb_connection connection, const char *sql, struct duckdb_result *out);
    int (*execute_prepared_streaming)(duckdb_prepared prepared, struct duckdb_result *out);
    const char *(*result_error)(struct duckdb_result *result);
    duckdb_chunk (*fetch_chunk)(struct duckdb_result result); /* NULL at the end and on an error */
    void (*destroy_result)(struct duckdb_result *result);

    uint64_t (*column_count)(struct duckdb_result *result);
    const char *(*column_name)(struct duckdb_result *result, uint64_t column);
    duckdb_type (*column_logical_type)(struct duckdb_result *result, uint64_t column);
    int (*get_type_id)(duckdb_type type);
    duckdb_type (*list_type_child_type)(duckdb_type type);
    duckdb_type (*array_type_child_type)(duckdb_type type);
    uint64_t (*array_type_array_size)(duckdb_type type);
    void (*destroy_logical_type)(duckdb_type *type);

    uint64_t (*data_chunk_get_size)(duckdb_chunk chunk);
    duckdb_vector (*data_chunk_get_vector)(duckdb_chunk chunk, uint64_t column);
    void (*destroy_data_chunk)(duckdb_chunk *chunk);
    void *(*vector_get_data)(duckdb_vector vector);
    uint64_t *(*vector_get_validity)(duckdb_vector vector); /* NULL: no row is NULL */
    duckdb_vector (*list_vector_get_child)(duckdb_vector vector);
    uint64_t (*list_vector_get_size)(duckdb_vector vector);
    duckdb_vector (*array_vector_get_child)(duckdb_vector vector);
};

/* Finds the library: $FKV_DUCKDB when it is set, and nothing else; else by the loader's rules, then in the usual places. */
int duckdb_api_load(struct duckdb_api *out, struct err *err);

#endif
