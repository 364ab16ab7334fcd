/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The node-local switch, the emergency brake: it uses nothing but the cache and the caller's own
 * thread, so that neither a hung store nor a long fetch stands in its way. A version that is loaded
 * takes no more than the lock; for one that is not, loads by work give way.
 */
#include "node/node_impl.h"

#include "base/scope.h"

#include <errno.h>

/* How long it waits for another switch's load, and for the disk to give the next chunk. */
#define SWITCH_TIMEOUT_NS (60 * 1000000000LL)

struct limit {
    struct node *node;
    int64_t deadline_ns;
};

/* Asked chunk by chunk: it is over when one takes too long, however many there are. */
static int past_limit(void *context)
{
    struct limit *limit = context;
    int64_t now_ns = clock_now_ns(CLOCK_MONOTONIC);
    if (atomic_load(&limit->node->is_cancelled))
        return -ECANCELED;
    if (now_ns > limit->deadline_ns)
        return -ETIMEDOUT;
    limit->deadline_ns = now_ns + SWITCH_TIMEOUT_NS;
    return 0;
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

/* Under the lock: switches to the version and pins it, when it is loaded. */
static bool pin_if_loaded(struct node *node, struct table *table, const struct slot *slot,
                          int64_t now_ns)
{
    if (!slot->loaded)
        return false;
    table->local_pin = slot->id;
    table->pin_seq = node->seq;
    table->pin_ns = now_ns;
    set_wanted(node, table, slot->id);
    return true;
}

/* Under the lock, which it drops while it loads; the slot is held. */
static int load_and_pin(struct node *node, struct table *table, struct slot *slot, int64_t now_ns,
                        struct err *err)
{
    uint64_t done = 0;
    int ret = 0;
    do { /* as long as work gets on with this very version */
        done = atomic_load(&slot->progress.done);
        ret = node_take_loader(node, true, clock_now_ns(CLOCK_MONOTONIC) + SWITCH_TIMEOUT_NS);
    } while (ret == -ETIMEDOUT && slot->activity == SLOT_LOADING &&
             atomic_load(&slot->progress.done) != done);
    if (ret)
        return err_set(err, ret, "table %s version %llu: another load did not end within 60 s",
                       table->name, (unsigned long long)slot->id);
    if (!slot->loaded) { /* by whom we waited for */
        struct limit limit = {node, clock_now_ns(CLOCK_MONOTONIC) + SWITCH_TIMEOUT_NS};
        struct stop stop = {past_limit, &limit};
        pthread_mutex_unlock(&node->lock);
        ret = node_load(node, table, slot, RANK_SERVE, &stop, err);
        pthread_mutex_lock(&node->lock);
    }
    node_leave_loader(node);
    if (!ret)
        pin_if_loaded(node, table, slot, now_ns);
    return ret;
}

static int pin_local(struct node *node, struct table *table, uint64_t id, struct err *err)
{
    int64_t now_ns = node_now_ns(node);
    scope_lock(&node->lock);
    struct slot *slot = table_find_slot(table, id);
    if (!slot || !slot_is_visible(slot))
        return err_set(err, -ENOENT, "table %s has no version %llu on this machine", table->name,
                       (unsigned long long)id);
    if (pin_if_loaded(node, table, slot, now_ns))
        return 0;
    slot->n_held++;
    int ret = load_and_pin(node, table, slot, now_ns, err);
    slot->n_held--;
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
    int ret = pin_local(node, table, id, err);
    if (ret == -EUCLEAN) {
        if (err)
            err->code = -EBADMSG;
        return -EBADMSG;
    }
    if (ret)
        return ret;
    node_save_if_dirty(node);
    node_tell_notes(node);
    node_tell(node, NODE_EVENT_NOTICE, table, id,
              "table %s: pinned to version %llu on this machine", table->name,
              (unsigned long long)id);
    return 0;
}
