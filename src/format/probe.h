/* SPDX-License-Identifier: Apache-2.0 */
/*
 * probe: the steps of a lookup, small enough to be inlined into the passes of a batch.
 *
 *   hash -> place (a partition) -> pilot -> slot; the slot's hash decides; then, in heap layout,
 *   reference -> record, whose key decides for bytes keys.
 *
 * What part_open() promises of a struct place: pilots[0, n_buckets) and slots[0, n_slots *
 * stride) lie in the part, n_slots and n_buckets are not 0. Heap references are checked here,
 * when they are followed.
 *
 * Threads: pure functions over immutable memory. Memory: pointers live as long as the part's
 * memory. Internal to format and query.
 */
#ifndef FKV_FORMAT_PROBE_H
#define FKV_FORMAT_PROBE_H

#include "format/mph.h"
#include "format/part_layout.h"

#include <string.h>

struct part;

/* What every lookup reads of a partition. */
struct place {
    const uint8_t *pilots;
    const uint8_t *slots;
    uint32_t n_slots;
    uint32_t n_buckets;
};

/* What only some need. */
struct place_more {
    const uint8_t *heap;
    uint64_t heap_len;
    const uint8_t *fingerprints; /* of this partition's first slot; NULL in level 0 */
    const uint8_t *tomb_bits;    /* of the part's first slot; NULL in level 0 */
    uint64_t first_slot;
    const struct part *part;
};

static inline uint32_t place_slot(const struct place *place, uint64_t hash)
{
    uint8_t pilot = place->pilots[mph_bucket(hash, place->n_buckets)];
    return mph_slot(hash, pilot, place->n_slots);
}

static inline const uint8_t *place_slot_at(const struct place *place, uint32_t slot,
                                           uint32_t stride)
{
    return place->slots + (uint64_t)slot * stride;
}

static inline bool place_is_tombstone(const struct place_more *more, uint32_t slot)
{
    uint64_t bit = more->first_slot + slot;
    return more->tomb_bits && (more->tomb_bits[bit / 8] >> (bit % 8) & 1);
}

/* The record a reference names, or NULL when it lies outside the partition's heap. */
static inline const uint8_t *place_record(const struct place_more *more, uint64_t ref,
                                          uint32_t *len)
{
    uint64_t off = part_ref_off(ref);
    *len = part_ref_len(ref);
    return range_within(off, *len, more->heap_len) ? more->heap + off : NULL;
}

/* True when the record of a bytes key is this key's; *value_off is where its value starts. */
static inline bool record_has_key(const uint8_t *record, uint32_t len, const uint8_t *key,
                                  uint32_t key_len, uint32_t *value_off)
{
    *value_off = 1 + key_len;
    return len >= 1 + key_len && record[0] == key_len && memcmp(record + 1, key, key_len) == 0;
}

/* What a lookup in one level says. */
enum probe {
    PROBE_ABSENT = 0,
    PROBE_FOUND = 1,
    PROBE_TOMBSTONE = 2,
    PROBE_CORRUPT =
        3, /* a reference outside the heap, or a value of another length than the schema's */
};

struct probe_value {
    const uint8_t *data;
    uint32_t len;
};

/* value_len is the schema's; key is NULL for u64 keys, whose hash is the key. */
enum probe probe_slot(const struct place *place, const struct place_more *more, uint32_t slot,
                      uint64_t hash, const uint8_t *key, uint32_t key_len,
                      struct probe_value *value);

#endif
