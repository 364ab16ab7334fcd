/* SPDX-License-Identifier: Apache-2.0 */
/* The node's time: the store's, as far as it is known. */
#include "base/scope.h"
#include "node/node_impl.h"

#define READ_EVERY_NS (60 * 1000000000LL)
/* As long as none was ever read. */
#define RETRY_NS (5 * 1000000000LL)
int64_t clock_now_ns(int clock_id)
{
    struct timespec now;
    clock_gettime(clock_id, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

int64_t node_time_of(const struct node *node, int64_t monotonic_ns)
{
    return monotonic_ns + atomic_load_explicit(&node->clock_offset_ns, memory_order_relaxed);
}

int64_t node_now_ns(const struct node *node)
{
    return node_time_of(node, clock_now_ns(CLOCK_MONOTONIC));
}

int64_t node_clock_ahead_ns(const struct node *node)
{
    return clock_now_ns(CLOCK_REALTIME) - node_now_ns(node);
}

/* Under no lock: flips that were counted by the former offset are counted anew. */
static void go_by(struct node *node, const struct store_time *time)
{
    scope_lock(&node->lock);
    node->clock_is_stores = time->is_stores;
    atomic_store_explicit(&node->clock_offset_ns, time->clock.offset_ns, memory_order_relaxed);
    pthread_cond_signal(&node->plan_changed);
}

void node_read_clock(struct node *node)
{
    struct follower *follower = &node->follower;
    struct store_time *time = &follower->time;
    struct err err = {0};
    int64_t now_ns = clock_now_ns(CLOCK_MONOTONIC);
    if (now_ns < follower->clock_due_ns)
        return;
    int ret = store_time_read(time, follower->store, "nodes", &err);
    follower->clock_due_ns = now_ns + (time->is_stores ? READ_EVERY_NS : RETRY_NS);
    if (ret && !follower->clock_is_told)
        node_tell(node, NODE_EVENT_WARNING, NULL, 0,
                  "the store's clock cannot be read, going by %s: %s",
                  time->is_stores ? "what it said last" : "this machine's", err_text(&err, ret));
    follower->clock_is_told = ret != 0;
    go_by(node, time);
}
