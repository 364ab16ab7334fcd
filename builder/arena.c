/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sorting: an in-place radix sort from the hash's highest byte down (McIlroy, Bostic, McIlroy: "Engineering Radix Sort", 1993, their
 * American flag sort); small pieces by insertion. Hashes are uniform, so three bytes decide nearly all. Records of one hash, which
 * are repeats of a key but for rare collisions, are heapsorted by key and seq: no extra memory, no bad case.
 */
#include "builder/arena.h"

#include "base/hash.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

enum { INSERTION_MAX = 48 };

int arena_init(struct arena *arena, size_t cap)
{
    cap = align_up(cap, 4096);
    void *memory =
        mmap(NULL, cap, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return -ENOMEM;
    madvise(memory, cap, MADV_HUGEPAGE);
    *arena = (struct arena){.memory = memory, .cap = cap};
    return 0;
}

void arena_release(struct arena *arena)
{
    if (arena->memory)
        munmap(arena->memory, arena->cap);
    *arena = (struct arena){0};
}

void arena_clear(struct arena *arena)
{
    arena->len = 0;
    arena->n = 0;
}

int arena_add(struct arena *arena, const struct part_entry *entry, uint64_t seq)
{
    struct record_head head = {.hash = entry->hash,
                               .seq = seq,
                               .value_len = entry->tombstone ? 0 : entry->value_len,
                               .key_len = entry->key_len,
                               .flags = entry->tombstone ? RECORD_TOMBSTONE : 0};
    size_t len = record_len(&head);
    size_t room = arena->cap - arena_used(arena);
    if (room < sizeof(struct arena_slot) || room - sizeof(struct arena_slot) < len)
        return -ENOBUFS;
    uint8_t *at = arena->memory + arena->len;
    memcpy(at, &head, sizeof head);
    at += sizeof head;
    if (entry->key_len)
        memcpy(at, entry->key_bytes, entry->key_len);
    at += entry->key_len;
    if (head.value_len)
        memcpy(at, entry->value, head.value_len);
    at += head.value_len;
    /* Runs are files: their padding must not show old memory. */
    memset(at, 0, (size_t)(arena->memory + arena->len + len - at));
    arena->n++;
    *arena_slots(arena) = (struct arena_slot){entry->hash, arena->len};
    arena->len += len;
    return 0;
}

void record_view(const uint8_t *record, uint64_t hash_seed, struct run_entry *out)
{
    struct record_head head;
    memcpy(&head, record, sizeof head);
    bool is_bytes = head.key_len != 0;
    *out = (struct run_entry){
        .entry = {.hash = head.hash,
                  .key = is_bytes ? 0 : hash_u64_inverse(head.hash, hash_seed),
                  .key_bytes = is_bytes ? record + RECORD_HEAD_LEN : NULL,
                  .key_len = head.key_len,
                  .tombstone = head.flags & RECORD_TOMBSTONE,
                  .value = record + RECORD_HEAD_LEN + head.key_len,
                  .value_len = head.value_len},
        .seq = head.seq,
    };
    if (out->entry.tombstone)
        out->entry.value = NULL;
}

int record_compare(const uint8_t *a, const uint8_t *b, enum seq_order order)
{
    struct record_head x;
    struct record_head y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    if (x.hash != y.hash)
        return x.hash < y.hash ? -1 : 1;
    size_t common = x.key_len < y.key_len ? x.key_len : y.key_len;
    int ret = memcmp(a + RECORD_HEAD_LEN, b + RECORD_HEAD_LEN, common);
    if (ret == 0)
        ret = (int)x.key_len - (int)y.key_len;
    if (ret)
        return ret;
    if (x.seq == y.seq)
        return 0;
    return (x.seq < y.seq) == (order == SEQ_ASCENDING) ? -1 : 1;
}

struct sorter {
    const uint8_t *memory;
    enum seq_order order;
};

static bool slot_before(const struct sorter *sorter, struct arena_slot a, struct arena_slot b)
{
    if (a.hash != b.hash)
        return a.hash < b.hash;
    return record_compare(sorter->memory + a.off, sorter->memory + b.off, sorter->order) < 0;
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

/* Puts every slot into the bucket of its byte; ends[b] becomes the end of bucket b. */
static void flag_pass(struct arena_slot *slots, size_t n, int shift, size_t ends[256])
{
    size_t at[256];
    size_t counts[256] = {0};
    for (size_t i = 0; i < n; i++)
        counts[slots[i].hash >> shift & 255]++;
    size_t sum = 0;
    for (int b = 0; b < 256; b++) {
        at[b] = sum;
        sum += counts[b];
        ends[b] = sum;
    }
    for (unsigned b = 0; b < 256; b++) {
        while (at[b] < ends[b]) {
            struct arena_slot slot = slots[at[b]];
            unsigned home;
            while ((home = slot.hash >> shift & 255) != b) {
                struct arena_slot other = slots[at[home]];
                slots[at[home]++] = slot;
                slot = other;
            }
            slots[at[b]++] = slot;
        }
    }
}

/* At most eight levels deep: shift falls by 8 with each. */
static void radix_sort(const struct sorter *sorter, struct arena_slot *slots, size_t n, int shift)
{
    if (n <= INSERTION_MAX) {
        insertion_sort(sorter, slots, n);
        return;
    }
    if (shift < 0) {
        heap_sort(sorter, slots, n);
        return;
    }
    size_t ends[256];
    flag_pass(slots, n, shift, ends);
    size_t begin = 0;
    for (int b = 0; b < 256; b++) {
        if (ends[b] - begin > 1)
            radix_sort(sorter, slots + begin, ends[b] - begin, shift - 8);
        begin = ends[b];
    }
}

void arena_sort(struct arena *arena, enum seq_order order)
{
    struct sorter sorter = {.memory = arena->memory, .order = order};
    radix_sort(&sorter, arena_slots(arena), arena->n, 56);
}
