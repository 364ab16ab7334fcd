/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ops: what the kernel asks, translated: decode the inode, ask the layer that knows, reply exactly
 * once.
 *
 *   ops.c         names and attributes
 *   ops_dir.c     directories
 *   ops_file.c    files: open, read, write, release
 *   ops_ioctl.c   the lookup protocol's ioctls
 *   ops_change.c  the local switch by links; every other change is refused
 *
 * Nothing is locked or pinned when a reply is sent, but what an open handle owns.
 *
 * Threads: called by every worker. Memory: a handle lives from open to release. Errors: replied as
 * errno.
 */
#ifndef FKV_FUSE_OPS_H
#define FKV_FUSE_OPS_H

#include "fuse/handle.h"
#include "fuse/lowlevel.h"

/* The session's userdata is a struct view. */
extern const struct fuse_lowlevel_ops ops_table;

static inline struct view *ops_view(fuse_req_t req)
{
    return fuse_req_userdata(req);
}
static inline struct handle *ops_handle(const struct fuse_file_info *fi)
{
    return (struct handle *)(uintptr_t)fi->fh;
}

/* Fills an entry for a node that exists; -errno when it went meanwhile. */
int ops_entry(struct view *view, const struct tree_node *node, struct fuse_entry_param *out);

/* Replies len bytes at off of data that is size bytes long. */
void ops_reply_slice(fuse_req_t req, const uint8_t *data, size_t len, size_t size, off_t off);

void ops_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void ops_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void ops_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);

void ops_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void ops_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void ops_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t off,
               struct fuse_file_info *fi);
void ops_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);

void ops_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned cmd, void *arg, struct fuse_file_info *fi,
               unsigned flags, const void *in, size_t in_len, size_t out_len);

void ops_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
                 struct fuse_file_info *fi);
void ops_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name);
void ops_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
                const char *new_name, unsigned flags);
void ops_unlink(fuse_req_t req, fuse_ino_t parent, const char *name);
void ops_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name);
void ops_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode);
void ops_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev);
void ops_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                struct fuse_file_info *fi);
void ops_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t new_parent, const char *new_name);

#endif
