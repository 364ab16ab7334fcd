/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/later.h"
#include "fuse/log.h"
#include "fuse/ops.h"

#include <errno.h>

/* 0, -errno or DISK_NEEDED; a reply was sent in the first case. */
typedef int (*ioctl_fn)(fuse_req_t req, struct handle *handle, const void *in, size_t in_len,
                        const struct answer_disk *disk, struct err *err);

static int on_info(fuse_req_t req, struct handle *handle, const void *in, size_t in_len,
                   const struct answer_disk *disk, struct err *err)
{
    struct fkv_info info;
    session_info(handle->session, ops_view(req)->daemon_id, &info);
    fuse_reply_ioctl(req, 0, &info, sizeof info);
    return 0;
}

static int on_attach(fuse_req_t req, struct handle *handle, const void *in, size_t in_len,
                     const struct answer_disk *disk, struct err *err)
{
    int ret = session_attach(handle->session, fuse_req_ctx(req)->pid, in, in_len, err);
    if (!ret)
        fuse_reply_ioctl(req, 0, NULL, 0);
    return ret;
}

static int on_lookup(fuse_req_t req, struct handle *handle, const void *in, size_t in_len,
                     const struct answer_disk *disk, struct err *err)
{
    struct fkv_lookup lookup;
    int ret = session_lookup(handle->session, in, in_len, disk, &lookup, err);
    if (!ret)
        fuse_reply_ioctl(req, 0, &lookup, sizeof lookup);
    return ret;
}

static int on_inline(fuse_req_t req, struct handle *handle, const void *in, size_t in_len,
                     const struct answer_disk *disk, struct err *err)
{
    uint8_t reply[FKV_INLINE_MAX];
    size_t reply_len = 0;
    int ret = session_inline(handle->session, in, in_len, disk, reply, &reply_len, err);
    if (!ret)
        fuse_reply_ioctl(req, 0, reply, reply_len);
    return ret;
}

static ioctl_fn function_of(unsigned cmd)
{
    switch (cmd) {
    case (unsigned)FKV_IOC_LOOKUP:
        return on_lookup;
    case (unsigned)FKV_IOC_INFO:
        return on_info;
    case (unsigned)FKV_IOC_ATTACH:
        return on_attach;
    case (unsigned)FKV_IOC_INLINE:
        return on_inline;
    default:
        return NULL;
    }
}

static void reply_failed(fuse_req_t req, int ret, const struct err *err)
{
    if (ret != -ENOTTY) {
        metric_add(&ops_view(req)->stats->malformed, 1);
        log_debug("pid %d: %s", (int)fuse_req_ctx(req)->pid, err_text(err, ret));
    }
    fuse_reply_err(req, -ret);
}

static void ioctl_again(const struct later *later, const struct answer_disk *disk)
{
    struct err err = {0};
    ioctl_fn function = function_of((unsigned)later->number);
    int ret = function(later->req, later->handle, later->data, later->len, disk, &err);
    if (ret)
        reply_failed(later->req, ret, &err);
}

void ops_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned cmd, void *arg, struct fuse_file_info *fi,
               unsigned flags, const void *in, size_t in_len, size_t out_len)
{
    struct handle *handle = ops_handle(fi);
    struct err err = {0};
    ioctl_fn function = handle->session ? function_of(cmd) : NULL;
    int ret = function ? function(req, handle, in, in_len, NULL, &err) : -ENOTTY;
    if (ret == DISK_NEEDED)
        later_start(&(struct later){.req = req,
                                    .run = ioctl_again,
                                    .handle = handle,
                                    .number = cmd,
                                    .data = in,
                                    .len = in_len});
    else if (ret)
        reply_failed(req, ret, &err);
}
