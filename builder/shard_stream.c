/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/shard_stream.h"

#include "builder/value_room.h"
#include "codec/zstd_value.h"
#include "format/any_order.h"
#include "format/part_fit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Of `mem`, entries sorted at a time: at least; and the share of the memory that may go into it. */
enum { SLICE_MIN = 16 << 10, SLICE_SHARE = 4 };

struct level {
    struct part_memory memory;
    struct any_order order;
    struct part_entry next; /* while it is in the heap */
    /* Without decoder and room for values, which are lent to it: levels may be many, and have dictionaries of their own. */
    struct value_room room;
};

struct shard_stream {
    const char *dir;
    struct schema schema;
    struct level *levels;
    uint32_t n_levels;
    uint32_t shard;
    uint32_t *heap; /* levels by their next key, the newest first among equals */
    uint32_t n_heap;
    uint32_t *taken; /* levels whose entry was the last key: they move on before the next */
    uint32_t n_taken;
    struct zstd_decoder *decoder;
    struct buf plain;
};

/* ---- the heap ---- */

static bool comes_before(const struct shard_stream *stream, uint32_t a, uint32_t b)
{
    int order =
        any_order_compare(stream->schema.kind, &stream->levels[a].next, &stream->levels[b].next);
    return order ? order < 0 : a > b;
}

static void heap_push(struct shard_stream *stream, uint32_t level)
{
    uint32_t *heap = stream->heap;
    uint32_t i = stream->n_heap++;
    for (; i > 0 && comes_before(stream, level, heap[(i - 1) / 2]); i = (i - 1) / 2)
        heap[i] = heap[(i - 1) / 2];
    heap[i] = level;
}

static uint32_t heap_pop(struct shard_stream *stream)
{
    uint32_t *heap = stream->heap;
    uint32_t top = heap[0];
    uint32_t last = heap[--stream->n_heap];
    uint32_t i = 0;
    for (;;) {
        uint32_t child = 2 * i + 1;
        if (child + 1 < stream->n_heap && comes_before(stream, heap[child + 1], heap[child]))
            child++;
        if (child >= stream->n_heap || comes_before(stream, last, heap[child]))
            break;
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = last;
    return top;
}

/* ---- levels ---- */

static int level_error(const struct shard_stream *stream, uint32_t level, int code,
                       const char *what, struct err *err)
{
    return err_set(err, code, "%s: level %u, shard %u: %s", stream->dir, level, stream->shard,
                   code == -ENOMEM ? "not enough memory" : what);
}

/* Is the entry one of this shard, under its own hash? */
static bool is_in_place(const struct shard_stream *stream, const struct part_entry *entry)
{
    const struct schema *schema = &stream->schema;
    if (schema_shard(schema, entry->hash) != stream->shard)
        return false;
    return !entry->key_bytes ||
           entry->hash == schema_hash_bytes(schema, entry->key_bytes, entry->key_len);
}

/* Moves a level to its next entry; one that has ended leaves the heap. */
static int level_move(struct shard_stream *stream, uint32_t number, struct err *err)
{
    struct level *level = &stream->levels[number];
    int got = any_order_next(&level->order, &level->next);
    if (got < 0)
        return level_error(stream, number, got,
                           "an entry is corrupt, or not above the one before it", err);
    if (got == 0)
        return 0;
    if (!is_in_place(stream, &level->next))
        return level_error(stream, number, -EBADMSG,
                           "an entry has not the hash of its key, or belongs to another shard",
                           err);
    heap_push(stream, number);
    return 0;
}

static int level_check(const struct shard_stream *stream, uint32_t number, struct err *err)
{
    const struct any_part *part = stream->levels[number].memory.part;
    if (any_part_kind(part) != stream->schema.kind)
        return err_set(err, -EBADMSG,
                       "%s: level %u, shard %u: expected a part of kind %s, found %s", stream->dir,
                       number, stream->shard, table_kind_name(stream->schema.kind),
                       table_kind_name(any_part_kind(part)));
    int ret = part_fit(&stream->schema, any_part_info(part), number, stream->shard, err);
    return ret ? err_wrap(err, ret, "%s", stream->dir) : 0;
}

static int level_open(struct shard_stream *stream, const struct shard_stream_params *params,
                      uint32_t number, uint64_t heap_max, uint64_t slice_len, struct err *err)
{
    struct level *level = &stream->levels[number];
    const struct version_desc *desc = params->desc;
    const struct part_desc *part =
        &desc->parts[(size_t)number * desc->schema.n_shards + params->shard];
    int ret = part_memory_load(&level->memory, params->store, params->dir, part, heap_max,
                               params->scratch_dir, err);
    if (!ret)
        ret = level_check(stream, number, err);
    if (ret)
        return ret;
    any_order_init(&level->order, level->memory.part, (size_t)slice_len);
    return level_move(stream, number, err);
}

/* Opens all levels. The oldest, the longest as a rule, comes last: it gets what memory the others leave. */
static int levels_open(struct shard_stream *stream, const struct shard_stream_params *params,
                       struct err *err)
{
    const struct version_desc *desc = params->desc;
    uint64_t n_levels = stream->n_levels;
    uint64_t left = params->memory;
    uint64_t slice_len = 0;
    if (desc->schema.kind == KIND_MEM) {
        slice_len = left / SLICE_SHARE / n_levels / any_order_memory(1024) * 1024;
        left -= any_order_memory((size_t)slice_len) * n_levels;
    }
    if (slice_len < SLICE_MIN)
        slice_len = SLICE_MIN;
    for (uint32_t i = stream->n_levels; i-- > 0;) {
        uint64_t len = desc->parts[(size_t)i * desc->schema.n_shards + params->shard].len;
        int ret = level_open(stream, params, i, left, slice_len, err);
        if (ret)
            return ret;
        left -= len <= left ? len : 0;
    }
    return 0;
}

int shard_stream_open(const struct shard_stream_params *params, struct shard_stream **out,
                      struct err *err)
{
    uint32_t n = params->desc->n_levels;
    struct shard_stream *stream = calloc(1, sizeof *stream);
    if (!stream)
        return err_sys(err, -ENOMEM, "reading a shard of %u levels", n);
    stream->dir = params->dir;
    stream->schema = params->desc->schema;
    stream->n_levels = n;
    stream->shard = params->shard;
    stream->levels = calloc(n, sizeof *stream->levels);
    stream->heap = calloc(n, sizeof *stream->heap);
    stream->taken = calloc(n, sizeof *stream->taken);
    int ret = stream->levels && stream->heap && stream->taken
                  ? levels_open(stream, params, err)
                  : err_sys(err, -ENOMEM, "reading a shard of %u levels", n);
    if (ret)
        shard_stream_close(stream);
    else
        *out = stream;
    return ret;
}

void shard_stream_close(struct shard_stream *stream)
{
    if (!stream)
        return;
    for (uint32_t i = 0; stream->levels && i < stream->n_levels; i++) {
        any_order_release(&stream->levels[i].order);
        value_room_release(&stream->levels[i].room);
        part_memory_release(&stream->levels[i].memory);
    }
    zstd_decoder_free(stream->decoder);
    buf_release(&stream->plain);
    free(stream->levels);
    free(stream->heap);
    free(stream->taken);
    free(stream);
}

/* ---- reading ---- */

/* Takes the next key of all levels: the newest that has it is taken[0]. 1, 0 at the end. */
static int key_take(struct shard_stream *stream, struct err *err)
{
    for (; stream->n_taken; stream->n_taken--) {
        int ret = level_move(stream, stream->taken[stream->n_taken - 1], err);
        if (ret)
            return ret;
    }
    if (!stream->n_heap)
        return 0;
    do
        stream->taken[stream->n_taken++] = heap_pop(stream);
    while (stream->n_heap &&
           any_order_compare(stream->schema.kind, &stream->levels[stream->taken[0]].next,
                             &stream->levels[stream->heap[0]].next) == 0);
    return 1;
}

int shard_stream_next(struct shard_stream *stream, struct part_entry *entry, struct err *err)
{
    int got;
    while ((got = key_take(stream, err)) > 0) {
        const struct part_entry *newest = &stream->levels[stream->taken[0]].next;
        if (newest->tombstone)
            continue;
        *entry = *newest;
        return 1;
    }
    return got;
}

int shard_stream_value(struct shard_stream *stream, struct part_entry *entry, struct err *err)
{
    struct level *level = &stream->levels[stream->taken[0]];
    struct value_room *room = &level->room;
    room->decoder = stream->decoder;
    room->plain = stream->plain;
    int ret = value_room_unpack(room, level->memory.part, entry);
    stream->decoder = room->decoder;
    stream->plain = room->plain;
    room->decoder = NULL;
    room->plain = (struct buf){0};
    return ret ? level_error(stream, stream->taken[0], ret, "a value cannot be unpacked", err) : 0;
}

const struct any_part *shard_stream_part(const struct shard_stream *stream, uint32_t level)
{
    return stream->levels[level].memory.part;
}

uint64_t shard_stream_memory_min(uint32_t n_levels, uint64_t value_max)
{
    /* Of a level: its dictionary made ready, and a slice of keys. */
    const uint64_t level = (96 << 10) + any_order_memory(SLICE_MIN);
    return n_levels * level + 2 * value_max + (512 << 10);
}
