/* SPDX-License-Identifier: Apache-2.0 */
#include "node/collect.h"

#include "base/scope.h"
#include "node/node_impl.h"

#include <string.h>

/* Under the lock: takes a slot that may go out of its table. */
static struct slot *take_gone_slot(struct node *node, struct table **table)
{
    size_t n_tables = atomic_load(&node->n_tables);
    for (size_t t = 0; t < n_tables; t++) {
        *table = node->tables[t];
        for (size_t s = 0; s < (*table)->n_slots; s++) {
            struct slot *slot = (*table)->slots[s];
            if (slot->place != PLACE_GONE || slot->activity != SLOT_IDLE || slot->n_held ||
                !slot_is_unused(slot))
                continue;
            table_remove_slot(*table, slot);
            return slot;
        }
    }
    return NULL;
}

static bool collect_version(struct node *node)
{
    struct table *table = NULL;
    pthread_mutex_lock(&node->lock);
    struct slot *slot = take_gone_slot(node, &table);
    if (slot) {
        node->is_dirty = true;
        node->needs_sweep = true;
        node->changes++;
        /* Whoever had it open kept it listed until now. */
        node_note(node, NODE_EVENT_VERSION, table, slot->id);
    }
    pthread_mutex_unlock(&node->lock);
    if (!slot)
        return false;
    node_tell_notes(node);
    /* First it is no longer named, then it goes. */
    node_save_if_dirty(node);
    cache_version_remove(node->cache, table->name, slot->id, NULL);
    slot_free(slot);
    return true;
}

struct kept {
    struct digest *digests; /* ascending */
    size_t n;
};

static int compare_digests(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct digest));
}

static bool is_kept(void *context, const struct digest *digest)
{
    const struct kept *kept = context;
    return bsearch(digest, kept->digests, kept->n, sizeof *digest, compare_digests) != NULL;
}

/* Under the lock: may a sweep be done now? Not while a version is to come whose parts are not
 * known. One that failed before they were is not waited for: it may never come. */
static size_t count_parts(struct node *node, bool *may_sweep)
{
    size_t n = 0;
    *may_sweep = node->needs_sweep && node->has_planned;
    size_t n_tables = atomic_load(&node->n_tables);
    for (size_t t = 0; t < n_tables; t++) {
        for (size_t s = 0; s < node->tables[t]->n_slots; s++) {
            const struct slot *slot = node->tables[t]->slots[s];
            if (slot->cached)
                n += slot->cached->files->desc.n_parts;
            else if (slot->place != PLACE_GONE && !slot->expected && !slot->failure)
                *may_sweep = false;
            n += slot->n_expected;
        }
    }
    return n;
}

/* Under the lock. */
static void list_parts(struct node *node, struct kept *kept, size_t max)
{
    size_t n_tables = atomic_load(&node->n_tables);
    for (size_t t = 0; t < n_tables; t++) {
        for (size_t s = 0; s < node->tables[t]->n_slots; s++) {
            const struct slot *slot = node->tables[t]->slots[s];
            const struct version *version = slot->cached;
            for (size_t i = 0; version && i < version->files->desc.n_parts && kept->n < max; i++)
                kept->digests[kept->n++] = version->files->desc.parts[i].digest;
            for (size_t i = 0; i < slot->n_expected && kept->n < max; i++)
                kept->digests[kept->n++] = slot->expected[i];
        }
    }
}

static bool is_kept_version(void *context, const char *table_name, uint64_t id)
{
    struct node *node = context;
    struct table *table = node_table_find(node, table_name);
    scope_lock(&node->lock);
    return table && table_find_slot(table, id);
}

static void sweep_parts(struct node *node)
{
    bool may_sweep = false;
    pthread_mutex_lock(&node->lock);
    size_t max = count_parts(node, &may_sweep);
    pthread_mutex_unlock(&node->lock);
    if (!may_sweep)
        return;
    scope_free struct digest *digests = calloc(max ? max : 1, sizeof *digests);
    if (!digests)
        return;
    struct kept kept = {.digests = digests};
    /* Only this thread adds cached versions, so there are no more of them now than were counted. */
    pthread_mutex_lock(&node->lock);
    list_parts(node, &kept, max);
    node->needs_sweep = false;
    pthread_mutex_unlock(&node->lock);
    qsort(digests, kept.n, sizeof *digests, compare_digests);
    cache_parts_sweep(node->cache, is_kept, &kept, NULL);
    cache_versions_sweep(node->cache, is_kept_version, node, NULL);
}

bool collect_one(struct node *node)
{
    if (collect_version(node))
        return true;
    sweep_parts(node);
    return false;
}
