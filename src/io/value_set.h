/* SPDX-License-Identifier: Apache-2.0 */
/*
 * value_set: one set of a value_cache: a page of values that many read while one changes it.
 *
 *   word 0: sequence    word 1: slots, lowest record, hand, next ghost (16 bits each)
 *   slots, two a word, upwards …      … records, downwards | ghosts, 16 bits each, to the end
 *
 * A slot names a record: its word (9 bits), a counter (2), a fingerprint (21). A record is the hash,
 * then owner, bytes of the value and of the key in one word, then the value and the key, each padded
 * to a word. Ghosts are fingerprints of what was turned down.
 *
 * The sequence is odd while the set is changed: who makes it odd owns the set, and who reads takes
 * nothing for true until he has seen the same even number before and after. All words are atomic;
 * loads acquire and stores release, so that a reader who saw a word of a change sees its sequence
 * too. (Fences would do, but ThreadSanitizer does not know them; on x86 there is no difference.)
 * Whatever a torn read says, no access leaves the set.
 *
 * Threads, Memory: as value_cache.h says. Internal to io.
 */
#ifndef FKV_IO_VALUE_SET_H
#define FKV_IO_VALUE_SET_H

#include "io/value_cache.h"

#include <stdatomic.h>

enum {
    SET_LEN = 4096,
    SET_WORDS = SET_LEN / 8,
    SET_SLOTS_AT = 2, /* the first word of slots */
    SET_GHOSTS = 32,
    SET_RECORDS_END = SET_WORDS - SET_GHOSTS / 4,
    SET_RECORD_HEAD = 2, /* words before the value */
    SLOT_AT_BITS = 9,
    SLOT_COUNT_MAX = 3,
    SLOT_FINGERPRINT_SHIFT = 11,
};

struct value_set {
    _Atomic uint64_t words[SET_WORDS];
};
_Static_assert(sizeof(struct value_set) == SET_LEN, "a page");

/* A key as sets know it. */
struct set_key {
    const struct value_key *key;
    uint64_t mix; /* chooses the set and the fingerprints */
};

static inline uint64_t value_key_mix(const struct value_key *key)
{
    return key->hash ^ key->owner * 0x9E3779B97F4A7C15;
}

static inline uint64_t set_word(const struct value_set *set, uint32_t i)
{
    return atomic_load_explicit(&set->words[i], memory_order_acquire);
}

static inline uint32_t slot_at(uint32_t slot)
{
    return slot & ((1 << SLOT_AT_BITS) - 1);
}
static inline uint32_t slot_count(uint32_t slot)
{
    return slot >> SLOT_AT_BITS & SLOT_COUNT_MAX;
}
static inline uint32_t slot_fingerprint(uint32_t slot)
{
    return slot >> SLOT_FINGERPRINT_SHIFT;
}
static inline uint32_t slot_make(uint32_t at, uint32_t count, uint64_t mix)
{
    return (uint32_t)mix << SLOT_FINGERPRINT_SHIFT | count << SLOT_AT_BITS | at;
}

static inline uint64_t record_head(uint64_t owner, uint32_t len, uint32_t key_len)
{
    return owner << 32 | (uint64_t)len << 16 | key_len;
}
static inline uint32_t record_len(uint64_t head)
{
    return head >> 16 & UINT16_MAX;
}
static inline uint32_t record_words(uint64_t head)
{
    uint32_t key_len = head & UINT16_MAX;
    return SET_RECORD_HEAD + (record_len(head) + 7) / 8 + (key_len + 7) / 8;
}

/* Word of the record of a key, or 0. *slot is its slot. */
uint32_t set_search(const struct value_set *set, const struct set_key *key, uint32_t *slot);

/* Has the record of a key, if there is one, brought nearer. */
void set_prefetch(const struct value_set *set, const struct set_key *key);

/* What an insert has done. */
struct set_change {
    uint32_t n_inserted;
    uint32_t n_evicted;
};
void set_insert(struct value_set *set, const struct set_key *key, const uint8_t *value,
                uint32_t len, struct set_change *change);

bool set_find(struct value_set *set, const struct set_key *key, uint8_t *out, uint32_t *len);

/* Counts a hit of a slot that was found at that (even) sequence; nothing when the set has changed since. */
void set_count_hit(struct value_set *set, uint64_t sequence, uint32_t slot);

#endif
