/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/keyfile.h"

#include "base/scope.h"

#include <errno.h>
#include <string.h>

enum { SLOT_BITS = 20, SLOTS_FIRST = 64 };
_Static_assert(KEYFILES_MAX == 1 << SLOT_BITS, "a slot fits its bits");

struct slot {
    uint64_t generation; /* counts the uses of this slot */
    uint64_t n_lookups;  /* 0: free */
    uint32_t next_free;
    uint32_t table;
    uint64_t version;
    uint64_t value_len;
    char *name;
};

struct keyfiles {
    pthread_mutex_t lock; /* guards all below */
    struct slot *slots;
    uint32_t n_slots; /* ever used; slot 0 stays empty, so that 0 ends the free list */
    uint32_t cap;
    uint32_t free;
    uint32_t n_used;
    uint32_t hand; /* of keyfiles_oldest(): slots are looked at in turn */
};

int keyfiles_new(struct keyfiles **out)
{
    struct keyfiles *keyfiles = calloc(1, sizeof *keyfiles);
    if (!keyfiles)
        return -ENOMEM;
    keyfiles->slots = calloc(SLOTS_FIRST, sizeof *keyfiles->slots);
    if (!keyfiles->slots) {
        free(keyfiles);
        return -ENOMEM;
    }
    keyfiles->cap = SLOTS_FIRST;
    keyfiles->n_slots = 1;
    pthread_mutex_init(&keyfiles->lock, NULL);
    *out = keyfiles;
    return 0;
}

void keyfiles_free(struct keyfiles *keyfiles)
{
    if (!keyfiles)
        return;
    for (uint32_t i = 1; i < keyfiles->n_slots; i++)
        free(keyfiles->slots[i].name);
    free(keyfiles->slots);
    pthread_mutex_destroy(&keyfiles->lock);
    free(keyfiles);
}

/* A free slot's index, or 0 with *ret set. */
static uint32_t take_slot(struct keyfiles *keyfiles, int *ret)
{
    uint32_t index = keyfiles->free;
    if (index) {
        keyfiles->free = keyfiles->slots[index].next_free;
        return index;
    }
    if (keyfiles->n_slots == KEYFILES_MAX) {
        *ret = -ENFILE;
        return 0;
    }
    if (keyfiles->n_slots == keyfiles->cap) {
        struct slot *more = realloc(keyfiles->slots, 2 * keyfiles->cap * sizeof *more);
        if (!more) {
            *ret = -ENOMEM;
            return 0;
        }
        memset(more + keyfiles->cap, 0, keyfiles->cap * sizeof *more);
        keyfiles->slots = more;
        keyfiles->cap *= 2;
    }
    return keyfiles->n_slots++;
}

int keyfiles_add(struct keyfiles *keyfiles, const struct keyfile *keyfile, uint64_t *serial)
{
    int ret = -ENOMEM;
    scope_free char *name = strdup(keyfile->name);
    if (!name)
        return -ENOMEM;
    scope_lock(&keyfiles->lock);
    uint32_t index = take_slot(keyfiles, &ret);
    if (!index)
        return ret;
    struct slot *slot = &keyfiles->slots[index];
    *slot = (struct slot){
        .generation = slot->generation + 1,
        .n_lookups = 1,
        .table = keyfile->table,
        .version = keyfile->version,
        .value_len = keyfile->value_len,
        .name = scope_take(name),
    };
    keyfiles->n_used++;
    *serial = slot->generation << SLOT_BITS | index;
    return 0;
}

/* The slot of a number in use, or NULL. Called with the lock held. */
static struct slot *slot_of(struct keyfiles *keyfiles, uint64_t serial)
{
    uint64_t index = serial & (KEYFILES_MAX - 1);
    if (index == 0 || index >= keyfiles->n_slots)
        return NULL;
    struct slot *slot = &keyfiles->slots[index];
    return slot->n_lookups && slot->generation == serial >> SLOT_BITS ? slot : NULL;
}

static void copy_slot(const struct slot *slot, struct keyfile *out)
{
    out->table = slot->table;
    out->version = slot->version;
    out->value_len = slot->value_len;
    strcpy(out->name, slot->name);
}

bool keyfiles_get(struct keyfiles *keyfiles, uint64_t serial, struct keyfile *out)
{
    scope_lock(&keyfiles->lock);
    const struct slot *slot = slot_of(keyfiles, serial);
    if (slot)
        copy_slot(slot, out);
    return slot != NULL;
}

void keyfiles_forget(struct keyfiles *keyfiles, uint64_t serial, uint64_t n_lookups)
{
    scope_lock(&keyfiles->lock);
    struct slot *slot = slot_of(keyfiles, serial);
    if (!slot)
        return;
    slot->n_lookups -= n_lookups < slot->n_lookups ? n_lookups : slot->n_lookups;
    if (slot->n_lookups)
        return;
    free(slot->name);
    slot->name = NULL;
    slot->next_free = keyfiles->free;
    keyfiles->free = (uint32_t)(slot - keyfiles->slots);
    keyfiles->n_used--;
}

size_t keyfiles_count(struct keyfiles *keyfiles)
{
    scope_lock(&keyfiles->lock);
    return keyfiles->n_used;
}

bool keyfiles_oldest(struct keyfiles *keyfiles, struct keyfile *out)
{
    scope_lock(&keyfiles->lock);
    if (keyfiles->n_used <= KEYFILES_KEEP)
        return false;
    for (uint32_t i = 0; i < keyfiles->n_slots; i++) {
        keyfiles->hand = (keyfiles->hand + 1) % keyfiles->n_slots;
        const struct slot *slot = &keyfiles->slots[keyfiles->hand];
        if (slot->n_lookups) {
            copy_slot(slot, out);
            return true;
        }
    }
    return false;
}
