/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store.h"

#include "base/scope.h"
#include "store/path.h"
#include "store/store_impl.h"
#include "store/url.h"

#include <errno.h>
#include <string.h>

int store_open_backend(struct backend *backend, const char *url, struct store **out,
                       struct err *err)
{
    size_t len = strlen(url);
    struct store *store = malloc(sizeof *store + len + 1);
    if (!store) {
        backend->ops->close(backend);
        return err_sys(err, -ENOMEM, "opening store %s", url);
    }
    store->backend = backend;
    memcpy(store->url, url, len + 1);
    *out = store;
    return 0;
}

int store_open(const char *url, struct store **out, struct err *err)
{
    struct url parsed;
    int ret = url_parse(url, &parsed, err);
    if (ret)
        return ret;
    struct backend *backend = NULL;
    ret = parsed.is_nfs ? backend_nfs_open(&parsed.nfs, &backend, err)
                        : backend_dir_open(parsed.dir, &backend, err);
    if (ret)
        return ret;
    return store_open_backend(backend, parsed.canonical, out, err);
}

void store_close(struct store *store)
{
    if (!store)
        return;
    store->backend->ops->close(store->backend);
    free(store);
}

const char *store_url(const struct store *store)
{
    return store->url;
}

uint64_t store_n_requests(const struct store *store)
{
    const struct backend_ops *ops = store->backend->ops;
    return ops->n_requests ? ops->n_requests(store->backend) : 0;
}

int store_stat(struct store *store, const char *path, struct store_stat *out, struct err *err)
{
    int ret = path_check(path, err);
    return ret ? ret : store->backend->ops->stat(store->backend, path, out, err);
}

int store_list(struct store *store, const char *path, struct store_list *out, struct err *err)
{
    int ret = path_check(path, err);
    return ret ? ret : store->backend->ops->list(store->backend, path, out, err);
}

void store_list_release(struct store_list *list)
{
    if (!list)
        return;
    for (size_t i = 0; i < list->n_names; i++)
        free(list->names[i]);
    free(list->names);
    *list = (struct store_list){0};
}

int store_create_temporary(struct store *store, const char *path, char temporary[STORE_PATH_MAX],
                           struct backend_file **out, struct err *err)
{
    int ret = path_temporary(path, temporary, err);
    return ret ? ret : store->backend->ops->create(store->backend, temporary, out, err);
}

void store_drop_temporary(struct store *store, const char *temporary)
{
    store->backend->ops->remove(store->backend, temporary, false, NULL);
}

/* A durable temporary file with these bytes. On failure none is left behind, as far as we can tell. */
static int write_temporary(struct store *store, const char *path, const void *data, size_t len,
                           char temporary[STORE_PATH_MAX], struct err *err)
{
    const struct backend_ops *ops = store->backend->ops;
    struct backend_file *file = NULL;
    int ret = store_create_temporary(store, path, temporary, &file, err);
    if (ret)
        return ret;
    ret = ops->append(file, data, len, err);
    if (!ret)
        ret = ops->sync(file, err);
    ops->close_file(file);
    if (ret) {
        store_drop_temporary(store, temporary);
        return err_wrap(err, ret, "%s/%s", store->url, path);
    }
    return 0;
}

int store_put_new(struct store *store, const char *path, const void *data, size_t len,
                  struct err *err)
{
    char temporary[STORE_PATH_MAX];
    int ret = path_check(path, err);
    if (!ret)
        ret = write_temporary(store, path, data, len, temporary, err);
    if (ret)
        return ret;
    ret = store->backend->ops->link(store->backend, temporary, path, err);
    store_drop_temporary(store, temporary);
    return ret;
}

int store_put(struct store *store, const char *path, const void *data, size_t len, struct err *err)
{
    char temporary[STORE_PATH_MAX];
    int ret = path_check(path, err);
    if (!ret)
        ret = write_temporary(store, path, data, len, temporary, err);
    if (ret)
        return ret;
    ret = store->backend->ops->rename(store->backend, temporary, path, true, err);
    if (ret)
        store_drop_temporary(store, temporary);
    return ret;
}

int store_link(struct store *store, const char *from, const char *to, struct err *err)
{
    int ret = path_check(from, err);
    if (!ret)
        ret = path_check(to, err);
    return ret ? ret : store->backend->ops->link(store->backend, from, to, err);
}

int store_rename(struct store *store, const char *from, const char *to, struct err *err)
{
    int ret = path_check(from, err);
    if (!ret)
        ret = path_check(to, err);
    return ret ? ret : store->backend->ops->rename(store->backend, from, to, false, err);
}

/* One directory whose parent is there; an existing one is fine. */
static int mkdir_one(struct store *store, const char *path, struct err *err)
{
    struct err local = {0};
    int ret = store->backend->ops->mkdir(store->backend, path, &local);
    if (ret == -EEXIST) {
        struct store_stat st;
        ret = store->backend->ops->stat(store->backend, path, &st, &local);
        if (!ret && !st.is_dir)
            ret = err_set(&local, -ENOTDIR, "%s/%s: expected a directory, found a file", store->url,
                          path);
    }
    if (ret && err)
        *err = local;
    return ret;
}

int store_mkdir(struct store *store, const char *path, struct err *err)
{
    struct err local = {0};
    int ret = path_check(path, err);
    if (ret)
        return ret;
    ret = mkdir_one(store, path, &local);
    if (ret && ret != -ENOENT && err)
        *err = local;
    if (ret != -ENOENT)
        return ret;
    char prefix[STORE_PATH_MAX];
    for (const char *slash = path; (slash = strchr(slash, '/')); slash++) {
        size_t len = (size_t)(slash - path);
        memcpy(prefix, path, len);
        prefix[len] = '\0';
        ret = mkdir_one(store, prefix, err);
        if (ret)
            return ret;
    }
    return mkdir_one(store, path, err);
}

int store_remove(struct store *store, const char *path, struct err *err)
{
    struct err local = {0};
    int ret = path_check(path, err);
    if (ret)
        return ret;
    ret = store->backend->ops->remove(store->backend, path, false, &local);
    if (ret == -ENOENT)
        return 0;
    if (ret && err)
        *err = local;
    return ret;
}

/*
 * Depth first. Each name is first removed as a file, so a symbolic link is removed and never followed. Names come from a
 * listing and may break path_check()'s rules, which is why the checked calls are not used here.
 */
static int remove_below(struct store *store, const char *path, unsigned depth, struct err *err)
{
    const struct backend_ops *ops = store->backend->ops;
    enum { DEPTH_MAX = 64 };
    int ret = ops->remove(store->backend, path, false, err);
    if (ret == 0 || ret == -ENOENT)
        return 0;
    if (ret != -EISDIR && ret != -EPERM)
        return ret;
    if (depth == DEPTH_MAX)
        return err_set(err, -E2BIG, "%s/%s: directories nested deeper than %d", store->url, path,
                       DEPTH_MAX);
    struct store_list list = {0};
    ret = ops->list(store->backend, path, &list, err);
    if (ret)
        return ret == -ENOENT ? 0 : ret;
    for (size_t i = 0; i < list.n_names && !ret; i++) {
        char below[STORE_PATH_MAX];
        ret = path_join(path, list.names[i], below, err);
        if (!ret)
            ret = remove_below(store, below, depth + 1, err);
    }
    store_list_release(&list);
    if (!ret)
        ret = ops->remove(store->backend, path, true, err);
    return ret == -ENOENT ? 0 : ret;
}

int store_remove_tree(struct store *store, const char *path, struct err *err)
{
    struct err local = {0};
    int ret = path_check(path, err);
    if (ret)
        return ret;
    ret = remove_below(store, path, 0, &local);
    if (ret && err)
        *err = local;
    return ret;
}
