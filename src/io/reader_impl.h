/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reader_impl: what the kinds of reader share, and the table of functions that tells them apart.
 *
 * A slot is a read under way. The shared part checks, gives slots out and takes them back; a kind
 * moves slots: start() -> finish() in wait(), or dropped all at once in cancel().
 *
 * Threads, memory, errors: as reader.h.
 */
#ifndef FKV_IO_READER_IMPL_H
#define FKV_IO_READER_IMPL_H

#include "io/reader.h"

struct reader_slot {
    struct reader_read read;
    uint32_t n_read;  /* bytes of it that are in the buffer */
    uint32_t n_tries; /* in a row without a byte */
};

struct reader_ops {
    const char *name;
    /* May be NULL. After the file is in the table, before it leaves it; add may refuse. */
    int (*add_file)(struct reader *reader, uint32_t index, struct err *err);
    void (*remove_file)(struct reader *reader, uint32_t index);
    /* The slot is filled. */
    void (*start)(struct reader *reader, uint32_t slot);
    void (*submit)(struct reader *reader);
    int (*wait)(struct reader *reader, unsigned n_min, int64_t deadline_ns,
                struct reader_done *done, unsigned cap, unsigned *n_done);
    /* Afterwards nothing writes to a buffer; the slots are taken back by the caller. */
    void (*cancel)(struct reader *reader);
    void (*release)(struct reader *reader);
};

struct reader_entry {
    struct reader_file file;
    uint32_t n_busy;
    bool is_used;
};

/* First member of each kind. */
struct reader {
    const struct reader_ops *ops;
    unsigned depth;
    unsigned n_free;
    struct reader_slot *slots;
    uint32_t *free_slots; /* a stack of n_free */
    struct reader_entry *files;
    uint32_t n_files; /* entries, used or not */
    uint32_t n_taken; /* all of the first so many are used */
    uint32_t cap_files;
};

/* Checks params and fills the shared part of a zeroed reader. The caller frees it, on errors too. */
int reader_init(struct reader *reader, const struct reader_ops *ops,
                const struct reader_params *params, struct err *err);

enum reader_step { READER_AGAIN, READER_FINISHED };

/* Takes what the kernel answered for the rest of a slot (bytes, or -errno); READER_FINISHED sets
 * *result. READER_AGAIN: the rest, n_read .. len, is to be asked for (again). */
enum reader_step reader_advance(struct reader_slot *slot, bool is_direct, int64_t answer,
                                int *result);

/* Gives the slot back and writes its result. */
void reader_finish(struct reader *reader, uint32_t slot, int result, struct reader_done *done);

int64_t reader_now_ns(void);

#endif
