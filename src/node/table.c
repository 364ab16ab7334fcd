/* SPDX-License-Identifier: Apache-2.0 */
#include "node/table_impl.h"

#include "base/scope.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { FAILURES_SHOWN = 3, BACKOFF_DOUBLINGS_MAX = 6 };

#define BACKOFF_FIRST_NS 1000000000LL
#define BACKOFF_MAX_NS   (60 * 1000000000LL)
#define STORE_RETRY_NS   (5 * 1000000000LL)

int table_new(const char *name, uint32_t index, pthread_mutex_t *lock, struct table **out,
              struct err *err)
{
    struct table *table = calloc(1, sizeof *table);
    if (!table)
        return err_sys(err, -ENOMEM, "table %s", name);
    snprintf(table->name, sizeof table->name, "%s", name);
    table->index = index;
    table->lock = lock;
    *out = table;
    return 0;
}

void slot_free(struct slot *slot)
{
    if (!slot)
        return;
    version_unpin(slot->loaded);
    version_unpin(slot->cached);
    free(slot->expected);
    free(slot->reason);
    free(slot);
}

void table_free(struct table *table)
{
    if (!table)
        return;
    current_switch(&table->current, NULL);
    for (size_t i = 0; i < table->n_slots; i++)
        slot_free(table->slots[i]);
    free(table->slots);
    free(table);
}

/* The place of id in the ascending slots, or where it would go. */
static size_t slot_place(const struct table *table, uint64_t id)
{
    size_t low = 0;
    size_t high = table->n_slots;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (table->slots[mid]->id < id)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

struct slot *table_find_slot(const struct table *table, uint64_t id)
{
    size_t i = slot_place(table, id);
    return i < table->n_slots && table->slots[i]->id == id ? table->slots[i] : NULL;
}

struct slot *table_add_slot(struct table *table, uint64_t id, const struct digest *digest)
{
    struct slot *slot = table_find_slot(table, id);
    if (slot)
        return slot;
    if (table->n_slots == table->cap_slots) {
        size_t cap = table->cap_slots ? table->cap_slots * 2 : 8;
        struct slot **slots = realloc(table->slots, cap * sizeof(struct slot *));
        if (!slots)
            return NULL;
        table->slots = slots;
        table->cap_slots = cap;
    }
    slot = calloc(1, sizeof *slot);
    if (!slot)
        return NULL;
    slot->id = id;
    slot->digest = *digest;
    slot->place = PLACE_CACHED;
    slot->rank = RANK_NONE;
    size_t i = slot_place(table, id);
    memmove(&table->slots[i + 1], &table->slots[i], (table->n_slots - i) * sizeof(struct slot *));
    table->slots[i] = slot;
    table->n_slots++;
    return slot;
}

void table_remove_slot(struct table *table, struct slot *slot)
{
    size_t i = slot_place(table, slot->id);
    table->n_slots--;
    memmove(&table->slots[i], &table->slots[i + 1], (table->n_slots - i) * sizeof(struct slot *));
}

bool slot_is_unused(const struct slot *slot)
{
    if (slot->loaded)
        return false;
    return !slot->cached || (counted_is_sole(&slot->cached->counted) &&
                             counted_is_sole(&slot->cached->files->counted));
}

void slot_expect(struct slot *slot, const struct version_desc *desc)
{
    struct digest *digests = calloc(desc->n_parts, sizeof *digests);
    for (size_t i = 0; digests && i < desc->n_parts; i++)
        digests[i] = desc->parts[i].digest;
    free(slot->expected);
    slot->expected = digests;
    slot->n_expected = digests ? desc->n_parts : 0;
}

void slot_set_failure(struct slot *slot, int code, const char *reason, int64_t now_ns)
{
    char *copy = strdup(reason);
    free(slot->reason);
    slot->reason = copy;
    slot->failure = code;
    slot->lacks_store = false;
    uint32_t doublings =
        slot->n_failures < BACKOFF_DOUBLINGS_MAX ? slot->n_failures : BACKOFF_DOUBLINGS_MAX;
    int64_t wait_ns = BACKOFF_FIRST_NS << doublings;
    slot->retry_ns = now_ns + (wait_ns < BACKOFF_MAX_NS ? wait_ns : BACKOFF_MAX_NS);
    slot->n_failures++;
}

void slot_miss_store(struct slot *slot, const char *reason, int64_t now_ns)
{
    char *copy = strdup(reason);
    free(slot->reason);
    slot->reason = copy;
    slot->lacks_store = true;
    slot->retry_ns = now_ns + STORE_RETRY_NS;
}

void slot_clear_failure(struct slot *slot)
{
    free(slot->reason);
    slot->reason = NULL;
    slot->failure = 0;
    slot->lacks_store = false;
    slot->n_failures = 0;
    slot->retry_ns = 0;
}

bool slot_has_failed(const struct slot *slot)
{
    switch (-slot->failure) {
    case 0:
        return false;
    case EBADMSG:
    case ENOTSUP:
    case ENOMEM:
    case ENOSPC:
    case EMFILE:
    case ENFILE:
        return true;
    default:
        return slot->n_failures >= FAILURES_SHOWN;
    }
}

enum node_version_state slot_state(const struct table *table, const struct slot *slot)
{
    if (slot->loaded)
        return table->serving == slot->id ? NODE_SERVING : NODE_READY;
    if (slot_has_failed(slot))
        return NODE_FAILED;
    if (slot->activity == SLOT_LOADING)
        return NODE_LOADING;
    if (!slot->cached)
        return NODE_FETCHING;
    /* Standing by on disk is a state of its own; anything else waits for its turn to be loaded. */
    return slot->place == PLACE_LOADED && slot->rank < RANK_STANDBY ? NODE_LOADING : NODE_CACHED;
}

void slot_note_state(const struct table *table, struct slot *slot, int64_t now_ns)
{
    enum node_version_state state = slot_state(table, slot);
    if (slot->since_ns && slot->told == state)
        return;
    slot->told = state;
    slot->since_ns = now_ns;
}

void table_switch(struct table *table, struct slot *slot, int64_t now_ns)
{
    if (table->serving == slot->id)
        return;
    current_switch(&table->current, &slot->loaded->counted);
    table->before = table->serving;
    table->serving = slot->id;
    /* The next plan may know better; until then what was left is what one would go back to. */
    table->previous = table->before;
    table->switched_ns = now_ns;
    table->epoch++;
}

const char *table_name(const struct table *table)
{
    return table->name;
}

uint32_t table_index(const struct table *table)
{
    return table->index;
}

struct version *table_pin_current(struct table *table)
{
    return version_of(current_pin(&table->current));
}

struct version *table_pin_version(struct table *table, uint64_t id)
{
    scope_lock(table->lock);
    const struct slot *slot = table_find_slot(table, id);
    if (!slot || !slot_is_visible(slot))
        return NULL;
    struct version *version = slot->loaded ? slot->loaded : slot->cached;
    version_pin(version);
    return version;
}

void table_links(struct table *table, uint64_t *current, uint64_t *previous)
{
    scope_lock(table->lock);
    *current = table->serving;
    const struct slot *slot = table_find_slot(table, table->previous);
    /* A link never dangles. */
    *previous = slot && slot_is_visible(slot) ? table->previous : 0;
}

size_t table_versions(struct table *table, uint64_t *ids, size_t max)
{
    scope_lock(table->lock);
    size_t n = 0;
    for (size_t i = 0; i < table->n_slots; i++) {
        if (!slot_is_visible(table->slots[i]))
            continue;
        if (n < max)
            ids[n] = table->slots[i]->id;
        n++;
    }
    return n;
}

void table_access(struct table *table, uid_t *uid, gid_t *gid, uint32_t *mode)
{
    struct version *version = table_pin_current(table);
    *uid = 0;
    *gid = 0;
    *mode = 0555;
    if (!version)
        return;
    version_access(version, uid, gid, mode);
    /* Who may read the files may search the directory. */
    *mode = (*mode & 0666) | (*mode & 0444) >> 2;
    version_unpin(version);
}
