/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Links and renames on NFS. After an answer that was lost, the next try may find it done: that is taken for our own
 * doing when the file found has the number (fileid) of the one that was to be there.
 */
#include "store/nfs.h"

#include "store/nfs_walk.h"

#include <errno.h>

struct names {
    const char *from;
    const char *to;
    bool is_dir;
    bool replaces;
    bool has_seen; /* from, in an earlier try, as seen */
    struct nfs_node seen;
};

/* 1: what place names is the file that this call was to put there; 0: it is not; -errno: that could not be told now. */
static int is_done(struct nfs *nfs, struct nfs_connection *connection, const struct names *names,
                   const struct nfs_place *place)
{
    struct nfs_node node = {0};
    int ret = names->has_seen ? nfs->proto->lookup(connection, place, &node) : -ENOENT;
    if (ret)
        return ret == -ENOENT ? 0 : ret;
    return nfs_same_file(&node, &names->seen);
}

static int link_step(struct nfs *nfs, struct nfs_connection *connection, struct nfs_try *try,
                     void *context)
{
    struct names *names = context;
    struct nfs_place from, to;
    struct nfs_node node = {0};
    int ret = nfs_walk(nfs, connection, names->from, &from);
    if (!ret)
        ret = nfs->proto->lookup(connection, &from, &node);
    if (!ret)
        ret = nfs_walk(nfs, connection, names->to, &to);
    if (ret)
        return ret;
    if (node.type == NFS_DIR)
        return -EPERM;
    ret = nfs->proto->link(connection, &node.handle, &to);
    /* The name may also have been the file's before: then no link was added. */
    bool was_added = try->is_uncertain && names->has_seen && node.n_links > names->seen.n_links;
    if (!names->has_seen)
        names->seen = node;
    names->has_seen = true;
    if (ret != -EEXIST || !was_added)
        return ret;
    int done = is_done(nfs, connection, names, &to);
    return done < 0 ? done : done ? 0 : ret;
}

int nfs_link_file(struct nfs *nfs, const char *from, const char *to, struct err *err)
{
    struct names names = {.from = from, .to = to};
    return nfs_run(nfs, "linking to", to, link_step, &names, err);
}

/*
 * After an answer was lost, and the name to be taken away is gone: is its file where it was to go? Who replaces does so
 * with a file under a random name, which only we take away; that another has replaced it since changes nothing.
 */
static int rename_gone(struct nfs *nfs, struct nfs_connection *connection,
                       const struct names *names, const struct nfs_place *to)
{
    if (names->has_seen && names->replaces && !names->is_dir)
        return 0;
    int done = is_done(nfs, connection, names, to);
    return done < 0 ? done : done ? 0 : -ENOENT;
}

static int rename_step(struct nfs *nfs, struct nfs_connection *connection, struct nfs_try *try,
                       void *context)
{
    struct names *names = context;
    struct nfs_place from, to;
    struct nfs_node node = {0};
    int ret = nfs_walk(nfs, connection, names->from, &from);
    if (!ret)
        ret = nfs_walk(nfs, connection, names->to, &to);
    if (ret)
        return ret;
    ret = nfs->proto->lookup(connection, &from, &node);
    if (ret == -ENOENT && try->is_uncertain)
        return rename_gone(nfs, connection, names, &to);
    if (ret)
        return ret;
    names->has_seen = true;
    names->seen = node;
    names->is_dir = node.type == NFS_DIR;
    if (!names->is_dir && !names->replaces)
        return 0;
    ret = nfs->proto->rename(connection, &from, &to);
    if (names->is_dir && (ret == -ENOTEMPTY || ret == -ENOTDIR || ret == -EISDIR))
        return -EEXIST;
    return ret;
}

int nfs_rename_path(struct nfs *nfs, const char *from, const char *to, bool replaces, bool *is_dir,
                    struct err *err)
{
    struct names names = {.from = from, .to = to, .replaces = replaces};
    int ret = nfs_run(nfs, "renaming to", to, rename_step, &names, err);
    *is_dir = names.is_dir;
    return ret;
}
