/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table_impl: a table's slots, one for each version this machine has or should have; for
 * src/node/ only.
 *
 * Threads: all fields but `current`, `name` and `index` are under the node's lock (*table->lock).
 * Slots are added by follow and removed by work; a slot that is not IDLE is never removed.
 * Memory: table_free().
 */
#ifndef FKV_NODE_TABLE_IMPL_H
#define FKV_NODE_TABLE_IMPL_H

#include "manifest/heartbeat.h"
#include "node/plan.h"
#include "node/progress.h"
#include "node/table.h"
#include "node/version_impl.h"

#include <pthread.h>

enum slot_activity { SLOT_IDLE, SLOT_FETCHING, SLOT_LOADING };

struct slot {
    uint64_t id;
    struct digest digest;   /* of version.json */
    struct version *cached; /* NULL: not on disk as a whole */
    struct version *loaded; /* NULL: not in memory */
    enum keep_place place;
    enum rank rank;
    enum slot_activity activity;
    unsigned n_held; /* node-local switches to it under way: not dropped, not removed */
    size_t eviction; /* scratch of evict.c */
    struct progress progress;
    struct digest *expected; /* the parts of a version on its way; NULL: not known */
    size_t n_expected;
    int failure; /* -errno of the last try; 0: none */
    char *reason;
    bool lacks_store;             /* the last try did not reach the store: no failure */
    uint32_t n_failures;          /* in a row */
    int64_t retry_ns;             /* CLOCK_MONOTONIC: not before */
    enum node_version_state told; /* the state last looked at, and since when: CLOCK_MONOTONIC */
    int64_t since_ns;
};

struct table {
    struct current current;
    char name[TABLE_NAME_MAX + 1];
    uint32_t index;
    pthread_mutex_t *lock;
    struct slot **slots; /* ascending by id */
    size_t n_slots;
    size_t cap_slots;
    uint64_t wanted;   /* should answer */
    uint64_t unpinned; /* should answer, were there no local pin */
    uint64_t next;     /* `unpinned` from next_ns on */
    int64_t next_ns;   /* by the store's clock; 0: no change is known of */
    int64_t passed_ns; /* the last such instant that came: it stays past if the clock is set back */
    uint64_t serving;  /* answers; 0: none */
    uint64_t previous; /* what the link says; 0: none */
    uint64_t before;   /* served before `serving`; 0: none */
    uint64_t local_pin;
    uint64_t pin_seq;    /* last manifest record looked at for an unpin */
    int64_t pin_ns;      /* by the store's clock: an unpin made before is not meant for this pin */
    int64_t switched_ns; /* by the store's clock */
    uint64_t epoch;      /* counts changes that make a plan in the making stale */
};

int table_new(const char *name, uint32_t index, pthread_mutex_t *lock, struct table **out,
              struct err *err);
void table_free(struct table *table);

struct slot *table_find_slot(const struct table *table, uint64_t id);
/* The slot of that number, made when there is none. NULL without memory. */
struct slot *table_add_slot(struct table *table, uint64_t id, const struct digest *digest);
/* Takes the slot out; slot_free() it after the lock is dropped. */
void table_remove_slot(struct table *table, struct slot *slot);
void slot_free(struct slot *slot);

/* Nobody but the slot has it: no pin on the cached version, no loaded one that shares its files. */
bool slot_is_unused(const struct slot *slot);

/* True when the listing of v/ shows it: a version that is over stays whole for those who have it
 * open. */
static inline bool slot_is_visible(const struct slot *slot)
{
    return (slot->cached || slot->loaded) && (slot->place != PLACE_GONE || !slot_is_unused(slot));
}

/* The parts of a version on its way, from its description: no sweep takes them. */
void slot_expect(struct slot *slot, const struct version_desc *desc);

void slot_set_failure(struct slot *slot, int code, const char *reason, int64_t now_ns);
/* The store was not to be had: tried again soon, and at once when it is back. */
void slot_miss_store(struct slot *slot, const char *reason, int64_t now_ns);
void slot_clear_failure(struct slot *slot);
/* A failure that will not go away by trying again soon, or one that came three times. */
bool slot_has_failed(const struct slot *slot);

/* How the fleet sees this slot of this table. */
enum node_version_state slot_state(const struct table *table, const struct slot *slot);
/* Notes since when; now_ns by CLOCK_MONOTONIC. */
void slot_note_state(const struct table *table, struct slot *slot, int64_t now_ns);

/* Makes the loaded slot the one that answers. */
void table_switch(struct table *table, struct slot *slot, int64_t now_ns);

#endif
