/* SPDX-License-Identifier: Apache-2.0 */
#include "store/nfs_walk.h"

#include "base/scope.h"
#include "store/path.h"

#include <errno.h>
#include <string.h>

static int type_code(enum nfs_type type)
{
    return type == NFS_DIR ? 0 : type == NFS_LINK ? -ELOOP : -ENOTDIR;
}

/* The longest part of a path, up to a '/' or the end, whose handle is known; 0: none but the root. */
static size_t known_part(struct nfs *nfs, const char *path, size_t len, struct nfs_handle *out)
{
    scope_lock(&nfs->lock);
    for (size_t n = len; n > 0; n--)
        if ((n == len || path[n] == '/') && nfs_dirs_find(&nfs->dirs, path, n, out))
            return n;
    return 0;
}

/* One component at a time: NFSv3 has no other way. */
static int walk_names(struct nfs *nfs, struct nfs_connection *connection, const char *path,
                      size_t len, struct nfs_handle *out)
{
    struct nfs_place place = {.dir = connection->root.handle};
    size_t at = known_part(nfs, path, len, &place.dir);
    while (at < len) {
        char name[PATH_COMPONENT_MAX + 1];
        at += path[at] == '/';
        size_t n = 0;
        while (at + n < len && path[at + n] != '/')
            n++;
        if (n > PATH_COMPONENT_MAX)
            return -ENAMETOOLONG;
        memcpy(name, path + at, n);
        name[n] = '\0';
        place.path = name;
        struct nfs_node node = {0};
        int ret = nfs->proto->lookup(connection, &place, &node);
        if (!ret)
            ret = type_code(node.type);
        if (ret)
            return ret;
        at += n;
        place.dir = node.handle;
        scope_lock(&nfs->lock);
        nfs_dirs_keep(&nfs->dirs, path, at, &node.handle);
    }
    *out = place.dir;
    return 0;
}

int nfs_walk_dir(struct nfs *nfs, struct nfs_connection *connection, const char *path, size_t len,
                 struct nfs_handle *out)
{
    if (!nfs->proto->walks)
        return walk_names(nfs, connection, path, len, out);
    char copy[STORE_PATH_MAX];
    if (len >= sizeof copy)
        return -ENAMETOOLONG;
    memcpy(copy, path, len);
    copy[len] = '\0';
    struct nfs_node node = {0};
    int ret = nfs_walk_node(nfs, connection, copy, &node);
    if (!ret)
        ret = type_code(node.type);
    if (!ret)
        *out = node.handle;
    return ret;
}

int nfs_walk(struct nfs *nfs, struct nfs_connection *connection, const char *path,
             struct nfs_place *out)
{
    *out = (struct nfs_place){.dir = connection->root.handle, .path = path};
    if (nfs->proto->walks)
        return 0;
    const char *leaf = path_leaf(path);
    out->path = leaf;
    return leaf == path ? 0
                        : walk_names(nfs, connection, path, (size_t)(leaf - path) - 1, &out->dir);
}

int nfs_walk_node(struct nfs *nfs, struct nfs_connection *connection, const char *path,
                  struct nfs_node *out)
{
    struct nfs_place place;
    int ret = nfs_walk(nfs, connection, path, &place);
    return ret ? ret : nfs->proto->lookup(connection, &place, out);
}

bool nfs_same_file(const struct nfs_node *a, const struct nfs_node *b)
{
    return a->fileid != 0 && a->fileid == b->fileid;
}
