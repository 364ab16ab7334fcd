/* SPDX-License-Identifier: Apache-2.0 */
#include "node/node_impl.h"

#include "base/scope.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

enum { NOTES_LOOKED_AT = 16 };

void node_tell(struct node *node, enum node_event_kind kind, struct table *table, uint64_t version,
               const char *fmt, ...)
{
    char text[ERR_TEXT_MAX + 256];
    va_list ap;
    if (!node->event)
        return;
    if (!fmt) {
        node->event(node->event_context, kind, table, version, NULL);
        return;
    }
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    node->event(node->event_context, kind, table, version, text);
}

void node_note(struct node *node, enum node_event_kind kind, struct table *table, uint64_t version)
{
    /* One change often moves both links, and then the plan again. */
    for (size_t i = node->n_notes; i > 0 && i + NOTES_LOOKED_AT > node->n_notes; i--) {
        const struct note *note = &node->notes[i - 1];
        if (note->kind == kind && note->table == table && note->version == version)
            return;
    }
    if (node->n_notes == node->cap_notes) {
        size_t cap = node->cap_notes ? node->cap_notes * 2 : 16;
        struct note *notes = realloc(node->notes, cap * sizeof *notes);
        if (!notes)
            return; /* the daemon's caches are behind until the next change */
        node->notes = notes;
        node->cap_notes = cap;
    }
    node->notes[node->n_notes++] = (struct note){kind, table, version};
}

void node_tell_notes(struct node *node)
{
    pthread_mutex_lock(&node->lock);
    scope_free struct note *notes = node->notes;
    size_t n = node->n_notes;
    node->notes = NULL;
    node->n_notes = 0;
    node->cap_notes = 0;
    pthread_mutex_unlock(&node->lock);
    for (size_t i = 0; i < n; i++)
        node_tell(node, notes[i].kind, notes[i].table, notes[i].version, NULL);
}

void node_serve(struct node *node, struct table *table, struct slot *slot)
{
    if (table->serving == slot->id)
        return;
    table_switch(table, slot, node_now_ns(node));
    atomic_fetch_add(&node->n_switches, 1);
    node->is_dirty = true;
    node->changes++;
    node_note(node, NODE_EVENT_SWITCHED, table, slot->id);
}

struct table *node_add_table(struct node *node, const char *name)
{
    struct table *table = node_table_find(node, name);
    if (table)
        return table;
    size_t n = atomic_load(&node->n_tables);
    if (n == NODE_TABLES_MAX || table_new(name, (uint32_t)n, &node->lock, &table, NULL))
        return NULL;
    /* The table is whole before its index can be seen. */
    node->tables[n] = table;
    atomic_store(&node->n_tables, n + 1);
    node_tell(node, NODE_EVENT_TABLE, table, 0, NULL);
    return table;
}

size_t node_n_tables(struct node *node)
{
    return atomic_load(&node->n_tables);
}

struct table *node_table_at(struct node *node, size_t index)
{
    return index < atomic_load(&node->n_tables) ? node->tables[index] : NULL;
}

struct table *node_table_find(struct node *node, const char *name)
{
    size_t n = atomic_load(&node->n_tables);
    for (size_t i = 0; i < n; i++)
        if (!strcmp(node->tables[i]->name, name))
            return node->tables[i];
    return NULL;
}

static int copy_config(struct node *node, const struct node_config *config, struct err *err)
{
    int ret = node_name_check(config->name, err);
    if (ret)
        return ret;
    if (config->n_labels > NODE_LABELS_MAX)
        return err_set(err, -EINVAL, "a node has at most %d labels, found %zu", NODE_LABELS_MAX,
                       config->n_labels);
    node->store_url = strdup(config->store_url);
    node->name = strdup(config->name);
    bool is_whole = node->store_url && node->name;
    for (; node->n_labels < config->n_labels && is_whole; node->n_labels++) {
        node->labels[node->n_labels] = strdup(config->labels[node->n_labels]);
        is_whole = node->labels[node->n_labels] != NULL;
    }
    if (!is_whole)
        return err_sys(err, -ENOMEM, "the node's names");
    node->memory_budget = config->memory_budget;
    node->keep_cached = config->keep_cached;
    node->cache_limit = config->cache_limit;
    node->poll_ns = config->poll_ns;
    return 0;
}

static int draw_instance(struct node *node, struct err *err)
{
    uint64_t drawn[2];
    _Static_assert(RECORD_NONCE_LEN == 2 * sizeof drawn, "two hex digits a byte");
    if (getrandom(drawn, sizeof drawn, 0) != sizeof drawn)
        return err_sys(err, -errno, "random numbers");
    snprintf(node->instance, sizeof node->instance, "%016llx%016llx", (unsigned long long)drawn[0],
             (unsigned long long)drawn[1]);
    return 0;
}

static void init_locks(struct node *node)
{
    pthread_condattr_t attr;
    pthread_mutexattr_t lock_attr;
    /* Who holds it while the flipper waits runs as promptly as that, so that it is soon free. */
    pthread_mutexattr_init(&lock_attr);
    pthread_mutexattr_setprotocol(&lock_attr, PTHREAD_PRIO_INHERIT);
    pthread_mutex_init(&node->lock, &lock_attr);
    pthread_mutexattr_destroy(&lock_attr);
    pthread_mutex_init(&node->save_lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&node->loader_is_free, &attr);
    pthread_cond_init(&node->plan_changed, &attr);
    pthread_condattr_destroy(&attr);
}

int node_open(const struct node_config *config, node_event_fn event, void *context,
              struct node **out, struct err *err)
{
    struct node *node = calloc(1, sizeof *node);
    if (!node)
        return err_sys(err, -ENOMEM, "the node");
    init_locks(node);
    limiter_init(&node->limiter, config->fetch_limit);
    repair_init(&node->repair);
    node->event = event;
    node->event_context = context;
    node->started_ns = clock_now_ns(CLOCK_MONOTONIC);
    atomic_init(&node->clock_offset_ns, store_clock_local().offset_ns);
    node->needs_sweep = true;
    snprintf(node->store_error, sizeof node->store_error, "not reached yet since the start");
    int ret = copy_config(node, config, err);
    if (!ret)
        ret = draw_instance(node, err);
    if (!ret)
        ret = part_memory_new(config->block_cache, config->values_percent, &node->memory, err);
    if (!ret)
        ret = cache_open(config->cache_dir, &node->cache, err);
    if (!ret)
        ret = node_restore(node, err);
    if (ret) {
        node_close(node);
        return ret;
    }
    *out = node;
    return 0;
}

void node_close(struct node *node)
{
    if (!node)
        return;
    node->save_retry_ns = 0;
    if (node->cache)
        node_save_if_dirty(node);
    follower_close(&node->follower);
    store_close(node->work_store);
    repair_release(&node->repair);
    size_t n_tables = atomic_load(&node->n_tables);
    for (size_t i = 0; i < n_tables; i++)
        table_free(node->tables[i]);
    part_memory_free(node->memory); /* reaps what the tables left */
    cache_close(node->cache);
    limiter_release(&node->limiter);
    pthread_cond_destroy(&node->plan_changed);
    pthread_cond_destroy(&node->loader_is_free);
    pthread_mutex_destroy(&node->save_lock);
    pthread_mutex_destroy(&node->lock);
    for (size_t i = 0; i < node->n_labels; i++)
        free(node->labels[i]);
    free(node->notes);
    free(node->store_url);
    free(node->name);
    free(node);
}

void node_cancel(struct node *node)
{
    scope_lock(&node->lock);
    atomic_store(&node->is_cancelled, true);
    pthread_cond_broadcast(&node->plan_changed);
    pthread_cond_broadcast(&node->loader_is_free);
}
