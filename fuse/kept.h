/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kept: the value behind an open key file of a table on disk.
 *
 * It is read when the file is. The kernel caches what it has read and asks for pieces of some 128
 * KiB, so a value that takes more than one of them is kept until the file is closed, as long as its
 * user has memory left for messages; without, it is read again for each piece.
 *
 * Threads: any. Memory: kept_free(), after the last read returned. Errors: those of value_read();
 * -ENOMEM.
 */
#ifndef FKV_FUSE_KEPT_H
#define FKV_FUSE_KEPT_H

#include "fuse/quota.h"
#include "fuse/value.h"

struct kept;

/* Takes over the join of user. len: the value's. The version outlives it. */
int kept_new(const struct version *version, const struct file_key *key, uint64_t len,
             struct quota_user *user, struct kept **out);
void kept_free(struct kept *kept); /* NULL is fine */

/* The value, whole, for a read of size bytes at off: in *made, which the caller releases after use, or
 * kept. worker: NULL in threads that must not wait for a disk (DISK_NEEDED). */
int kept_read(struct kept *kept, size_t size, uint64_t off, struct disk_worker *worker,
              struct buf *made, const struct buf **out);

#endif
