/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seq: a row's place in one number, and in words.
 *
 * The number is the row's piece, then its line in the piece: ascending in the order of the inputs and, while pieces lie in the
 * order of the file, of the rows; so what it decides does not depend on where files were cut. In words it is
 * "path:line", the line counted from the file's start. What of the file lies before the piece is counted by reading it
 * again, when the piece does not say: only an error asks.
 *
 * Threads: a struct seq_places belongs to one thread. Memory: none. Errors: none; a file that cannot be read any more is named by
 * byte.
 */
#ifndef FKV_BUILDER_SEQ_H
#define FKV_BUILDER_SEQ_H

#include "builder/input.h"

enum { SEQ_LINE_BITS = 44, PLACE_MAX = 320 };

static inline uint64_t seq_make(uint64_t piece, uint64_t line)
{
    return piece << SEQ_LINE_BITS | line;
}
static inline uint64_t seq_piece(uint64_t seq)
{
    return seq >> SEQ_LINE_BITS;
}

/* Zero but for what is borrowed. */
struct seq_places {
    const struct input_piece *pieces;
    size_t n_pieces;
    const struct job *job;
    /* What was counted last. */
    bool is_counted;
    uint64_t piece;
    uint64_t rows_before;
};

/* "path:line"; line 0 is the file as a whole. */
void seq_place(struct seq_places *places, uint64_t seq, char out[PLACE_MAX]);

#endif
