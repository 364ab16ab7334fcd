/* SPDX-License-Identifier: Apache-2.0 */
/* The heartbeat: what this node tells the fleet, and whether somebody else speaks under its name. */
#include "node/node_impl.h"

#include "base/scope.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define BEAT_NS      (5 * 1000000000LL)
#define BEAT_BUSY_NS 1000000000LL

/* Under the lock: copies what the heartbeat says of a version. */
static void beat_version(const struct node *node, const struct table *table, struct slot *slot,
                         struct node_version *out)
{
    slot_note_state(table, slot, clock_now_ns(CLOCK_MONOTONIC));
    out->version = slot->id;
    out->state = slot->told;
    out->since_ns = node_time_of(node, slot->since_ns);
    out->done = atomic_load(&slot->progress.done);
    out->total = atomic_load(&slot->progress.total);
    if (out->state == NODE_FAILED && slot->reason)
        out->reason = strdup(slot->reason);
    else if (slot->loaded && repair_damage(slot->loaded))
        out->reason = strdup(repair_damage(slot->loaded));
}

/* Under the lock: copies what the heartbeat says of a table. */
static int beat_table(const struct node *node, const struct table *table, struct node_table *out)
{
    snprintf(out->name, sizeof out->name, "%s", table->name);
    out->serving = table->serving;
    out->local_pin = table->local_pin;
    out->switched_ns = table->switched_ns;
    out->versions = calloc(table->n_slots ? table->n_slots : 1, sizeof *out->versions);
    if (!out->versions)
        return -ENOMEM;
    for (size_t i = 0; i < table->n_slots; i++) {
        struct slot *slot = table->slots[i];
        /* A version on its way out is still told of while it is here: gc must know. */
        if (slot->cached || slot->loaded || slot->place != PLACE_GONE)
            beat_version(node, table, slot, &out->versions[out->n_versions++]);
    }
    return 0;
}

static void beat_self(const struct node *node, struct heartbeat *out)
{
    snprintf(out->node, sizeof out->node, "%s", node->name);
    snprintf(out->instance, sizeof out->instance, "%s", node->instance);
    out->time_ns = node_now_ns(node);
    out->started_ns = node_time_of(node, node->started_ns);
    if (node->contact_since_ns)
        out->contact_ns = node_time_of(node, node->contact_since_ns);
    if (node->clock_is_stores)
        out->clock_ahead_ns = node_clock_ahead_ns(node);
    out->poll_ns = node->poll_ns;
    out->pid = (uint64_t)getpid();
    out->seq = node->seq;
    out->memory_used = part_memory_used(node->memory);
    out->memory_budget = node->memory_budget;
    out->cache_used = cache_used(node->cache);
    out->cache_limit = cache_capacity(node->cache, node->cache_limit);
}

static int beat_fill(struct node *node, struct heartbeat *out)
{
    scope_lock(&node->lock);
    size_t n_tables = atomic_load(&node->n_tables);
    for (; out->n_labels < node->n_labels; out->n_labels++)
        if (!(out->labels[out->n_labels] = strdup(node->labels[out->n_labels])))
            return -ENOMEM;
    out->tables = calloc(n_tables ? n_tables : 1, sizeof *out->tables);
    if (!out->tables)
        return -ENOMEM;
    for (size_t i = 0; i < n_tables; i++) {
        out->n_tables = i + 1;
        if (beat_table(node, node->tables[i], &out->tables[i]))
            return -ENOMEM;
    }
    beat_self(node, out);
    return 0;
}

bool node_has_namesake(const struct node *node)
{
    return node->namesake_ns &&
           clock_now_ns(CLOCK_MONOTONIC) - node->namesake_ns < HEARTBEAT_LIVE_NS;
}

/* Somebody else wrote under our name after we started: two hosts with one name hide each other. */
static void note_namesake(struct node *node, const struct heartbeat *heard)
{
    pthread_mutex_lock(&node->lock);
    bool is_known = node_has_namesake(node);
    node->namesake_ns = clock_now_ns(CLOCK_MONOTONIC);
    node->n_namesakes += !is_known;
    pthread_mutex_unlock(&node->lock);
    if (!is_known)
        node_tell(node, NODE_EVENT_WARNING, NULL, 0,
                  "another fkvd (pid %llu on its host) calls itself node %s too, so the fleet sees "
                  "only one of the two: give each host a name of its own (--node)",
                  (unsigned long long)heard->pid, node->name);
}

/* The last word under our name should be our own. What cannot be read or decoded says nothing. */
static int listen(struct node *node, struct err *err)
{
    char path[STORE_PATH_MAX];
    struct buf text = {0};
    struct heartbeat heard = {0};
    snprintf(path, sizeof path, "nodes/%s.json", node->name);
    int ret = store_get(node->follower.store, path, HEARTBEAT_JSON_MAX, &text, err);
    if (!ret && !heartbeat_decode(text.data, text.len, path, &heard, NULL) && heard.instance[0] &&
        !heard.stopped && strcmp(heard.instance, node->instance) &&
        heard.time_ns > node_time_of(node, node->started_ns))
        note_namesake(node, &heard);
    heartbeat_release(&heard);
    buf_release(&text);
    return ret == -ENOENT || ret == -E2BIG ? 0 : ret;
}

/* What a heartbeat that is too long can do without: why something failed, and what only lies in the
 * cache, whole and unused. */
static void shorten(struct heartbeat *beat)
{
    for (size_t t = 0; t < beat->n_tables; t++) {
        struct node_table *table = &beat->tables[t];
        size_t n_kept = 0;
        for (size_t i = 0; i < table->n_versions; i++) {
            free(table->versions[i].reason);
            table->versions[i].reason = NULL;
            if (table->versions[i].state != NODE_CACHED)
                table->versions[n_kept++] = table->versions[i];
        }
        table->n_versions = n_kept;
    }
}

static int beat(struct node *node, bool stopped, struct err *err)
{
    struct heartbeat beat = {.stopped = stopped};
    int ret = listen(node, err);
    if (ret)
        return ret;
    ret = beat_fill(node, &beat);
    if (ret)
        err_sys(err, ret, "the heartbeat");
    else
        ret = heartbeat_put(node->follower.store, &beat, err);
    if (ret == -E2BIG) {
        shorten(&beat);
        ret = heartbeat_put(node->follower.store, &beat, err);
    }
    heartbeat_release(&beat);
    return ret;
}

/* A store that may only be read is followed all the same; so is one with too much to tell of. */
static bool is_refusal(int code)
{
    return code == -EROFS || code == -EACCES || code == -EPERM || code == -ENOSPC ||
           code == -EDQUOT || code == -ENOMEM || code == -E2BIG;
}

static void note_beat(struct node *node, int code, const char *reason)
{
    struct follower *follower = &node->follower;
    bool is_told = follower->beat_failure == code;
    follower->beat_failure = code;
    pthread_mutex_lock(&node->lock);
    snprintf(node->beat_error, sizeof node->beat_error, "%s", code ? reason : "");
    pthread_mutex_unlock(&node->lock);
    if (code && !is_told)
        node_tell(node, NODE_EVENT_WARNING, NULL, 0,
                  "the heartbeat cannot be written, so no rollout waits for this node: %s", reason);
    if (!code && !is_told)
        node_tell(node, NODE_EVENT_NOTICE, NULL, 0, "the heartbeat is written again");
}

/* Under the lock. */
static bool is_busy(const struct node *node)
{
    size_t n_tables = atomic_load(&node->n_tables);
    for (size_t t = 0; t < n_tables; t++)
        for (size_t s = 0; s < node->tables[t]->n_slots; s++)
            if (node->tables[t]->slots[s]->activity != SLOT_IDLE)
                return true;
    return false;
}

void node_beat_if_due(struct node *node)
{
    struct follower *follower = &node->follower;
    struct err err = {0};
    int64_t now_ns = clock_now_ns(CLOCK_MONOTONIC);
    pthread_mutex_lock(&node->lock);
    uint64_t changes = node->changes;
    if (follower->beat_failure) /* nobody could speak, perhaps */
        node->contact_since_ns = now_ns;
    int64_t period_ns = is_busy(node) ? BEAT_BUSY_NS : BEAT_NS;
    pthread_mutex_unlock(&node->lock);
    bool is_news = changes != follower->beat_changes && !follower->beat_failure;
    if (follower->beat_ns && !is_news && now_ns - follower->beat_ns < period_ns)
        return;
    int ret = beat(node, false, &err);
    if (ret && !is_refusal(ret)) {
        node_lose_contact(node, &err, ret);
        return;
    }
    note_beat(node, ret, err_text(&err, ret));
    follower->beat_ns = now_ns;
    follower->beat_changes = changes;
}

void node_farewell(struct node *node)
{
    struct follower *follower = &node->follower;
    if (!follower->manifest || !follower->beat_ns || follower->beat_failure)
        return;
    pthread_mutex_lock(&node->lock);
    bool has_namesake = node_has_namesake(node);
    pthread_mutex_unlock(&node->lock);
    if (!has_namesake)
        beat(node, true, NULL);
}
