/* SPDX-License-Identifier: Apache-2.0 */
#include "format/part_order.h"

#include "format/part_view.h"

#include <errno.h>
#include <stdlib.h>

/* Slots and records of entries to come are fetched this far ahead. */
enum { AHEAD = 8, SHORT = 12 };

struct range {
    uint64_t first; /* hashes, both inclusive */
    uint64_t last;
};

void part_order_init(struct part_order *order, const struct part *part, size_t slice_len)
{
    *order = (struct part_order){.part = part, .slice_len = slice_len};
    if (order->slice_len < PART_ORDER_SLICE_MIN)
        order->slice_len = PART_ORDER_SLICE_MIN;
}

void part_order_release(struct part_order *order)
{
    free(order->keys);
    *order = (struct part_order){0};
}

/* ---- sorting ---- */

static void swap(struct part_order_key *a, struct part_order_key *b)
{
    struct part_order_key kept = *a;
    *a = *b;
    *b = kept;
}

static void sort_short(struct part_order_key *keys, size_t n)
{
    for (size_t i = 1; i < n; i++)
        for (size_t k = i; k > 0 && keys[k].hash < keys[k - 1].hash; k--)
            swap(&keys[k], &keys[k - 1]);
}

/* By bits `bit` to 0, the highest first, where the keys are: at most 64 passes, whatever the hashes. */
static void sort(struct part_order_key *keys, size_t n, int bit)
{
    while (n > SHORT && bit >= 0) {
        size_t n_low = 0;
        for (size_t i = 0; i < n; i++)
            if (!(keys[i].hash >> bit & 1))
                swap(&keys[i], &keys[n_low++]);
        bit--;
        sort(keys, n_low, bit);
        keys += n_low;
        n -= n_low;
    }
    if (bit >= 0)
        sort_short(keys, n);
}

/* ---- slices ---- */

/* The first hash of a partition: the least whose 32 high bits, scaled, reach it. See mph_partition(). */
static uint64_t partition_first(uint64_t number, uint64_t n_total)
{
    return ((number << 32) + n_total - 1) / n_total << 32;
}

static struct range slice_range(const struct part_order *order)
{
    const struct part_info *info = &order->part->info;
    uint64_t n_total = (uint64_t)info->n_shards * info->n_partitions;
    uint64_t number = (uint64_t)info->shard * info->n_partitions + order->partition;
    struct range whole = {partition_first(number, n_total), UINT64_MAX};
    if (number + 1 < n_total)
        whole.last = partition_first(number + 1, n_total) - 1;
    uint64_t step = (whole.last - whole.first) / order->n_slices;
    struct range slice = {whole.first + step * order->slice, whole.last};
    if (order->slice + 1 < order->n_slices)
        slice.last = slice.first + step - 1;
    return slice;
}

static int key_add(struct part_order *order, uint64_t hash, uint32_t slot)
{
    if (order->n == order->cap) {
        size_t cap = order->cap ? order->cap + order->cap / 2 : PART_ORDER_SLICE_MIN;
        struct part_order_key *keys = realloc(order->keys, cap * sizeof *keys);
        if (!keys)
            return -ENOMEM;
        order->keys = keys;
        order->cap = cap;
    }
    order->keys[order->n++] = (struct part_order_key){hash, slot};
    return 0;
}

/* Collects and sorts the next slice. 1, or 0 when there is none. */
static int slice_next(struct part_order *order)
{
    const struct part *part = order->part;
    if (order->partition == part->info.n_partitions)
        return 0;
    const struct place *place = &part->places[order->partition];
    if (!order->n_slices)
        order->n_slices = (uint32_t)(place->n_slots / order->slice_len + 1);
    struct range range = slice_range(order);
    order->n = 0;
    order->i = 0;
    for (uint32_t slot = 0; slot < place->n_slots; slot++) {
        uint64_t hash = load_le64(place_slot_at(place, slot, part->stride));
        /* A hash that does not lead here fills a slot without a key. */
        if (hash < range.first || hash > range.last || place_slot(place, hash) != slot)
            continue;
        int ret = key_add(order, hash, slot);
        if (ret)
            return ret;
    }
    sort(order->keys, order->n, 63);
    return 1;
}

static void slice_end(struct part_order *order)
{
    if (++order->slice == order->n_slices) {
        order->partition++;
        order->slice = 0;
        order->n_slices = 0;
    }
}

/* ---- entries ---- */

static void prefetch(const struct part_order *order)
{
    const struct place *place = &order->part->places[order->partition];
    if (order->i + AHEAD < order->n)
        __builtin_prefetch(
            place_slot_at(place, order->keys[order->i + AHEAD].slot, order->part->stride));
}

/* Does a key that shares its hash with a smaller one come before the next slot? */
static bool is_collision(const struct part_order *order, uint64_t hash)
{
    return order->collision < order->part->n_collisions &&
           load_le64(&order->part->collisions[order->collision].hash) < hash;
}

int part_order_next(struct part_order *order, struct part_entry *entry)
{
    const struct part *part = order->part;
    while (order->i == order->n) {
        if (order->n_slices)
            slice_end(order);
        int got = slice_next(order);
        if (got < 0)
            return got;
        if (got == 0)
            return order->collision < part->n_collisions
                       ? part_collision_entry(part, order->collision++, entry)
                       : 0;
    }
    const struct part_order_key *key = &order->keys[order->i];
    if (is_collision(order, key->hash))
        return part_collision_entry(part, order->collision++, entry);
    prefetch(order);
    order->i++;
    return part_slot_entry(part, order->partition, key->slot, entry);
}
