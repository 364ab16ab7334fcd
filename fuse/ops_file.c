/* SPDX-License-Identifier: Apache-2.0 */
#include "base/scope.h"
#include "fuse/later.h"
#include "fuse/log.h"

#include <errno.h>
#include <fcntl.h>

/* Only lookup files take writes; root passes the mode check, so it is told here. */
static bool may_open(enum tree_kind kind, int flags)
{
    return tree_is_lookup(kind) || (flags & O_ACCMODE) == O_RDONLY;
}

/* What the kernel may cache: nothing of files that answer differently each time, all of the others
 * for ever. */
static void set_caching(enum tree_kind kind, struct fuse_file_info *fi)
{
    bool changes = tree_is_lookup(kind) || kind == TREE_STATUS || kind == TREE_METRICS;
    fi->direct_io = changes;
    fi->keep_cache = !changes;
    fi->nonseekable = tree_is_lookup(kind);
    fi->noflush = 1;
}

static void open_and_reply(fuse_req_t req, const struct tree_node *node, struct fuse_file_info *fi)
{
    struct view *view = ops_view(req);
    struct handle *handle = NULL;
    int ret = handle_open_file(view, node, fuse_req_ctx(req)->uid, &handle);
    if (ret) {
        fuse_reply_err(req, -ret);
        return;
    }
    fi->fh = (uint64_t)(uintptr_t)handle;
    set_caching(node->kind, fi);
    if (fuse_reply_open(req, fi)) /* the caller is gone, no release will come */
        handle_close(view, handle);
}

struct part_open {
    struct disk_job job;
    fuse_req_t req;
    struct tree_node node;
    struct fuse_file_info fi;
};

static void run_part_open(struct disk_thread *thread, void *context)
{
    struct part_open *job = context;
    if (thread)
        open_and_reply(job->req, &job->node, &job->fi);
    else
        fuse_reply_err(job->req, ECONNABORTED);
    free(job);
}

/* The name may have to be read from a disk that hangs. */
static void open_part_later(fuse_req_t req, const struct tree_node *node,
                            const struct fuse_file_info *fi)
{
    struct part_open *job = malloc(sizeof *job);
    int ret = -ENOMEM;
    if (job) {
        *job = (struct part_open){.req = req, .node = *node, .fi = *fi};
        ret = disk_add(ops_view(req)->part_reads, fuse_req_ctx(req)->uid, &job->job, run_part_open,
                       job);
    }
    if (!ret)
        return;
    free(job);
    fuse_reply_err(req, -ret);
}

void ops_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct tree_node node;
    if (!tree_node_of(ino, &node))
        fuse_reply_err(req, ESTALE);
    else if (!may_open(node.kind, fi->flags))
        fuse_reply_err(req, EROFS);
    else if (node.kind == TREE_PART)
        open_part_later(req, &node, fi);
    else
        open_and_reply(req, &node, fi);
}

void ops_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    handle_close(ops_view(req), ops_handle(fi));
    fuse_reply_err(req, 0);
}

/* A lookup file is a stream: the position is the session's, whatever the kernel's offset. */
static int read_reply(fuse_req_t req, struct handle *handle, size_t size,
                      const struct answer_disk *disk)
{
    struct message_piece piece = {0};
    struct err err = {0};
    int ret = session_read(handle->session, size, disk, &piece, &err);
    if (ret) {
        if (ret != DISK_NEEDED)
            log_debug("pid %d: %s", (int)fuse_req_ctx(req)->pid, err_text(&err, ret));
        return ret;
    }
    fuse_reply_buf(req, (const char *)piece.data, piece.len);
    blob_unref(piece.blob);
    return 0;
}

/* Of the value of a table on disk. */
static int read_value(fuse_req_t req, struct handle *handle, size_t size, off_t off,
                      const struct answer_disk *disk)
{
    struct buf made = {0};
    const struct buf *value = NULL;
    int ret =
        kept_read(handle->kept, size, (uint64_t)off, disk ? disk->worker : NULL, &made, &value);
    if (!ret)
        ops_reply_slice(req, value->data, value->len, size, off);
    buf_release(&made);
    return ret;
}

/* 0, with a reply sent; DISK_NEEDED. */
static int read_on_disk(fuse_req_t req, struct handle *handle, size_t size, off_t off,
                        const struct answer_disk *disk)
{
    int ret = handle->session ? read_reply(req, handle, size, disk)
                              : read_value(req, handle, size, off, disk);
    if (ret == DISK_NEEDED)
        return ret;
    if (ret)
        fuse_reply_err(req, -ret);
    return 0;
}

static void read_bytes(fuse_req_t req, struct handle *handle, size_t size, off_t off)
{
    struct view *view = ops_view(req);
    size_t len = 0;
    scope_free uint8_t *made = NULL;
    handle_ref(handle);
    const uint8_t *data = handle_bytes(handle, &len, &made);
    if (data || !len)
        ops_reply_slice(req, data, len, size, off);
    else
        fuse_reply_err(req, ENOMEM);
    handle_close(view, handle);
}

struct part_read {
    struct disk_job job;
    fuse_req_t req;
    int fd; /* open until the reply: the kernel releases no file that is being read */
    size_t size;
    off_t off;
};

static void run_part_read(struct disk_thread *thread, void *context)
{
    struct part_read *read = context;
    if (!thread) {
        fuse_reply_err(read->req, ECONNABORTED);
        free(read);
        return;
    }
    struct fuse_bufvec vec = FUSE_BUFVEC_INIT(read->size);
    vec.buf[0].flags = (enum fuse_buf_flags)(FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK);
    vec.buf[0].fd = read->fd;
    vec.buf[0].pos = read->off;
    fuse_reply_data(read->req, &vec, FUSE_BUF_NO_SPLICE);
    free(read);
}

static void read_part(fuse_req_t req, struct handle *handle, size_t size, off_t off)
{
    struct part_read *read = malloc(sizeof *read);
    int ret = -ENOMEM;
    if (read) {
        *read = (struct part_read){.req = req, .fd = handle->fd, .size = size, .off = off};
        ret = disk_add(ops_view(req)->part_reads, fuse_req_ctx(req)->uid, &read->job, run_part_read,
                       read);
    }
    if (!ret)
        return;
    free(read);
    fuse_reply_err(req, -ret);
}

static void read_again(const struct later *later, const struct answer_disk *disk)
{
    read_on_disk(later->req, later->handle, later->size, (off_t)later->number, disk);
}

static void read_lookup(fuse_req_t req, struct handle *handle, size_t size, off_t off)
{
    struct view *view = ops_view(req); /* the request is gone when it is answered */
    handle_ref(handle);
    if (read_on_disk(req, handle, size, off, NULL))
        later_start(&(struct later){.req = req,
                                    .run = read_again,
                                    .handle = handle,
                                    .number = (uint64_t)off,
                                    .size = size});
    handle_close(view, handle);
}

void ops_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
    struct handle *handle = ops_handle(fi);
    if (handle->session || handle->kept)
        read_lookup(req, handle, size, off);
    else if (handle->fd >= 0)
        read_part(req, handle, size, off);
    else
        read_bytes(req, handle, size, off);
}

void ops_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t off,
               struct fuse_file_info *fi)
{
    struct view *view = ops_view(req);
    struct handle *handle = ops_handle(fi);
    struct err err = {0};
    if (!handle->session) {
        fuse_reply_err(req, EROFS);
        return;
    }
    int ret = session_write(handle->session, data, size, &err);
    if (!ret) {
        fuse_reply_write(req, size);
        return;
    }
    metric_add(&view->stats->malformed, 1);
    log_debug("pid %d: %s", (int)fuse_req_ctx(req)->pid, err_text(&err, ret));
    fuse_reply_err(req, -ret);
}
