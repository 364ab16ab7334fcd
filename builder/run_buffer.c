/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/run_buffer.h"

#include <stddef.h>
#include <string.h>

/* Of each half, for the beginning of a record whose end the next piece has. */
enum { ROOM_SHARE = 4 };

void run_buffer_init(struct run_buffer *buffer, const struct run_file *file, uint64_t end,
                     struct run_memory memory)
{
    size_t align = file->align;
    *buffer = (struct run_buffer){.file = file, .end = end, .memory = memory};
    if (memory.helper && memory.cap >= RUN_AHEAD_MIN) {
        size_t half = memory.cap / 2 / align * align;
        buffer->room = half / ROOM_SHARE / align * align;
        buffer->piece_len = half - buffer->room;
    }
    if (buffer->room < 2 * align)
        buffer->room = 0;
    if (buffer->room) {
        /* The record begins anywhere in its first unit of direct I/O. */
        buffer->whole_max = buffer->room - align;
    } else {
        buffer->piece_len = memory.cap;
        buffer->whole_max = memory.cap - align;
    }
}

static uint8_t *half_piece(const struct run_buffer *buffer, unsigned half)
{
    return buffer->memory.data + half * (buffer->room + buffer->piece_len) + buffer->room;
}

static size_t piece_len_at(const struct run_buffer *buffer, uint64_t off)
{
    return buffer->end - off < buffer->piece_len ? (size_t)(buffer->end - off) : buffer->piece_len;
}

static int ahead_run(struct helper_job *job, struct err *err)
{
    struct run_buffer *buffer =
        (struct run_buffer *)(void *)((char *)job - offsetof(struct run_buffer, job));
    return buffer->file->ops->read(buffer->file, buffer->ahead_off,
                                   half_piece(buffer, buffer->half ^ 1), buffer->ahead_len, err);
}

static void ahead_begin(struct run_buffer *buffer)
{
    buffer->ahead_off = buffer->off + buffer->fill;
    buffer->ahead_len = piece_len_at(buffer, buffer->ahead_off);
    buffer->is_ahead = buffer->ahead_len > 0;
    buffer->job.run = ahead_run;
    if (buffer->is_ahead)
        helper_submit(buffer->memory.helper, &buffer->job);
}

/* Goes on in the half that was read ahead, with what is left from off on in front of it. */
static void ahead_take(struct run_buffer *buffer, uint64_t off)
{
    size_t left = off < buffer->ahead_off ? (size_t)(buffer->ahead_off - off) : 0;
    uint8_t *data = half_piece(buffer, buffer->half ^ 1) - left;
    if (left)
        memcpy(data, buffer->data + (off - buffer->off), left);
    buffer->half ^= 1;
    buffer->data = data;
    buffer->off = buffer->ahead_off - left;
    buffer->fill = left + buffer->ahead_len;
}

int run_buffer_move(struct run_buffer *buffer, uint64_t off, struct err *err)
{
    int ret = 0;
    bool was_ahead = buffer->is_ahead;
    buffer->is_ahead = false;
    if (was_ahead && (ret = helper_wait(buffer->memory.helper, &buffer->job, err)))
        return ret;
    if (was_ahead && off >= buffer->off && off + buffer->room >= buffer->ahead_off &&
        off < buffer->ahead_off + buffer->ahead_len) {
        ahead_take(buffer, off);
    } else {
        uint64_t begin = off & ~(uint64_t)(buffer->file->align - 1);
        uint8_t *piece = half_piece(buffer, buffer->half);
        size_t len = piece_len_at(buffer, begin);
        ret = buffer->file->ops->read(buffer->file, begin, piece, len, err);
        if (ret)
            return ret;
        buffer->data = piece;
        buffer->off = begin;
        buffer->fill = len;
    }
    if (buffer->room)
        ahead_begin(buffer);
    return 0;
}
