/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/duckdb_api.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SYMBOL(name)                                                                               \
    {                                                                                              \
        "duckdb_" #name, offsetof(struct duckdb_api, name)                                         \
    }

static const struct {
    const char *name;
    size_t offset;
} symbols[] = {
    SYMBOL(library_version),
    SYMBOL(free),
    SYMBOL(create_config),
    SYMBOL(set_config),
    SYMBOL(destroy_config),
    SYMBOL(open_ext),
    SYMBOL(close),
    SYMBOL(connect),
    SYMBOL(disconnect),
    SYMBOL(interrupt),
    SYMBOL(extract_statements),
    SYMBOL(extract_statements_error),
    SYMBOL(destroy_extracted),
    SYMBOL(prepare_extracted_statement),
    SYMBOL(prepare_error),
    SYMBOL(prepared_statement_type),
    SYMBOL(nparams),
    SYMBOL(destroy_prepare),
    SYMBOL(query),
    SYMBOL(execute_prepared_streaming),
    SYMBOL(result_error),
    SYMBOL(fetch_chunk),
    SYMBOL(destroy_result),
    SYMBOL(column_count),
    SYMBOL(column_name),
    SYMBOL(column_logical_type),
    SYMBOL(get_type_id),
    SYMBOL(list_type_child_type),
    SYMBOL(array_type_child_type),
    SYMBOL(array_type_array_size),
    SYMBOL(destroy_logical_type),
    SYMBOL(data_chunk_get_size),
    SYMBOL(data_chunk_get_vector),
    SYMBOL(destroy_data_chunk),
    SYMBOL(vector_get_data),
    SYMBOL(vector_get_validity),
    SYMBOL(list_vector_get_child),
    SYMBOL(list_vector_get_size),
    SYMBOL(array_vector_get_child),
};

_Static_assert(sizeof(struct duckdb_api) ==
                   sizeof symbols / sizeof *symbols * sizeof(void (*)(void)),
               "each pointer has its name");

/* The first is looked for by the loader's rules. */
static const char *const places[] = {
    "libduckdb.so",
    "/usr/local/lib/libduckdb.so",
    "/opt/duckdb/libduckdb.so",
    "/opt/duckdb/lib/libduckdb.so",
};

#define HOW_TO_GET                                                                                 \
    "it is in libduckdb-linux-amd64.zip (arm64: libduckdb-linux-arm64.zip) of DuckDB's releases, " \
    "and in the npm package @duckdb/node-bindings-linux-x64 (arm64: -linux-arm64); then say "      \
    "where: "                                                                                      \
    "FKV_DUCKDB=/path/to/libduckdb.so"

static int symbols_find(void *library, const char *place, struct duckdb_api *out, struct err *err)
{
    for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++) {
        void *symbol = dlsym(library, symbols[i].name);
        if (!symbol)
            return err_set(err, -ELIBBAD,
                           "%s: expected DuckDB's library, found one without the function %s: it "
                           "is another library, or a version too old or too new for fkv",
                           place, symbols[i].name);
        memcpy((char *)out + symbols[i].offset, &symbol, sizeof symbol);
    }
    return 0;
}

/* Not there at all. A library it needs may be absent just as well, and so may, in the loader's words, one for another machine. */
static bool is_absent(const char *place, const char *reason)
{
    return strncmp(reason, place, strlen(place)) == 0 &&
           strstr(reason, "No such file or directory") != NULL &&
           (!strchr(place, '/') || access(place, F_OK) != 0);
}

/* A file that is there and does not load is a mistake to be told, not a reason to look further. */
static int cannot_load(const char *place, const char *reason, struct err *err)
{
    size_t len = strlen(place);
    bool is_own = strncmp(reason, place, len) == 0 && strncmp(reason + len, ": ", 2) == 0;
    if (is_own)
        reason += len + 2;
    if (is_own && strstr(reason, "No such file or directory"))
        reason = "it is of another kind of processor";
    return err_set(
        err, -ELIBBAD,
        "%s: expected DuckDB's library for this machine, found one that does not load: %s", place,
        reason);
}

static int load_asked(const char *place, struct duckdb_api *out, struct err *err)
{
    void *library = dlopen(place, RTLD_NOW | RTLD_LOCAL);
    if (library)
        return symbols_find(library, place, out, err);
    const char *reason = dlerror();
    if (!reason || !is_absent(place, reason))
        return cannot_load(place, reason ? reason : "no reason given", err);
    return err_set(err, -ENOENT,
                   "DuckDB's library, libduckdb.so, is needed to read Parquet and SQL, and "
                   "FKV_DUCKDB names a file that is not there: %s; " HOW_TO_GET,
                   place);
}

int duckdb_api_load(struct duckdb_api *out, struct err *err)
{
    const char *asked = getenv("FKV_DUCKDB");
    if (asked && asked[0])
        return load_asked(asked, out, err);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        void *library = dlopen(places[i], RTLD_NOW | RTLD_LOCAL);
        if (library)
            return symbols_find(library, places[i], out, err);
        const char *reason = dlerror();
        if (reason && !is_absent(places[i], reason))
            return cannot_load(places[i], reason, err);
    }
    return err_set(
        err, -ENOENT,
        "DuckDB's library is needed to read Parquet and SQL, and was not found: looked "
        "for %s where the loader looks (LD_LIBRARY_PATH, ld.so.conf), then for %s, %s and "
        "%s; " HOW_TO_GET,
        places[0], places[1], places[2], places[3]);
}
