/* SPDX-License-Identifier: Apache-2.0 */
/*
 * arena: where a map worker keeps parsed entries until it is full, and sorts them.
 *
 * One mapping: records grow up from its start, 16-byte slots (hash, place) grow down from its end; full when they meet. Records lie
 * apart by the highest bits of their hashes, each bucket in pieces of its own, so that those that follow each other once sorted are
 * near each other: walking in order stays within one bucket's pages, where all of a large arena would be beyond the TLB. A record
 * has the same bytes in memory and in a spilled run:
 *
 *   u64 hash, u64 seq, u32 value length, u8 key length, u8 flags, u16 0, key (bytes keys only), value, padding to 8
 *
 * A u64 key is not stored: its hash is a bijection of it.
 * Order: by hash, or by shard; then by key (u64 by value, bytes by memcmp, then length); then by seq, ascending or descending.
 *
 * Threads: one at a time until sorted, then immutable. Memory: as much as asked for, touched as it fills.
 * Errors: -ENOMEM; -ENOBUFS from arena_add() when full.
 */
#ifndef FKV_BUILDER_ARENA_H
#define FKV_BUILDER_ARENA_H

#include "base/bytes.h"
#include "format/part.h"

struct record_head {
    uint64_t hash;
    uint64_t seq;
    uint32_t value_len;
    uint8_t key_len;
    uint8_t flags;
    uint16_t zero;
};
enum { RECORD_TOMBSTONE = 1, RECORD_HEAD_LEN = 24, RECORD_SHORT_MAX = RECORD_HEAD_LEN + 255 };
_Static_assert(sizeof(struct record_head) == RECORD_HEAD_LEN, "record heads have no padding");

/* An entry and where it came from. */
struct run_entry {
    struct part_entry entry;
    uint64_t seq;
};

/* Which of the records of one key comes first. */
enum seq_order {
    SEQ_ASCENDING, /* the first in the input comes first */
    SEQ_DESCENDING,
};

/* What order records have: the only place that knows. */
struct run_order {
    enum seq_order seq;
    uint64_t hash_seed;
    uint32_t n_shards; /* 0: by hash, key, seq. Else by shard of so many, key, seq */
};

/* As schema_shard(): hashes of one shard are one range of them. */
static inline uint32_t run_order_shard(const struct run_order *order, uint64_t hash)
{
    return (uint32_t)(((hash >> 32) * order->n_shards) >> 32);
}

/* Bytes of a record, padding included. */
static inline size_t record_len(const struct record_head *head)
{
    return align_up(RECORD_HEAD_LEN + (uint64_t)head->key_len + head->value_len, 8);
}

/* Views a record; value is wrong while only the head and key are in memory. */
void record_view(const uint8_t *record, uint64_t hash_seed, struct run_entry *out);

/* <0, 0, >0 as a comes before, with, or after b; 0 only for the same row. Values are not looked at. */
int run_entry_compare(const struct run_order *order, const struct run_entry *a,
                      const struct run_entry *b);
int record_compare(const struct run_order *order, const uint8_t *a, const uint8_t *b);

struct arena_slot {
    uint64_t
        head; /* the hash until the arena is sorted; then what sorting by this order left there */
    uint64_t off;
};

enum { ARENA_BUCKETS_MAX = 256 };

struct arena {
    uint8_t *memory;
    size_t cap;
    size_t len; /* bytes given to records, what the last piece of each bucket has free included */
    size_t n;   /* records */
    unsigned bucket_bits;
    size_t piece_len;
    /* Where each bucket's next record goes, and the end of its piece. */
    struct arena_piece {
        size_t next;
        size_t end;
    } pieces[ARENA_BUCKETS_MAX];
};

int arena_init(struct arena *arena, size_t cap);
void arena_release(struct arena *arena);
int arena_add(struct arena *arena, const struct part_entry *entry, uint64_t seq);
/* Empties it and keeps the memory. */
void arena_clear(struct arena *arena);
/* Once, between arena_clear() and the next. */
void arena_sort(struct arena *arena, const struct run_order *order);

static inline struct arena_slot *arena_slots(const struct arena *arena)
{
    return (struct arena_slot *)(void *)(arena->memory + arena->cap) - arena->n;
}

/* Bytes in use. */
static inline size_t arena_used(const struct arena *arena)
{
    return arena->len + arena->n * sizeof(struct arena_slot);
}

#endif
