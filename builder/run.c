/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/run.h"

#include "base/scope.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

void run_release(struct run *run)
{
    free(run->fences);
    *run = (struct run){0};
}

/* ---- writing ---- */

int run_writer_init(struct run_writer *writer, struct run_file *file, struct err *err)
{
    *writer = (struct run_writer){.file = file, .off = file->len};
    writer->buffer = aligned_alloc(file->align, RUN_WRITE_LEN);
    writer->behind = aligned_alloc(file->align, RUN_WRITE_LEN);
    int ret = writer->buffer && writer->behind ? helper_new(&writer->helper, err)
                                               : err_sys(err, -ENOMEM, "writing sorted runs");
    if (ret)
        run_writer_release(writer);
    return ret;
}

void run_writer_release(struct run_writer *writer)
{
    helper_free(writer->helper);
    free(writer->buffer);
    free(writer->behind);
    buf_release(&writer->fences);
    *writer = (struct run_writer){0};
}

static int behind_run(struct helper_job *job, struct err *err)
{
    struct run_writer *writer =
        (struct run_writer *)(void *)((char *)job - offsetof(struct run_writer, job));
    return writer->file->ops->append(writer->file, writer->behind, writer->behind_len, err);
}

static int writer_wait(struct run_writer *writer, struct err *err)
{
    bool was_behind = writer->is_behind;
    writer->is_behind = false;
    return was_behind ? helper_wait(writer->helper, &writer->job, err) : 0;
}

/* Hands buffer[0, len) to the helper. */
static int writer_flush(struct run_writer *writer, size_t len, struct err *err)
{
    int ret = writer_wait(writer, err);
    if (ret)
        return ret;
    uint8_t *full = writer->buffer;
    writer->buffer = writer->behind;
    writer->fill = 0;
    writer->behind = full;
    writer->behind_len = len;
    writer->is_behind = len > 0;
    writer->job.run = behind_run;
    if (len)
        helper_submit(writer->helper, &writer->job);
    return 0;
}

static int writer_put(struct run_writer *writer, const void *data, size_t len, struct err *err)
{
    const uint8_t *from = data;
    while (len) {
        size_t room = RUN_WRITE_LEN - writer->fill;
        size_t n = len < room ? len : room;
        memcpy(writer->buffer + writer->fill, from, n);
        writer->fill += n;
        writer->len += n;
        from += n;
        len -= n;
        int ret = writer->fill == RUN_WRITE_LEN ? writer_flush(writer, RUN_WRITE_LEN, err) : 0;
        if (ret)
            return ret;
    }
    return 0;
}

static int fence_add(struct run_writer *writer, uint64_t hash, struct err *err)
{
    size_t n = writer->fences.len / sizeof(struct run_fence);
    if (writer->len < n * (uint64_t)RUN_FENCE_LEN)
        return 0;
    struct run_fence fence = {.hash = hash, .off = writer->len};
    int ret = buf_add(&writer->fences, &fence, sizeof fence);
    return ret ? err_sys(err, ret, "writing sorted runs") : 0;
}

int run_writer_add(struct run_writer *writer, const struct record_head *head, const uint8_t *key,
                   const uint8_t *value, struct err *err)
{
    static const uint8_t zeros[8];
    size_t len = RECORD_HEAD_LEN + (size_t)head->key_len + head->value_len;
    int ret = fence_add(writer, head->hash, err);
    if (!ret)
        ret = writer_put(writer, head, sizeof *head, err);
    if (!ret)
        ret = writer_put(writer, key, head->key_len, err);
    if (!ret)
        ret = writer_put(writer, value, head->value_len, err);
    return ret ? ret : writer_put(writer, zeros, record_len(head) - len, err);
}

int run_writer_finish(struct run_writer *writer, struct run *out, struct err *err)
{
    size_t padded = align_up(writer->fill, writer->file->align);
    memset(writer->buffer + writer->fill, 0, padded - writer->fill);
    int ret = writer_flush(writer, padded, err);
    if (!ret)
        ret = writer_wait(writer, err);
    if (ret)
        return ret;
    *out = (struct run){.file = writer->file,
                        .off = writer->off,
                        .len = writer->len,
                        .fences = (struct run_fence *)(void *)writer->fences.data,
                        .n_fences = writer->fences.len / sizeof(struct run_fence)};
    writer->fences = (struct buf){0};
    writer->off = writer->file->len;
    writer->len = 0;
    return 0;
}

/* Records are all over the arena: those to come are asked for in time, as much of them as most have. */
static void spill_prefetch(const uint8_t *record)
{
    __builtin_prefetch(record);
    __builtin_prefetch(record + 64);
}

int run_spill(struct run_writer *writer, const struct arena *arena, struct run *out,
              struct err *err)
{
    enum { AHEAD = 16 };
    const struct arena_slot *slots = arena_slots(arena);
    for (size_t i = 0; i < arena->n; i++) {
        if (i + AHEAD < arena->n)
            spill_prefetch(arena->memory + slots[i + AHEAD].off);
        const uint8_t *record = arena->memory + slots[i].off;
        struct record_head head;
        memcpy(&head, record, sizeof head);
        int ret = fence_add(writer, head.hash, err);
        if (!ret)
            ret = writer_put(writer, record, record_len(&head), err);
        if (ret)
            return ret;
    }
    return run_writer_finish(writer, out, err);
}

/* ---- reading ---- */

static uint64_t slot_hash(const struct arena *arena, size_t i)
{
    struct record_head head;
    memcpy(&head, arena->memory + arena_slots(arena)[i].off, sizeof head);
    return head.hash;
}

/* The first slot of a hash not below `first`. */
static size_t slot_find(const struct arena *arena, uint64_t first)
{
    size_t low = 0;
    size_t high = arena->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (slot_hash(arena, mid) < first)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* Where to begin reading for `first`: the last fence below it. Records of one hash may straddle a fence, so it must be below. */
static uint64_t fence_find(const struct run *run, uint64_t first)
{
    size_t low = 0;
    size_t high = run->n_fences;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (run->fences[mid].hash < first)
            low = mid + 1;
        else
            high = mid;
    }
    return low ? run->fences[low - 1].off : 0;
}

/* Where reading up to `last` ends at the latest: the first fence above it. */
static uint64_t fence_end(const struct run *run, uint64_t last)
{
    size_t low = 0;
    size_t high = run->n_fences;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (run->fences[mid].hash <= last)
            low = mid + 1;
        else
            high = mid;
    }
    return low < run->n_fences ? run->fences[low].off : run->len;
}

/* Runs have checksums or never left this process, but what wrote them may be at fault. */
static int bad_record(uint64_t off, struct err *err)
{
    return err_set(err, -EBADMSG, "sorted runs: expected a record at byte %llu, found none",
                   (unsigned long long)off);
}

static int next_in_file(struct run_reader *reader, struct err *err)
{
    struct run_buffer *buffer = &reader->buffer;
    uint64_t off = reader->next;
    if (off >= reader->end)
        return 0;
    int ret = run_buffer_need(buffer, off, RECORD_SHORT_MAX, err);
    if (ret)
        return ret;
    struct record_head head;
    if (reader->end - off < sizeof head)
        return bad_record(off, err);
    memcpy(&head, buffer->data + (off - buffer->off), sizeof head);
    size_t len = record_len(&head);
    if (len > reader->end - off || head.value_len > VALUE_LEN_MAX)
        return bad_record(off, err);
    /* The buffer may be too short for it: then the value waits until it is asked for. */
    reader->is_whole = len <= buffer->whole_max || run_buffer_has(buffer, off, len);
    if (reader->is_whole) {
        ret = run_buffer_need(buffer, off, len, err);
        if (ret)
            return ret;
    }
    reader->record = buffer->data + (off - buffer->off);
    reader->record_off = off;
    reader->next = off + len;
    return 1;
}

static int next_in_memory(struct run_reader *reader)
{
    enum { AHEAD = 8 };
    const struct arena *arena = reader->run->arena;
    const struct arena_slot *slots = arena_slots(arena);
    if (reader->slot >= arena->n)
        return 0;
    if (reader->slot + AHEAD < arena->n)
        __builtin_prefetch(arena->memory + slots[reader->slot + AHEAD].off);
    reader->record = arena->memory + slots[reader->slot++].off;
    reader->is_whole = true;
    return 1;
}

int run_reader_next(struct run_reader *reader, struct err *err)
{
    int got = reader->run->arena ? next_in_memory(reader) : next_in_file(reader, err);
    if (got <= 0)
        return got;
    record_view(reader->record, reader->hash_seed, &reader->view);
    return reader->view.entry.hash <= reader->last;
}

int run_reader_open(struct run_reader *reader, const struct run *run, uint64_t hash_seed,
                    uint64_t first, uint64_t last, struct run_memory memory, struct err *err)
{
    *reader = (struct run_reader){.run = run, .hash_seed = hash_seed, .last = last};
    if (run->arena) {
        reader->slot = slot_find(run->arena, first);
        return 0;
    }
    reader->next = run->off + fence_find(run, first);
    reader->end = run->off + fence_end(run, last);
    run_buffer_init(&reader->buffer, run->file, align_up(reader->end, run->file->align), memory);
    /* The fence stands before the first record wanted: read over those between. */
    for (;;) {
        int got = next_in_file(reader, err);
        if (got <= 0)
            return got;
        struct record_head head;
        memcpy(&head, reader->record, sizeof head);
        if (head.hash >= first)
            break;
    }
    reader->next = reader->record_off;
    return 0;
}

int run_reader_value(struct run_reader *reader, struct buf *big, struct err *err)
{
    if (reader->is_whole)
        return 0;
    uint32_t align = reader->run->file->align;
    uint64_t begin = reader->record_off & ~(uint64_t)(align - 1);
    uint64_t end = align_up(reader->next, align);
    /* Room to align the memory as direct I/O wants it. */
    buf_clear(big);
    int ret = buf_reserve(big, (size_t)(end - begin) + align);
    if (ret)
        return err_sys(err, ret, "reading a value of %u bytes", reader->view.entry.value_len);
    uint8_t *aligned = (uint8_t *)align_up((uintptr_t)big->data, align);
    ret = run_buffer_read(&reader->buffer, begin, aligned, (size_t)(end - begin), err);
    if (ret)
        return ret;
    record_view(aligned + (reader->record_off - begin), reader->hash_seed, &reader->view);
    return 0;
}
