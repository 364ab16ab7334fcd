/* SPDX-License-Identifier: Apache-2.0 */
/*
 * arena: a client's shared memory, mapped here.
 *
 * Invariant: the file behind it is a memfd (shmem) sealed against shrinking, at least as long as
 * the mapping and allocated when it was attached, so no access within [0, len) can be beyond its end. Its content may change at any
 * moment.
 *
 * Threads: ref and unref from any. Memory: unmapped by the last unref, so a batch that runs keeps
 * what a new ATTACH replaced.
 * Errors: -EOPNOTSUPP when the caller's process cannot be seen from here (another pid namespace),
 * -EBADF, -EPERM when it may not be inspected or its seals are missing, -EINVAL for another kind of
 * file or one too short.
 */
#ifndef FKV_FUSE_ARENA_H
#define FKV_FUSE_ARENA_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct arena;

/* A copy of descriptor fd of the process that thread tid belongs to, or -errno. tid must be waiting
 * for us, so that its number cannot have passed to another process. */
int arena_fetch_fd(pid_t tid, int fd, struct err *err);

/* Maps the first len bytes of fd (which the caller keeps and closes). One reference. */
int arena_map(int fd, uint64_t len, struct arena **out, struct err *err);

struct arena *arena_ref(struct arena *arena);
void arena_unref(struct arena *arena); /* NULL is fine */

uint8_t *arena_data(const struct arena *arena);
uint64_t arena_len(const struct arena *arena);

#endif
