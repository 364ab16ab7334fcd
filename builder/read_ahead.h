/* SPDX-License-Identifier: Apache-2.0 */
/*
 * read_ahead: a source read in order by a thread of its own, a buffer ahead of whoever uses the bytes, so that waiting for the
 * network and decoding rows happen at the same time.
 *
 * States of a buffer: empty (the thread's), full (the reader's). The thread fills them in turn and stops at the source's end or
 * first error, which the reader meets behind the bytes before it. A jump starts over: what is read for the old place is dropped.
 *
 * Threads: the functions one at a time; the thread ends in read_ahead_close(). Memory: READ_AHEAD_LEN twice.
 * Errors: of the source; -ENOMEM; -EAGAIN when no thread can be made.
 */
#ifndef FKV_BUILDER_READ_AHEAD_H
#define FKV_BUILDER_READ_AHEAD_H

#include "builder/source.h"

enum { READ_AHEAD_LEN = 1 << 20 };

struct read_ahead;

/* The source is borrowed, and nobody else's to read until the end. */
int read_ahead_open(struct source *source, uint64_t off, struct read_ahead **out, struct err *err);
void read_ahead_close(struct read_ahead *ahead);

/* As source_read(), in order. */
int read_ahead_read(struct read_ahead *ahead, void *data, size_t len, size_t *n_read,
                    struct err *err);

/* The next read is at off. */
void read_ahead_jump(struct read_ahead *ahead, uint64_t off);

#endif
