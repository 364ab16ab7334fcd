/* SPDX-License-Identifier: Apache-2.0 */
/*
 * later: a request that would have to wait for a disk, answered in a thread that may (disk.h).
 *
 * The worker that met it gives what the second call needs; libfuse's buffers are gone by then, so
 * data is copied. The kernel releases no file that a request is under way on, and a handle is held
 * all the same, as the reply lets its caller go on before the thread has.
 *
 * Threads: any. Memory: a request's, until it was replied to. Errors: replied.
 */
#ifndef FKV_FUSE_LATER_H
#define FKV_FUSE_LATER_H

#include "fuse/answer.h"
#include "fuse/ops.h"

struct later;

/* Replies, exactly once. */
typedef void (*later_fn)(const struct later *later, const struct answer_disk *disk);

struct later {
    fuse_req_t req;
    later_fn run;
    struct handle *handle; /* NULL: of no open file */
    uint64_t number;       /* what run makes of it: an inode, an offset, an ioctl */
    size_t size;           /* likewise */
    const void *data;
    size_t len;
};

void later_start(const struct later *later);

#endif
