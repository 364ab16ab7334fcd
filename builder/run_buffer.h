/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run_buffer: a window that moves along a file of runs, read ahead by a helper.
 *
 * With a helper the memory is two halves: a run is consumed from one while the next piece is read into the other. A piece goes
 * behind some room, where the record that the end of the piece before cuts through is completed:
 *
 *   | room | piece 0 ......[rec|     | [rec|ord] piece 1 ...... |
 *
 * Without one, or with little memory, it is one piece, read anew from where a record begins. With one, it is the helper that reads,
 * always: a file on the store belongs to one thread at a time, and other runs of it may be read ahead just now.
 *
 * Threads: one; the helper touches only the half that is being read. Memory: the caller's.
 * Errors: of the file.
 */
#ifndef FKV_BUILDER_RUN_BUFFER_H
#define FKV_BUILDER_RUN_BUFFER_H

#include "builder/helper.h"
#include "builder/run_file.h"

enum { RUN_AHEAD_MIN = 256 << 10 }; /* memory below which pieces would be too short to read ahead */

/* What a reader may use; data is aligned to the file's align, and cap a multiple of it. */
struct run_memory {
    uint8_t *data;
    size_t cap;
    struct helper *helper; /* NULL: nothing is read ahead */
};

struct run_buffer {
    const struct run_file *file;
    uint64_t end; /* nothing behind it is read; a multiple of the file's align */
    const uint8_t *data;
    uint64_t off; /* of data[0], in the file */
    size_t fill;
    size_t whole_max; /* [off, off + whole_max) can always be had in one piece */
    /* How it gets there: */
    struct run_memory memory;
    size_t room; /* 0: one piece */
    size_t piece_len;
    unsigned half; /* that data lies in */
    bool is_ahead; /* the other half is being read, as `ahead` says */
    struct run_read {
        struct helper_job job;
        const struct run_file *file;
        uint64_t off;
        void *data;
        size_t len;
    } ahead;
};

/* It must not move while it is in use. The helper outlives it, or the memory. */
void run_buffer_init(struct run_buffer *buffer, const struct run_file *file, uint64_t end,
                     struct run_memory memory);

/* Reads [off, off + len) of the file to elsewhere; all aligned as the file wants it. */
int run_buffer_read(const struct run_buffer *buffer, uint64_t off, void *data, size_t len,
                    struct err *err);

/* Slow path of run_buffer_need(): moves on until off lies in it. */
int run_buffer_move(struct run_buffer *buffer, uint64_t off, struct err *err);

/* Makes [off, off + len), or as much of it as there is, lie in one piece; len is at most whole_max, or is there already. */
static inline int run_buffer_need(struct run_buffer *buffer, uint64_t off, size_t len,
                                  struct err *err)
{
    uint64_t end = off + len < buffer->end ? off + len : buffer->end;
    int ret = 0;
    /* Twice, where what was skipped ends near the end of a piece. */
    while (!ret && (off < buffer->off || end > buffer->off + buffer->fill))
        ret = run_buffer_move(buffer, off, err);
    return ret;
}

static inline bool run_buffer_has(const struct run_buffer *buffer, uint64_t off, size_t len)
{
    return off >= buffer->off && off + len <= buffer->off + buffer->fill;
}

#endif
