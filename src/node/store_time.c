/* SPDX-License-Identifier: Apache-2.0 */
/* The node's time: the store's, as far as it is known. */
#include "node/store_time.h"

#include "base/scope.h"
#include "node/node_impl.h"

#include <stdlib.h>

#define READ_EVERY_NS (60 * 1000000000LL)
/* As long as none was ever read. */
#define RETRY_NS (5 * 1000000000LL)
/* A reading as close as this is not tried again for a closer one. */
#define ERROR_GOOD_NS (10 * 1000000LL)

/* Two clocks drift apart by no more than 1 in 10,000: ten times what quartz does. */
enum { DRIFT = 10000, READ_TRIES = 4 };

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

struct store_clock clock_better(const struct store_clock *old, int64_t age_ns,
                                const struct store_clock *read)
{
    struct store_clock aged = *old;
    aged.error_ns += age_ns / DRIFT;
    bool is_apart = llabs(read->offset_ns - aged.offset_ns) > read->error_ns + aged.error_ns;
    return read->error_ns <= aged.error_ns || is_apart ? *read : aged;
}

/* The closest of a few readings: one may have waited behind a large write. */
static int read_closest(struct store *store, struct store_clock *out, struct err *err)
{
    struct store_clock read = {0};
    int ret = store_clock_read(store, "nodes", out, err);
    for (int n = 1; n < READ_TRIES && !ret && out->error_ns > ERROR_GOOD_NS; n++)
        if (!store_clock_read(store, "nodes", &read, NULL))
            *out = clock_better(out, 0, &read);
    return ret;
}

/* Under no lock: flips that were counted by the former offset are counted anew. */
static void go_by(struct node *node, const struct store_clock *clock, bool is_stores,
                  int64_t now_ns)
{
    struct follower *follower = &node->follower;
    follower->clock = *clock;
    follower->clock_ns = now_ns;
    scope_lock(&node->lock);
    node->clock_is_stores = is_stores;
    atomic_store_explicit(&node->clock_offset_ns, clock->offset_ns, memory_order_relaxed);
    pthread_cond_signal(&node->plan_changed);
}

/* What was read before goes on; without any, this machine's clock is followed as it is set. */
static void do_without(struct node *node, int64_t now_ns, const char *reason)
{
    struct follower *follower = &node->follower;
    const struct store_clock local = store_clock_local();
    if (!node->clock_is_stores) {
        follower->clock_due_ns = now_ns + RETRY_NS;
        go_by(node, &local, false, now_ns);
    }
    if (!follower->clock_is_told)
        node_tell(node, NODE_EVENT_WARNING, NULL, 0,
                  "the store's clock cannot be read, going by %s: %s",
                  node->clock_is_stores ? "what it said last" : "this machine's", reason);
    follower->clock_is_told = true;
}

void node_read_clock(struct node *node)
{
    struct follower *follower = &node->follower;
    struct err err = {0};
    struct store_clock read = {0};
    int64_t now_ns = clock_now_ns(CLOCK_MONOTONIC);
    if (now_ns < follower->clock_due_ns)
        return;
    follower->clock_due_ns = now_ns + READ_EVERY_NS;
    int ret = read_closest(follower->store, &read, &err);
    if (ret) {
        do_without(node, now_ns, err_text(&err, ret));
        return;
    }
    if (node->clock_is_stores)
        read = clock_better(&follower->clock, now_ns - follower->clock_ns, &read);
    follower->clock_is_told = false;
    go_by(node, &read, true, now_ns);
}
