/* SPDX-License-Identifier: Apache-2.0 */
#include "node/node_impl.h"

#include "base/scope.h"

#include <errno.h>
#include <string.h>

#define BEAT_NS      (5 * 1000000000LL)
#define BEAT_BUSY_NS 1000000000LL

enum { UNPIN_RECORDS_MAX = 1000 };

/* The table's facts as the plan wants them. Under the lock. */
static int collect_facts(struct node *node, const struct table *table, struct plan_have **have,
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
        .now_ns = clock_now_ns(CLOCK_REALTIME),
        .local_pin = table->local_pin,
        .serving = table->serving,
        .previous = table->before,
        .keep_cached = node->keep_cached,
        .have = *have,
        .n_have = table->n_slots,
    };
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
        slot->activity == SLOT_IDLE && !slot->is_held) {
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
        slot->activity == SLOT_IDLE && !slot->is_held && counted_is_sole(&slot->loaded->counted))
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

int64_t node_plan_table(struct node *node, struct table *table)
{
    int64_t next_ns = 0;
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
        next_ns = plan.next_ns;
        plan_release(&plan);
    }
    node_tell_notes(node);
    return next_ns;
}

/* Under the lock: what the last plan says of the instant that has come. */
static void flip_due(struct node *node, struct table *table, int64_t now_ns)
{
    if (!table->next_ns || now_ns < table->next_ns)
        return;
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

void node_flip_due(struct node *node)
{
    int64_t now_ns = clock_now_ns(CLOCK_REALTIME);
    pthread_mutex_lock(&node->lock);
    uint64_t n_before = atomic_load(&node->n_switches);
    size_t n_tables = atomic_load(&node->n_tables);
    for (size_t i = 0; i < n_tables; i++)
        flip_due(node, node->tables[i], now_ns);
    bool is_flipped = atomic_load(&node->n_switches) != n_before;
    pthread_mutex_unlock(&node->lock);
    if (!is_flipped)
        return;
    node_save_if_dirty(node);
    node_tell_notes(node);
}

/* When the first plan changes by itself; 0: none does. */
static int64_t plan_all(struct node *node)
{
    int64_t next_ns = 0;
    size_t n_tables = atomic_load(&node->n_tables);
    for (size_t i = 0; i < n_tables; i++) {
        int64_t at_ns = node_plan_table(node, node->tables[i]);
        if (at_ns && (!next_ns || at_ns < next_ns))
            next_ns = at_ns;
    }
    return next_ns;
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

/* A record of before the pin may be folded after it: it took off, if any, another one. */
static bool record_unpins(const struct record *record, int64_t pin_ns, const char *table,
                          const char *node_name)
{
    if (record->time_ns < pin_ns)
        return false;
    for (size_t i = 0; i < record->n_ops; i++) {
        const struct op *op = &record->ops[i];
        if (op->kind == OP_UNPIN && !strcmp(op->table, table) && !strcmp(op->name, node_name))
            return true;
    }
    return false;
}

/* Looks at the records since the node-local switch for one that takes it back. */
static void look_for_unpin(struct node *node, struct table *table)
{
    pthread_mutex_lock(&node->lock);
    uint64_t pin = table->local_pin;
    uint64_t seq = table->pin_seq;
    int64_t pin_ns = table->pin_ns;
    uint64_t epoch = table->epoch;
    pthread_mutex_unlock(&node->lock);
    uint64_t end = node->follower.state.seq;
    bool is_unpinned = false;
    if (!pin || seq >= end)
        return;
    for (int n = 0; n < UNPIN_RECORDS_MAX && seq < end && !is_unpinned; n++) {
        struct record record = {0};
        int ret = manifest_read_record(node->follower.manifest, seq + 1, &record, NULL);
        if (ret && ret != -ENOENT)
            break; /* looked at again in the next round */
        is_unpinned = !ret && record_unpins(&record, pin_ns, table->name, node->name);
        record_release(&record);
        seq++;
    }
    pthread_mutex_lock(&node->lock);
    bool is_same = table->epoch == epoch;
    if (is_same) {
        table->pin_seq = seq;
        node->is_dirty = true;
        if (is_unpinned) {
            table->local_pin = 0;
            table->epoch++;
            node->changes++;
        }
    }
    pthread_mutex_unlock(&node->lock);
    if (is_same && is_unpinned)
        node_tell(node, NODE_EVENT_NOTICE, table, pin,
                  "the local pin to version %llu was taken off by record %llu",
                  (unsigned long long)pin, (unsigned long long)seq);
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

static bool is_busy(struct node *node)
{
    scope_lock(&node->lock);
    size_t n_tables = atomic_load(&node->n_tables);
    for (size_t t = 0; t < n_tables; t++)
        for (size_t s = 0; s < node->tables[t]->n_slots; s++)
            if (node->tables[t]->slots[s]->activity != SLOT_IDLE)
                return true;
    return false;
}

static void beat_if_due(struct node *node)
{
    struct follower *follower = &node->follower;
    struct err err = {0};
    int64_t now_ns = clock_now_ns(CLOCK_MONOTONIC);
    pthread_mutex_lock(&node->lock);
    uint64_t changes = node->changes;
    pthread_mutex_unlock(&node->lock);
    int64_t period_ns = is_busy(node) ? BEAT_BUSY_NS : BEAT_NS;
    if (follower->beat_ns && changes == follower->beat_changes &&
        now_ns - follower->beat_ns < period_ns)
        return;
    int ret = node_beat(node, &err);
    if (ret) {
        node_lose_contact(node, &err, ret);
        return;
    }
    follower->beat_ns = now_ns;
    follower->beat_changes = changes;
}

static void wait_until(int64_t *wait_ns, int64_t left_ns)
{
    if (left_ns < *wait_ns)
        *wait_ns = left_ns > 0 ? left_ns : 0;
}

int node_follow(struct node *node, int64_t *wait_ns, struct err *err)
{
    bool is_new = false;
    /* What is due is done before the store, which may be slow, is asked. */
    int64_t next_ns = plan_all(node);
    node_save_if_dirty(node);
    bool is_in_contact = node_contact(node, &is_new);
    if (is_in_contact) {
        if (is_new)
            take_news(node);
        size_t n_tables = atomic_load(&node->n_tables);
        for (size_t i = 0; i < n_tables; i++)
            look_for_unpin(node, node->tables[i]);
        next_ns = plan_all(node);
        note_planned(node);
    }
    node_save_if_dirty(node);
    if (is_in_contact)
        beat_if_due(node);
    if (next_ns)
        wait_until(wait_ns, next_ns - clock_now_ns(CLOCK_REALTIME));
    if (!node->follower.manifest)
        wait_until(wait_ns, node->follower.retry_ns - clock_now_ns(CLOCK_MONOTONIC));
    return 0;
}
