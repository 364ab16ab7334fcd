/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Switches at a known instant, all nodes of a fleet together.
 *
 * The plan of a table says what it will serve from when on. That takes nothing but the lock at the
 * instant itself, so it has a thread of its own that waits for no store, no disk and no load: what a
 * switch brings with it (events, which end in a log that may stall; state.json; the heartbeat) is
 * done by others afterwards.
 */
#include "node/node_impl.h"

#include <errno.h>

/* Under the lock: when the next table changes, CLOCK_MONOTONIC; INT64_MAX: none known. */
static int64_t next_flip_ns(const struct node *node)
{
    int64_t next_ns = 0;
    size_t n_tables = atomic_load(&node->n_tables);
    for (size_t i = 0; i < n_tables; i++) {
        int64_t at_ns = node->tables[i]->next_ns;
        if (at_ns && (!next_ns || at_ns < next_ns))
            next_ns = at_ns;
    }
    return next_ns ? next_ns - node_time_of(node, 0) : INT64_MAX;
}

/* Under the lock: what the last plan says of the instant that has come. */
static void flip_due(struct node *node, struct table *table, int64_t now_ns)
{
    if (!table->next_ns || now_ns < table->next_ns)
        return;
    table->passed_ns = table->next_ns;
    table->next_ns = 0;
    table->epoch++; /* a plan in the making is of before */
    table->unpinned = table->next;
    if (table->local_pin)
        return;
    table->wanted = table->next;
    struct slot *slot = table_find_slot(table, table->next);
    if (slot && slot->loaded)
        node_serve(node, table, slot);
}

/* Under the lock. */
static void wait_until(struct node *node, int64_t at_ns)
{
    const struct timespec at = {.tv_sec = at_ns / 1000000000LL, .tv_nsec = at_ns % 1000000000LL};
    pthread_cond_timedwait(&node->plan_changed, &node->lock, &at);
}

bool node_flip(struct node *node, int64_t max_ns)
{
    int64_t deadline_ns = clock_now_ns(CLOCK_MONOTONIC) + max_ns;
    bool is_due = false;
    pthread_mutex_lock(&node->lock);
    while (!atomic_load(&node->is_cancelled)) {
        int64_t at_ns = next_flip_ns(node);
        int64_t now_ns = clock_now_ns(CLOCK_MONOTONIC);
        is_due = at_ns <= now_ns;
        if (is_due || deadline_ns <= now_ns)
            break;
        wait_until(node, at_ns < deadline_ns ? at_ns : deadline_ns);
    }
    size_t n_tables = is_due ? atomic_load(&node->n_tables) : 0;
    for (size_t i = 0; i < n_tables; i++)
        flip_due(node, node->tables[i], node_now_ns(node));
    pthread_mutex_unlock(&node->lock);
    return is_due;
}
