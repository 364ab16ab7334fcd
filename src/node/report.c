/* SPDX-License-Identifier: Apache-2.0 */
#include "node/node_impl.h"

#include "base/json.h"
#include "base/scope.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Under the lock. */
static json_t *status_version(const struct table *table, const struct slot *slot)
{
    json_t *json = json_pack("{sI, ss, sI, sI}", "version", (json_int_t)slot->id, "state",
                             node_version_state_name(slot_state(table, slot)), "done",
                             (json_int_t)atomic_load(&slot->progress.done), "total",
                             (json_int_t)atomic_load(&slot->progress.total));
    const struct version *version = slot->loaded ? slot->loaded : slot->cached;
    int ret = json ? 0 : -ENOMEM;
    if (!ret && version)
        ret = json_put_u64(json, "keys", version_n_keys(version));
    if (!ret && version)
        ret = json_put_string(json, "kind", table_kind_name(version_schema(version)->kind));
    if (!ret && slot->loaded)
        ret = json_put_u64(json, "memory", version_memory(slot->loaded));
    if (!ret && slot->loaded && repair_damage(slot->loaded))
        ret = json_put_string(json, "damage", repair_damage(slot->loaded));
    if (!ret && slot->reason)
        ret = json_put_string(json, "reason", slot->reason);
    if (!ret && slot->reason)
        ret = json_put_u64(json, "failures", slot->n_failures);
    if (!ret)
        return json;
    json_decref(json);
    return NULL;
}

static json_t *status_table(const struct table *table)
{
    scope_json json_t *versions = json_array();
    for (size_t i = 0; i < table->n_slots; i++)
        if (json_append(versions, status_version(table, table->slots[i])))
            return NULL;
    return json_pack("{ss, sI, sI, sI, sI, sI, sO}", "name", table->name, "serving",
                     (json_int_t)table->serving, "wanted", (json_int_t)table->wanted, "previous",
                     (json_int_t)table->previous, "local_pin", (json_int_t)table->local_pin,
                     "switched_ns", (json_int_t)table->switched_ns, "versions", versions);
}

/* The lock is taken table by table: a switch does not wait while all of them are written. */
static json_t *status_tables(struct node *node)
{
    json_t *tables = json_array();
    size_t n_tables = atomic_load(&node->n_tables);
    for (size_t i = 0; i < n_tables; i++) {
        pthread_mutex_lock(&node->lock);
        json_t *table = status_table(node->tables[i]);
        pthread_mutex_unlock(&node->lock);
        if (json_append(tables, table)) {
            json_decref(tables);
            return NULL;
        }
    }
    return tables;
}

/* Under the lock. */
static json_t *status_store(const struct node *node)
{
    scope_json json_t *store =
        json_pack("{ss, ss, sI, sf}", "url", node->store_url, "id", node->store_id, "seq",
                  (json_int_t)node->seq, "last_contact_seconds", node_contact_age(node));
    bool failed =
        !store || json_put_bool(store, "reachable", node_is_in_contact(node)) ||
        json_put_u64(store, "losses", atomic_load(&node->n_losses)) ||
        json_put_u64(store, "requests", atomic_load(&node->n_requests)) ||
        (node->store_error[0] && json_put_string(store, "error", node->store_error)) ||
        (node->beat_error[0] && json_put_string(store, "heartbeat_error", node->beat_error)) ||
        (node->clock_is_stores &&
         json_put_double(store, "clock_ahead_seconds", (double)node_clock_ahead_ns(node) / 1e9));
    return failed ? NULL : json_incref(store);
}

static json_t *status_memory(struct node *node)
{
    return json_pack("{sI, sI}", "used", (json_int_t)part_memory_used(node->memory), "budget",
                     (json_int_t)node->memory_budget);
}

static json_t *status_cache(struct node *node)
{
    return json_pack("{ss, sI, sI, sI}", "dir", cache_dir(node->cache), "used",
                     (json_int_t)cache_used(node->cache), "limit",
                     (json_int_t)cache_capacity(node->cache, node->cache_limit), "evictions",
                     (json_int_t)atomic_load(&node->n_evictions));
}

/* Of tables on disk. */
static json_t *status_disk(struct node *node)
{
    struct disk_parts *parts = part_memory_disk(node->memory);
    struct disk_shared *shared = disk_parts_shared(parts);
    struct block_cache_stats stats = {0};
    if (shared->cache)
        block_cache_stats(shared->cache, &stats);
    scope_json json_t *cache =
        json_pack("{sI, sI, sI, sI, sI, sI}", "limit", (json_int_t)stats.max_bytes, "used",
                  (json_int_t)(stats.bytes + stats.bytes_held), "hits", (json_int_t)stats.n_hits,
                  "misses", (json_int_t)stats.n_misses, "evictions", (json_int_t)stats.n_evicted,
                  "refused", (json_int_t)stats.n_refused);
    struct value_cache_stats of_values = {0};
    if (shared->values)
        value_cache_stats(shared->values, &of_values);
    scope_json json_t *values =
        json_pack("{sI, sI, sI, sI, sI}", "limit", (json_int_t)of_values.max_bytes, "values",
                  (json_int_t)of_values.n_values, "hits", (json_int_t)of_values.n_hits, "misses",
                  (json_int_t)of_values.n_misses, "evictions", (json_int_t)of_values.n_evicted);
    return json_pack("{sI, sI, sI, sI, sO, sO}", "open_parts", (json_int_t)disk_parts_n_open(parts),
                     "bad_blocks", (json_int_t)atomic_load(&shared->n_bad_blocks), "read_errors",
                     (json_int_t)atomic_load(&shared->n_read_errors), "repairs",
                     (json_int_t)atomic_load(&node->n_repairs), "block_cache", cache, "value_cache",
                     values);
}

static json_t *status_fetch(struct node *node)
{
    return json_pack("{sI, sI, sI, sI}", "bytes", (json_int_t)atomic_load(&node->n_fetched_bytes),
                     "rate", (json_int_t)atomic_load(&node->fetch_rate), "limit",
                     (json_int_t)node->limiter.rate, "bad_chunks",
                     (json_int_t)atomic_load(&node->n_bad_chunks));
}

static json_t *status_json(struct node *node)
{
    scope_json json_t *tables = status_tables(node);
    pthread_mutex_lock(&node->lock);
    scope_json json_t *store = status_store(node);
    bool has_namesake = node_has_namesake(node);
    pthread_mutex_unlock(&node->lock);
    json_t *json = json_pack("{ss, ss, sI}", "name", node->name, "instance", node->instance,
                             "started_ns", (json_int_t)node_time_of(node, node->started_ns));
    /* json_put swallows what it is given, NULL too. */
    bool failed = !json || json_put_bool(json, "name_conflict", has_namesake) ||
                  json_put(json, "cache", status_cache(node)) ||
                  json_put(json, "store", json_incref(store)) ||
                  json_put(json, "memory", status_memory(node)) ||
                  json_put(json, "fetch", status_fetch(node)) ||
                  json_put(json, "disk", status_disk(node)) ||
                  json_put(json, "tables", json_incref(tables));
    if (!failed)
        return json;
    json_decref(json);
    return NULL;
}

int node_status(struct node *node, struct buf *out, struct err *err)
{
    scope_json json_t *json = status_json(node);
    if (!json || json_write(json, true, out))
        return err_sys(err, -ENOMEM, "the node's status");
    return 0;
}
