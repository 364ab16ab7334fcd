/* SPDX-License-Identifier: Apache-2.0 */
#include "io/value_set.h"

#include <string.h>

enum {
    N_SHIFT = 0,
    LOW_SHIFT = 16,
    HAND_SHIFT = 32,
    GHOST_SHIFT = 48,
    SLOTS_MAX = (SET_RECORDS_END - SET_SLOTS_AT) * 2,
};

/* The first 8 or fewer bytes of p[0, len), as a word. */
static uint64_t bytes_word(const uint8_t *p, uint32_t len)
{
    uint64_t word = 0;
    memcpy(&word, p, len < 8 ? len : 8);
    return word;
}

static uint32_t state_field(uint64_t state, int shift)
{
    return state >> shift & UINT16_MAX;
}

/* ---- reading ---- */

static bool key_is(const struct value_set *set, uint32_t at, const struct value_key *key)
{
    for (uint32_t i = 0; i < key->len; i += 8)
        if (set_word(set, at++) != bytes_word(key->bytes + i, key->len - i))
            return false;
    return true;
}

/* Whether the record at a word is the key's; every word that is looked at lies in the set. */
static bool record_is(const struct value_set *set, uint32_t at, const struct value_key *key)
{
    if (at < SET_SLOTS_AT || at + SET_RECORD_HEAD > SET_RECORDS_END)
        return false;
    uint64_t head = set_word(set, at + 1);
    if (set_word(set, at) != key->hash ||
        head != record_head(key->owner, record_len(head), key->len) ||
        at + record_words(head) > SET_RECORDS_END)
        return false;
    return key->len == 0 || key_is(set, at + SET_RECORD_HEAD + (record_len(head) + 7) / 8, key);
}

/* The next slot from *i on that has a fingerprint; false at the end. Two a step. */
static bool next_slot(const struct value_set *set, uint32_t n, uint32_t fingerprint, uint32_t *i,
                      uint32_t *slot)
{
    const uint64_t low = (uint64_t)fingerprint << SLOT_FINGERPRINT_SHIFT;
    const uint64_t both = low << 32 | low;
    for (uint32_t at = *i & ~1U; at < n; at += 2) {
        uint64_t word = set_word(set, SET_SLOTS_AT + at / 2);
        bool has_low = (uint32_t)(word ^ both) >> SLOT_FINGERPRINT_SHIFT == 0 && at >= *i;
        bool has_high = (word ^ both) >> (32 + SLOT_FINGERPRINT_SHIFT) == 0 && at + 1 < n;
        if (!has_low && !has_high)
            continue;
        *i = has_low ? at : at + 1;
        *slot = (uint32_t)(has_low ? word : word >> 32);
        return true;
    }
    return false;
}

static uint32_t n_slots(const struct value_set *set)
{
    uint32_t n = state_field(set_word(set, 1), N_SHIFT);
    return n <= SLOTS_MAX ? n : 0;
}

uint32_t set_search(const struct value_set *set, const struct set_key *key, uint32_t *i)
{
    uint32_t fingerprint = slot_fingerprint(slot_make(0, 0, key->mix));
    uint32_t n = n_slots(set);
    uint32_t slot = 0;
    for (*i = 0; next_slot(set, n, fingerprint, i, &slot); ++*i)
        if (record_is(set, slot_at(slot), key->key))
            return slot_at(slot);
    return 0;
}

void set_prefetch(const struct value_set *set, const struct set_key *key)
{
    enum { LINE_WORDS = 8, LINES = 3 };
    uint32_t fingerprint = slot_fingerprint(slot_make(0, 0, key->mix));
    uint32_t i = 0;
    uint32_t slot = 0;
    if (!next_slot(set, n_slots(set), fingerprint, &i, &slot))
        return;
    for (uint32_t line = 0; line < LINES; line++)
        __builtin_prefetch(&set->words[(slot_at(slot) + line * LINE_WORDS) % SET_WORDS]);
}

static void word_put(struct value_set *set, uint32_t i, uint64_t word)
{
    atomic_store_explicit(&set->words[i], word, memory_order_release);
}

/* Makes the set the caller's, if it still is as it was at that even number. */
static bool set_own(struct value_set *set, uint64_t sequence)
{
    return atomic_compare_exchange_strong_explicit(&set->words[0], &sequence, sequence + 1,
                                                   memory_order_acq_rel, memory_order_relaxed);
}

void set_count_hit(struct value_set *set, uint64_t sequence, uint32_t slot)
{
    uint32_t i = SET_SLOTS_AT + slot / 2;
    uint32_t shift = slot % 2 * 32;
    if (slot_count((uint32_t)(set_word(set, i) >> shift)) == SLOT_COUNT_MAX)
        return;
    /* Without owning it, the word might be of a value by now: slots give way to long records. */
    if (!set_own(set, sequence))
        return;
    word_put(set, i, set_word(set, i) + ((uint64_t)1 << (SLOT_AT_BITS + shift)));
    word_put(set, 0, sequence + 2);
}

bool set_find(struct value_set *set, const struct set_key *key, uint8_t *out, uint32_t *len)
{
    uint64_t sequence = set_word(set, 0);
    uint32_t slot = 0;
    if (sequence & 1)
        return false;
    uint32_t at = set_search(set, key, &slot);
    if (at == 0)
        return false;
    uint32_t value_len = record_len(set_word(set, at + 1));
    uint32_t n_words = (value_len + 7) / 8;
    if (value_len > VALUE_CACHE_LEN_MAX || at + SET_RECORD_HEAD + n_words > SET_RECORDS_END)
        return false;
    for (uint32_t i = 0; i < n_words; i++) {
        uint64_t word = set_word(set, at + SET_RECORD_HEAD + i);
        memcpy(out + 8 * (size_t)i, &word, 8);
    }
    if (set_word(set, 0) != sequence)
        return false;
    *len = value_len;
    set_count_hit(set, sequence, slot);
    return true;
}

/* ---- changing ---- */

/* A set that is owned: slots are changed here and stored at the end. */
struct change {
    struct value_set *set;
    uint32_t n;
    uint32_t low; /* the lowest record's word */
    uint32_t hand;
    uint64_t ghost; /* as in the set's word 1 */
    uint32_t slots[SLOTS_MAX];
};

static void change_begin(struct change *change, struct value_set *set)
{
    uint64_t state = set_word(set, 1);
    change->set = set;
    change->n = state_field(state, N_SHIFT);
    change->low = change->n ? state_field(state, LOW_SHIFT) : SET_RECORDS_END;
    change->hand = state_field(state, HAND_SHIFT);
    change->ghost = state & (uint64_t)UINT16_MAX << GHOST_SHIFT;
    for (uint32_t i = 0; i < change->n; i += 2) {
        uint64_t word = set_word(set, SET_SLOTS_AT + i / 2);
        change->slots[i] = (uint32_t)word;
        if (i + 1 < change->n)
            change->slots[i + 1] = (uint32_t)(word >> 32);
    }
}

static void change_end(const struct change *change)
{
    for (uint32_t i = 0; i < change->n; i += 2) {
        uint64_t high = i + 1 < change->n ? change->slots[i + 1] : 0;
        word_put(change->set, SET_SLOTS_AT + i / 2, high << 32 | change->slots[i]);
    }
    word_put(change->set, 1,
             (uint64_t)change->n << N_SHIFT | (uint64_t)change->low << LOW_SHIFT |
                 (uint64_t)change->hand << HAND_SHIFT | change->ghost);
}

/* Whether a record fits beside n slots and those from `low` on. */
static bool has_room(uint32_t n, uint32_t low, uint32_t n_words)
{
    uint32_t slots_end = SET_SLOTS_AT + (n + 2) / 2;
    return slots_end + n_words <= low && n < SLOTS_MAX;
}

/* Takes the record of slot i out: those below it move up. */
static void record_remove(struct change *change, uint32_t i)
{
    struct value_set *set = change->set;
    uint32_t at = slot_at(change->slots[i]);
    uint32_t n_words = record_words(set_word(set, at + 1));
    for (uint32_t j = at; j-- > change->low;)
        word_put(set, j + n_words, set_word(set, j));
    change->low += n_words;
    change->n--;
    memmove(change->slots + i, change->slots + i + 1, (change->n - i) * sizeof change->slots[0]);
    for (uint32_t j = 0; j < change->n; j++)
        if (slot_at(change->slots[j]) < at)
            change->slots[j] += n_words;
}

/* CLOCK: the hand takes one from each counter it passes, and the first that has none goes. */
static void evict(struct change *change)
{
    for (;;) {
        if (change->hand >= change->n)
            change->hand = 0;
        if (slot_count(change->slots[change->hand]) == 0)
            break;
        change->slots[change->hand++] -= 1 << SLOT_AT_BITS;
    }
    record_remove(change, change->hand);
}

static void record_add(struct change *change, const struct set_key *key, const uint8_t *value,
                       uint32_t len)
{
    struct value_set *set = change->set;
    uint64_t head = record_head(key->key->owner, len, key->key->len);
    change->low -= record_words(head);
    uint32_t at = change->low;
    word_put(set, at, key->key->hash);
    word_put(set, at + 1, head);
    at += SET_RECORD_HEAD;
    for (uint32_t i = 0; i < len; i += 8)
        word_put(set, at++, bytes_word(value + i, len - i));
    for (uint32_t i = 0; i < key->key->len; i += 8)
        word_put(set, at++, bytes_word(key->key->bytes + i, key->key->len - i));
    /* Behind the hand, which comes to it last. */
    uint32_t *slot = change->slots + change->hand;
    memmove(slot + 1, slot, (change->n - change->hand) * sizeof *slot);
    *slot = slot_make(change->low, 0, key->mix);
    change->hand++;
    change->n++;
}

/* ---- what was turned down ---- */

static const uint64_t each_16 = 0x0001000100010001;

static uint64_t ghost_of(const struct set_key *key)
{
    return (key->mix >> 16 & UINT16_MAX) | 1;
}

/* Whether the key was turned down lately; if so, that is forgotten. */
static bool ghost_take(struct value_set *set, const struct set_key *key)
{
    for (uint32_t word = SET_RECORDS_END; word < SET_WORDS; word++) {
        uint64_t is = set_word(set, word);
        uint64_t x = is ^ ghost_of(key) * each_16;
        /* The lowest bit that is left ends the first 16 bits that are all zero. */
        uint64_t zero = (x - each_16) & ~x & each_16 << 15;
        if (zero == 0)
            continue;
        uint32_t shift = (uint32_t)__builtin_ctzll(zero) - 15;
        word_put(set, word, is & ~((uint64_t)UINT16_MAX << shift));
        return true;
    }
    return false;
}

static void ghost_put(struct value_set *set, const struct set_key *key)
{
    uint64_t state = set_word(set, 1);
    uint32_t i = state_field(state, GHOST_SHIFT) % SET_GHOSTS;
    uint32_t word = SET_RECORDS_END + i / 4;
    uint64_t rest = set_word(set, word) & ~((uint64_t)UINT16_MAX << i % 4 * 16);
    word_put(set, word, rest | ghost_of(key) << i % 4 * 16);
    state &= ~((uint64_t)UINT16_MAX << GHOST_SHIFT);
    word_put(set, 1, state | (uint64_t)(i + 1) << GHOST_SHIFT);
}

/* ---- inserting ---- */

/* Whether a value is to be kept: when there is room, or it was turned down lately. */
static bool is_welcome(struct value_set *set, const struct set_key *key, uint32_t n_words)
{
    uint64_t state = set_word(set, 1);
    uint32_t n = state_field(state, N_SHIFT);
    return n == 0 || has_room(n, state_field(state, LOW_SHIFT), n_words) || ghost_take(set, key);
}

/* The set is owned. */
static void record_insert(struct value_set *set, const struct set_key *key, const uint8_t *value,
                          uint32_t len, uint32_t n_words, struct set_change *out)
{
    struct change change;
    change_begin(&change, set);
    for (; !has_room(change.n, change.low, n_words); out->n_evicted++)
        evict(&change);
    if (change.hand > change.n)
        change.hand = change.n;
    record_add(&change, key, value, len);
    change_end(&change);
    out->n_inserted++;
}

void set_insert(struct value_set *set, const struct set_key *key, const uint8_t *value,
                uint32_t len, struct set_change *out)
{
    uint32_t n_words = record_words(record_head(key->key->owner, len, key->key->len));
    uint32_t slot = 0;
    uint64_t sequence = set_word(set, 0);
    if (sequence & 1 || !set_own(set, sequence))
        return;
    if (set_search(set, key, &slot) == 0) {
        if (is_welcome(set, key, n_words))
            record_insert(set, key, value, len, n_words, out);
        else
            ghost_put(set, key);
    }
    word_put(set, 0, sequence + 2); /* also when nothing changed: it is rare */
}
