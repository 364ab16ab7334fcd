/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one change root may make in the view is where a table's `current` points on this node:
 *
 *   ln -sfn v/41 /fkv/ads/current   a symlink of another name, then a rename over `current`
 *   rm /fkv/ads/current             takes the pin off; the link is back at once
 */
#include "fuse/ops.h"
#include "fuse/switcher.h"

#include <errno.h>
#include <string.h>

/* 0 when this caller may change links in that directory. */
static int check_table_dir(fuse_req_t req, fuse_ino_t parent, struct tree_node *out)
{
    if (!tree_node_of(parent, out))
        return -ESTALE;
    if (out->kind != TREE_TABLE)
        return -EROFS;
    return fuse_req_ctx(req)->uid == 0 ? 0 : -EPERM;
}

static void start_switch(fuse_req_t req, const struct tree_node *dir, uint64_t version,
                         const char *link_name)
{
    struct view *view = ops_view(req);
    int ret = switcher_start(view->switcher, view, req, dir->table, version, link_name);
    if (ret)
        fuse_reply_err(req, -ret);
}

void ops_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
    struct view *view = ops_view(req);
    struct tree_node dir;
    struct tree_node link = {.kind = TREE_LINK};
    struct fuse_entry_param entry;
    enum tree_kind taken;
    uint64_t version = 0;
    int ret = check_table_dir(req, parent, &dir);
    if (!ret && !tree_target_of(target, &version))
        ret = -EINVAL;
    if (!ret && tree_child_kind(TREE_TABLE, name, &taken))
        ret = -EPERM; /* only by renaming over what is there */
    link.table = dir.table;
    if (!ret)
        ret = links_add(view->links, dir.table, name, version, &link.part);
    if (!ret)
        ret = ops_entry(view, &link, &entry);
    if (ret)
        fuse_reply_err(req, -ret);
    else
        fuse_reply_entry(req, &entry);
}

void ops_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
                const char *new_name, unsigned flags)
{
    struct tree_node dir;
    struct link link;
    enum tree_kind kind = TREE_ROOT;
    int ret = check_table_dir(req, parent, &dir);
    if (!ret && flags)
        ret = -EINVAL;
    if (!ret)
        ret = links_find(ops_view(req)->links, dir.table, name, &link);
    if (ret == -ENOENT || (!ret && parent != new_parent))
        ret = -EROFS; /* nothing but a new link can be renamed, and only within its table */
    if (!ret && (!tree_child_kind(TREE_TABLE, new_name, &kind) || kind != TREE_CURRENT))
        ret = -EPERM;
    if (ret)
        fuse_reply_err(req, -ret);
    else
        start_switch(req, &dir, link.version, name);
}

void ops_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct tree_node dir;
    enum tree_kind kind = TREE_ROOT;
    int ret = check_table_dir(req, parent, &dir);
    bool fixed = !ret && tree_child_kind(TREE_TABLE, name, &kind);
    if (fixed && kind == TREE_CURRENT) {
        start_switch(req, &dir, 0, "");
        return;
    }
    if (!ret)
        ret = fixed ? -EROFS : links_remove(ops_view(req)->links, dir.table, name);
    fuse_reply_err(req, -ret);
}

/* Shells open a file they write to with O_TRUNC, which comes as "size 0": true of a lookup file at
 * any time. */
void ops_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
                 struct fuse_file_info *fi)
{
    struct tree_node node;
    struct stat st;
    double timeout_s = 0;
    int ret = -EROFS;
    bool truncates = (to_set & FUSE_SET_ATTR_SIZE) && attr->st_size == 0 &&
                     !(to_set & (FUSE_SET_ATTR_MODE | FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID));
    if (truncates && tree_node_of(ino, &node) && tree_is_lookup(node.kind))
        ret = view_stat(ops_view(req), &node, NULL, &st, &timeout_s);
    if (ret)
        fuse_reply_err(req, -ret);
    else
        fuse_reply_attr(req, &st, timeout_s);
}

void ops_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    fuse_reply_err(req, EROFS);
}

void ops_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
    fuse_reply_err(req, EROFS);
}

void ops_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
    fuse_reply_err(req, EROFS);
}

void ops_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                struct fuse_file_info *fi)
{
    fuse_reply_err(req, EROFS);
}

void ops_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t new_parent, const char *new_name)
{
    fuse_reply_err(req, EROFS);
}
