/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/ops.h"

#include "fuse/invalidate.h"
#include "fuse/later.h"

#include <errno.h>
#include <string.h>

static void ops_init(void *userdata, struct fuse_conn_info *conn)
{
    /* A pipe in between costs more than the copy of what is small, and nothing here is large but
     * part files. */
    conn->want &= ~(unsigned)(FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE);
    conn->max_write = FKV_MESSAGE_MAX;
}

int ops_entry(struct view *view, const struct tree_node *node, struct fuse_entry_param *out)
{
    struct fuse_entry_param entry = {
        .ino = tree_ino(node),
        .entry_timeout = view_name_timeout_s(node->kind),
    };
    int ret = view_stat(view, node, NULL, &entry.attr, &entry.attr_timeout);
    if (!ret)
        *out = entry;
    return ret;
}

/* Lets the kernel drop the name of an old key file when it remembers very many. */
static void shed_keyfile(struct view *view)
{
    struct keyfile keyfile;
    if (!keyfiles_oldest(view->keyfiles, &keyfile))
        return;
    const struct tree_node parent = {
        .kind = TREE_KEYS, .table = keyfile.table, .version = keyfile.version};
    invalidate_entry(view->invalidate, tree_ino(&parent), keyfile.name);
}

static void reply_found(fuse_req_t req, const struct tree_node *child)
{
    struct view *view = ops_view(req);
    struct fuse_entry_param entry;
    int ret = ops_entry(view, child, &entry);
    if (ret)
        fuse_reply_err(req, -ret);
    else
        ret = fuse_reply_entry(req, &entry);
    if (child->kind != TREE_KEY)
        return;
    if (ret) /* the kernel never heard of it */
        keyfiles_forget(view->keyfiles, child->serial, 1);
    else
        shed_keyfile(view);
}

static void lookup_again(const struct later *later, const struct answer_disk *disk)
{
    struct tree_node parent;
    struct tree_node child = {0};
    int ret = -ESTALE;
    if (tree_node_of(later->number, &parent))
        ret = view_find(ops_view(later->req), &parent, later->data, disk->worker, &child);
    if (ret)
        fuse_reply_err(later->req, -ret);
    else
        reply_found(later->req, &child);
}

static void ops_lookup(fuse_req_t req, fuse_ino_t parent_ino, const char *name)
{
    struct tree_node parent;
    struct tree_node child = {0};
    int ret = -ESTALE;
    if (tree_node_of(parent_ino, &parent))
        ret = view_find(ops_view(req), &parent, name, NULL, &child);
    if (ret == DISK_NEEDED)
        later_start(&(struct later){.req = req,
                                    .run = lookup_again,
                                    .number = parent_ino,
                                    .data = name,
                                    .len = strlen(name) + 1});
    else if (ret)
        fuse_reply_err(req, -ret);
    else
        reply_found(req, &child);
}

static void forget_one(struct view *view, fuse_ino_t ino, uint64_t n_lookups)
{
    struct tree_node node;
    if (tree_node_of(ino, &node) && node.kind == TREE_KEY)
        keyfiles_forget(view->keyfiles, node.serial, n_lookups);
}

static void ops_forget(fuse_req_t req, fuse_ino_t ino, uint64_t n_lookups)
{
    forget_one(ops_view(req), ino, n_lookups);
    fuse_reply_none(req);
}

static void ops_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
    for (size_t i = 0; i < count; i++)
        forget_one(ops_view(req), forgets[i].ino, forgets[i].nlookup);
    fuse_reply_none(req);
}

static void ops_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct tree_node node;
    struct stat st;
    double timeout_s = 0;
    int ret = -ESTALE;
    const struct version *pinned = fi && fi->fh ? ops_handle(fi)->version : NULL;
    if (tree_node_of(ino, &node))
        ret = view_stat(ops_view(req), &node, pinned, &st, &timeout_s);
    /* ESTALE makes the kernel walk the path again, and then say ENOENT, or find what took the
     * name. */
    if (ret)
        fuse_reply_err(req, ret == -ENOENT ? ESTALE : -ret);
    else
        fuse_reply_attr(req, &st, timeout_s);
}

static void ops_readlink(fuse_req_t req, fuse_ino_t ino)
{
    struct tree_node node;
    char target[TREE_LINK_TEXT_MAX];
    int ret = -EINVAL;
    if (tree_node_of(ino, &node) && tree_is_link(node.kind))
        ret = view_target(ops_view(req), &node, target);
    if (ret)
        fuse_reply_err(req, -ret);
    else
        fuse_reply_readlink(req, target);
}

static void ops_statfs(fuse_req_t req, fuse_ino_t ino)
{
    const struct statvfs st = {.f_bsize = 4096, .f_frsize = 4096, .f_namemax = VALUE_NAME_MAX};
    fuse_reply_statfs(req, &st);
}

void ops_reply_slice(fuse_req_t req, const uint8_t *data, size_t len, size_t size, off_t off)
{
    size_t begin = off < 0 || (uint64_t)off > len ? len : (size_t)off;
    size_t left = len - begin;
    fuse_reply_buf(req, left ? (const char *)data + begin : NULL, left < size ? left : size);
}

const struct fuse_lowlevel_ops ops_table = {
    .init = ops_init,
    .lookup = ops_lookup,
    .forget = ops_forget,
    .forget_multi = ops_forget_multi,
    .getattr = ops_getattr,
    .readlink = ops_readlink,
    .statfs = ops_statfs,
    .opendir = ops_opendir,
    .readdir = ops_readdir,
    .releasedir = ops_releasedir,
    .open = ops_open,
    .read = ops_read,
    .write = ops_write,
    .release = ops_release,
    .ioctl = ops_ioctl,
    .setattr = ops_setattr,
    .symlink = ops_symlink,
    .rename = ops_rename,
    .unlink = ops_unlink,
    .rmdir = ops_rmdir,
    .mkdir = ops_mkdir,
    .mknod = ops_mknod,
    .create = ops_create,
    .link = ops_link,
};
