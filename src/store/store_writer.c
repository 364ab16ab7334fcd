/* SPDX-License-Identifier: Apache-2.0 */
#include "base/scope.h"
#include "store/path.h"
#include "store/store_impl.h"

#include <errno.h>
#include <string.h>

struct store_writer {
    struct store *store;
    struct backend_file *file;
    char path[STORE_PATH_MAX];
    char temporary[STORE_PATH_MAX];
};

int store_writer_open(struct store *store, const char *path, struct store_writer **out,
                      struct err *err)
{
    int ret = path_check(path, err);
    if (ret)
        return ret;
    scope_free struct store_writer *writer = calloc(1, sizeof *writer);
    if (!writer)
        return err_sys(err, -ENOMEM, "writing %s/%s", store->url, path);
    writer->store = store;
    strcpy(writer->path, path);
    ret = store_create_temporary(store, path, writer->temporary, &writer->file, err);
    if (ret)
        return ret;
    *out = scope_take(writer);
    return 0;
}

int store_writer_append(struct store_writer *writer, const void *data, size_t len, struct err *err)
{
    const struct store *store = writer->store;
    int ret = store->backend->ops->append(writer->file, data, len, err);
    return ret ? err_wrap(err, ret, "%s/%s", store->url, writer->path) : 0;
}

int store_writer_rename(struct store_writer *writer, const char *path, struct err *err)
{
    int ret = path_check(path, err);
    if (!ret)
        strcpy(writer->path, path);
    return ret;
}

int store_writer_commit(struct store_writer *writer, struct err *err)
{
    struct store *store = writer->store;
    const struct backend_ops *ops = store->backend->ops;
    int ret = ops->sync(writer->file, err);
    if (ret)
        err_wrap(err, ret, "%s/%s", store->url, writer->path);
    else
        ret = ops->link(store->backend, writer->temporary, writer->path, err);
    store_writer_abort(writer);
    return ret;
}

/* Also the end of a commit: after the link, the temporary name is all that is left to drop. */
void store_writer_abort(struct store_writer *writer)
{
    if (!writer)
        return;
    writer->store->backend->ops->close_file(writer->file);
    store_drop_temporary(writer->store, writer->temporary);
    free(writer);
}
