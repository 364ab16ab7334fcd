/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/run_buffer.h"

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

static int read_run(struct helper_job *job, struct err *err)
{
    const struct run_read *read = (struct run_read *)job;
    return read->file->ops->read(read->file, read->off, read->data, read->len, err);
}

int run_buffer_read(const struct run_buffer *buffer, uint64_t off, void *data, size_t len,
                    struct err *err)
{
    struct helper *helper = buffer->memory.helper;
    struct run_read read = {
        .job = {.run = read_run}, .file = buffer->file, .off = off, .data = data, .len = len};
    if (!helper)
        return read_run(&read.job, err);
    helper_submit(helper, &read.job);
    return helper_wait(helper, &read.job, err);
}

static void ahead_begin(struct run_buffer *buffer)
{
    uint64_t off = buffer->off + buffer->fill;
    buffer->is_ahead = off < buffer->end;
    if (!buffer->is_ahead)
        return;
    buffer->ahead = (struct run_read){.job = {.run = read_run},
                                      .file = buffer->file,
                                      .off = off,
                                      .data = half_piece(buffer, buffer->half ^ 1),
                                      .len = piece_len_at(buffer, off)};
    helper_submit(buffer->memory.helper, &buffer->ahead.job);
}

/* Does what was read ahead go on from off? */
static bool ahead_fits(const struct run_buffer *buffer, uint64_t off)
{
    const struct run_read *ahead = &buffer->ahead;
    return off >= buffer->off && off + buffer->room >= ahead->off && off < ahead->off + ahead->len;
}

/* Goes on in the half that was read ahead, with what is left from off on in front of it. */
static void ahead_take(struct run_buffer *buffer, uint64_t off)
{
    const struct run_read *ahead = &buffer->ahead;
    size_t left = off < ahead->off ? (size_t)(ahead->off - off) : 0;
    uint8_t *data = (uint8_t *)ahead->data - left;
    if (left)
        memcpy(data, buffer->data + (off - buffer->off), left);
    buffer->half ^= 1;
    buffer->data = data;
    buffer->off = ahead->off - left;
    buffer->fill = left + ahead->len;
}

int run_buffer_move(struct run_buffer *buffer, uint64_t off, struct err *err)
{
    int ret = 0;
    bool was_ahead = buffer->is_ahead;
    buffer->is_ahead = false;
    if (was_ahead && (ret = helper_wait(buffer->memory.helper, &buffer->ahead.job, err)))
        return ret;
    if (was_ahead && ahead_fits(buffer, off)) {
        ahead_take(buffer, off);
    } else {
        uint64_t begin = off & ~(uint64_t)(buffer->file->align - 1);
        uint8_t *piece = half_piece(buffer, buffer->half);
        size_t len = piece_len_at(buffer, begin);
        ret = run_buffer_read(buffer, begin, piece, len, err);
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
