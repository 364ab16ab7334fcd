/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A loser tree (Knuth, TAOCP 3, 5.4.1): the readers are the leaves, an inner node keeps the loser of the match played there, the
 * overall winner stands at the root. Taking the winner and moving its reader on replays one path: log2(k) comparisons.
 *
 * Nearly all of them are decided by a head of eight bytes that stands in the tree itself: the hash, or in order of key the u64 key or
 * the first bytes of a longer one. Who wins is as good as random, so it is chosen without a branch.
 */
#include "builder/merge.h"

#include "base/scope.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { READ_MAX = 2 << 20 };

/* A reader in the tree. */
struct player {
    uint64_t
        head; /* of its record: a lower one comes before, an equal one may; UINT64_MAX when it is done */
    uint64_t reader;
};

struct merge {
    struct run_reader *readers;
    /* Of all readers in one piece: buffers one by one would leave the heap in pieces that the next merge cannot use. */
    uint8_t *buffers;
    struct helper *helper; /* reads ahead of those that lie in files */
    bool *is_done;
    struct player *losers; /* [1, n): inner nodes; [0]: the winner */
    size_t n;
    struct run_order order;
    bool has_winner; /* merge_next() gave it and must move its reader on */
    struct buf big;
};

static uint64_t head_of(const struct run_order *order, const struct part_entry *entry)
{
    if (order->n_shards == 0)
        return entry->hash;
    if (order->n_shards > 1)
        return run_order_shard(order, entry->hash);
    if (entry->key_len == 0)
        return entry->key;
    uint8_t bytes[8] = {0};
    memcpy(bytes, entry->key_bytes, entry->key_len < sizeof bytes ? entry->key_len : sizeof bytes);
    return __builtin_bswap64(load_le64(bytes));
}

static struct player player_of(const struct merge *merge, uint64_t reader)
{
    uint64_t head = UINT64_MAX;
    if (!merge->is_done[reader])
        head = head_of(&merge->order, &merge->readers[reader].view.entry);
    return (struct player){.head = head, .reader = reader};
}

/* Of equal heads: does a come before b? A done reader comes last. */
static bool tie_before(const struct merge *merge, struct player a, struct player b)
{
    if (merge->is_done[a.reader] || merge->is_done[b.reader])
        return !merge->is_done[a.reader];
    return run_entry_compare(&merge->order, &merge->readers[a.reader].view,
                             &merge->readers[b.reader].view) < 0;
}

static bool plays_before(const struct merge *merge, struct player a, struct player b)
{
    if (__builtin_expect(a.head == b.head, 0))
        return tie_before(merge, a, b);
    return a.head < b.head;
}

/* Plays from the leaf of `reader` to the root. */
static void replay(struct merge *merge, uint64_t reader)
{
    struct player player = player_of(merge, reader);
    for (size_t node = (merge->n + reader) / 2; node > 0; node /= 2) {
        struct player loser = merge->losers[node];
        /* All ones when the loser of before wins now. */
        uint64_t wins = -(uint64_t)plays_before(merge, loser, player);
        uint64_t head = (loser.head ^ player.head) & wins;
        uint64_t number = (loser.reader ^ player.reader) & wins;
        merge->losers[node] = (struct player){loser.head ^ head, loser.reader ^ number};
        player = (struct player){player.head ^ head, player.reader ^ number};
    }
    merge->losers[0] = player;
}

/* The winner of the subtree at node; fills its losers. At most 2 log2(k) deep. */
static struct player play(struct merge *merge, size_t node)
{
    if (node >= merge->n)
        return player_of(merge, node - merge->n);
    struct player a = play(merge, 2 * node);
    struct player b = play(merge, 2 * node + 1);
    bool a_wins = plays_before(merge, a, b);
    merge->losers[node] = a_wins ? b : a;
    return a_wins ? a : b;
}

static int reader_move(struct merge *merge, size_t i, struct err *err)
{
    int got = run_reader_next(&merge->readers[i], err);
    if (got < 0)
        return got;
    merge->is_done[i] = got == 0;
    return 0;
}

/* The first hash of a shard: the least whose 32 high bits, scaled, reach it. See schema_shard(). */
static uint64_t shard_first(uint32_t shard, uint32_t n_shards)
{
    uint64_t high = (((uint64_t)shard << 32) + n_shards - 1) / n_shards;
    return high << 32;
}

struct merge_range merge_range_of(uint32_t shard, uint32_t n_shards)
{
    struct merge_range range = {shard_first(shard, n_shards), UINT64_MAX};
    if (shard + 1 < n_shards)
        range.last = shard_first(shard + 1, n_shards) - 1;
    return range;
}

static int reader_open(struct merge *merge, const struct run *run, struct merge_range range,
                       struct run_memory memory, struct err *err)
{
    int ret = run_reader_open(&merge->readers[merge->n], run, merge->order.hash_seed, range.first,
                              range.last, memory, err);
    if (ret)
        return ret;
    merge->n++;
    return reader_move(merge, merge->n - 1, err);
}

/* What is merged: ranges[0, n) of each run, each a stream in order. */
struct streams {
    const struct run *runs;
    size_t n_runs;
    const struct merge_range *ranges;
    uint32_t n;
};

static int readers_open(struct merge *merge, const struct streams *streams, uint64_t memory,
                        struct err *err)
{
    size_t n_files = 0;
    uint64_t align = 1; /* the coarsest of all files suits all */
    for (size_t i = 0; i < streams->n_runs; i++) {
        n_files += !streams->runs[i].arena;
        if (!streams->runs[i].arena && streams->runs[i].file->align > align)
            align = streams->runs[i].file->align;
    }
    n_files *= streams->n;
    uint64_t cap = n_files ? memory / n_files / align * align : 0;
    cap = cap < 2 * align ? 2 * align : cap > READ_MAX ? READ_MAX : cap;
    if (n_files && !(merge->buffers = aligned_alloc(align, n_files * cap)))
        return err_sys(err, -ENOMEM, "reading %zu sorted runs", streams->n_runs);
    if (cap >= RUN_AHEAD_MIN) {
        int ret = helper_new(&merge->helper, err);
        if (ret)
            return ret;
    }
    uint8_t *buffer = merge->buffers;
    for (size_t i = 0; i < streams->n_runs * streams->n; i++) {
        const struct run *run = &streams->runs[i / streams->n];
        struct run_memory share = {.data = buffer, .cap = (size_t)cap, .helper = merge->helper};
        int ret = reader_open(merge, run, streams->ranges[i % streams->n], share, err);
        if (ret)
            return ret;
        if (!run->arena)
            buffer += cap;
    }
    return 0;
}

static int merge_new(const struct streams *streams, struct run_order order, uint64_t memory,
                     struct merge **out, struct err *err)
{
    size_t n = streams->n_runs * streams->n;
    struct merge *merge = calloc(1, sizeof *merge);
    if (!merge)
        return err_sys(err, -ENOMEM, "merging %zu runs", streams->n_runs);
    merge->order = order;
    merge->readers = calloc(n + 1, sizeof *merge->readers);
    merge->is_done = calloc(n + 1, sizeof *merge->is_done);
    merge->losers = calloc(n + 1, sizeof *merge->losers);
    int ret = 0;
    if (!merge->readers || !merge->is_done || !merge->losers)
        ret = err_sys(err, -ENOMEM, "merging %zu runs", streams->n_runs);
    if (!ret)
        ret = readers_open(merge, streams, memory, err);
    if (ret) {
        merge_close(merge);
        return ret;
    }
    if (merge->n > 1)
        merge->losers[0] = play(merge, 1);
    *out = merge;
    return 0;
}

int merge_open(const struct run *runs, size_t n_runs, const struct run_order *order,
               struct merge_range range, uint64_t memory, struct merge **out, struct err *err)
{
    struct streams streams = {.runs = runs, .n_runs = n_runs, .ranges = &range, .n = 1};
    if (order->n_shards == 0)
        return merge_new(&streams, *order, memory, out, err);
    uint32_t first = run_order_shard(order, range.first);
    streams.n = run_order_shard(order, range.last) - first + 1;
    scope_free struct merge_range *ranges = calloc(streams.n, sizeof *ranges);
    if (!ranges)
        return err_sys(err, -ENOMEM, "merging %zu runs", n_runs);
    for (uint32_t i = 0; i < streams.n; i++)
        ranges[i] = merge_range_of(first + i, order->n_shards);
    streams.ranges = ranges;
    struct run_order by_key = *order;
    by_key.n_shards = 1;
    return merge_new(&streams, by_key, memory, out, err);
}

void merge_close(struct merge *merge)
{
    if (!merge)
        return;
    helper_free(merge->helper);
    free(merge->readers);
    free(merge->buffers);
    free(merge->is_done);
    free(merge->losers);
    buf_release(&merge->big);
    free(merge);
}

int merge_next(struct merge *merge, const struct run_entry **out, struct err *err)
{
    if (merge->n == 0)
        return 0;
    uint64_t winner = merge->losers[0].reader;
    if (merge->has_winner) {
        int ret = reader_move(merge, winner, err);
        if (ret)
            return ret;
        replay(merge, winner);
        winner = merge->losers[0].reader;
    }
    merge->has_winner = !merge->is_done[winner];
    if (!merge->has_winner)
        return 0;
    *out = &merge->readers[winner].view;
    return 1;
}

int merge_value(struct merge *merge, struct err *err)
{
    return run_reader_value(&merge->readers[merge->losers[0].reader], &merge->big, err);
}

/* ---- fewer runs ---- */

static int merge_copy(struct merge *merge, struct run_writer *writer, struct err *err)
{
    for (;;) {
        const struct run_entry *next = NULL;
        int got = merge_next(merge, &next, err);
        if (got <= 0)
            return got;
        int ret = merge_value(merge, err);
        if (ret)
            return ret;
        const struct part_entry *entry = &next->entry;
        struct record_head head = {.hash = entry->hash,
                                   .seq = next->seq,
                                   .value_len = entry->value_len,
                                   .key_len = entry->key_len,
                                   .flags = entry->tombstone ? RECORD_TOMBSTONE : 0};
        ret = run_writer_add(writer, &head, entry->key_bytes, entry->value, err);
        if (ret)
            return ret;
    }
}

static int merge_group(const struct run *runs, size_t n, const struct run_order *order,
                       struct merge_range range, uint64_t memory, struct run_writer *writer,
                       struct run *out, struct err *err)
{
    struct merge *merge = NULL;
    struct streams streams = {.runs = runs, .n_runs = n, .ranges = &range, .n = 1};
    int ret = merge_new(&streams, *order, memory, &merge, err);
    if (!ret)
        ret = merge_copy(merge, writer, err);
    merge_close(merge);
    return ret ? ret : run_writer_finish(writer, out, err);
}

int merge_down(struct run *runs, size_t *n_runs, size_t n_max, const struct run_order *order,
               struct merge_range range, uint64_t memory, struct run_file *file, struct err *err)
{
    struct run_writer writer;
    if (n_max < 2)
        n_max = 2;
    if (*n_runs <= n_max)
        return 0;
    int ret = run_writer_init(&writer, file, err);
    while (!ret && *n_runs > n_max) {
        size_t n_out = 0;
        for (size_t i = 0; i < *n_runs && !ret; i += n_max) {
            size_t n = *n_runs - i < n_max ? *n_runs - i : n_max;
            struct run merged = {0};
            ret = merge_group(runs + i, n, order, range, memory, &writer, &merged, err);
            if (ret)
                break;
            for (size_t k = 0; k < n; k++)
                run_release(&runs[i + k]);
            runs[n_out++] = merged;
        }
        if (!ret)
            *n_runs = n_out;
    }
    run_writer_release(&writer);
    return ret;
}
