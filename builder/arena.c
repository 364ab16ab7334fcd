/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/arena.h"

#include "base/hash.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

/* Bytes of a bucket below which more buckets gain nothing: they fit a core's cache. */
enum { BUCKET_MIN = 1 << 20, PIECES_A_BUCKET = 32 };

int arena_init(struct arena *arena, size_t cap)
{
    cap = align_up(cap, 4096);
    void *memory =
        mmap(NULL, cap, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return -ENOMEM;
    madvise(memory, cap, MADV_HUGEPAGE);
    *arena = (struct arena){.memory = memory, .cap = cap};
    while (1U << arena->bucket_bits < ARENA_BUCKETS_MAX &&
           cap >> (arena->bucket_bits + 1) >= BUCKET_MIN)
        arena->bucket_bits++;
    arena->piece_len = (cap >> arena->bucket_bits) / PIECES_A_BUCKET / 8 * 8;
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
    memset(arena->pieces, 0, sizeof arena->pieces);
}

static struct arena_piece *piece_of(struct arena *arena, uint64_t hash)
{
    return &arena->pieces[arena->bucket_bits ? hash >> (64 - arena->bucket_bits) : 0];
}

/* Room for a record of len bytes and its slot. */
static int piece_reserve(struct arena *arena, struct arena_piece *piece, size_t len)
{
    size_t room = arena->cap - arena_used(arena);
    if (room < sizeof(struct arena_slot))
        return -ENOBUFS;
    room -= sizeof(struct arena_slot);
    if (piece->end - piece->next >= len)
        return 0;
    if (room < len)
        return -ENOBUFS;
    /* The slots of its records come out of the same room: a whole piece or just this record. */
    size_t n = arena->bucket_bits && room / 2 > arena->piece_len ? arena->piece_len : 0;
    piece->next = arena->len;
    piece->end = arena->len + (n > len ? n : len);
    arena->len = piece->end;
    return 0;
}

int arena_add(struct arena *arena, const struct part_entry *entry, uint64_t seq)
{
    struct record_head head = {.hash = entry->hash,
                               .seq = seq,
                               .value_len = entry->tombstone ? 0 : entry->value_len,
                               .key_len = entry->key_len,
                               .flags = entry->tombstone ? RECORD_TOMBSTONE : 0};
    size_t len = record_len(&head);
    struct arena_piece *piece = piece_of(arena, entry->hash);
    int ret = piece_reserve(arena, piece, len);
    if (ret)
        return ret;
    size_t off = piece->next;
    uint8_t *at = arena->memory + off;
    memcpy(at, &head, sizeof head);
    at += sizeof head;
    if (entry->key_len)
        memcpy(at, entry->key_bytes, entry->key_len);
    at += entry->key_len;
    if (head.value_len)
        memcpy(at, entry->value, head.value_len);
    at += head.value_len;
    /* Runs are files: their padding must not show old memory. */
    memset(at, 0, (size_t)(arena->memory + off + len - at));
    arena->n++;
    *arena_slots(arena) = (struct arena_slot){entry->hash, off};
    piece->next += len;
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

static int key_compare(const struct part_entry *a, const struct part_entry *b)
{
    if (a->key_len == 0 && b->key_len == 0)
        return (a->key > b->key) - (a->key < b->key);
    size_t common = a->key_len < b->key_len ? a->key_len : b->key_len;
    int ret = common ? memcmp(a->key_bytes, b->key_bytes, common) : 0;
    return ret ? ret : (int)a->key_len - (int)b->key_len;
}

int run_entry_compare(const struct run_order *order, const struct run_entry *a,
                      const struct run_entry *b)
{
    uint64_t x = order->n_shards ? run_order_shard(order, a->entry.hash) : a->entry.hash;
    uint64_t y = order->n_shards ? run_order_shard(order, b->entry.hash) : b->entry.hash;
    if (x != y)
        return x < y ? -1 : 1;
    int ret = key_compare(&a->entry, &b->entry);
    if (ret || a->seq == b->seq)
        return ret;
    return (a->seq < b->seq) == (order->seq == SEQ_ASCENDING) ? -1 : 1;
}

int record_compare(const struct run_order *order, const uint8_t *a, const uint8_t *b)
{
    struct run_entry x;
    struct run_entry y;
    record_view(a, order->hash_seed, &x);
    record_view(b, order->hash_seed, &y);
    return run_entry_compare(order, &x, &y);
}
