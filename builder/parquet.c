/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/parquet.h"

#include "base/scope.h"
#include "builder/duckdb_rows.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAGIC_LEN = 4, LEN_MIN = 12 };

/* ---- the file ---- */

bool parquet_is_input(const char *input, enum input_format asked)
{
    enum input_format format = INPUT_AUTO;
    return !input_format_of(input, asked, &format, NULL) && format == INPUT_PARQUET;
}

static int check_magic(const char *path, int fd, uint64_t len, struct err *err)
{
    char head[MAGIC_LEN] = "";
    char tail[MAGIC_LEN] = "";
    if (len < LEN_MIN)
        return err_set(err, -EBADMSG, "%s: expected a Parquet file, found %llu bytes", path,
                       (unsigned long long)len);
    if (pread(fd, head, MAGIC_LEN, 0) != MAGIC_LEN ||
        pread(fd, tail, MAGIC_LEN, (off_t)len - MAGIC_LEN) != MAGIC_LEN)
        return err_sys(err, errno ? -errno : -EIO, "%s: reading", path);
    if (memcmp(head, "PARE", MAGIC_LEN) == 0 || memcmp(tail, "PARE", MAGIC_LEN) == 0)
        return err_set(err, -EBADMSG, "%s: expected a plain Parquet file, found an encrypted one",
                       path);
    if (memcmp(head, "PAR1", MAGIC_LEN))
        return err_set(err, -EBADMSG,
                       "%s: expected a Parquet file, which begins with PAR1; found other bytes",
                       path);
    if (memcmp(tail, "PAR1", MAGIC_LEN))
        return err_set(err, -EBADMSG,
                       "%s: expected PAR1 at the end of a Parquet file, found other bytes: it was "
                       "cut short, or is being written still",
                       path);
    return 0;
}

int parquet_check_path(const char *path, struct err *err)
{
    if (!strstr(path, "://") || access(path, F_OK) == 0)
        return 0;
    return err_set(
        err, -EINVAL,
        "%s: expected the path of a Parquet file, found a URL: DuckDB reads files that "
        "are mounted here only; mount that file system where the work runs and name the file there",
        path);
}

int parquet_check(const char *path, struct stat *st, struct err *err)
{
    int ret = parquet_check_path(path, err);
    if (ret)
        return ret;
    scope_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, st))
        return err_sys(err, -errno, "%s: opening", path);
    if (S_ISDIR(st->st_mode))
        return err_set(err, -EISDIR, "%s: expected a Parquet file, found a directory", path);
    if (!S_ISREG(st->st_mode))
        return err_set(err, -EINVAL,
                       "%s: expected a file on disk, found a pipe or device: Parquet is read from "
                       "its end",
                       path);
    return check_magic(path, fd, (uint64_t)st->st_size, err);
}

int parquet_check_same(const char *path, const struct stat *before, struct err *err)
{
    struct stat now;
    if (stat(path, &now))
        return err_sys(err, -errno, "%s: it was there when the build began", path);
    if (now.st_dev == before->st_dev && now.st_ino == before->st_ino &&
        now.st_size == before->st_size && now.st_mtim.tv_sec == before->st_mtim.tv_sec &&
        now.st_mtim.tv_nsec == before->st_mtim.tv_nsec)
        return 0;
    return err_set(err, -ESTALE,
                   "%s: the file was changed or replaced while it was read; build again when its "
                   "writer is done",
                   path);
}

/* ---- SQL ---- */

static int add_char(struct buf *sql, char c)
{
    return buf_add_byte(sql, (uint8_t)c);
}

/* As a string of SQL that names this file only: what a pattern would mean by *, ? and [ is taken as written. */
static int add_path(struct buf *sql, const char *path)
{
    /* No word before a colon is a scheme behind a slash. */
    int ret = buf_printf(sql, "'%s", path[0] == '/' ? "" : "./");
    for (; !ret && *path; path++) {
        bool is_pattern = *path == '*' || *path == '?' || *path == '[';
        if (is_pattern)
            ret = add_char(sql, '[');
        if (!ret && *path == '\'')
            ret = add_char(sql, '\'');
        if (!ret)
            ret = add_char(sql, *path);
        if (!ret && is_pattern)
            ret = add_char(sql, ']');
    }
    return ret ? ret : add_char(sql, '\'');
}

static int add_name(struct buf *sql, const char *name)
{
    int ret = add_char(sql, '"');
    for (; !ret && *name; name++) {
        if (*name == '"')
            ret = add_char(sql, '"');
        if (!ret)
            ret = add_char(sql, *name);
    }
    return ret ? ret : add_char(sql, '"');
}

int parquet_select(struct buf *sql, const char *path, const char *const *names, size_t n_names,
                   uint64_t begin, uint64_t end)
{
    bool is_all = begin == 0 && end == UINT64_MAX;
    int ret = buf_printf(sql, "SELECT %s", n_names ? "" : "*");
    for (size_t i = 0; !ret && i < n_names; i++) {
        ret = i ? buf_printf(sql, ", ") : 0;
        if (!ret)
            ret = add_name(sql, names[i]);
    }
    if (!ret)
        ret = buf_printf(sql, " FROM read_parquet(");
    if (!ret)
        ret = add_path(sql, path);
    if (!ret)
        ret = buf_printf(sql, ", hive_partitioning = false%s)",
                         is_all ? "" : ", file_row_number = true");
    if (!ret && !is_all)
        ret = buf_printf(sql, " WHERE file_row_number >= %llu", (unsigned long long)begin);
    if (!ret && end != UINT64_MAX)
        ret = buf_printf(sql, " AND file_row_number < %llu", (unsigned long long)end);
    return ret;
}

/* ---- groups ---- */

static int add_number(struct parquet_groups *out, uint64_t number)
{
    if ((out->n & (out->n - 1)) == 0) {
        uint64_t *ends = realloc(out->ends, (out->n ? 2 * out->n : 1) * sizeof *ends);
        if (!ends)
            return -ENOMEM;
        out->ends = ends;
    }
    out->ends[out->n++] = number;
    return 0;
}

static int take_chunk(struct duckdb_query *query, struct duckdb_rows *rows, duckdb_chunk chunk,
                      struct parquet_groups *out, struct err *err)
{
    struct duckdb_choice choice = {.key_column = query->columns[0]};
    struct input_row row;
    int got;
    duckdb_rows_begin(rows, query->link.api, chunk, &choice, 1, 0);
    while ((got = duckdb_rows_next(rows, &row, err)) > 0)
        if (add_number(out, rows->key_number))
            return err_sys(err, -ENOMEM, "%s: reading its groups of rows", query->what);
    return got;
}

/* The numbers that a query of one column of integers gives. */
static int read_numbers(struct duckdb_host *host, const char *path, const char *sql,
                        struct parquet_groups *out, struct err *err)
{
    struct duckdb_query query;
    struct duckdb_rows rows = {0};
    duckdb_chunk chunk = NULL;
    int ret = duckdb_query_open(host, path, sql, true, &query, err);
    if (ret)
        return ret;
    while ((ret = duckdb_query_fetch(&query, &chunk, err)) > 0) {
        ret = take_chunk(&query, &rows, chunk, out, err);
        if (ret)
            break;
    }
    duckdb_rows_release(&rows);
    duckdb_query_close(&query);
    return ret;
}

static int read_metadata(struct duckdb_host *host, const char *path, const char *before,
                         const char *after, struct parquet_groups *out, struct err *err)
{
    struct buf sql = {0};
    int ret = buf_printf(&sql, "%s", before);
    if (!ret)
        ret = add_path(&sql, path);
    if (!ret)
        ret = buf_add(&sql, after, strlen(after) + 1);
    ret = ret ? err_sys(err, ret, "%s: opening", path)
              : read_numbers(host, path, (const char *)sql.data, out, err);
    buf_release(&sql);
    /* The query is ours: what is wrong is the file. */
    if (ret == -EINVAL) {
        ret = -EBADMSG;
        if (err)
            err->code = ret;
    }
    if (ret)
        parquet_groups_release(out);
    return ret;
}

int parquet_groups_read(struct duckdb_host *host, const char *path, struct parquet_groups *out,
                        struct err *err)
{
    struct parquet_groups groups = {0};
    int ret = read_metadata(host, path,
                            "SELECT row_group_num_rows FROM (SELECT DISTINCT row_group_id, "
                            "row_group_num_rows FROM parquet_metadata(",
                            ")) ORDER BY row_group_id", &groups, err);
    if (ret)
        return ret;
    uint64_t end = 0;
    for (size_t i = 0; i < groups.n; i++) {
        if (__builtin_add_overflow(end, groups.ends[i], &end)) {
            parquet_groups_release(&groups);
            return err_set(err, -EBADMSG, "%s: expected groups of rows, found too many rows", path);
        }
        groups.ends[i] = end;
    }
    *out = groups;
    return 0;
}

void parquet_groups_release(struct parquet_groups *groups)
{
    free(groups->ends);
    *groups = (struct parquet_groups){0};
}

/* Leaves out ends that would make pieces of fewer rows; what is left over at the end stays a piece. */
static void merge_groups(struct parquet_groups *groups, uint64_t n_rows_min)
{
    uint64_t begin = 0;
    size_t n = 0;
    for (size_t i = 0; i < groups->n; i++) {
        bool is_last = i + 1 == groups->n;
        if (groups->ends[i] == begin || (!is_last && groups->ends[i] - begin < n_rows_min))
            continue;
        begin = groups->ends[n++] = groups->ends[i];
    }
    groups->n = n;
}

int parquet_cut(const struct job *job, const char *path, uint64_t piece_len,
                struct parquet_groups *out, struct err *err)
{
    struct duckdb_host host;
    struct parquet_groups groups = {0};
    struct stat st;
    *out = (struct parquet_groups){0};
    int ret = parquet_check(path, &st, err);
    if (ret || (uint64_t)st.st_size <= piece_len)
        return ret;
    duckdb_host_init(&host, job, duckdb_share(job));
    ret = parquet_groups_read(&host, path, &groups, err);
    duckdb_host_release(&host);
    if (ret)
        return ret;
    uint64_t n_rows = groups.n ? groups.ends[groups.n - 1] : 0;
    merge_groups(&groups, (uint64_t)((double)n_rows * (double)piece_len / (double)st.st_size));
    *out = groups;
    return 0;
}

int parquet_n_rows(struct duckdb_host *host, const char *path, uint64_t *out, struct err *err)
{
    struct parquet_groups numbers = {0};
    int ret = read_metadata(host, path, "SELECT num_rows FROM parquet_file_metadata(", ")",
                            &numbers, err);
    if (ret)
        return ret;
    *out = numbers.n ? numbers.ends[0] : 0;
    parquet_groups_release(&numbers);
    return 0;
}
