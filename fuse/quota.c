/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/quota.h"

#include "base/scope.h"

#include <errno.h>

/* Arenas: a process may have 65,530 mappings, and the tables behind these bytes take a 512th. */
static const uint64_t limits[QUOTA_KINDS] = {
    [QUOTA_MESSAGE_BYTES] = 1ull << 30,
    [QUOTA_ARENAS] = 1ull << 15,
    [QUOTA_ARENA_BYTES] = 1ull << 38,
};

struct quota_user {
    struct quota *quota;
    struct quota_user *next;
    uid_t uid;
    uint32_t refs;
    uint64_t held[QUOTA_KINDS];
};

struct quota {
    pthread_mutex_t lock; /* guards all, the users too */
    struct quota_user *users;
    uint64_t held[QUOTA_KINDS];
};

int quota_new(struct quota **out)
{
    struct quota *quota = calloc(1, sizeof *quota);
    if (!quota)
        return -ENOMEM;
    pthread_mutex_init(&quota->lock, NULL);
    *out = quota;
    return 0;
}

void quota_free(struct quota *quota)
{
    if (!quota)
        return;
    pthread_mutex_destroy(&quota->lock);
    free(quota);
}

struct quota_user *quota_join(struct quota *quota, uid_t uid)
{
    scope_lock(&quota->lock);
    struct quota_user *user = quota->users;
    while (user && user->uid != uid)
        user = user->next;
    if (!user) {
        user = calloc(1, sizeof *user);
        if (!user)
            return NULL;
        user->quota = quota;
        user->uid = uid;
        user->next = quota->users;
        quota->users = user;
    }
    user->refs++;
    return user;
}

void quota_leave(struct quota_user *user)
{
    if (!user)
        return;
    struct quota *quota = user->quota;
    scope_lock(&quota->lock);
    if (--user->refs)
        return;
    struct quota_user **link = &quota->users;
    while (*link != user)
        link = &(*link)->next;
    *link = user->next;
    free(user);
}

/* Called with the lock held. */
static uint64_t left(const struct quota_user *user, enum quota_kind kind)
{
    uint64_t limit = limits[kind];
    uint64_t share = limit / QUOTA_SHARES;
    uint64_t of_all = user->quota->held[kind] < limit ? limit - user->quota->held[kind] : 0;
    uint64_t of_share = user->held[kind] < share ? share - user->held[kind] : 0;
    return of_all < of_share ? of_all : of_share;
}

uint64_t quota_left(struct quota_user *user, enum quota_kind kind)
{
    scope_lock(&user->quota->lock);
    return left(user, kind);
}

/* Called with the lock held. */
static void change(struct quota_user *user, enum quota_kind kind, uint64_t before, uint64_t now)
{
    user->held[kind] += now - before;
    user->quota->held[kind] += now - before;
}

bool quota_take(struct quota_user *user, enum quota_kind kind, uint64_t n)
{
    scope_lock(&user->quota->lock);
    if (n > left(user, kind))
        return false;
    change(user, kind, 0, n);
    return true;
}

void quota_change(struct quota_user *user, enum quota_kind kind, uint64_t before, uint64_t now)
{
    scope_lock(&user->quota->lock);
    change(user, kind, before, now);
}

uint64_t quota_limit(enum quota_kind kind)
{
    return limits[kind];
}
