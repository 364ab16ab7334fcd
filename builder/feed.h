/* SPDX-License-Identifier: Apache-2.0 */
/*
 * feed: hands blocks of rows from many pieces of inputs to many workers.
 *
 * A worker gets the next block of the first piece that nobody else is reading, so one large file is decoded by all workers
 * and many compressed ones are decompressed side by side. Each piece's blocks are taken in order.
 *
 * Invariant: after feed_stop(i), every block of the pieces below i is still handed out, so the first fault in the order of
 * pieces and lines is found, whoever found another one first.
 *
 * Threads: all functions, from any. Memory: two blocks a piece under way. Errors: of the input, which is named.
 */
#ifndef FKV_BUILDER_FEED_H
#define FKV_BUILDER_FEED_H

#include "builder/seq.h"

struct feed;

/* What a piece turned out to be. */
struct piece_seen {
    uint64_t begin;
    uint64_t end;
    uint64_t rows_lines; /* as input_row.line counts them */
};

/* pieces, job and options are borrowed; the job says what format files are of. */
int feed_new(const struct input_piece *pieces, size_t n_pieces, const struct job *job,
             const struct input_options *options, struct feed **out);
void feed_free(struct feed *feed);

/*
 * 1 with a block of piece number *index, 0 when there are no more. The block is given back by feed_done() before the next
 * is taken. On an error *seq is the place.
 */
int feed_take(struct feed *feed, struct input_block *block, uint32_t *index,
              const struct input **input, uint64_t *seq, struct err *err);
void feed_done(struct feed *feed, uint32_t index);

/* No more blocks of piece number index nor of those behind it. */
void feed_stop(struct feed *feed, uint32_t index);

/* What the pieces that were read to their end are; zeros for others. n_pieces long, for when no worker runs any more. */
void feed_seen(const struct feed *feed, struct piece_seen *out);

/* Bytes of the files consumed so far, and the same after decompression. */
void feed_bytes(struct feed *feed, uint64_t *file_bytes, uint64_t *text_bytes);

#endif
