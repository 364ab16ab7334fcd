/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pilot search, after the idea of PtrHash (Groot Koerkamp, 2025) and PHOBIC: buckets are placed
 * largest first, each taking the first pilot that sends all its keys to free slots. Near the end
 * few slots are free and a bucket may find no such pilot; it then takes the pilot that disturbs
 * the least (the sum of squared sizes of the buckets in its way), evicts those buckets and puts
 * them back on the list. A bucket placed a moment ago is not evicted, or two buckets could fight
 * over a slot for ever.
 *
 * Buckets wait in one list per size. The bitmap of taken slots is what the inner loop reads; for a
 * partition of 200,000 keys it is 26 KB and stays in the first-level cache.
 */
#include "format/mph.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { SIZE_MAX_BUCKET = 48, N_RECENT = 8, TRIED = 4 };
#define NONE UINT32_MAX

struct mph_scratch {
    void *memory;
    size_t cap;
    /* Arrays within memory, for the build under way. */
    uint64_t *sorted; /* hashes grouped by bucket */
    uint64_t *taken;  /* bitmap over slots */
    uint32_t *start;  /* bucket -> first index in sorted; n_buckets + 1 entries */
    uint32_t *owner;  /* slot -> bucket, meaningful where taken */
    uint32_t *next;   /* bucket -> next in its size's list */
    uint32_t head[SIZE_MAX_BUCKET + 1];
    uint32_t largest; /* no list above this size has an entry */
    uint32_t recent[N_RECENT];
    uint32_t n_placed;
};

struct mph_scratch *mph_scratch_new(void)
{
    return calloc(1, sizeof(struct mph_scratch));
}

void mph_scratch_free(struct mph_scratch *scratch)
{
    if (!scratch)
        return;
    free(scratch->memory);
    free(scratch);
}

static int scratch_lay_out(struct mph_scratch *s, size_t n, size_t n_slots, size_t n_buckets)
{
    size_t n_words = (n_slots + 63) / 64;
    size_t need =
        (n + n_words) * sizeof(uint64_t) + (2 * (n_buckets + 1) + n_slots) * sizeof(uint32_t);
    if (need > s->cap) {
        void *memory = malloc(need);
        if (!memory)
            return -ENOMEM;
        free(s->memory);
        s->memory = memory;
        s->cap = need;
    }
    s->sorted = s->memory;
    s->taken = s->sorted + n;
    s->start = (uint32_t *)(s->taken + n_words);
    s->next = s->start + n_buckets + 1;
    s->owner = s->next + n_buckets + 1;
    memset(s->taken, 0, n_words * sizeof(uint64_t));
    for (uint32_t i = 0; i <= SIZE_MAX_BUCKET; i++)
        s->head[i] = NONE;
    for (uint32_t i = 0; i < N_RECENT; i++)
        s->recent[i] = NONE;
    s->largest = 0;
    s->n_placed = 0;
    return 0;
}

static inline bool is_taken(const struct mph_scratch *s, uint32_t slot)
{
    return s->taken[slot / 64] >> (slot % 64) & 1;
}

static inline uint32_t bucket_size(const struct mph_scratch *s, uint32_t bucket)
{
    return s->start[bucket + 1] - s->start[bucket];
}

static void list_push(struct mph_scratch *s, uint32_t bucket)
{
    uint32_t size = bucket_size(s, bucket);
    s->next[bucket] = s->head[size];
    s->head[size] = bucket;
    if (size > s->largest)
        s->largest = size;
}

/* The largest bucket waiting, or NONE. Buckets without keys are never listed. */
static uint32_t list_pop(struct mph_scratch *s)
{
    while (s->largest > 0 && s->head[s->largest] == NONE)
        s->largest--;
    if (s->largest == 0)
        return NONE;
    uint32_t bucket = s->head[s->largest];
    s->head[s->largest] = s->next[bucket];
    return bucket;
}

/* Groups the hashes by bucket and lists the buckets, so that lower numbers come first. */
static int group(struct mph_scratch *s, const uint64_t *hashes, uint32_t n, uint32_t n_buckets)
{
    memset(s->start, 0, (n_buckets + 1) * sizeof *s->start);
    for (uint32_t i = 0; i < n; i++)
        s->start[mph_bucket(hashes[i], n_buckets) + 1]++;
    for (uint32_t b = 0; b < n_buckets; b++) {
        if (s->start[b + 1] > SIZE_MAX_BUCKET)
            return -E2BIG; /* whatever the slots: buckets do not depend on them */
        s->start[b + 1] += s->start[b];
        s->next[b] = s->start[b];
    }
    for (uint32_t i = 0; i < n; i++)
        s->sorted[s->next[mph_bucket(hashes[i], n_buckets)]++] = hashes[i];
    for (uint32_t b = n_buckets; b-- > 0;)
        if (bucket_size(s, b))
            list_push(s, b);
    return 0;
}

/* Which of the pilots [first, first + TRIED) send a key of the bucket to a taken slot, as bits.
 * No branch depends on a slot, so the trials overlap instead of being mispredicted one by one. */
static inline uint32_t taken_by(const struct mph_scratch *s, const uint64_t *keys, uint32_t n,
                                uint32_t first, uint32_t n_slots)
{
    uint32_t bad = 0;
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t t = 0; t < TRIED; t++)
            bad |= (uint32_t)is_taken(s, mph_slot(keys[i], (uint8_t)(first + t), n_slots)) << t;
    return bad;
}

static inline bool has_repeat(const uint64_t *keys, uint32_t n, uint8_t pilot, uint32_t n_slots)
{
    uint32_t slots[SIZE_MAX_BUCKET];
    for (uint32_t i = 0; i < n; i++) {
        slots[i] = mph_slot(keys[i], pilot, n_slots);
        for (uint32_t j = 0; j < i; j++)
            if (slots[i] == slots[j])
                return true;
    }
    return false;
}

/* The first pilot that meets only free slots, or -1. */
static int find_free(const struct mph_scratch *s, const uint64_t *keys, uint32_t n,
                     uint32_t n_slots)
{
    for (uint32_t first = 0; first < MPH_PILOTS; first += TRIED) {
        uint32_t good = ~taken_by(s, keys, n, first, n_slots) & ((1U << TRIED) - 1);
        for (; good; good &= good - 1) {
            uint32_t pilot = first + (uint32_t)__builtin_ctz(good);
            if (n == 1 || !has_repeat(keys, n, (uint8_t)pilot, n_slots))
                return (int)pilot;
        }
    }
    return -1;
}

static bool is_recent(const struct mph_scratch *s, uint32_t bucket)
{
    for (uint32_t i = 0; i < N_RECENT; i++)
        if (s->recent[i] == bucket)
            return true;
    return false;
}

/* The pilot that evicts the least, or -1. The search starts at a pilot that differs from one
 * placement to the next, so that a bucket does not always fall upon the same victims. */
static int find_cheapest(const struct mph_scratch *s, const uint64_t *keys, uint32_t n,
                         uint32_t n_slots)
{
    uint64_t best_cost = UINT64_MAX;
    int best = -1;
    uint32_t first = s->n_placed * 37;
    for (uint32_t t = 0; t < MPH_PILOTS; t++) {
        uint8_t pilot = (uint8_t)(first + t);
        uint64_t cost = 0;
        for (uint32_t i = 0; i < n && cost < best_cost; i++) {
            uint32_t slot = mph_slot(keys[i], pilot, n_slots);
            if (!is_taken(s, slot))
                continue;
            uint32_t owner = s->owner[slot];
            uint64_t size = bucket_size(s, owner);
            cost = is_recent(s, owner) ? UINT64_MAX : cost + size * size;
        }
        if (cost < best_cost && !has_repeat(keys, n, pilot, n_slots)) {
            best_cost = cost;
            best = pilot;
        }
    }
    return best;
}

static void evict(struct mph_scratch *s, uint32_t bucket, uint32_t n_slots, const uint8_t *pilots)
{
    for (uint32_t i = s->start[bucket]; i < s->start[bucket + 1]; i++) {
        uint32_t slot = mph_slot(s->sorted[i], pilots[bucket], n_slots);
        s->taken[slot / 64] &= ~(1ULL << (slot % 64));
    }
    list_push(s, bucket);
}

static void place(struct mph_scratch *s, uint32_t bucket, uint8_t pilot, uint32_t n_slots,
                  uint8_t *pilots)
{
    for (uint32_t i = s->start[bucket]; i < s->start[bucket + 1]; i++) {
        uint32_t slot = mph_slot(s->sorted[i], pilot, n_slots);
        if (is_taken(s, slot))
            evict(s, s->owner[slot], n_slots, pilots);
        s->taken[slot / 64] |= 1ULL << (slot % 64);
        s->owner[slot] = bucket;
    }
    pilots[bucket] = pilot;
    s->recent[s->n_placed++ % N_RECENT] = bucket;
}

int mph_build(struct mph_scratch *s, const uint64_t *hashes, uint32_t n, uint32_t n_slots,
              uint32_t n_buckets, uint8_t *pilots)
{
    /* A build that works needs about one placement a bucket and some tens of per cent of
     * evictions. */
    uint32_t n_placed_max = 4 * n_buckets + 4096;
    int ret = scratch_lay_out(s, n, n_slots, n_buckets);
    if (!ret)
        ret = group(s, hashes, n, n_buckets);
    if (ret)
        return ret;
    memset(pilots, 0, n_buckets);
    for (;;) {
        uint32_t bucket = list_pop(s);
        if (bucket == NONE)
            return 0;
        const uint64_t *keys = s->sorted + s->start[bucket];
        uint32_t size = bucket_size(s, bucket);
        int pilot = find_free(s, keys, size, n_slots);
        if (pilot < 0)
            pilot = find_cheapest(s, keys, size, n_slots);
        if (pilot < 0 || s->n_placed >= n_placed_max)
            return -EAGAIN;
        place(s, bucket, (uint8_t)pilot, n_slots, pilots);
    }
}
