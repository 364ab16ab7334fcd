/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory budget, and that of descriptors.
 *
 * A load is refused before it begins, never half-way. What may be dropped for it: loaded versions
 * that do not answer, matter less than the new one, and that nobody has pinned (dropping a pinned
 * one frees nothing now). Parts are shared, so what a drop frees is counted part by part:
 * part->planned is how many holders would remain. Nothing is dropped unless it is enough.
 */
#include "node/node_impl.h"

#include "node/descriptors.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>

static uint64_t bytes_missing(struct node *node, const struct version_desc *desc)
{
    uint64_t need = 0;
    for (size_t i = 0; i < desc->n_parts; i++) {
        struct loaded_part *part = part_memory_peek(node->memory, &desc->parts[i].digest);
        if (!part)
            need += memory_mapped_len(part_memory_len(&desc->parts[i]));
    }
    return need;
}

/* Counts every holder anew; the new version counts as one, so that what it shares is never counted
 * as freed. */
static void plan_holders(struct node *node, const struct version_desc *wanted)
{
    size_t n_tables = atomic_load(&node->n_tables);
    for (size_t t = 0; t < n_tables; t++) {
        const struct table *table = node->tables[t];
        for (size_t s = 0; s < table->n_slots; s++) {
            const struct version *version = table->slots[s]->loaded;
            for (size_t i = 0; version && i < version->files->desc.n_parts; i++)
                version->parts[i]->planned = version->parts[i]->n_holders;
        }
    }
    for (size_t i = 0; i < wanted->n_parts; i++) {
        struct loaded_part *part = part_memory_peek(node->memory, &wanted->parts[i].digest);
        if (part)
            part->planned++;
    }
}

static uint64_t plan_drop(const struct version *version)
{
    uint64_t freed = 0;
    for (size_t i = 0; i < version->files->desc.n_parts; i++)
        if (--version->parts[i]->planned == 0)
            freed += version->parts[i]->memory.mapped;
    return freed;
}

struct drop {
    struct table *table;
    struct slot *slot;
};

/* The loaded slot that matters least and less than rank, among those not yet taken. */
static bool find_least(struct node *node, enum rank rank, const struct drop *taken, size_t n_taken,
                       struct drop *out)
{
    struct slot *least = NULL;
    size_t n_tables = atomic_load(&node->n_tables);
    for (size_t t = 0; t < n_tables; t++) {
        struct table *table = node->tables[t];
        for (size_t s = 0; s < table->n_slots; s++) {
            struct slot *slot = table->slots[s];
            bool is_taken = false;
            for (size_t i = 0; i < n_taken; i++)
                is_taken |= taken[i].slot == slot;
            if (!slot->loaded || slot->id == table->serving || slot->n_held || slot->rank <= rank ||
                is_taken || !counted_is_sole(&slot->loaded->counted))
                continue;
            if (least &&
                (slot->rank < least->rank || (slot->rank == least->rank && slot->id >= least->id)))
                continue;
            least = slot;
            *out = (struct drop){table, slot};
        }
    }
    return least != NULL;
}

void node_drop_loaded(struct node *node, struct table *table, struct slot *slot)
{
    version_unpin(slot->loaded); /* the last pin only puts it on the reaper's list */
    slot->loaded = NULL;
    node->changes++;
    node_note(node, NODE_EVENT_VERSION, table, slot->id);
}

static int refuse(struct node *node, uint64_t need, uint64_t used, struct err *err)
{
    return err_set(err, -ENOMEM,
                   "over the memory budget: needs %llu bytes, budget %llu, used %llu: over by %llu",
                   (unsigned long long)need, (unsigned long long)node->memory_budget,
                   (unsigned long long)used,
                   (unsigned long long)(need + used - node->memory_budget));
}

static int check_descriptors(struct node *node, const struct version_desc *desc, struct err *err)
{
    struct rlimit limit;
    uint64_t need = 0;
    if (desc->schema.kind == KIND_MEM || getrlimit(RLIMIT_NOFILE, &limit) ||
        limit.rlim_cur == RLIM_INFINITY)
        return 0;
    for (size_t i = 0; i < desc->n_parts; i++)
        need += part_memory_peek(node->memory, &desc->parts[i].digest) == NULL;
    uint64_t used = disk_parts_n_open(part_memory_disk(node->memory));
    uint64_t max = limit.rlim_cur / DESCRIPTORS_WHOLE * DESCRIPTORS_OF_PARTS;
    if (need + used <= max)
        return 0;
    return err_set(
        err, -EMFILE,
        "too many open files: its parts on disk need %llu, parts have %llu, and may have "
        "%llu of the %llu that this daemon may open: raise the limit (LimitNOFILE= or "
        "ulimit -n) to %llu, or build with fewer shards",
        (unsigned long long)need, (unsigned long long)used, (unsigned long long)max,
        (unsigned long long)limit.rlim_cur,
        (unsigned long long)((need + used) / DESCRIPTORS_OF_PARTS + 1) * DESCRIPTORS_WHOLE);
}

enum { DROPS_MAX = 256 };

int node_make_room(struct node *node, const struct version *cached, enum rank rank, struct err *err)
{
    const struct version_desc *desc = &cached->files->desc;
    int ret = check_descriptors(node, desc, err);
    if (ret)
        return ret;
    uint64_t need = bytes_missing(node, desc);
    uint64_t used = part_memory_used(node->memory);
    if (need + used <= node->memory_budget)
        return 0;
    struct drop drops[DROPS_MAX];
    size_t n_drops = 0;
    plan_holders(node, desc);
    while (need + used > node->memory_budget && n_drops < DROPS_MAX) {
        if (!find_least(node, rank, drops, n_drops, &drops[n_drops]))
            return refuse(node, need, used, err);
        used -= plan_drop(drops[n_drops++].slot->loaded);
    }
    if (need + used > node->memory_budget)
        return refuse(node, need, used, err);
    for (size_t i = 0; i < n_drops; i++)
        node_drop_loaded(node, drops[i].table, drops[i].slot);
    return 0;
}
