/* SPDX-License-Identifier: Apache-2.0 */
#include "node/node_impl.h"

#include "base/json.h"
#include "base/scope.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Under the lock: copies what the heartbeat says of a table. */
static int beat_table(const struct table *table, struct node_table *out)
{
    snprintf(out->name, sizeof out->name, "%s", table->name);
    out->serving = table->serving;
    out->local_pin = table->local_pin;
    out->switched_ns = table->switched_ns;
    out->versions = calloc(table->n_slots ? table->n_slots : 1, sizeof *out->versions);
    if (!out->versions)
        return -ENOMEM;
    for (size_t i = 0; i < table->n_slots; i++) {
        const struct slot *slot = table->slots[i];
        /* A version on its way out is still told of while it is here: gc must know. */
        if (!slot->cached && !slot->loaded && slot->place == PLACE_GONE)
            continue;
        struct node_version *version = &out->versions[out->n_versions++];
        version->version = slot->id;
        version->state = slot_state(table, slot);
        version->done = atomic_load(&slot->progress.done);
        version->total = atomic_load(&slot->progress.total);
        if (version->state == NODE_FAILED && slot->reason)
            version->reason = strdup(slot->reason);
    }
    return 0;
}

static int beat_fill(struct node *node, struct heartbeat *out)
{
    scope_lock(&node->lock);
    size_t n_tables = atomic_load(&node->n_tables);
    snprintf(out->node, sizeof out->node, "%s", node->name);
    for (; out->n_labels < node->n_labels; out->n_labels++)
        if (!(out->labels[out->n_labels] = strdup(node->labels[out->n_labels])))
            return -ENOMEM;
    out->time_ns = clock_now_ns(CLOCK_REALTIME);
    out->started_ns = node->started_ns;
    out->pid = (uint64_t)getpid();
    out->seq = node->seq;
    out->memory_used = part_memory_used(node->memory);
    out->memory_budget = node->memory_budget;
    out->tables = calloc(n_tables ? n_tables : 1, sizeof *out->tables);
    if (!out->tables)
        return -ENOMEM;
    for (size_t i = 0; i < n_tables; i++) {
        out->n_tables = i + 1;
        if (beat_table(node->tables[i], &out->tables[i]))
            return -ENOMEM;
    }
    return 0;
}

int node_beat(struct node *node, struct err *err)
{
    struct heartbeat beat = {0};
    int ret = beat_fill(node, &beat);
    if (ret)
        err_sys(err, ret, "the heartbeat");
    else
        ret = heartbeat_put(node->follower.store, &beat, err);
    heartbeat_release(&beat);
    return ret;
}

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
    if (!ret && slot->loaded)
        ret = json_put_u64(json, "memory", version_memory(slot->loaded));
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

static json_t *status_tables(struct node *node)
{
    json_t *tables = json_array();
    size_t n_tables = atomic_load(&node->n_tables);
    for (size_t i = 0; i < n_tables; i++) {
        if (json_append(tables, status_table(node->tables[i]))) {
            json_decref(tables);
            return NULL;
        }
    }
    return tables;
}

/* Seconds since the store answered last; -1: never. */
static double contact_age(const struct node *node)
{
    if (!node->contact_ns)
        return -1;
    int64_t age_ns = clock_now_ns(CLOCK_REALTIME) - node->contact_ns;
    return age_ns > 0 ? (double)age_ns / 1e9 : 0;
}

/* Under the lock. */
static json_t *status_json(struct node *node)
{
    scope_json json_t *tables = status_tables(node);
    scope_json json_t *store =
        json_pack("{ss, ss, sI, sf}", "url", node->store_url, "id", node->store_id, "seq",
                  (json_int_t)node->seq, "last_contact_seconds", contact_age(node));
    scope_json json_t *memory =
        json_pack("{sI, sI}", "used", (json_int_t)part_memory_used(node->memory), "budget",
                  (json_int_t)node->memory_budget);
    if (!tables || !store || !memory)
        return NULL;
    if (json_put_bool(store, "reachable", node->contact_ns && !node->store_error[0]) ||
        (node->store_error[0] && json_put_string(store, "error", node->store_error)))
        return NULL;
    return json_pack("{ss, sI, ss, sO, sO, sO}", "name", node->name, "started_ns",
                     (json_int_t)node->started_ns, "cache", cache_dir(node->cache), "store", store,
                     "memory", memory, "tables", tables);
}

int node_status(struct node *node, struct buf *out, struct err *err)
{
    pthread_mutex_lock(&node->lock);
    scope_json json_t *json = status_json(node);
    pthread_mutex_unlock(&node->lock);
    if (!json || json_write(json, true, out))
        return err_sys(err, -ENOMEM, "the node's status");
    return 0;
}
