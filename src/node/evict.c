/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Room on the disk for a version that is to be fetched.
 *
 * What may go for it: versions that no plan wants in memory, that do not answer, are not linked and
 * that nobody has open; former ones before candidates, the oldest first. Versions share parts, so
 * what is freed is found part by part: a part goes with the last of its versions. Nothing is removed
 * unless it is enough.
 */
#include "node/evict.h"

#include "base/scope.h"
#include "node/collect.h"
#include "node/node_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct candidate {
    struct table *table;
    struct slot *slot;
    bool is_former;
    struct timespec time;
    uint64_t freed; /* goes with it, when all before it went */
};

/* A part in the cache, and the last of the candidates that hold it. */
struct ref {
    struct digest digest;
    uint64_t len;
    size_t owner; /* KEPT: a version holds it that stays */
};

#define KEPT SIZE_MAX

struct eviction {
    struct candidate *candidates; /* in the order in which they would go */
    size_t n_candidates;
    struct ref *refs; /* by digest, and then one a part */
    size_t n_refs;
};

static bool may_go(const struct table *table, const struct slot *slot)
{
    return slot->cached && !slot->loaded && slot->place != PLACE_LOADED && !slot->n_held &&
           slot->activity == SLOT_IDLE && slot->id != table->serving &&
           slot->id != table->previous && slot->id != table->before && slot->id != table->wanted &&
           slot->id != table->unpinned && slot->id != table->local_pin &&
           (slot->id != table->next || !table->next_ns) && slot_is_unused(slot);
}

static int by_worth(const void *a, const void *b)
{
    const struct candidate *x = a;
    const struct candidate *y = b;
    if (x->is_former != y->is_former)
        return x->is_former ? -1 : 1;
    if (x->time.tv_sec != y->time.tv_sec)
        return x->time.tv_sec < y->time.tv_sec ? -1 : 1;
    return (x->slot->id > y->slot->id) - (x->slot->id < y->slot->id);
}

static int by_digest(const void *a, const void *b)
{
    return memcmp(&((const struct ref *)a)->digest, &((const struct ref *)b)->digest,
                  sizeof(struct digest));
}

/* Under the lock: counts, or lists when there is room for them. */
static void list_candidates(struct node *node, struct eviction *eviction, size_t *n_slots,
                            size_t *n_refs)
{
    size_t n_tables = atomic_load(&node->n_tables);
    for (size_t t = 0; t < n_tables; t++) {
        struct table *table = node->tables[t];
        *n_slots += table->n_slots;
        for (size_t s = 0; s < table->n_slots; s++) {
            struct slot *slot = table->slots[s];
            slot->eviction = KEPT;
            *n_refs += slot->n_expected + (slot->cached ? slot->cached->files->desc.n_parts : 0);
            if (eviction->candidates && may_go(table, slot))
                eviction->candidates[eviction->n_candidates++] =
                    (struct candidate){.table = table,
                                       .slot = slot,
                                       .is_former = slot->id < table->serving,
                                       .time = version_time(slot->cached)};
        }
    }
}

static void add_refs(struct eviction *eviction, const struct slot *slot)
{
    const struct version_desc *desc = slot->cached ? &slot->cached->files->desc : NULL;
    for (size_t i = 0; desc && i < desc->n_parts; i++)
        eviction->refs[eviction->n_refs++] =
            (struct ref){desc->parts[i].digest, desc->parts[i].len, slot->eviction};
    for (size_t i = 0; i < slot->n_expected; i++)
        eviction->refs[eviction->n_refs++] = (struct ref){slot->expected[i], 0, KEPT};
}

/* One ref a part: its last owner. */
static void merge_refs(struct eviction *eviction)
{
    size_t n = 0;
    qsort(eviction->refs, eviction->n_refs, sizeof *eviction->refs, by_digest);
    for (size_t i = 0; i < eviction->n_refs; i++) {
        struct ref *last = n ? &eviction->refs[n - 1] : NULL;
        const struct ref *ref = &eviction->refs[i];
        if (!last || by_digest(last, ref))
            eviction->refs[n++] = *ref;
        else if (ref->owner > last->owner)
            *last = *ref;
    }
    eviction->n_refs = n;
}

/* Under the lock. */
static int survey(struct node *node, struct eviction *out)
{
    size_t n_slots = 0;
    size_t n_refs = 0;
    list_candidates(node, out, &n_slots, &n_refs);
    out->candidates = calloc(n_slots + 1, sizeof *out->candidates);
    out->refs = calloc(n_refs + 1, sizeof *out->refs);
    if (!out->candidates || !out->refs)
        return -ENOMEM;
    list_candidates(node, out, &n_slots, &n_refs);
    qsort(out->candidates, out->n_candidates, sizeof *out->candidates, by_worth);
    for (size_t i = 0; i < out->n_candidates; i++)
        out->candidates[i].slot->eviction = i;
    size_t n_tables = atomic_load(&node->n_tables);
    for (size_t t = 0; t < n_tables; t++)
        for (size_t s = 0; s < node->tables[t]->n_slots; s++)
            add_refs(out, node->tables[t]->slots[s]);
    merge_refs(out);
    for (size_t i = 0; i < out->n_refs; i++)
        if (out->refs[i].owner != KEPT)
            out->candidates[out->refs[i].owner].freed += out->refs[i].len;
    return 0;
}

/* Under the lock: takes as many candidates as it needs out of their tables; false: they do not
 * suffice. */
static bool take_candidates(struct node *node, struct eviction *eviction, uint64_t over)
{
    uint64_t freed = 0;
    size_t n = 0;
    while (n < eviction->n_candidates && freed < over)
        freed += eviction->candidates[n++].freed;
    if (freed < over)
        return false;
    eviction->n_candidates = n;
    for (size_t i = 0; i < n; i++) {
        const struct candidate *candidate = &eviction->candidates[i];
        table_remove_slot(candidate->table, candidate->slot);
        node_note(node, NODE_EVENT_VERSION, candidate->table, candidate->slot->id);
    }
    node->is_dirty = true;
    node->changes++;
    return true;
}

static void remove_candidates(struct node *node, const struct eviction *eviction)
{
    node_tell_notes(node);
    /* First they are no longer named, then they go. */
    node_save_if_dirty(node);
    for (size_t i = 0; i < eviction->n_candidates; i++) {
        const struct candidate *candidate = &eviction->candidates[i];
        uint64_t id = candidate->slot->id;
        cache_version_remove(node->cache, candidate->table->name, id, NULL);
        slot_free(candidate->slot);
        atomic_fetch_add(&node->n_evictions, 1);
        node_tell(node, NODE_EVENT_NOTICE, candidate->table, id,
                  "table %s version %llu: out of the cache, to make room", candidate->table->name,
                  (unsigned long long)id);
    }
    for (size_t i = 0; i < eviction->n_refs; i++)
        if (eviction->refs[i].owner < eviction->n_candidates)
            cache_part_remove(node->cache, &eviction->refs[i].digest);
}

int evict_for(struct node *node, uint64_t need, struct err *err)
{
    uint64_t over = 0;
    int ret = cache_check_room(node->cache, node->cache_limit, need, &over, err);
    if (ret != -ENOSPC)
        return ret;
    /* What is over anyway goes first. */
    while (collect_one(node))
        ;
    ret = cache_check_room(node->cache, node->cache_limit, need, &over, err);
    if (ret != -ENOSPC)
        return ret;
    struct eviction eviction = {0};
    pthread_mutex_lock(&node->lock);
    bool is_enough = !survey(node, &eviction) && take_candidates(node, &eviction, over);
    pthread_mutex_unlock(&node->lock);
    if (is_enough) {
        remove_candidates(node, &eviction);
        ret = cache_check_room(node->cache, node->cache_limit, need, &over, err);
    }
    free(eviction.candidates);
    free(eviction.refs);
    return ret;
}
