/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Building a binary fuse filter: each key wants the bytes at its three slots to make its
 * fingerprint. A slot that only one key uses settles that key last, whatever the others become;
 * take the key away, and other slots may be left with one key. When all keys go away so, they are
 * given their bytes in the opposite order. For random keys that works as long as there are about
 * 1.13 slots a key and windows are neither too short nor too long; when it does not, another seed
 * or a few slots more do.
 *
 * A slot's users are kept as their number and the exclusive or of their (mixed) hashes, so that
 * the last one's hash is simply what stands there.
 */
#include "format/filter.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { N_ATTEMPTS = 100, SEEDS_A_SIZE = 4 };

struct slot {
    uint64_t hashes; /* exclusive or of its users */
    uint32_t n;
};

struct filter_builder {
    uint32_t n_total;
    uint32_t first;
    uint32_t n_partitions;
    uint32_t partition; /* under way */
    struct buf hashes;  /* of it: u64 each */
    struct buf places;
    struct buf bytes;
    struct buf slots;
    struct buf order; /* u64 each: hashes in the order they went away */
    struct buf alone; /* u32 each: slots found with one user */
};

/* A filter's measures. */
struct measure {
    uint32_t span;
    uint32_t window;
    uint16_t seed;
};

uint32_t filter_partitions(uint64_t n_entries, uint32_t n_shards)
{
    uint64_t n = n_entries / FILTER_KEYS + 1;
    uint64_t max = UINT32_MAX / n_shards;
    return (uint32_t)(n < max ? n : max);
}

struct filter_builder *filter_builder_new(uint32_t n_partitions, uint32_t shard, uint32_t n_shards)
{
    struct filter_builder *builder = calloc(1, sizeof *builder);
    if (builder) {
        builder->n_total = n_partitions * n_shards;
        builder->first = n_partitions * shard;
        builder->n_partitions = n_partitions;
    }
    return builder;
}

void filter_builder_free(struct filter_builder *builder)
{
    if (!builder)
        return;
    buf_release(&builder->hashes);
    buf_release(&builder->places);
    buf_release(&builder->bytes);
    buf_release(&builder->slots);
    buf_release(&builder->order);
    buf_release(&builder->alone);
    free(builder);
}

/*
 * The window for n keys: the paper's 2^floor(ln n / ln 3.33 + 2.25), in integers so that every
 * machine builds the same bytes: it doubles whenever n has grown by 3.33.
 */
static uint32_t window_for(uint64_t n)
{
    uint64_t from = 2465; /* a thousand times the n from which the window is 8 */
    uint32_t window = 4;
    while (n * 1000 >= from && window < FILTER_WINDOW_MAX) {
        window *= 2;
        from = from * 333 / 100;
    }
    return window;
}

/*
 * The attempt's measures: some seeds at each size, each size a 64th larger. The first size is near
 * the paper's 0.875 + 0.25 ln(10^6) / ln(n) slots a key.
 */
static struct measure measure_for(uint64_t n, uint32_t attempt)
{
    struct measure measure = {.window = window_for(n), .seed = (uint16_t)attempt};
    uint32_t n_bits = n > 2 ? 64 - (uint32_t)__builtin_clzll(n - 1) : 1;
    uint64_t slots = n - n / 8 + 5 * n / n_bits + (attempt / SEEDS_A_SIZE) * (n / 64 + 1);
    uint64_t windows = (slots + measure.window - 1) / measure.window;
    measure.span = (uint32_t)(windows > 2 ? windows - 2 : 1) * measure.window;
    return measure;
}

static void slot_toggle(struct slot *slot, uint64_t g, uint32_t by)
{
    slot->hashes ^= g;
    slot->n += by;
}

/* Takes keys away one by one into order; true when none is left. */
static bool peel(struct filter_builder *builder, const struct measure *m, uint32_t n)
{
    struct slot *slots = (struct slot *)(void *)builder->slots.data;
    uint64_t *order = (uint64_t *)(void *)builder->order.data;
    uint32_t *alone = (uint32_t *)(void *)builder->alone.data;
    const uint64_t *hashes = (const uint64_t *)(const void *)builder->hashes.data;
    uint32_t n_slots = m->span + 2 * m->window;
    uint32_t *settled = alone + n_slots; /* the slot that each key of order settles */
    uint32_t n_alone = 0;
    uint32_t n_gone = 0;
    uint32_t at[3];
    memset(slots, 0, n_slots * sizeof *slots);
    for (uint32_t i = 0; i < n; i++) {
        uint64_t g = hash_u64(hashes[i], m->seed);
        filter_positions(g, m->span, m->window - 1, at);
        for (int j = 0; j < 3; j++)
            slot_toggle(&slots[at[j]], g, 1);
    }
    for (uint32_t i = 0; i < n_slots; i++)
        if (slots[i].n == 1)
            alone[n_alone++] = i;
    while (n_alone) {
        uint32_t last = alone[--n_alone];
        if (slots[last].n != 1)
            continue;
        uint64_t g = slots[last].hashes;
        order[n_gone] = g;
        filter_positions(g, m->span, m->window - 1, at);
        for (int j = 0; j < 3; j++) {
            slot_toggle(&slots[at[j]], g, UINT32_MAX);
            if (slots[at[j]].n == 1)
                alone[n_alone++] = at[j];
        }
        settled[n_gone++] = last;
    }
    return n_gone == n;
}

/* Gives bytes, last gone first. */
static void assign(const struct filter_builder *builder, const struct measure *m, uint32_t n,
                   uint8_t *bytes)
{
    const uint64_t *order = (const uint64_t *)(const void *)builder->order.data;
    const uint32_t *alone = (const uint32_t *)(const void *)builder->alone.data;
    const uint32_t *settled = alone + m->span + 2 * (size_t)m->window;
    for (uint32_t i = n; i-- > 0;) {
        uint32_t at[3];
        filter_positions(order[i], m->span, m->window - 1, at);
        bytes[settled[i]] =
            (uint8_t)(filter_fingerprint(order[i]) ^ bytes[at[0]] ^ bytes[at[1]] ^ bytes[at[2]]);
    }
}

static int room_for(struct filter_builder *builder, uint32_t n, uint32_t n_slots)
{
    buf_clear(&builder->slots);
    buf_clear(&builder->order);
    buf_clear(&builder->alone);
    int ret = buf_reserve(&builder->slots, n_slots * sizeof(struct slot));
    if (!ret)
        ret = buf_reserve(&builder->order, n * sizeof(uint64_t));
    /* A slot is found alone at first or when a key goes; then the slots that keys settled. */
    if (!ret)
        ret = buf_reserve(&builder->alone, ((size_t)n_slots + n) * sizeof(uint32_t));
    if (!ret)
        ret = buf_reserve(&builder->bytes, n_slots);
    return ret;
}

static int partition_fill(struct filter_builder *builder, uint32_t n, struct measure *m,
                          struct err *err)
{
    for (uint32_t attempt = 0; attempt < N_ATTEMPTS; attempt++) {
        *m = measure_for(n, attempt);
        uint32_t n_slots = m->span + 2 * m->window;
        int ret = room_for(builder, n, n_slots);
        if (ret)
            return err_sys(err, ret, "filter of %u keys", n);
        if (!peel(builder, m, n))
            continue;
        uint8_t *bytes = builder->bytes.data + builder->bytes.len;
        memset(bytes, 0, n_slots);
        assign(builder, m, n, bytes);
        builder->bytes.len += n_slots;
        return 0;
    }
    return err_set(err, -E2BIG, "part: no filter can be made of %u keys", n);
}

static int partition_finish(struct filter_builder *builder, struct err *err)
{
    uint32_t n = (uint32_t)(builder->hashes.len / sizeof(uint64_t));
    struct measure m = {.window = 1};
    struct filter_entry entry = {0};
    store_le64(&entry.off, builder->bytes.len);
    int ret = n ? partition_fill(builder, n, &m, err) : 0;
    if (ret)
        return ret;
    store_le32(&entry.span, m.span);
    store_le16(&entry.window_bits, (uint16_t)__builtin_ctz(m.window));
    store_le16(&entry.seed, m.seed);
    builder->partition++;
    buf_clear(&builder->hashes);
    if (buf_add(&builder->places, &entry, sizeof entry))
        return err_sys(err, -ENOMEM, "filter");
    return 0;
}

int filter_builder_add(struct filter_builder *builder, uint64_t hash, struct err *err)
{
    uint32_t partition = mph_partition(hash, builder->n_total) - builder->first;
    int ret = 0;
    while (builder->partition < partition)
        if ((ret = partition_finish(builder, err)))
            return ret;
    size_t len = builder->hashes.len;
    if (len && load_le64(builder->hashes.data + len - sizeof hash) == hash)
        return 0;
    if (len / sizeof hash >= FILTER_SLOTS_MAX / 2)
        return err_set(err, -E2BIG, "part: more than %d keys in one partition of the filter",
                       FILTER_SLOTS_MAX / 2);
    if (buf_add(&builder->hashes, &hash, sizeof hash))
        return err_sys(err, -ENOMEM, "filter");
    return 0;
}

int filter_builder_finish(struct filter_builder *builder, const struct buf **places,
                          const struct buf **bytes, struct err *err)
{
    int ret = 0;
    while (builder->partition < builder->n_partitions)
        if ((ret = partition_finish(builder, err)))
            return ret;
    *places = &builder->places;
    *bytes = &builder->bytes;
    return 0;
}
