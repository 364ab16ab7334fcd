/* SPDX-License-Identifier: Apache-2.0 */
#include "node/node_impl.h"

#include "base/scope.h"

#include <errno.h>
#include <string.h>

#define RATE_EVERY_NS 1000000000LL

/* The table's facts as the plan wants them. Under the lock. */
static int collect_facts(struct node *node, struct table *table, struct plan_have **have,
                         struct plan_input *input)
{
    *have = calloc(table->n_slots ? table->n_slots : 1, sizeof **have);
    if (!*have)
        return -ENOMEM;
    for (size_t i = 0; i < table->n_slots; i++) {
        const struct slot *slot = table->slots[i];
        (*have)[i] = (struct plan_have){
            .id = slot->id, .is_cached = slot->cached != NULL, .is_loaded = slot->loaded != NULL};
    }
    const struct follower *follower = &node->follower;
    *input = (struct plan_input){
        .fleet = follower->has_state ? state_find_table(&follower->state, table->name) : NULL,
        .node = node->name,
        .labels = (const char *const *)node->labels,
        .n_labels = node->n_labels,
        .now_ns = node_now_ns(node),
        .local_pin = table->local_pin,
        .serving = table->serving,
        .previous = table->before,
        .keep_cached = node->keep_cached,
        .have = *have,
        .n_have = table->n_slots,
    };
    /* What has come does not become future again: nobody switches back because of a clock. */
    if (input->fleet && input->fleet->effective_ns <= input->now_ns &&
        input->fleet->effective_ns > table->passed_ns)
        table->passed_ns = input->fleet->effective_ns;
    if (input->now_ns < table->passed_ns)
        input->now_ns = table->passed_ns;
    return 0;
}

/* A slot for an item; the manifest's word on what version.json is wins over an idle cached copy. */
static struct slot *item_slot(struct node *node, struct table *table, const struct plan_item *item,
                              const struct table_state *fleet)
{
    const struct version_entry *entry = fleet ? table_state_find(fleet, item->id) : NULL;
    struct slot *slot = table_find_slot(table, item->id);
    if (!slot)
        return entry ? table_add_slot(table, item->id, &entry->digest) : NULL;
    if (entry && !digest_equal(&entry->digest, &slot->digest) && !slot->loaded &&
        slot->activity == SLOT_IDLE && !slot->n_held) {
        version_unpin(slot->cached);
        slot->cached = NULL;
        slot->digest = entry->digest;
        node_note(node, NODE_EVENT_VERSION, table, slot->id);
    }
    return slot;
}

static void apply_item(struct node *node, struct table *table, const struct plan_item *item,
                       const struct table_state *fleet)
{
    struct slot *slot = item_slot(node, table, item, fleet);
    if (!slot)
        return;
    bool was_visible = slot_is_visible(slot);
    if (slot->place != item->place || slot->rank != item->rank) {
        slot->place = item->place;
        slot->rank = item->rank;
        slot->retry_ns = 0;
        node->changes++;
    }
    /* A pinned one keeps its memory anyway, and whoever has it open may open more of it: the next
     * plan tries again. */
    if (item->place != PLACE_LOADED && slot->loaded && slot->id != table->serving &&
        slot->activity == SLOT_IDLE && !slot->n_held && counted_is_sole(&slot->loaded->counted))
        node_drop_loaded(node, table, slot);
    if (slot_is_visible(slot) != was_visible)
        node_note(node, NODE_EVENT_VERSION, table, slot->id);
}

/* Under the lock. Returns true when it switched, after which the plan is another. */
static bool apply_plan(struct node *node, struct table *table, const struct plan *plan,
                       const struct table_state *fleet)
{
    for (size_t i = 0; i < plan->n_items; i++)
        apply_item(node, table, &plan->items[i], fleet);
    table->wanted = plan->wanted;
    table->unpinned = plan->unpinned;
    table->next = plan->next;
    if (table->next_ns != plan->next_ns)
        pthread_cond_signal(&node->plan_changed);
    table->next_ns = plan->next_ns;
    struct slot *slot = table_find_slot(table, plan->wanted);
    if (slot && !slot->loaded && slot->activity == SLOT_IDLE &&
        slot->retry_ns <= clock_now_ns(CLOCK_MONOTONIC))
        atomic_store(&node->is_urgent, true);
    bool is_due = slot && slot->loaded && table->serving != plan->wanted;
    if (is_due)
        node_serve(node, table, slot);
    if (table->serving == plan->wanted && table->previous != plan->previous) {
        table->previous = plan->previous;
        node->is_dirty = true;
        node_note(node, NODE_EVENT_SWITCHED, table, table->serving);
    }
    return is_due;
}

void node_plan_table(struct node *node, struct table *table)
{
    bool is_done = false;
    while (!is_done) {
        scope_free struct plan_have *have = NULL;
        struct plan_input input;
        struct plan plan = {0};
        pthread_mutex_lock(&node->lock);
        uint64_t epoch = table->epoch;
        int ret = collect_facts(node, table, &have, &input);
        pthread_mutex_unlock(&node->lock);
        if (ret || plan_make(&input, &plan))
            break;
        pthread_mutex_lock(&node->lock);
        /* A node-local switch came between: its word counts, plan anew. */
        is_done = table->epoch == epoch && !apply_plan(node, table, &plan, input.fleet);
        pthread_mutex_unlock(&node->lock);
        plan_release(&plan);
    }
    node_tell_notes(node);
}

static void plan_all(struct node *node)
{
    size_t n_tables = atomic_load(&node->n_tables);
    for (size_t i = 0; i < n_tables; i++)
        node_plan_table(node, node->tables[i]);
}

/* News may cure what failed: a new version of the part, a smaller one, memory given up. */
static void forget_backoff(struct node *node)
{
    scope_lock(&node->lock);
    size_t n_tables = atomic_load(&node->n_tables);
    for (size_t t = 0; t < n_tables; t++)
        for (size_t s = 0; s < node->tables[t]->n_slots; s++)
            node->tables[t]->slots[s]->retry_ns = 0;
}

static void take_news(struct node *node)
{
    const struct state *state = &node->follower.state;
    for (size_t i = 0; i < state->n_tables; i++)
        if (!node_add_table(node, state->tables[i].name))
            node_tell(node, NODE_EVENT_WARNING, NULL, 0,
                      "table %s is not served: no memory, or more than %d tables",
                      state->tables[i].name, NODE_TABLES_MAX);
    forget_backoff(node);
}

static void note_planned(struct node *node)
{
    scope_lock(&node->lock);
    node->has_planned = true;
}

/* How fast bytes came since the last look, for people. */
static void look_at_rate(struct node *node)
{
    struct follower *follower = &node->follower;
    int64_t now_ns = clock_now_ns(CLOCK_MONOTONIC);
    int64_t age_ns = now_ns - follower->rate_ns;
    if (age_ns < RATE_EVERY_NS)
        return;
    uint64_t bytes = atomic_load(&node->n_fetched_bytes);
    double rate = (double)(bytes - follower->rate_bytes) / ((double)age_ns / 1e9);
    atomic_store(&node->fetch_rate, (uint64_t)rate);
    follower->rate_ns = now_ns;
    follower->rate_bytes = bytes;
}

int node_follow(struct node *node, int64_t *wait_ns, struct err *err)
{
    bool is_new = false;
    /* What is due is done before the store, which may be slow, is asked. */
    plan_all(node);
    node_save_if_dirty(node);
    if (node_contact(node, &is_new)) {
        node_read_clock(node);
        if (is_new)
            take_news(node);
        size_t n_tables = atomic_load(&node->n_tables);
        for (size_t i = 0; i < n_tables; i++)
            node_look_for_unpin(node, node->tables[i]);
        plan_all(node);
        note_planned(node);
        node_save_if_dirty(node);
        node_beat_if_due(node);
    }
    look_at_rate(node);
    node_count_requests(node, node->follower.store, &node->follower.n_requests);
    if (!node->follower.manifest) {
        int64_t left_ns = node->follower.retry_ns - clock_now_ns(CLOCK_MONOTONIC);
        if (left_ns < *wait_ns)
            *wait_ns = left_ns > 0 ? left_ns : 0;
    }
    return 0;
}
