/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/duckdb_host.h"

#include "base/scope.h"
#include "builder/input.h"
#include "builder/scratch.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Below this its buffers for one column of a file do not fit. */
#define SHARE_MIN (32ULL << 20)

bool duckdb_is_needed(const struct job *job)
{
    for (size_t i = 0; i < job->n_inputs; i++) {
        enum input_format format = INPUT_AUTO;
        if (input_format_of(job->inputs[i], job->format, &format, NULL))
            continue;
        if (format == INPUT_PARQUET || format == INPUT_SQL)
            return true;
    }
    return false;
}

int duckdb_check(const struct job *job, struct err *err)
{
    struct duckdb_api api;
    return duckdb_is_needed(job) ? duckdb_api_load(&api, err) : 0;
}

uint64_t duckdb_share(const struct job *job)
{
    if (!duckdb_is_needed(job))
        return 0;
    return job->memory / 4 > SHARE_MIN ? job->memory / 4 : SHARE_MIN;
}

uint32_t duckdb_threads(const struct job *job, uint32_t n_threads)
{
    if (!duckdb_is_needed(job))
        return n_threads;
    uint64_t n = job->memory >> 30;
    return n < 1 ? 1 : n < n_threads ? (uint32_t)n : n_threads;
}

uint64_t duckdb_chunk_memory(const struct job *job, const struct schema *schema)
{
    enum { N_CHUNKS = 2, TEXT_LEN = 1024 };
    if (!duckdb_is_needed(job))
        return 0;
    uint64_t row_len = schema->value_len ? schema->value_len : TEXT_LEN;
    if (schema->elem != ELEM_NONE)
        row_len = schema->dim * sizeof(double);
    return N_CHUNKS * DUCKDB_CHUNK_ROWS * row_len;
}

uint64_t duckdb_memory(const struct job *job, const struct schema *schema, uint32_t n_workers)
{
    uint64_t share = duckdb_share(job);
    uint64_t chunks = n_workers * duckdb_chunk_memory(job, schema);
    uint64_t most = job->memory / 2 - share;
    return share + (chunks < most ? chunks : most);
}

void duckdb_host_init(struct duckdb_host *host, const struct job *job, uint64_t memory)
{
    *host = (struct duckdb_host){.limits = {memory, job->scratch}};
    pthread_mutex_init(&host->lock, NULL);
}

/* ---- the directory it spills into ---- */

static int temp_dir_make(struct duckdb_host *host, struct err *err)
{
    const char *dir = scratch_dir(host->limits.scratch);
    if (asprintf(&host->temp_dir, "%s/fkv-duckdb-XXXXXX", dir) < 0) {
        host->temp_dir = NULL;
        return err_sys(err, -ENOMEM, "starting DuckDB");
    }
    if (mkdtemp(host->temp_dir))
        return 0;
    int ret =
        err_sys(err, -errno,
                "%s: making a scratch directory (choose another directory with --scratch)", dir);
    free(host->temp_dir);
    host->temp_dir = NULL;
    return ret;
}

/* DuckDB removes its files when it ends; what it left after a failure goes too. */
static void temp_dir_remove(struct duckdb_host *host)
{
    if (!host->temp_dir)
        return;
    DIR *dir = opendir(host->temp_dir);
    for (struct dirent *entry; dir && (entry = readdir(dir));)
        if (entry->d_name[0] != '.')
            unlinkat(dirfd(dir), entry->d_name, 0);
    if (dir)
        closedir(dir);
    rmdir(host->temp_dir);
    free(host->temp_dir);
    host->temp_dir = NULL;
}

/* ---- starting ---- */

static int config_set(struct duckdb_host *host, duckdb_config config, const char *name,
                      const char *value, struct err *err)
{
    if (host->api.set_config(config, name, value) == DUCKDB_OK)
        return 0;
    return err_set(err, -EINVAL, "DuckDB %s does not take the setting %s = %s",
                   host->api.library_version(), name, value);
}

static int config_fill(struct duckdb_host *host, duckdb_config config, struct err *err)
{
    char memory[32];
    /* Bytes: DuckDB reads MB as 1000 * 1000. */
    snprintf(memory, sizeof memory, "%lluB", (unsigned long long)host->limits.memory);
    const char *const settings[][2] = {
        {"memory_limit", memory},
        {"threads", "1"},
        {"temp_directory", host->temp_dir},
        {"preserve_insertion_order", "true"},
        {"autoinstall_known_extensions", "false"},
        {"autoload_known_extensions", "false"},
        {"allow_unsigned_extensions", "false"},
    };
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        int ret = config_set(host, config, settings[i][0], settings[i][1], err);
        if (ret)
            return ret;
    }
    return 0;
}

static int database_open(struct duckdb_host *host, struct err *err)
{
    duckdb_config config = NULL;
    if (host->api.create_config(&config) != DUCKDB_OK)
        return err_sys(err, -ENOMEM, "starting DuckDB");
    int ret = config_fill(host, config, err);
    char *text = NULL;
    if (!ret && host->api.open_ext(NULL, &host->database, config, &text) != DUCKDB_OK) {
        ret = duckdb_fault("starting DuckDB", text, err);
        host->database = NULL;
    }
    if (text)
        host->api.free(text);
    host->api.destroy_config(&config);
    return ret;
}

/* Runs a statement without rows; false when DuckDB refuses it. */
static bool run(const struct duckdb_api *api, duckdb_connection connection, const char *sql)
{
    struct duckdb_result result = {0};
    int got = api->query(connection, sql, &result);
    api->destroy_result(&result);
    return got == DUCKDB_OK;
}

/* What cannot be said before the database is open. Locked last: no query changes a setting. */
static int database_lock(struct duckdb_host *host, struct err *err)
{
    const struct duckdb_api *api = &host->api;
    duckdb_connection connection = NULL;
    if (api->connect(host->database, &connection) != DUCKDB_OK)
        return err_sys(err, -ENOMEM, "starting DuckDB");
    /* Files are read once: a cache of them takes memory for nothing. Older versions have none. */
    (void)run(api, connection, "SET enable_external_file_cache = false");
    (void)run(api, connection, "SET allow_persistent_secrets = false");
    bool is_locked = run(api, connection, "SET allow_community_extensions = false") &&
                     run(api, connection, "SET lock_configuration = true");
    api->disconnect(&connection);
    if (is_locked)
        return 0;
    return err_set(err, -ELIBBAD,
                   "DuckDB %s cannot lock its settings: it is too old for fkv; install a newer one",
                   api->library_version());
}

static int host_start(struct duckdb_host *host, struct err *err)
{
    int ret = duckdb_api_load(&host->api, err);
    if (!ret)
        ret = temp_dir_make(host, err);
    if (ret)
        return ret;
    ret = database_open(host, err);
    if (!ret)
        ret = database_lock(host, err);
    if (ret && host->database)
        host->api.close(&host->database);
    if (ret)
        temp_dir_remove(host);
    return ret;
}

void duckdb_host_release(struct duckdb_host *host)
{
    if (host->database)
        host->api.close(&host->database);
    temp_dir_remove(host);
    pthread_mutex_destroy(&host->lock);
}

/* ---- connections ---- */

int duckdb_link_open(struct duckdb_host *host, struct duckdb_link *link, struct err *err)
{
    scope_lock(&host->lock);
    if (!host->database) {
        int ret = host_start(host, err);
        if (ret)
            return ret;
    }
    *link = (struct duckdb_link){.host = host, .api = &host->api, .next = host->links};
    if (host->api.connect(host->database, &link->connection) != DUCKDB_OK) {
        link->host = NULL;
        return err_sys(err, -ENOMEM, "connecting to DuckDB");
    }
    host->links = link;
    return 0;
}

void duckdb_link_close(struct duckdb_link *link)
{
    if (!link->host)
        return;
    scope_lock(&link->host->lock);
    struct duckdb_link **at = &link->host->links;
    while (*at != link)
        at = &(*at)->next;
    *at = link->next;
    link->api->disconnect(&link->connection);
    link->host = NULL;
}

void duckdb_host_interrupt(struct duckdb_host *host)
{
    scope_lock(&host->lock);
    for (struct duckdb_link *link = host->links; link; link = link->next)
        host->api.interrupt(link->connection);
}

/* ---- its words ---- */

static bool begins(const char *text, const char *with)
{
    return strncasecmp(text, with, strlen(with)) == 0;
}

static int fault_code(const char *text)
{
    if (begins(text, "Out of Memory"))
        return -ENOMEM;
    if (begins(text, "IO Error: No files found"))
        return -ENOENT;
    if (begins(text, "IO Error"))
        return -EIO;
    if (begins(text, "INTERRUPT"))
        return -ECANCELED;
    if (begins(text, "Permission"))
        return -EPERM;
    return -EINVAL;
}

int duckdb_fault(const char *what, const char *text, struct err *err)
{
    char line[ERR_TEXT_MAX];
    size_t n = 0;
    if (!text || !text[0])
        return err_set(err, -EIO, "%s: DuckDB failed without a word", what);
    int code = fault_code(text);
    if (code == -ECANCELED)
        return err_set(err, code, "cancelled");
    if (begins(text, "Missing Extension"))
        return err_set(
            err, code,
            "%s: it needs an extension of DuckDB, and fkv loads none: only files on this "
            "machine and file systems mounted here are read; copy the file first",
            what);
    for (; *text && n < sizeof line - 1; text++) {
        bool is_blank = isspace((unsigned char)*text);
        /* A query is repeated with a mark below the place; in one line neither helps. */
        if (begins(text, "\n\nLINE "))
            break;
        /* Of settings that are fkv's. */
        if (begins(text, "\nPossible solutions"))
            break;
        if (is_blank && (n == 0 || line[n - 1] == ' '))
            continue;
        line[n++] = is_blank ? ' ' : *text;
    }
    line[n] = 0;
    if (code == -ENOMEM)
        return err_set(err, code,
                       "%s: DuckDB needs more than its part of --memory: %s; allow more (it reads "
                       "2,048 rows at a time, however long their vectors), or write Parquet files "
                       "with smaller pages and groups of rows",
                       what, line);
    return err_set(err, code, "%s: DuckDB: %s", what, line);
}
