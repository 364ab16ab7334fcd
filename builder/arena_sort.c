/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An in-place radix sort of the slots' heads from the highest bits down (McIlroy, Bostic, McIlroy: "Engineering Radix Sort", 1993,
 * their American flag sort), with digits of as many bits as leave about INSERTION_MAX / 2 of uniform heads to each value; such small
 * pieces by insertion.
 *
 * By hash, heads are hashes. They are uniform, so the first three digits decide nearly all. Records of one hash, which are repeats of a key but
 * for rare collisions, are heapsorted by key and seq: no extra memory, no bad case.
 *
 * By shard and key, the slots are sorted by hash first, which puts each shard's together; then heads become keys, for bytes keys
 * eight bytes of them at a time: a stretch that has the same eight bytes takes the next eight. Keys of a common prefix, as of paths
 * and URLs, so cost a pass for each eight bytes and no comparisons.
 */
#include "builder/arena.h"

#include "base/hash.h"

#include <string.h>

enum { INSERTION_MAX = 24, HEAD_LEN = 8, DIGIT_MIN = 4, DIGIT_MAX = 8, DIGITS = 1 << DIGIT_MAX };

struct sorter {
    const uint8_t *memory;
    struct run_order order;
};

static bool slot_before(const struct sorter *sorter, struct arena_slot a, struct arena_slot b)
{
    if (a.head != b.head)
        return a.head < b.head;
    return record_compare(&sorter->order, sorter->memory + a.off, sorter->memory + b.off) < 0;
}

static void insertion_sort(const struct sorter *sorter, struct arena_slot *slots, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        struct arena_slot slot = slots[i];
        size_t k = i;
        for (; k > 0 && slot_before(sorter, slot, slots[k - 1]); k--)
            slots[k] = slots[k - 1];
        slots[k] = slot;
    }
}

static void sift_down(const struct sorter *sorter, struct arena_slot *slots, size_t i, size_t n)
{
    struct arena_slot slot = slots[i];
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= n)
            break;
        if (child + 1 < n && slot_before(sorter, slots[child], slots[child + 1]))
            child++;
        if (!slot_before(sorter, slot, slots[child]))
            break;
        slots[i] = slots[child];
        i = child;
    }
    slots[i] = slot;
}

static void heap_sort(const struct sorter *sorter, struct arena_slot *slots, size_t n)
{
    for (size_t i = n / 2; i-- > 0;)
        sift_down(sorter, slots, i, n);
    for (size_t i = n; i-- > 1;) {
        struct arena_slot last = slots[i];
        slots[i] = slots[0];
        slots[0] = last;
        sift_down(sorter, slots, 0, i);
    }
}

/* Puts every slot into the bucket of its digit; ends[b] becomes the end of bucket b. */
static void flag_pass(struct arena_slot *slots, size_t n, unsigned shift, unsigned bits,
                      size_t ends[DIGITS])
{
    const unsigned mask = (1U << bits) - 1;
    size_t at[DIGITS];
    size_t counts[DIGITS];
    memset(counts, 0, (mask + 1) * sizeof *counts);
    for (size_t i = 0; i < n; i++)
        counts[slots[i].head >> shift & mask]++;
    size_t sum = 0;
    for (unsigned b = 0; b <= mask; b++) {
        at[b] = sum;
        sum += counts[b];
        ends[b] = sum;
    }
    for (unsigned b = 0; b <= mask; b++) {
        while (at[b] < ends[b]) {
            struct arena_slot slot = slots[at[b]];
            unsigned home;
            while ((home = slot.head >> shift & mask) != b) {
                struct arena_slot other = slots[at[home]];
                slots[at[home]++] = slot;
                slot = other;
            }
            slots[at[b]++] = slot;
        }
    }
}

static void sort_stretch(const struct sorter *sorter, struct arena_slot *slots, size_t n,
                         size_t depth);

/* Makes heads the eight bytes of keys from `depth` on, zeros behind their end; says whether any has more. */
static bool heads_load(const struct sorter *sorter, struct arena_slot *slots, size_t n,
                       size_t depth)
{
    enum { AHEAD = 12 };
    size_t longest = 0;
    for (size_t i = 0; i < n; i++) {
        if (i + AHEAD < n)
            __builtin_prefetch(sorter->memory + slots[i + AHEAD].off);
        const uint8_t *record = sorter->memory + slots[i].off;
        struct record_head head;
        uint8_t bytes[HEAD_LEN] = {0};
        memcpy(&head, record, sizeof head);
        size_t len = head.key_len;
        if (len > depth)
            memcpy(bytes, record + RECORD_HEAD_LEN + depth,
                   len - depth < HEAD_LEN ? len - depth : HEAD_LEN);
        slots[i].head = __builtin_bswap64(load_le64(bytes));
        longest = len > longest ? len : longest;
    }
    return longest > depth;
}

/* Sorts slots whose heads are the same. */
static void sort_equal(const struct sorter *sorter, struct arena_slot *slots, size_t n,
                       size_t depth)
{
    /* In order of hash nothing is left but rare ties; of u64 keys the head was all. */
    if (sorter->order.n_shards && heads_load(sorter, slots, n, depth + HEAD_LEN))
        sort_stretch(sorter, slots, n, depth + HEAD_LEN);
    else
        heap_sort(sorter, slots, n);
}

/* Bits of the next digit of n heads, of which `left` bits are not sorted by yet. */
static unsigned digit_bits(size_t n, unsigned left)
{
    unsigned bits = 0;
    while (bits < DIGIT_MAX && n >> bits > INSERTION_MAX / 2)
        bits++;
    bits = bits < DIGIT_MIN ? DIGIT_MIN : bits;
    return bits < left ? bits : left;
}

/* left: bits of the heads that are not sorted by yet, the others being the same. At most 16 levels deep for each eight bytes of a key:
 * left falls by DIGIT_MIN at least. */
static void radix_sort(const struct sorter *sorter, struct arena_slot *slots, size_t n,
                       unsigned left, size_t depth)
{
    if (n <= INSERTION_MAX) {
        insertion_sort(sorter, slots, n);
        return;
    }
    if (left == 0) {
        sort_equal(sorter, slots, n, depth);
        return;
    }
    size_t ends[DIGITS];
    unsigned bits = digit_bits(n, left);
    flag_pass(slots, n, left - bits, bits, ends);
    size_t begin = 0;
    for (unsigned b = 0; b < 1U << bits; b++) {
        if (ends[b] - begin > 1)
            radix_sort(sorter, slots + begin, ends[b] - begin, left - bits, depth);
        begin = ends[b];
    }
}

/* Begins at the highest bit that differs. */
static void sort_stretch(const struct sorter *sorter, struct arena_slot *slots, size_t n,
                         size_t depth)
{
    uint64_t differs = 0;
    for (size_t i = 1; i < n; i++)
        differs |= slots[i].head ^ slots[0].head;
    unsigned left = differs ? 64 - (unsigned)__builtin_clzll(differs) : 0;
    radix_sort(sorter, slots, n, left, depth);
}

/* Heads are hashes, and become keys. */
static void heads_of_keys(const struct sorter *sorter, struct arena_slot *slots, size_t n)
{
    struct record_head first;
    memcpy(&first, sorter->memory + slots[0].off, sizeof first);
    if (first.key_len) {
        heads_load(sorter, slots, n, 0);
        return;
    }
    for (size_t i = 0; i < n; i++)
        slots[i].head = hash_u64_inverse(slots[i].head, sorter->order.hash_seed);
}

static void sort_by_key(const struct sorter *sorter, struct arena_slot *slots, size_t n)
{
    const struct run_order *order = &sorter->order;
    struct sorter by_hash = {.memory = sorter->memory, .order = {.hash_seed = order->hash_seed}};
    if (order->n_shards > 1)
        sort_stretch(&by_hash, slots, n, 0);
    for (size_t begin = 0, end; begin < n; begin = end) {
        uint32_t shard = run_order_shard(order, slots[begin].head);
        for (end = begin + 1; end < n && run_order_shard(order, slots[end].head) == shard;)
            end++;
        heads_of_keys(sorter, slots + begin, end - begin);
        sort_stretch(sorter, slots + begin, end - begin, 0);
    }
}

void arena_sort(struct arena *arena, const struct run_order *order)
{
    struct sorter sorter = {.memory = arena->memory, .order = *order};
    if (order->n_shards)
        sort_by_key(&sorter, arena_slots(arena), arena->n);
    else
        sort_stretch(&sorter, arena_slots(arena), arena->n, 0);
}
