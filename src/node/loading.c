/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loading: one at a time, by the work thread or by a node-local switch. Who loads holds the loader,
 * and with it the registry of parts: only its holder adds, shares and frees parts, so that room can
 * be counted before it is taken.
 */
#include "node/node_impl.h"

#include "node/load_version.h"

#include <errno.h>

/* A standby version that found no room asks again after this long. */
#define STANDBY_RETRY_NS (10 * 1000000000LL)
/* A bad cached copy is fetched again at once, this often in a row. */
enum { REFETCH_TRIES = 3 };

int node_take_loader(struct node *node, bool is_brake, int64_t deadline_ns)
{
    struct timespec deadline = {.tv_sec = deadline_ns / 1000000000LL,
                                .tv_nsec = deadline_ns % 1000000000LL};
    int ret = 0;
    node->n_brakes += is_brake;
    while (!ret && (node->loader_is_busy || (!is_brake && node->n_brakes))) {
        if (atomic_load(&node->is_cancelled))
            ret = -ECANCELED;
        else if (pthread_cond_timedwait(&node->loader_is_free, &node->lock, &deadline) == ETIMEDOUT)
            ret = -ETIMEDOUT;
    }
    node->n_brakes -= is_brake;
    if (!ret)
        node->loader_is_busy = true;
    return ret;
}

void node_leave_loader(struct node *node)
{
    node->loader_is_busy = false;
    pthread_cond_broadcast(&node->loader_is_free);
}

/* Under the lock: what a load's end means for the slot. */
static void end_load(struct node *node, struct table *table, struct slot *slot, enum rank rank,
                     int code, struct version *loaded, const char *reason)
{
    int64_t now_ns = clock_now_ns(CLOCK_MONOTONIC);
    slot->activity = SLOT_IDLE;
    node->changes++;
    if (!code) {
        slot->loaded = loaded;
        slot_clear_failure(slot);
        node_note(node, NODE_EVENT_VERSION, table, slot->id);
        if (table->wanted == slot->id)
            node_serve(node, table, slot);
        return;
    }
    if (code == -ECANCELED || code == -ETIMEDOUT)
        return;
    if (code == -ENOMEM && rank >= RANK_STANDBY) {
        slot->retry_ns = now_ns + STANDBY_RETRY_NS;
        return;
    }
    slot_set_failure(slot, code, reason, now_ns);
    atomic_fetch_add(&node->n_failures, 1);
    if (code == -EUCLEAN) {
        slot_expect(slot, &slot->cached->files->desc); /* its other parts are still good */
        version_unpin(slot->cached);
        slot->cached = NULL;
        node->is_dirty = true;
        node_note(node, NODE_EVENT_VERSION, table, slot->id);
        if (slot->n_failures < REFETCH_TRIES)
            slot->retry_ns = 0;
    }
}

/* Under the lock: makes the slot busy, when there is room. *cached is pinned. */
static int begin_load(struct node *node, struct slot *slot, enum rank rank, struct version **cached,
                      struct err *err)
{
    if (!slot->cached)
        return err_set(err, -ENOENT, "version %llu is not in the cache",
                       (unsigned long long)slot->id);
    int ret = node_make_room(node, slot->cached, rank, err);
    if (ret)
        return ret;
    version_pin(slot->cached);
    *cached = slot->cached;
    slot->activity = SLOT_LOADING;
    progress_begin(&slot->progress, 0);
    node->changes++;
    return 0;
}

static void tell_load(struct node *node, struct table *table, uint64_t id, int code,
                      const char *reason)
{
    if (code == -EUCLEAN) {
        node_tell(node, NODE_EVENT_WARNING, table, id,
                  "table %s version %llu: the cached copy is bad and will be fetched again: %s",
                  table->name, (unsigned long long)id, reason);
    } else if (code && code != -ECANCELED && code != -ETIMEDOUT) {
        node_tell(node, NODE_EVENT_WARNING, table, id, "table %s version %llu: not loaded: %s",
                  table->name, (unsigned long long)id, reason);
    } else if (!code) {
        node_tell(node, NODE_EVENT_NOTICE, table, id, "table %s version %llu: loaded", table->name,
                  (unsigned long long)id);
    }
}

int node_load(struct node *node, struct table *table, struct slot *slot, enum rank rank,
              const struct stop *stop, struct err *err)
{
    struct version *cached = NULL;
    struct version *loaded = NULL;
    struct err local = {0};
    uint64_t id = slot->id;
    part_memory_reap(node->memory); /* the dead do not count against the budget */
    pthread_mutex_lock(&node->lock);
    int ret = begin_load(node, slot, rank, &cached, &local);
    pthread_mutex_unlock(&node->lock);
    if (!ret) {
        part_memory_reap(node->memory);
        ret = load_version(cached, stop, &slot->progress, &loaded, &local);
    }
    version_unpin(cached);
    bool is_quiet = ret == -ENOMEM && rank >= RANK_STANDBY;
    pthread_mutex_lock(&node->lock);
    end_load(node, table, slot, rank, ret, loaded, err_text(&local, ret));
    pthread_mutex_unlock(&node->lock);
    node_tell_notes(node);
    if (!is_quiet)
        tell_load(node, table, id, ret, err_text(&local, ret));
    if (ret && err)
        *err = local;
    return ret;
}
