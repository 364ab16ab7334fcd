/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The node-local switch, the emergency brake: it uses nothing but the cache and the caller's own
 * thread, so that neither a hung store nor a long fetch stands in its way.
 */
#include "node/node_impl.h"

#include "base/scope.h"

#include <errno.h>

#define SWITCH_TIMEOUT_NS (60 * 1000000000LL)

struct limit {
    struct node *node;
    int64_t deadline_ns;
};

static int past_limit(void *context)
{
    const struct limit *limit = context;
    if (atomic_load(&limit->node->is_cancelled))
        return -ECANCELED;
    return clock_now_ns(CLOCK_MONOTONIC) > limit->deadline_ns ? -ETIMEDOUT : 0;
}

/* Under the lock: makes id the one to serve and, when it is loaded, serves it. */
static void set_wanted(struct node *node, struct table *table, uint64_t id)
{
    struct slot *slot = table_find_slot(table, id);
    table->wanted = id;
    table->epoch++;
    node->is_dirty = true;
    node->changes++;
    if (slot && slot->loaded)
        node_serve(node, table, slot);
}

/* Brings the version into memory unless it is there, and holds it there. Takes and leaves the
 * loader. */
static int load_for_switch(struct node *node, struct table *table, uint64_t id, struct slot **out,
                           struct err *err)
{
    int64_t deadline_ns = clock_now_ns(CLOCK_MONOTONIC) + SWITCH_TIMEOUT_NS;
    struct limit limit = {node, deadline_ns};
    struct stop stop = {past_limit, &limit};
    pthread_mutex_lock(&node->lock);
    int ret = node_take_loader(node, deadline_ns);
    struct slot *slot = ret ? NULL : table_find_slot(table, id);
    bool is_here = slot && slot_is_visible(slot);
    bool is_loaded = is_here && slot->loaded;
    if (is_here)
        slot->is_held = true;
    pthread_mutex_unlock(&node->lock);
    if (ret)
        return err_set(err, ret, "table %s version %llu: another load did not end within 60 s",
                       table->name, (unsigned long long)id);
    if (!is_here)
        ret = err_set(err, -ENOENT, "table %s has no version %llu on this machine", table->name,
                      (unsigned long long)id);
    else if (!is_loaded)
        ret = node_load(node, table, slot, RANK_SERVE, &stop, err);
    scope_lock(&node->lock);
    node_leave_loader(node);
    if (is_here && ret)
        slot->is_held = false;
    *out = slot;
    return ret;
}

static int unpin_local(struct node *node, struct table *table)
{
    pthread_mutex_lock(&node->lock);
    bool was_pinned = table->local_pin != 0;
    table->local_pin = 0;
    if (was_pinned)
        set_wanted(node, table, table->unpinned);
    pthread_mutex_unlock(&node->lock);
    node_save_if_dirty(node);
    node_tell_notes(node);
    return 0;
}

int node_switch_local(struct node *node, struct table *table, uint64_t id, struct err *err)
{
    if (id == 0)
        return unpin_local(node, table);
    struct slot *slot = NULL;
    int64_t now_ns = node_now_ns(node);
    int ret = load_for_switch(node, table, id, &slot, err);
    if (ret == -EUCLEAN) {
        if (err)
            err->code = -EBADMSG;
        return -EBADMSG;
    }
    if (ret)
        return ret;
    pthread_mutex_lock(&node->lock);
    table->local_pin = id;
    table->pin_seq = node->seq;
    table->pin_ns = now_ns;
    set_wanted(node, table, id);
    slot->is_held = false;
    pthread_mutex_unlock(&node->lock);
    node_save_if_dirty(node);
    node_tell_notes(node);
    node_tell(node, NODE_EVENT_NOTICE, table, id,
              "table %s: pinned to version %llu on this machine", table->name,
              (unsigned long long)id);
    return 0;
}
