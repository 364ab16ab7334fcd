/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The passes of a batch. A group of keys takes up to five of them:
 *
 *   read     key -> hash -> place; prefetch the pilot
 *   locate   pilot -> slot; prefetch the slot (inline layout: with its value). With deltas, newest
 *            first, the first level whose fingerprint agrees is where the slot is looked for
 *   recheck  deltas only: a fingerprint that agreed by chance sends the lane to an older level
 *   follow   heap layout only: slot -> record; prefetch the record
 *   finish   compare the hash, for bytes keys the key; copy the value out
 *
 * While one group is read, the one before is located, the one before that followed, and so on, so
 * every miss has a group's time to arrive. What is rare leaves the passes for mem_table_probe(),
 * which starts over for that key: a delta's hit (it may be a tombstone), a hash that collides, a
 * corrupt reference.
 */
#include "query/passes.h"

#include "query/lanes.h"

#include <errno.h>
#include <time.h>

enum {
    RING = 5,                   /* groups in flight */
    DEADLINE_KEYS = 1024,       /* between looks at the clock; a multiple of LANES_MAX */
    PREFETCH_MAX = 1024,        /* of a value; the hardware's streams take over in longer ones */
    GROUP_BYTES_MAX = 12 << 10, /* of a group's values: two groups fit the first-level cache */
    LINE = 64,
};

#define INLINE static inline __attribute__((always_inline))

/* All lines of [p, p + len), p being 8-aligned, at most PREFETCH_MAX bytes of them. */
INLINE void prefetch_range(const uint8_t *p, uint32_t len)
{
    uint32_t last = ((len < PREFETCH_MAX ? len : PREFETCH_MAX) - 1U) & ~7U;
    for (uint32_t i = 0; i < last; i += LINE)
        __builtin_prefetch(p + i);
    __builtin_prefetch(p + last);
}

/* Pass 1, once the hashes are there. */
INLINE void pass_place(const struct mem_table *table, struct lanes *lanes, uint32_t n)
{
    const struct place *places = table->levels[0].places;
    uint32_t n_places = table->levels[0].n_places;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t index = mph_partition(lanes->hash[i], n_places);
        const struct place *place = &places[index];
        lanes->place[i] = index;
        lanes->at[i] = place->pilots + mph_bucket(lanes->hash[i], place->n_buckets);
        __builtin_prefetch(lanes->at[i]);
    }
}

/*
 * Looks for the lanes in one delta: three short passes of their own, since pilots and
 * fingerprints of large deltas lie in the last-level cache. Lanes that a newer delta has claimed
 * keep their place.
 */
INLINE void pass_delta(const struct mem_table *table, struct lanes *lanes, uint32_t n,
                       uint32_t number)
{
    const struct table_level *level = &table->levels[number];
    const uint8_t *at[LANES_MAX]; /* pilot, then fingerprint */
    uint32_t index[LANES_MAX];
    uint32_t slot[LANES_MAX];
    for (uint32_t i = 0; i < n; i++) {
        index[i] = mph_partition(lanes->hash[i], level->n_places);
        const struct place *place = &level->places[index[i]];
        at[i] = place->pilots + mph_bucket(lanes->hash[i], place->n_buckets);
        __builtin_prefetch(at[i]);
    }
    for (uint32_t i = 0; i < n; i++) {
        slot[i] = mph_slot(lanes->hash[i], *at[i], level->places[index[i]].n_slots);
        at[i] = level->more[index[i]].fingerprints + slot[i];
        __builtin_prefetch(at[i]);
    }
    for (uint32_t i = 0; i < n; i++) {
        if (*at[i] != mph_fingerprint(lanes->hash[i]) || lanes->level[i])
            continue;
        lanes->level[i] = (uint8_t)number;
        lanes->place[i] = index[i];
        lanes->at[i] = place_slot_at(&level->places[index[i]], slot[i], table->stride);
    }
}

/* Pass 2. */
INLINE void pass_locate(const struct mem_table *table, struct lanes *lanes, uint32_t n,
                        uint32_t stride, bool has_deltas)
{
    const struct place *places = table->levels[0].places;
    memset(lanes->level, 0, sizeof lanes->level);
    for (uint32_t number = table->n_levels - 1; has_deltas && number > 0; number--)
        pass_delta(table, lanes, n, number);
    for (uint32_t i = 0; i < n; i++) {
        if (!has_deltas || lanes->level[i] == 0) {
            const struct place *place = &places[lanes->place[i]];
            uint32_t slot = mph_slot(lanes->hash[i], *lanes->at[i], place->n_slots);
            lanes->at[i] = place_slot_at(place, slot, stride);
        }
        prefetch_range(lanes->at[i], stride);
    }
}

/* A fingerprint agreed by chance: the next older level, prefetched like any other. */
static __attribute__((noinline)) void step_down(const struct mem_table *table, struct lanes *lanes,
                                                uint32_t i)
{
    uint64_t hash = lanes->hash[i];
    uint32_t number = lanes->level[i];
    for (;;) {
        const struct table_level *level = &table->levels[--number];
        uint32_t index = mph_partition(hash, level->n_places);
        const struct place *place = &level->places[index];
        uint32_t slot = place_slot(place, hash);
        if (number && level->more[index].fingerprints[slot] != mph_fingerprint(hash))
            continue;
        lanes->level[i] = (uint8_t)number;
        lanes->place[i] = index;
        lanes->at[i] = place_slot_at(place, slot, table->stride);
        prefetch_range(lanes->at[i], table->stride);
        return;
    }
}

/* Pass 3, with deltas only. */
INLINE void pass_recheck(const struct mem_table *table, struct lanes *lanes)
{
    for (uint32_t i = 0; i < lanes->n; i++)
        if (lanes->level[i] && load_le64(lanes->at[i]) != lanes->hash[i])
            step_down(table, lanes, i);
}

/* Pass 4, heap layout only. */
INLINE void pass_follow(const struct mem_table *table, struct lanes *lanes)
{
    for (uint32_t i = 0; i < lanes->n; i++) {
        const uint8_t *slot = lanes->at[i];
        const struct place_more *more = &table->levels[lanes->level[i]].more[lanes->place[i]];
        lanes->record[i] = NULL;
        lanes->record_len[i] = 0;
        if (load_le64(slot) != lanes->hash[i])
            continue;
        uint64_t ref = load_le64(slot + PART_SLOT_HASH_LEN);
        lanes->record[i] = place_record(more, ref, &lanes->record_len[i]);
        if (lanes->record[i] && lanes->record_len[i])
            prefetch_range(lanes->record[i], lanes->record_len[i]);
    }
}

static __attribute__((noinline)) void finish_rare(const struct mem_table *table,
                                                  const struct lanes *lanes, uint32_t i,
                                                  const uint8_t *key, uint32_t key_len,
                                                  struct answer *answer)
{
    struct probe_value value = {0};
    uint32_t at = lanes->first + i;
    enum probe probe =
        mem_table_probe(table, lanes->level[i] + 1, lanes->hash[i], key, key_len, &value);
    if (probe == PROBE_FOUND)
        answer_found(answer, at, value.data, value.len);
    else
        answer_none(answer, at, probe == PROBE_CORRUPT ? BATCH_FAILED : BATCH_ABSENT);
}

/* How a found value is written; known at compile time in the passes of the inline layout. */
enum emit {
    EMIT_64,     /* 64 bytes as stored */
    EMIT_STORED, /* the stride's bytes as stored: a slot's value is padded as the answer's */
    EMIT_DECODED,
};

INLINE void emit_inline(uint8_t *out, const uint8_t *value, const struct answer *answer,
                        uint32_t stride, enum emit emit)
{
    if (emit == EMIT_64)
        answer_copy_64(out, value);
    else if (emit == EMIT_STORED)
        answer_copy(out, value, stride);
    else
        answer->decode(value, answer->dim, out);
}

/* Pass 5, inline layout: u64 keys. What the output's bytes could alias is kept in locals. */
INLINE void pass_finish_inline(const struct mem_table *table, const struct lanes *lanes, uint32_t n,
                               struct answer *answer, bool has_deltas, enum emit emit)
{
    uint32_t stride = emit == EMIT_64 ? 64 : answer->stride;
    uint8_t *status = answer->status + lanes->first;
    uint8_t *out = answer->values + (size_t)lanes->first * stride;
    uint32_t n_found = 0;
    for (uint32_t i = 0; i < n; i++, out += stride) {
        const uint8_t *slot = lanes->at[i];
        bool is_hit = load_le64(slot) == lanes->hash[i];
        if (has_deltas && lanes->level[i]) {
            finish_rare(table, lanes, i, NULL, 0, answer);
            continue;
        }
        status[i] = is_hit ? BATCH_FOUND : BATCH_ABSENT;
        n_found += is_hit;
        if (is_hit)
            emit_inline(out, slot + PART_SLOT_HASH_LEN, answer, stride, emit);
        else
            memset(out, 0, stride);
    }
    answer->n_found += n_found;
}

/* Pass 5, heap layout. keys is NULL for u64 keys. */
INLINE void pass_finish_heap(const struct mem_table *table, const struct lanes *lanes,
                             const struct lane_keys *keys, struct answer *answer)
{
    for (uint32_t i = 0; i < lanes->n; i++) {
        uint32_t at = lanes->first + i;
        const uint8_t *key = keys ? keys->bytes + keys->off[i] : NULL;
        uint32_t key_len = keys ? keys->len[i] : 0;
        const uint8_t *record = lanes->record[i];
        uint32_t off = 0;
        if (keys && key_len == 0) {
            answer_none(answer, at, BATCH_ABSENT);
            continue;
        }
        bool is_hit = record && lanes->level[i] == 0 &&
                      (!keys || record_has_key(record, lanes->record_len[i], key, key_len, &off));
        uint32_t len = lanes->record_len[i] - off;
        if (is_hit && (answer->value_len == 0 || len == answer->value_len))
            answer_found(answer, at, record + off, len);
        else if (lanes->level[i] == 0 && load_le64(lanes->at[i]) != lanes->hash[i])
            answer_none(answer, at, BATCH_ABSENT);
        else
            finish_rare(table, lanes, i, key, key_len, answer);
    }
}

static bool is_late(const struct batch_request *request, uint32_t first)
{
    struct timespec now;
    if (request->deadline_ns == 0 || first % DEADLINE_KEYS)
        return false;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000ULL + (uint64_t)now.tv_nsec > request->deadline_ns;
}

/* Keys of a group: a power of two, fewer when values are long. */
static uint32_t group_keys(uint32_t value_len)
{
    uint32_t n = LANES_MAX;
    while (n > 4 && n * (value_len < PREFETCH_MAX ? value_len : PREFETCH_MAX) > GROUP_BYTES_MAX)
        n /= 2;
    return n;
}

/* Where group g of the batch stands in the ring; its extent is set before it is read. */
INLINE struct lanes *ring_at(struct lanes ring[RING], uint32_t g)
{
    return &ring[g % RING];
}

INLINE void lanes_begin(struct lanes *lanes, uint32_t first, uint32_t n_keys, uint32_t n_group)
{
    lanes->first = first;
    lanes->n = n_keys - first < n_group ? n_keys - first : n_group;
}

/* Reads group g. Full groups take a path with a constant count, which compilers unroll. */
INLINE void read_group(const struct mem_table *table, const struct batch_request *request,
                       struct lanes *lanes)
{
    const uint8_t *keys = request->keys + 8 * (size_t)lanes->first;
    if (lanes->n == LANES_MAX) {
        lanes_read_u64(lanes, keys, LANES_MAX, table->schema.hash_seed);
        pass_place(table, lanes, LANES_MAX);
    } else {
        lanes_read_u64(lanes, keys, lanes->n, table->schema.hash_seed);
        pass_place(table, lanes, lanes->n);
    }
}

INLINE int run_inline_as(const struct mem_table *table, const struct batch_request *request,
                         struct answer *answer, bool has_deltas, enum emit emit)
{
    struct lanes ring[RING];
    uint32_t stride = emit == EMIT_64 ? PART_SLOT_HASH_LEN + 64 : table->stride;
    uint32_t n_group = emit == EMIT_64 ? LANES_MAX : group_keys(stride);
    uint32_t n_groups = (request->n_keys + n_group - 1) / n_group;
    uint32_t lag = has_deltas ? 3 : 2;
    for (uint32_t g = 0; g < n_groups + lag; g++) {
        if (g < n_groups) {
            struct lanes *lanes = ring_at(ring, g);
            lanes_begin(lanes, g * n_group, request->n_keys, n_group);
            if (is_late(request, lanes->first))
                return -ETIMEDOUT;
            read_group(table, request, lanes);
        }
        if (g >= 1 && g - 1 < n_groups) {
            struct lanes *lanes = ring_at(ring, g - 1);
            pass_locate(table, lanes, lanes->n, stride, has_deltas);
        }
        if (has_deltas && g >= 2 && g - 2 < n_groups)
            pass_recheck(table, ring_at(ring, g - 2));
        if (g >= lag) {
            struct lanes *lanes = ring_at(ring, g - lag);
            pass_finish_inline(table, lanes, lanes->n, answer, has_deltas, emit);
        }
    }
    return 0;
}

/* The loops are compiled once for each way of emitting, with and without deltas. */
static int run_inline(const struct mem_table *table, const struct batch_request *request,
                      struct answer *answer)
{
    bool has_deltas = table->n_levels > 1;
    if (answer->decode)
        return has_deltas ? run_inline_as(table, request, answer, true, EMIT_DECODED)
                          : run_inline_as(table, request, answer, false, EMIT_DECODED);
    if (answer->stride == 64 && table->stride == PART_SLOT_HASH_LEN + 64)
        return has_deltas ? run_inline_as(table, request, answer, true, EMIT_64)
                          : run_inline_as(table, request, answer, false, EMIT_64);
    return has_deltas ? run_inline_as(table, request, answer, true, EMIT_STORED)
                      : run_inline_as(table, request, answer, false, EMIT_STORED);
}

/* keys is a ring of RING groups for bytes keys, NULL for u64 keys. */
INLINE int run_heap(const struct mem_table *table, const struct batch_request *request,
                    struct lane_keys *keys, struct answer *answer)
{
    struct lanes ring[RING];
    struct key_cursor cursor = {0};
    uint32_t n_group = group_keys(answer->value_len);
    uint32_t n_groups = (request->n_keys + n_group - 1) / n_group;
    int ret = keys ? key_cursor_init(&cursor, request) : 0;
    bool has_deltas = table->n_levels > 1;
    uint32_t lag = has_deltas ? 3 : 2;
    for (uint32_t g = 0; g < n_groups + lag + 1 && !ret; g++) {
        if (g < n_groups) {
            struct lanes *lanes = ring_at(ring, g);
            lanes_begin(lanes, g * n_group, request->n_keys, n_group);
            if (is_late(request, lanes->first))
                return -ETIMEDOUT;
            if (keys)
                ret = lanes_read_bytes(lanes, &keys[g % RING], &cursor, table->schema.hash_seed);
            else
                lanes_read_u64(lanes, request->keys + 8 * (size_t)lanes->first, lanes->n,
                               table->schema.hash_seed);
            if (ret)
                return ret;
            pass_place(table, lanes, lanes->n);
        }
        if (g >= 1 && g - 1 < n_groups) {
            struct lanes *lanes = ring_at(ring, g - 1);
            if (has_deltas)
                pass_locate(table, lanes, lanes->n, PART_HEAP_STRIDE, true);
            else
                pass_locate(table, lanes, lanes->n, PART_HEAP_STRIDE, false);
        }
        if (has_deltas && g >= 2 && g - 2 < n_groups)
            pass_recheck(table, ring_at(ring, g - 2));
        if (g >= lag && g - lag < n_groups)
            pass_follow(table, ring_at(ring, g - lag));
        if (g > lag)
            pass_finish_heap(table, ring_at(ring, g - lag - 1),
                             keys ? &keys[(g - lag - 1) % RING] : NULL, answer);
    }
    return ret;
}

static int run_heap_u64(const struct mem_table *table, const struct batch_request *request,
                        struct answer *answer)
{
    return run_heap(table, request, NULL, answer);
}

static int run_heap_bytes(const struct mem_table *table, const struct batch_request *request,
                          struct answer *answer)
{
    struct lane_keys keys[RING];
    return run_heap(table, request, keys, answer);
}

int passes_run(const struct mem_table *table, const struct batch_request *request,
               struct answer *answer)
{
    if (table->schema.key_type == KEY_BYTES)
        return run_heap_bytes(table, request, answer);
    if (table->layout == LAYOUT_HEAP)
        return run_heap_u64(table, request, answer);
    return run_inline(table, request, answer);
}
