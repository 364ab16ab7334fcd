/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session: one open lookup file: its arena, its written request and reply, and the version it is
 * pinned to, if any.
 *
 * Calls that may have to wait for a disk take what the thread brings along for that; with NULL they
 * return DISK_NEEDED instead of waiting, and are to be made again, with the same arguments, where
 * waiting is fine.
 *
 * Threads: any number of calls at once; the lock guards the arena pointer and the message, and is
 * never held over a batch on shared memory, or over one that waits for a disk.
 * Memory: session_close() after the last call returned (the kernel's release).
 * Errors: negative errno for what cannot be answered at all (the system call fails with it):
 * -EPROTO, -E2BIG, -EINVAL (also without an arena), -EBUSY and -ECANCELED for reads of one file that
 * others read or write meanwhile, DISK_NEEDED. All else is in the reply's error.
 */
#ifndef FKV_FUSE_SESSION_H
#define FKV_FUSE_SESSION_H

#include "fuse/answer.h"
#include "fuse/message.h"
#include "fuse/quota.h"
#include "fuse/stats.h"
#include "node/table.h"

#include <sys/types.h>

struct session;

/* Takes over the pin on `pinned` (NULL follows the table) and the join of `user`, who pays for what
 * the session holds. Nothing is taken when it fails. */
int session_open(struct table *table, struct version *pinned, struct stats *stats,
                 struct quota_user *user, struct session **out);
void session_close(struct session *session);

void session_info(const struct session *session, uint64_t daemon_id, struct fkv_info *out);

/* data, len: a struct fkv_attach; tid: the calling thread. */
int session_attach(struct session *session, pid_t tid, const void *data, size_t len,
                   struct err *err);

/* data, len: a struct fkv_lookup; *out is it with the reply filled in. */
int session_lookup(struct session *session, const void *data, size_t len,
                   const struct answer_disk *disk, struct fkv_lookup *out, struct err *err);

/* data, len: request and keys; out has room for FKV_INLINE_MAX bytes of reply and body. */
int session_inline(struct session *session, const void *data, size_t len,
                   const struct answer_disk *disk, uint8_t *out, size_t *out_len, struct err *err);

/* One written piece of a request, and the next piece of the reply (see message.h). The batch runs
 * at the first read: the kernel lets one write at a time into a file, but any number of reads. */
int session_write(struct session *session, const void *data, size_t len, struct err *err);
int session_read(struct session *session, size_t max, const struct answer_disk *disk,
                 struct message_piece *out, struct err *err);

#endif
