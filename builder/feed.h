/* SPDX-License-Identifier: Apache-2.0 */
/*
 * feed: hands blocks of rows from many inputs to many workers.
 *
 * A worker gets the next block of the first input that nobody else is reading, so one large file is decoded by all workers
 * and many compressed ones are decompressed side by side. Each input's blocks are taken in order.
 *
 * Invariant: after feed_stop(i), every block of the inputs below i is still handed out, so the first fault in the order of
 * inputs and lines is found, whoever found another one first.
 *
 * Threads: all functions, from any. Memory: two blocks an input under way. Errors: of the input, which is named.
 */
#ifndef FKV_BUILDER_FEED_H
#define FKV_BUILDER_FEED_H

#include "builder/input.h"

struct feed;

/* A row's place in one number, ascending with input, then line. */
enum { SEQ_LINE_BITS = 44 };
static inline uint64_t seq_make(uint64_t input, uint64_t line)
{
    return input << SEQ_LINE_BITS | line;
}
/* "file:line"; line 0 is the file as a whole. */
enum { PLACE_MAX = 320 };
void seq_place(const struct job *job, uint64_t seq, char out[PLACE_MAX]);

/* job and options are borrowed. */
int feed_new(const struct job *job, const struct input_options *options, struct feed **out);
void feed_free(struct feed *feed);

/*
 * 1 with a block of input number *index, 0 when there are no more. The block is given back by feed_done() before the next
 * is taken. On an error *seq is the place.
 */
int feed_take(struct feed *feed, struct input_block *block, uint32_t *index,
              const struct input **input, uint64_t *seq, struct err *err);
void feed_done(struct feed *feed, uint32_t index);

/* No more blocks of input number index nor of those behind it. */
void feed_stop(struct feed *feed, uint32_t index);

/* Bytes of the files consumed so far, and the same after decompression. */
void feed_bytes(struct feed *feed, uint64_t *file_bytes, uint64_t *text_bytes);

#endif
