/* SPDX-License-Identifier: Apache-2.0 */
/*
 * quota: what clients make the daemon hold, so that no user can take all of it from the others.
 *
 * Each kind has a limit for all users together, of which one user may have a share.
 *
 * Threads: any; a lock guards the list and all counts, and is held for a few instructions. Memory:
 * quota_free() after every quota_leave(). Errors: -ENOMEM.
 */
#ifndef FKV_FUSE_QUOTA_H
#define FKV_FUSE_QUOTA_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct quota;
struct quota_user;

enum quota_kind {
    QUOTA_MESSAGE_BYTES, /* written requests, and replies that wait to be read */
    QUOTA_ARENAS,
    QUOTA_ARENA_BYTES,
    QUOTA_KINDS,
};

enum { QUOTA_SHARES = 4 }; /* a user may have one of them */

int quota_new(struct quota **out);
void quota_free(struct quota *quota);

/* The share of a user, for as long as somebody has joined it. NULL without memory. */
struct quota_user *quota_join(struct quota *quota, uid_t uid);
void quota_leave(struct quota_user *user); /* NULL is fine */

/* What the user may still have. */
uint64_t quota_left(struct quota_user *user, enum quota_kind kind);
/* Takes that much if it is left. */
bool quota_take(struct quota_user *user, enum quota_kind kind, uint64_t n);
/* Holds `now` instead of `before`, whatever is left. */
void quota_change(struct quota_user *user, enum quota_kind kind, uint64_t before, uint64_t now);

/* The limit of all users together. */
uint64_t quota_limit(enum quota_kind kind);

#endif
