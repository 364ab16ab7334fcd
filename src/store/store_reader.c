/* SPDX-License-Identifier: Apache-2.0 */
#include "base/scope.h"
#include "store/path.h"
#include "store/store_impl.h"

#include <errno.h>
#include <string.h>

/* A small file is not replaced so often that it could not be read in between. */
enum { REPLACED_TRIES = 10 };

struct store_reader {
    const struct store *store;
    struct backend_file *file;
    char path[];
};

static int get_once(struct store *store, const char *path, size_t max, struct buf *out,
                    struct err *err)
{
    const struct backend_ops *ops = store->backend->ops;
    struct backend_file *file = NULL;
    size_t n_read = 0;
    int ret = ops->open(store->backend, path, &file, err);
    if (ret)
        return ret;
    uint64_t len = ops->len(file);
    if (len > max) {
        ret = err_set(err, -E2BIG, "%s/%s: expected at most %zu bytes, found %llu", store->url,
                      path, max, (unsigned long long)len);
    } else {
        ret = buf_reserve(out, (size_t)len);
        if (ret)
            err_sys(err, ret, "reading %s/%s", store->url, path);
        else if (len > 0 &&
                 (ret = ops->read(file, 0, out->data + out->len, (size_t)len, &n_read, err)))
            err_wrap(err, ret, "%s/%s", store->url, path);
    }
    ops->close_file(file);
    if (!ret)
        out->len += n_read;
    return ret;
}

/* A file that is replaced while it is read is read anew: one or the other is what stands there. */
int store_get(struct store *store, const char *path, size_t max, struct buf *out, struct err *err)
{
    struct err local = {0};
    int ret = path_check(path, err);
    if (ret)
        return ret;
    ret = -ESTALE;
    for (int i = 0; i < REPLACED_TRIES && ret == -ESTALE; i++)
        ret = get_once(store, path, max, out, &local);
    return ret ? err_set(err, ret, "%s", err_text(&local, ret)) : 0;
}

int store_reader_open(struct store *store, const char *path, struct store_reader **out,
                      struct err *err)
{
    int ret = path_check(path, err);
    if (ret)
        return ret;
    size_t len = strlen(path);
    scope_free struct store_reader *reader = malloc(sizeof *reader + len + 1);
    if (!reader)
        return err_sys(err, -ENOMEM, "opening %s/%s", store->url, path);
    reader->store = store;
    memcpy(reader->path, path, len + 1);
    ret = store->backend->ops->open(store->backend, path, &reader->file, err);
    if (ret)
        return ret;
    *out = scope_take(reader);
    return 0;
}

void store_reader_direct(struct store_reader *reader)
{
    const struct backend_ops *ops = reader->store->backend->ops;
    if (ops->read_direct)
        ops->read_direct(reader->file);
}

uint64_t store_reader_len(const struct store_reader *reader)
{
    return reader->store->backend->ops->len(reader->file);
}

int store_reader_read(struct store_reader *reader, uint64_t off, void *data, size_t len,
                      size_t *n_read, struct err *err)
{
    const struct store *store = reader->store;
    int ret = store->backend->ops->read(reader->file, off, data, len, n_read, err);
    return ret ? err_wrap(err, ret, "%s/%s", store->url, reader->path) : 0;
}

void store_reader_close(struct store_reader *reader)
{
    if (!reader)
        return;
    reader->store->backend->ops->close_file(reader->file);
    free(reader);
}
