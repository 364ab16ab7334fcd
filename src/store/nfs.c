/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The NFS backend: names. Listing is in nfs_list.c, links and renames in nfs_rename.c, files in nfs_file.c.
 *
 * A request whose answer was lost may have been carried out. What the next try then finds is taken for our own doing
 * where that can be told: a directory is as good whoever made it, and a file's name made of a random number is ours.
 */
#include "store/nfs.h"

#include "store/nfs_error.h"
#include "store/nfs_walk.h"

#include "base/scope.h"

#include <errno.h>
#include <string.h>

static struct nfs *nfs_of(struct backend *backend)
{
    return (struct nfs *)backend;
}

static void op_close(struct backend *backend)
{
    nfs_free(nfs_of(backend));
}

static uint64_t op_n_requests(const struct backend *backend)
{
    const struct nfs *nfs = (const struct nfs *)backend;
    return atomic_load_explicit(&nfs->n_requests, memory_order_relaxed);
}

/* What the steps are about. */
struct names {
    const char *path;
    struct nfs_node *node;
    bool is_dir;
};

static int stat_step(struct nfs *nfs, struct nfs_connection *connection, struct nfs_try *try,
                     void *context)
{
    struct names *names = context;
    return nfs_walk_node(nfs, connection, names->path, names->node);
}

static int op_stat(struct backend *backend, const char *path, struct store_stat *out,
                   struct err *err)
{
    struct nfs *nfs = nfs_of(backend);
    struct nfs_node node = {0};
    struct names names = {.path = path, .node = &node};
    int ret = nfs_run(nfs, "stat", path, stat_step, &names, err);
    if (ret)
        return ret;
    if (node.type == NFS_LINK) {
        nfs_error_set(err, -ELOOP, 0, "stat", nfs->url.place, path);
        return -EPERM;
    }
    *out = (struct store_stat){
        .len = node.type == NFS_FILE ? node.len : 0,
        .mtime = node.mtime,
        .is_dir = node.type == NFS_DIR,
    };
    return 0;
}

static int op_list(struct backend *backend, const char *path, struct store_list *out,
                   struct err *err)
{
    return nfs_list_dir(nfs_of(backend), path, out, err);
}

static int op_open(struct backend *backend, const char *path, struct backend_file **out,
                   struct err *err)
{
    struct nfs *nfs = nfs_of(backend);
    struct nfs_node node = {0};
    struct names names = {.path = path, .node = &node};
    int ret = nfs_run(nfs, "opening", path, stat_step, &names, err);
    if (ret)
        return ret;
    if (node.type == NFS_LINK) {
        nfs_error_set(err, -ELOOP, 0, "opening", nfs->url.place, path);
        return -EPERM;
    }
    if (node.type != NFS_FILE)
        return err_set(err, node.type == NFS_DIR ? -EISDIR : -EPERM,
                       "opening %s/%s: expected a regular file", nfs->url.place, path);
    ret = nfs_file_new(nfs, path, &node, out);
    return ret ? err_sys(err, ret, "opening %s/%s", nfs->url.place, path) : 0;
}

static int create_step(struct nfs *nfs, struct nfs_connection *connection, struct nfs_try *try,
                       void *context)
{
    struct names *names = context;
    struct nfs_place place;
    int ret = nfs_walk(nfs, connection, names->path, &place);
    if (!ret)
        ret = nfs->proto->create(connection, &place, nfs->file_mode, &names->node->handle);
    /* Put off half way: the file may have been made. */
    try->is_uncertain |= ret == -EAGAIN;
    if (ret != -EEXIST || !try->is_uncertain)
        return ret;
    int found = nfs->proto->lookup(connection, &place, names->node);
    return found ? found : names->node->type == NFS_FILE ? 0 : ret;
}

static int op_create(struct backend *backend, const char *path, struct backend_file **out,
                     struct err *err)
{
    struct nfs *nfs = nfs_of(backend);
    struct nfs_node node = {0};
    struct names names = {.path = path, .node = &node};
    int ret = nfs_run(nfs, "creating", path, create_step, &names, err);
    if (ret)
        return ret;
    ret = nfs_file_new(nfs, path, &node, out);
    if (!ret)
        return 0;
    backend->ops->remove(backend, path, false, NULL);
    return err_sys(err, ret, "creating %s/%s", nfs->url.place, path);
}

static int mkdir_step(struct nfs *nfs, struct nfs_connection *connection, struct nfs_try *try,
                      void *context)
{
    struct names *names = context;
    struct nfs_place place;
    struct nfs_node node = {0};
    int ret = nfs_walk(nfs, connection, names->path, &place);
    if (!ret)
        ret = nfs->proto->mkdir(connection, &place, nfs->dir_mode);
    if (ret != -EEXIST || !try->is_uncertain)
        return ret;
    int found = nfs->proto->lookup(connection, &place, &node);
    return found ? found : node.type == NFS_DIR ? 0 : ret;
}

static void drop_dirs(struct nfs *nfs, const char *path)
{
    scope_lock(&nfs->lock);
    nfs_dirs_drop(&nfs->dirs, path);
}

/* What was there before, and is known by a handle, was taken away by another. */
static int op_mkdir(struct backend *backend, const char *path, struct err *err)
{
    struct nfs *nfs = nfs_of(backend);
    struct names names = {.path = path};
    int ret = nfs_run(nfs, "making directory", path, mkdir_step, &names, err);
    if (!ret)
        drop_dirs(nfs, path);
    return ret;
}

static int op_link(struct backend *backend, const char *from, const char *to, struct err *err)
{
    return nfs_link_file(nfs_of(backend), from, to, err);
}

static int remove_step(struct nfs *nfs, struct nfs_connection *connection, struct nfs_try *try,
                       void *context)
{
    struct names *names = context;
    struct nfs_place place;
    int ret = nfs_walk(nfs, connection, names->path, &place);
    if (!ret)
        ret = nfs->proto->remove(connection, &place, names->is_dir);
    if (ret == -ENOENT && try->is_uncertain)
        return 0;
    return ret == -EEXIST && names->is_dir ? -ENOTEMPTY : ret;
}

static int op_remove(struct backend *backend, const char *path, bool is_dir, struct err *err)
{
    struct nfs *nfs = nfs_of(backend);
    struct names names = {.path = path, .is_dir = is_dir};
    int ret = nfs_run(nfs, "removing", path, remove_step, &names, err);
    if (is_dir)
        drop_dirs(nfs, path);
    return ret;
}

/*
 * NFS has no rename that replaces nothing. For a file a link that does not, and then a removal, come to the same; a
 * directory replaces at most an empty one.
 */
static int op_rename(struct backend *backend, const char *from, const char *to, bool replace,
                     struct err *err)
{
    struct nfs *nfs = nfs_of(backend);
    bool is_dir = false;
    int ret = nfs_rename_path(nfs, from, to, replace, &is_dir, err);
    if (is_dir) {
        drop_dirs(nfs, from);
        drop_dirs(nfs, to);
    }
    if (ret || is_dir || replace)
        return ret;
    ret = op_link(backend, from, to, err);
    return ret ? ret : op_remove(backend, from, false, err);
}

static const struct backend_ops nfs_ops = {
    .close = op_close,
    .stat = op_stat,
    .list = op_list,
    .open = op_open,
    .create = op_create,
    .read = nfs_file_read,
    .append = nfs_file_append,
    .sync = nfs_file_sync,
    .close_file = nfs_file_close,
    .len = nfs_file_len,
    .link = op_link,
    .rename = op_rename,
    .mkdir = op_mkdir,
    .remove = op_remove,
    .n_requests = op_n_requests,
};

int backend_nfs_open(const struct nfs_export *url, struct backend **out, struct err *err)
{
    struct nfs *nfs = NULL;
    int ret = nfs_new(url, url->version == 4 ? &nfs_proto4 : &nfs_proto3, &nfs);
    if (ret)
        return err_sys(err, ret, "opening %s", url->canonical);
    nfs->backend.ops = &nfs_ops;
    *out = &nfs->backend;
    return 0;
}
