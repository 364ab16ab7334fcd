/* SPDX-License-Identifier: Apache-2.0 */
/*
 * written: a written request on its way to its reply.
 *
 * How long the reply will be is known when it is there, so room for it is tried: each try's memory
 * is taken from what the user may have before it is allocated. A small reply always has its place.
 *
 * Threads: one at a time for each struct written. Memory: written_release(), when the reply is the
 * caller's to account for. Errors: -ENOMEM, DISK_NEEDED; all else is in the reply's error.
 */
#ifndef FKV_FUSE_WRITTEN_H
#define FKV_FUSE_WRITTEN_H

#include "fuse/answer.h"
#include "fuse/message.h"
#include "fuse/quota.h"
#include "fuse/stats.h"

/* A session may always hold this much, for a small request and a small reply: whatever others hold,
 * few keys can be asked. */
enum { MESSAGE_SMALL = 80 << 10 };

struct written {
    const struct answer_source *source;
    const struct answer_disk *disk;
    struct stats *stats;
    struct quota_user *user;
    struct wire_request request;
    const struct blob *blob; /* request and keys; the caller's */
    size_t charged;          /* what the user pays for its reply */
};

int written_answer(struct written *written, struct blob **out);
void written_release(struct written *written);

#endif
