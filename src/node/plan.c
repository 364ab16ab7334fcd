/* SPDX-License-Identifier: Apache-2.0 */
#include "node/plan.h"

#include <errno.h>
#include <stdlib.h>

void plan_release(struct plan *plan)
{
    free(plan->items);
    *plan = (struct plan){0};
}

static struct plan_item *find_item(const struct plan *plan, uint64_t id)
{
    for (size_t i = 0; i < plan->n_items; i++)
        if (plan->items[i].id == id)
            return &plan->items[i];
    return NULL;
}

static const struct plan_have *find_have(const struct plan_input *input, uint64_t id)
{
    for (size_t i = 0; i < input->n_have; i++)
        if (input->have[i].id == id)
            return &input->have[i];
    return NULL;
}

static const struct version_entry *find_entry(const struct plan_input *input, uint64_t id)
{
    return input->fleet ? table_state_find(input->fleet, id) : NULL;
}

/* Asks for a version in memory. One that is neither here nor to be had is left out. The room was
 * made by plan_make(). */
static void want(struct plan *plan, const struct plan_input *input, uint64_t id, enum rank rank)
{
    if (id == 0)
        return;
    struct plan_item *item = find_item(plan, id);
    if (!item) {
        const struct version_entry *entry = find_entry(input, id);
        if (!entry || entry->state == VERSION_FORGOTTEN)
            return;
        item = &plan->items[plan->n_items++];
        *item = (struct plan_item){.id = id, .rank = RANK_NONE};
    }
    item->place = PLACE_LOADED;
    if (rank < item->rank)
        item->rank = rank;
}

/* The newest candidates above current: those that may be activated next. An older one must not take
 * the newest one's memory. */
static void want_candidates(struct plan *plan, const struct plan_input *input)
{
    const struct table_state *fleet = input->fleet;
    size_t n = 0;
    for (size_t i = fleet->n_versions; i-- > 0 && n < PLAN_CANDIDATES_MAX;) {
        const struct version_entry *entry = &fleet->versions[i];
        if (entry->version <= fleet->current)
            break;
        if (entry->state != VERSION_CANDIDATE || table_state_find_bad(fleet, entry))
            continue;
        want(plan, input, entry->version, n == 0 ? RANK_CANDIDATE : RANK_STANDBY);
        n++;
    }
}

static void want_fleet(struct plan *plan, const struct plan_input *input)
{
    const struct table_state *fleet = input->fleet;
    if (fleet->effective_ns > input->now_ns) {
        want(plan, input, fleet->current, RANK_NEXT);
        plan->next_ns = fleet->effective_ns;
        plan->next = table_state_wanted(fleet, input->node, input->labels, input->n_labels,
                                        fleet->effective_ns);
    }
    want_candidates(plan, input);
    want(plan, input, fleet->current, RANK_STANDBY);
    want(plan, input, fleet->previous, RANK_STANDBY);
}

static bool is_over(const struct version_entry *entry)
{
    return entry && (entry->state == VERSION_RETIRED || entry->state == VERSION_FORGOTTEN);
}

/* A node that goes with the fleet has the fleet's previous version; one that is pinned elsewhere
 * has what it served before. */
static uint64_t former_link(const struct plan *plan, const struct plan_input *input)
{
    const struct table_state *fleet = input->fleet;
    if (fleet && plan->wanted == fleet->current)
        return fleet->previous;
    const struct plan_have *have = find_have(input, input->previous);
    const struct version_entry *entry = find_entry(input, input->previous);
    if (!have || input->previous == plan->wanted || is_over(entry) || (entry && entry->quarantined))
        return 0;
    return input->previous;
}

/* Former versions that are not in use: the newest keep_cached stay on disk. Without a manifest
 * everything stays. */
static void place_rest(struct plan *plan, const struct plan_input *input)
{
    uint32_t n_kept = 0;
    for (size_t i = plan->n_items; i-- > 0;) {
        struct plan_item *item = &plan->items[i];
        if (item->place == PLACE_LOADED)
            continue;
        const struct version_entry *entry = find_entry(input, item->id);
        bool is_candidate = entry && entry->state == VERSION_CANDIDATE &&
                            entry->version > input->fleet->current &&
                            !table_state_find_bad(input->fleet, entry);
        const struct plan_have *have = find_have(input, item->id);
        bool is_here = have && (have->is_cached || have->is_loaded);
        item->place = PLACE_CACHED;
        if (!input->fleet || is_candidate)
            continue;
        if (is_over(entry) || !is_here || n_kept >= input->keep_cached)
            item->place = PLACE_GONE;
        else
            n_kept++;
    }
}

static int compare_items(const void *a, const void *b)
{
    uint64_t x = ((const struct plan_item *)a)->id;
    uint64_t y = ((const struct plan_item *)b)->id;
    return (x > y) - (x < y);
}

int plan_make(const struct plan_input *input, struct plan *out)
{
    /* Beyond what is here: wanted, unpinned, next, current, previous, candidates. */
    size_t cap = input->n_have + PLAN_CANDIDATES_MAX + 8;
    struct plan plan = {.items = calloc(cap, sizeof *plan.items)};
    if (!plan.items)
        return -ENOMEM;
    for (; plan.n_items < input->n_have; plan.n_items++)
        plan.items[plan.n_items] =
            (struct plan_item){.id = input->have[plan.n_items].id, .rank = RANK_NONE};
    if (input->fleet)
        plan.unpinned = table_state_wanted(input->fleet, input->node, input->labels,
                                           input->n_labels, input->now_ns);
    /* A manifest that names none yet, or is not to be had, takes nothing away. */
    if (!plan.unpinned)
        plan.unpinned = input->serving;
    plan.wanted = input->local_pin ? input->local_pin : plan.unpinned;
    want(&plan, input, plan.wanted, RANK_SERVE);
    want(&plan, input, input->serving, RANK_SERVE);
    if (input->fleet)
        want_fleet(&plan, input);
    plan.previous = former_link(&plan, input);
    want(&plan, input, plan.previous, RANK_STANDBY);
    qsort(plan.items, plan.n_items, sizeof *plan.items, compare_items);
    place_rest(&plan, input);
    *out = plan;
    return 0;
}
