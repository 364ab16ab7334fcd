/* SPDX-License-Identifier: Apache-2.0 */
/*
 * answer: one batch, wholly from one version.
 *
 * Chooses and pins the version the request may be answered from, runs the batch into the caller's
 * memory, unpins, counts. What a table on disk has to answer needs a disk worker, so it is answered in
 * a thread that has one (disk.h).
 *
 * Threads: any number at once. Memory: none allocated; nothing is kept.
 * Errors: all in reply->error: -ENOENT no version yet, -ESTALE and -EAGAIN as FKV_WANT_* say,
 * -EACCES a version that may be closed to whoever opened the file, -EINVAL keys of the wrong type,
 * -ENOTSUP a scan of a table that has no order, -ETIMEDOUT, -EFAULT when keys or out could not be
 * touched, and those of batch_run(); DISK_NEEDED, of which nothing is counted.
 */
#ifndef FKV_FUSE_ANSWER_H
#define FKV_FUSE_ANSWER_H

#include "fuse/disk.h"
#include "fuse/stats.h"
#include "node/table.h"
#include "wire/request.h"

/* Who may read a version. */
struct answer_access {
    uid_t uid;
    gid_t gid;
    uint32_t read_bits;
};

struct answer_source {
    struct table *table;
    struct version *pinned; /* answers always from it; NULL: from what is current */
    struct table_stats *stats;
    struct answer_access opened_under; /* what the kernel decided by; unless pinned */
};

/* Whom a table that is opened now is open to. */
struct answer_access answer_access_now(struct table *table);

/* Where keys are and the body goes. guard: the range whose pages may fail (an arena), or NULL. */
struct answer_space {
    const uint8_t *keys;
    uint8_t *out;
    size_t out_cap;
    const void *guard;
    size_t guard_len;
};

/* What a thread that may wait for a disk brings along. */
struct answer_disk {
    struct disk_worker *worker;
    uint64_t since_ns; /* when the request came, CLOCK_MONOTONIC */
};

/* disk: NULL in threads that must not wait. */
void answer_batch(const struct answer_source *source, const struct wire_request *request,
                  const struct answer_space *space, const struct answer_disk *disk,
                  struct wire_reply *reply);

#endif
