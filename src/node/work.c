/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The work thread: one fetch or load at a time, the most wanted first. A fetch for later gives way
 * to a version that should answer now; what it fetched stays, and it is resumed.
 */
#include "node/node_impl.h"

#include "base/scope.h"
#include "node/collect.h"
#include "node/evict.h"
#include "node/fetch.h"

#include <errno.h>

#define LOADER_WAIT_NS 1000000000LL

struct task {
    struct table *table; /* NULL: nothing to do */
    struct slot *slot;
    enum rank rank;
    bool is_load;
};

static bool needs_work(const struct slot *slot, int64_t now_ns)
{
    return slot->rank < RANK_NONE && slot->place == PLACE_LOADED && !slot->loaded &&
           slot->activity == SLOT_IDLE && slot->retry_ns <= now_ns;
}

/* Smaller rank first; of one rank loads (short) before fetches (long). */
static bool is_before(const struct slot *slot, const struct task *task)
{
    if (!task->table || slot->rank != task->rank)
        return !task->table || slot->rank < task->rank;
    return slot->cached && !task->is_load;
}

/* Under the lock. */
static struct task pick_task(struct node *node)
{
    struct task task = {0};
    int64_t now_ns = clock_now_ns(CLOCK_MONOTONIC);
    size_t n_tables = atomic_load(&node->n_tables);
    for (size_t t = 0; t < n_tables; t++) {
        struct table *table = node->tables[t];
        for (size_t s = 0; s < table->n_slots; s++) {
            struct slot *slot = table->slots[s];
            if (needs_work(slot, now_ns) && is_before(slot, &task))
                task = (struct task){.table = table,
                                     .slot = slot,
                                     .rank = slot->rank,
                                     .is_load = slot->cached != NULL};
        }
    }
    atomic_store(&node->is_urgent, task.table && task.rank == RANK_SERVE);
    return task;
}

struct giving_way {
    struct node *node;
    struct slot *slot;
    bool is_load;
};

/* To a version that should answer now, unless this is one; a load to any node-local switch that
 * does not wait for this very version; and when it is not wanted any more. All may have changed
 * since the task was picked. */
static int should_stop(void *context)
{
    const struct giving_way *way = context;
    if (atomic_load(&way->node->is_cancelled))
        return -ECANCELED;
    node_save_if_dirty(way->node); /* what was switched to meanwhile, should follow hang */
    if (!way->is_load)
        repair_step(way->node); /* others carry the chunks of a fetch */
    scope_lock(&way->node->lock);
    if (way->slot->place != PLACE_LOADED)
        return -ECANCELED;
    if (way->is_load && way->node->n_brakes && !way->slot->n_held)
        return -ECANCELED;
    return atomic_load(&way->node->is_urgent) && way->slot->rank > RANK_SERVE ? -ECANCELED : 0;
}

/* The slot is busy, so it stays. Without memory the parts are only less safe from a sweep. */
static void expect_parts(void *context, const struct version_desc *desc)
{
    const struct giving_way *way = context;
    scope_lock(&way->node->lock);
    slot_expect(way->slot, desc);
}

static int make_room(void *context, uint64_t need, struct err *err)
{
    const struct giving_way *way = context;
    return evict_for(way->node, need, err);
}

static int fetch_into_cache(struct node *node, const struct task *task, struct err *err)
{
    struct giving_way way = {node, task->slot, false};
    if (!node->work_store) {
        int ret = store_open(node->store_url, &node->work_store, err);
        if (ret)
            return ret;
    }
    struct fetch_job job = {
        .store = node->work_store,
        .cache = node->cache,
        .table = task->table->name,
        .id = task->slot->id,
        .digest = task->slot->digest,
        .stop = {should_stop, &way},
        .expect = expect_parts,
        .make_room = make_room,
        .context = &way,
        .limiter = &node->limiter,
        .progress = &task->slot->progress,
        .fetched_bytes = &node->n_fetched_bytes,
        .bad_chunks = &node->n_bad_chunks,
    };
    int ret = fetch_version(&job, err);
    node_count_requests(node, node->work_store, &node->n_work_requests);
    if (ret && ret != -ECANCELED && ret != -EBADMSG) {
        /* Perhaps the connection: the next fetch opens it anew. */
        store_close(node->work_store);
        node->work_store = NULL;
        node->n_work_requests = 0;
    }
    return ret;
}

/* Under the lock: is that an error of the way to the store, not of what lies there? With others it
 * depends on whether follow is in contact. */
static bool is_stores(const struct node *node, int code)
{
    switch (-code) {
    case ETIMEDOUT:
    case ECONNREFUSED:
    case ECONNRESET:
    case ECONNABORTED:
    case ENOTCONN:
    case EPIPE:
    case EHOSTUNREACH:
    case EHOSTDOWN:
    case ENETUNREACH:
    case ENETDOWN:
    case ENETRESET:
    case ESTALE:
        return true;
    case EBADMSG:
    case ENOTSUP:
    case ENOMEM:
    case ENOSPC:
        return false;
    default:
        return !node_is_in_contact(node);
    }
}

/* Under the lock. */
static void end_fetch(struct node *node, struct table *table, struct slot *slot, int code,
                      struct version *cached, const char *reason)
{
    slot->activity = SLOT_IDLE;
    node->changes++;
    if (code && code != -ECANCELED && is_stores(node, code)) {
        slot_miss_store(slot, reason, clock_now_ns(CLOCK_MONOTONIC));
    } else if (code && code != -ECANCELED) {
        slot_set_failure(slot, code, reason, clock_now_ns(CLOCK_MONOTONIC));
        atomic_fetch_add(&node->n_failures, 1);
    }
    if (code)
        return;
    slot->cached = cached;
    slot->lacks_store = false;
    free(slot->expected);
    slot->expected = NULL;
    slot->n_expected = 0;
    /* A failure count of loads survives: what is bad each time must not be fetched for ever. */
    if (slot->failure != -EUCLEAN)
        slot_clear_failure(slot);
    node->is_dirty = true;
    node_note(node, NODE_EVENT_VERSION, table, slot->id);
    if (table->previous == slot->id) /* the link appears with what it points to */
        node_note(node, NODE_EVENT_SWITCHED, table, table->serving);
}

static void warn_of_owner(struct node *node, struct table *table, const struct version *version)
{
    const struct schema *schema = &version->files->desc.schema;
    if (version->files->owner_unknown)
        node_tell(node, NODE_EVENT_WARNING, table, version_id(version),
                  "table %s version %llu: owner \"%s\" or group \"%s\" is unknown on this host; "
                  "its files belong to the daemon",
                  table->name, (unsigned long long)version_id(version), schema->owner,
                  schema->group);
}

/* From the store to a slot that has its files. The slot is busy, so it stays. */
static void do_fetch(struct node *node, const struct task *task)
{
    struct table *table = task->table;
    struct slot *slot = task->slot;
    struct err err = {0};
    struct version *cached = NULL;
    int ret = fetch_into_cache(node, task, &err);
    cache_measure(node->cache);
    if (!ret)
        ret = version_new_cached(node->cache, node->memory, table->name, slot->id, &slot->digest,
                                 &cached, &err);
    if (!ret)
        warn_of_owner(node, table, cached);
    pthread_mutex_lock(&node->lock);
    bool was_told = slot->lacks_store; /* once in an outage */
    end_fetch(node, table, slot, ret, cached, err_text(&err, ret));
    was_told &= slot->lacks_store;
    pthread_mutex_unlock(&node->lock);
    if (!ret)
        node_save_if_dirty(node);
    node_tell_notes(node);
    if (ret && ret != -ECANCELED && !was_told)
        node_tell(node, NODE_EVENT_WARNING, table, slot->id,
                  "table %s version %llu: not fetched: %s", table->name,
                  (unsigned long long)slot->id, err_text(&err, ret));
}

static void do_load(struct node *node, const struct task *task)
{
    struct giving_way way = {node, task->slot, true};
    struct stop stop = {should_stop, &way};
    node_load(node, task->table, task->slot, task->rank, &stop, NULL);
    node_save_if_dirty(node);
}

/* Under the lock: there is more room than when they were refused. */
static void retry_what_needs_memory(struct node *node)
{
    size_t n_tables = atomic_load(&node->n_tables);
    for (size_t t = 0; t < n_tables; t++) {
        for (size_t s = 0; s < node->tables[t]->n_slots; s++) {
            struct slot *slot = node->tables[t]->slots[s];
            if (slot->failure == -ENOMEM || slot->failure == -EMFILE || slot->rank == RANK_STANDBY)
                slot->retry_ns = 0;
        }
    }
}

/* Takes the loader when it is free: the dead are buried by one thread at a time. */
static void reap(struct node *node)
{
    pthread_mutex_lock(&node->lock);
    bool is_mine = !node->loader_is_busy && !node->n_brakes;
    if (is_mine)
        node->loader_is_busy = true;
    pthread_mutex_unlock(&node->lock);
    if (!is_mine)
        return;
    uint64_t used = part_memory_used(node->memory);
    part_memory_reap(node->memory);
    scope_lock(&node->lock);
    if (part_memory_used(node->memory) < used)
        retry_what_needs_memory(node);
    node_leave_loader(node);
}

/* Under the lock. While it waited for a node-local switch, the slot's load may have become
 * needless. */
static bool take_loader_for(struct node *node, const struct slot *slot)
{
    int64_t now_ns = clock_now_ns(CLOCK_MONOTONIC);
    if (node_take_loader(node, false, now_ns + LOADER_WAIT_NS))
        return false;
    if (needs_work(slot, now_ns) && slot->cached)
        return true;
    node_leave_loader(node);
    return false;
}

bool node_work(struct node *node)
{
    if (atomic_load(&node->is_cancelled))
        return false;
    node_save_if_dirty(node); /* a flip's, should follow wait for the store */
    reap(node);
    bool has_repair = repair_step(node);
    pthread_mutex_lock(&node->lock);
    struct task task = pick_task(node);
    if (task.is_load && !take_loader_for(node, task.slot))
        task.table = NULL; /* look again */
    if (task.table && !task.is_load) {
        task.slot->activity = SLOT_FETCHING;
        progress_begin(&task.slot->progress, 0);
        node->changes++;
    }
    pthread_mutex_unlock(&node->lock);
    if (!task.table && !task.is_load && collect_one(node)) {
        cache_measure(node->cache);
        return true;
    }
    if (!task.table)
        return task.is_load || has_repair;
    if (!task.is_load) {
        do_fetch(node, &task);
        return true;
    }
    do_load(node, &task);
    scope_lock(&node->lock);
    node_leave_loader(node);
    return true;
}
