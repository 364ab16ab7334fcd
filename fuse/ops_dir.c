/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/ops.h"

#include <errno.h>

void ops_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct view *view = ops_view(req);
    struct tree_node node;
    struct handle *handle = NULL;
    int ret = -ESTALE;
    if (tree_node_of(ino, &node))
        ret = tree_is_dir(node.kind) ? handle_open_dir(view, &node, &handle) : -ENOTDIR;
    if (ret) {
        fuse_reply_err(req, -ret);
        return;
    }
    fi->fh = (uint64_t)(uintptr_t)handle;
    if (fuse_reply_open(req, fi)) /* the caller is gone, no release will come */
        handle_close(view, handle);
}

void ops_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
    struct view *view = ops_view(req);
    struct handle *handle = ops_handle(fi);
    handle_ref(handle);
    ops_reply_slice(req, handle->text.data, handle->text.len, size, off);
    handle_close(view, handle);
}

void ops_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    handle_close(ops_view(req), ops_handle(fi));
    fuse_reply_err(req, 0);
}
