/* SPDX-License-Identifier: Apache-2.0 */
#include "client/table.h"

#include "base/scope.h"
#include "client/last_error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define TIMEOUT_DEFAULT_NS 5000000000ull

uint64_t table_deadline_ns(const struct fkv_table *table)
{
    uint64_t deadline = 0;
    if (__builtin_add_overflow(channel_now_ns(), table->options.timeout_ns, &deadline))
        return UINT64_MAX;
    return deadline;
}

/* A daemon that restarts is away twice: its dead mount answers ENOTCONN, then the path is bare
 * until it mounts anew. */
static bool may_come_back(int code)
{
    return channel_is_broken(code) || code == -ENOENT;
}

int table_connect(const struct fkv_table *table, struct channel *channel, uint64_t deadline_ns,
                  struct err *err)
{
    for (unsigned attempt = 0;; attempt++) {
        int r = channel_open(channel, err);
        if (!r || !may_come_back(r))
            return r;
        if (channel_now_ns() >= deadline_ns) {
            err_wrap(err, r, "no fkvd answered in time");
            return -ENOTCONN;
        }
        channel_pause(attempt, deadline_ns);
    }
}

/* realpath(), waiting for a daemon that is being replaced. */
static int resolve(const char *path, uint64_t deadline_ns, char **out, struct err *err)
{
    for (unsigned attempt = 0;; attempt++) {
        *out = realpath(path, NULL);
        if (*out)
            return 0;
        int code = -errno;
        if (!channel_is_broken(code))
            return err_sys(err, code, "%s", path);
        if (channel_now_ns() >= deadline_ns) {
            err_sys(err, code, "no fkvd answered in time: %s", path);
            return -ENOTCONN;
        }
        channel_pause(attempt, deadline_ns);
    }
}

/* "/fkv/ads/v/43" -> "/fkv/ads/batch", or NULL when dir does not look like that. */
static char *follow_file(const char *dir)
{
    const char *id = strrchr(dir, '/');
    char *file = NULL;
    if (id && id - dir >= 2 && !strncmp(id - 2, "/v", 2) &&
        asprintf(&file, "%.*s/batch", (int)(id - 2 - dir), dir) < 0)
        file = NULL;
    return file;
}

/* Finds and opens the lookup file. */
static int open_file(struct fkv_table *table, const char *dir, uint64_t deadline_ns,
                     struct err *err)
{
    if (asprintf(&table->file, "%s/batch", dir) < 0) {
        table->file = NULL;
        return err_set(err, -ENOMEM, "no memory for a table");
    }
    table->place.file = table->file;
    int r = channel_open(&table->lease, err);
    return channel_is_broken(r) ? table_connect(table, &table->lease, deadline_ns, err) : r;
}

/* Pins a table whose directory is a version's. */
static int note_version(struct fkv_table *table, const char *dir, struct err *err)
{
    scope_free char *version_json = NULL;
    if (asprintf(&version_json, "%s/version.json", dir) < 0) {
        version_json = NULL;
        return err_set(err, -ENOMEM, "no memory for a table");
    }
    if (access(version_json, F_OK))
        return 0;
    table->follow = follow_file(dir);
    table->place.follow = table->follow;
    table->place.pinned = table->lease.info.version;
    return 0;
}

static int open_dir(struct fkv_table *table, const char *path, struct err *err)
{
    scope_free char *dir = NULL;
    uint64_t deadline_ns = table_deadline_ns(table);
    int r = resolve(path, deadline_ns, &dir, err);
    if (!r)
        r = open_file(table, dir, deadline_ns, err);
    if (!r)
        r = note_version(table, dir, err);
    return r;
}

int table_open(const char *path, const struct fkv_options *options, const struct channel_ops *ops,
               struct fkv_table **out, struct err *err)
{
    struct fkv_table *table = calloc(1, sizeof *table);
    if (!table)
        return err_set(err, -ENOMEM, "no memory for a table");
    if (options)
        table->options = *options;
    if (!table->options.timeout_ns)
        table->options.timeout_ns = TIMEOUT_DEFAULT_NS;
    table->place.ops = ops;
    channel_init(&table->lease, &table->place);
    int r = table->options.transport > FKV_INLINE
                ? err_set(err, -EINVAL, "%d is no enum fkv_transport", table->options.transport)
                : open_dir(table, path, err);
    if (r) {
        fkv_close(table);
        return r;
    }
    *out = table;
    return 0;
}

int fkv_open(const char *path, const fkv_options *options, fkv_table **out)
{
    struct err err = {0};
    int r = table_open(path, options, &channel_system_ops, out, &err);
    return r ? last_error_set(r, &err) : 0;
}

void fkv_close(fkv_table *table)
{
    if (!table)
        return;
    channel_close(&table->lease);
    free(table->file);
    free(table->follow);
    free(table);
}

static const char *elem_text(uint32_t elem)
{
    static const char *const texts[] = {"bytes", "f32", "f16", "bf16", "i8"};
    return elem < sizeof texts / sizeof *texts ? texts[elem] : "?";
}

int fkv_get_shape(fkv_table *table, fkv_shape *out)
{
    struct err err = {0};
    struct channel channel;
    channel_init(&channel, &table->place);
    int r = table_connect(table, &channel, table_deadline_ns(table), &err);
    channel_close(&channel);
    if (r)
        return last_error_set(r, &err);
    const struct fkv_info *info = &channel.info;
    *out = (struct fkv_shape){.version = info->version,
                              .n_keys = info->n_keys,
                              .key_type = (enum fkv_key_type)info->key_type,
                              .dim = info->dim,
                              .value_len = info->value_len};
    snprintf(out->elem, sizeof out->elem, "%s", elem_text(info->elem));
    return 0;
}
