/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/invalidate.h"

#include "base/scope.h"
#include "fuse/lowlevel.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

enum { QUEUE_MAX = 1 << 16 };

struct item {
    struct item *next;
    uint64_t ino; /* the parent of name, or the inode itself */
    bool is_entry;
    char name[];
};

struct invalidate {
    struct fuse_session *session;
    pthread_t thread;
    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t more;
    struct item *first;
    struct item **last;
    uint32_t n_items;
    bool started;
    bool stopping;
};

int invalidate_new(struct invalidate **out)
{
    struct invalidate *invalidate = calloc(1, sizeof *invalidate);
    if (!invalidate)
        return -ENOMEM;
    pthread_mutex_init(&invalidate->lock, NULL);
    pthread_cond_init(&invalidate->more, NULL);
    invalidate->last = &invalidate->first;
    *out = invalidate;
    return 0;
}

/* The oldest item, or NULL. Called with the lock held. */
static struct item *take_item(struct invalidate *invalidate)
{
    struct item *item = invalidate->first;
    if (!item)
        return NULL;
    invalidate->first = item->next;
    if (!invalidate->first)
        invalidate->last = &invalidate->first;
    invalidate->n_items--;
    return item;
}

void invalidate_free(struct invalidate *invalidate)
{
    if (!invalidate)
        return;
    struct item *item = NULL;
    while ((item = take_item(invalidate)))
        free(item);
    pthread_cond_destroy(&invalidate->more);
    pthread_mutex_destroy(&invalidate->lock);
    free(invalidate);
}

/* The next item; NULL when stopping. */
static struct item *wait_item(struct invalidate *invalidate)
{
    scope_lock(&invalidate->lock);
    while (!invalidate->first && !invalidate->stopping)
        pthread_cond_wait(&invalidate->more, &invalidate->lock);
    return invalidate->stopping ? NULL : take_item(invalidate);
}

static void *run(void *context)
{
    struct invalidate *invalidate = context;
    struct item *item = NULL;
    while ((item = wait_item(invalidate))) {
        /* -ENOENT says that the kernel has not cached it; nothing to do about other errors. */
        if (item->is_entry)
            fuse_lowlevel_notify_inval_entry(invalidate->session, item->ino, item->name,
                                             strlen(item->name));
        else
            fuse_lowlevel_notify_inval_inode(invalidate->session, item->ino, -1, 0);
        free(item);
    }
    return NULL;
}

int invalidate_start(struct invalidate *invalidate, struct fuse_session *session)
{
    scope_lock(&invalidate->lock);
    invalidate->session = session;
    int ret = pthread_create(&invalidate->thread, NULL, run, invalidate);
    invalidate->started = ret == 0;
    return -ret;
}

void invalidate_stop(struct invalidate *invalidate)
{
    pthread_mutex_lock(&invalidate->lock);
    bool started = invalidate->started;
    invalidate->stopping = true;
    invalidate->started = false;
    pthread_cond_signal(&invalidate->more);
    pthread_mutex_unlock(&invalidate->lock);
    if (started)
        pthread_join(invalidate->thread, NULL);
}

static void add_item(struct invalidate *invalidate, uint64_t ino, const char *name, bool is_entry)
{
    size_t len = strlen(name);
    struct item *item = malloc(sizeof *item + len + 1);
    if (!item)
        return;
    item->next = NULL;
    item->ino = ino;
    item->is_entry = is_entry;
    memcpy(item->name, name, len + 1);
    scope_lock(&invalidate->lock);
    if (!invalidate->started || invalidate->n_items >= QUEUE_MAX) {
        free(item);
        return;
    }
    *invalidate->last = item;
    invalidate->last = &item->next;
    invalidate->n_items++;
    pthread_cond_signal(&invalidate->more);
}

void invalidate_entry(struct invalidate *invalidate, uint64_t parent, const char *name)
{
    add_item(invalidate, parent, name, true);
}

void invalidate_attr(struct invalidate *invalidate, uint64_t ino)
{
    add_item(invalidate, ino, "", false);
}
