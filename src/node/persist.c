/* SPDX-License-Identifier: Apache-2.0 */
#include "node/node_impl.h"

#include "base/scope.h"

#include <errno.h>
#include <stdio.h>

/* A full disk is told of now and then, not twice a second. */
#define SAVE_RETRY_NS (10 * 1000000000LL)

static int snapshot_versions(const struct table *table, struct cached_table *out)
{
    out->versions = calloc(table->n_slots ? table->n_slots : 1, sizeof *out->versions);
    if (!out->versions)
        return -ENOMEM;
    for (size_t i = 0; i < table->n_slots; i++) {
        const struct slot *slot = table->slots[i];
        if (slot->cached)
            out->versions[out->n_versions++] =
                (struct cached_version){.id = slot->id, .digest = slot->digest};
    }
    return 0;
}

/* Under the lock. */
static int snapshot(struct node *node, struct cache_state *out)
{
    size_t n_tables = atomic_load(&node->n_tables);
    out->seq = node->seq;
    out->contact_ns = node->contact_ns;
    snprintf(out->store_id, sizeof out->store_id, "%s", node->store_id);
    out->tables = calloc(n_tables ? n_tables : 1, sizeof *out->tables);
    if (!out->tables)
        return -ENOMEM;
    for (size_t i = 0; i < n_tables; i++) {
        const struct table *table = node->tables[i];
        struct cached_table *copy = &out->tables[i];
        out->n_tables = i + 1;
        snprintf(copy->name, sizeof copy->name, "%s", table->name);
        copy->serving = table->serving;
        copy->previous = table->previous;
        copy->local_pin = table->local_pin;
        copy->pin_seq = table->pin_seq;
        copy->pin_ns = table->pin_ns;
        copy->switched_ns = table->switched_ns;
        if (snapshot_versions(table, copy))
            return -ENOMEM;
    }
    return 0;
}

static int write_state(struct node *node, const struct cache_state *state, struct err *err)
{
    struct buf json = {0};
    int ret = cache_state_encode(state, &json);
    if (!ret)
        ret = cache_state_put(node->cache, json.data, json.len, err);
    else
        err_sys(err, ret, "state.json");
    buf_release(&json);
    return ret;
}

void node_save_if_dirty(struct node *node)
{
    struct cache_state state = {0};
    struct err err = {0};
    scope_lock(&node->save_lock);
    pthread_mutex_lock(&node->lock);
    bool is_dirty = node->is_dirty && clock_now_ns(CLOCK_MONOTONIC) >= node->save_retry_ns;
    int ret = is_dirty ? snapshot(node, &state) : 0;
    if (is_dirty)
        node->is_dirty = false;
    pthread_mutex_unlock(&node->lock);
    if (is_dirty && !ret)
        ret = write_state(node, &state, &err);
    cache_state_release(&state);
    if (!ret)
        return;
    pthread_mutex_lock(&node->lock);
    node->is_dirty = true;
    node->save_retry_ns = clock_now_ns(CLOCK_MONOTONIC) + SAVE_RETRY_NS;
    pthread_mutex_unlock(&node->lock);
    node_tell(node, NODE_EVENT_WARNING, NULL, 0, "the cache's state could not be written: %s",
              err_text(&err, ret));
}

static void restore_version(struct node *node, struct table *table,
                            const struct cached_version *cached)
{
    struct err err = {0};
    struct version *version = NULL;
    int ret = version_new_cached(node->cache, node->memory, table->name, cached->id,
                                 &cached->digest, &version, &err);
    if (ret) {
        node_tell(node, NODE_EVENT_WARNING, table, cached->id,
                  "version %llu is not usable in the cache: %s", (unsigned long long)cached->id,
                  err_text(&err, ret));
        return;
    }
    scope_lock(&node->lock);
    struct slot *slot = table_add_slot(table, cached->id, &cached->digest);
    if (slot && !slot->cached)
        slot->cached = version;
    else
        version_unpin(version);
}

static struct table *restore_table(struct node *node, const struct cached_table *cached)
{
    struct table *table = node_add_table(node, cached->name);
    if (!table)
        return NULL;
    table->wanted = cached->local_pin ? cached->local_pin : cached->serving;
    table->unpinned = cached->serving;
    table->previous = cached->previous;
    table->before = cached->previous;
    table->local_pin = cached->local_pin;
    table->pin_seq = cached->pin_seq;
    table->pin_ns = cached->pin_ns;
    for (size_t i = 0; i < cached->n_versions; i++)
        restore_version(node, table, &cached->versions[i]);
    return table;
}

/* Loads one version; switches to it because it is the wanted one. */
static int restore_serving(struct node *node, struct table *table, uint64_t id, struct err *err)
{
    static const struct stop never = {0};
    pthread_mutex_lock(&node->lock);
    struct slot *slot = table_find_slot(table, id);
    bool is_here = slot && slot->cached;
    table->wanted = id;
    pthread_mutex_unlock(&node->lock);
    if (!is_here)
        return err_set(err, -ENOENT, "version %llu is not in the cache", (unsigned long long)id);
    return node_load(node, table, slot, RANK_SERVE, &never, err);
}

/*
 * What was served last serves again. When its cached copy is bad, the one before it does, until the
 * store has been asked: an older whole version is better than none.
 */
static void serve_again(struct node *node, struct table *table, const struct cached_table *cached)
{
    struct err err = {0};
    uint64_t wanted = table->wanted;
    int64_t switched_ns = cached->switched_ns;
    if (wanted == 0)
        return;
    int ret = restore_serving(node, table, wanted, &err);
    if (ret) {
        node_tell(node, NODE_EVENT_WARNING, table, wanted,
                  "version %llu, served last, cannot be served from the cache: %s",
                  (unsigned long long)wanted, err_text(&err, ret));
        if (!cached->previous || restore_serving(node, table, cached->previous, &err))
            return;
        node_tell(node, NODE_EVENT_WARNING, table, cached->previous,
                  "serving version %llu, the one before, until the store is reached",
                  (unsigned long long)cached->previous);
        switched_ns = table->switched_ns;
    }
    scope_lock(&node->lock);
    table->wanted = wanted;
    table->switched_ns = switched_ns;
    table->previous = table->serving == wanted ? cached->previous : 0;
    table->before = table->previous;
}

static int read_state(struct node *node, struct cache_state *state, struct err *err)
{
    struct buf json = {0};
    int ret = cache_state_get(node->cache, &json, err);
    if (!ret)
        ret = cache_state_decode(json.data, json.len, "state.json", state, err);
    buf_release(&json);
    return ret;
}

int node_restore(struct node *node, struct err *err)
{
    struct cache_state state = {0};
    int ret = read_state(node, &state, err);
    if (ret == -ENOENT)
        return 0;
    if (ret == -EBADMSG) {
        /* All in it can be had again from the store; refusing to start would need a person. */
        node_tell(node, NODE_EVENT_WARNING, NULL, 0,
                  "the cache's state is corrupt, starting anew: %s", err_text(err, ret));
        return 0;
    }
    if (ret)
        return ret;
    node->seq = state.seq;
    node->contact_ns = state.contact_ns;
    snprintf(node->store_id, sizeof node->store_id, "%s", state.store_id);
    for (size_t i = 0; i < state.n_tables; i++) {
        struct table *table = restore_table(node, &state.tables[i]);
        if (table)
            serve_again(node, table, &state.tables[i]);
    }
    cache_state_release(&state);
    return 0;
}
