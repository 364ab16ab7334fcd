/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bad_rows: the rows that were rejected, in order of their place, and whether they are too many.
 *
 * Threads: bad_rows_add() from any; the rest after the workers are done. Memory: the texts of the first BAD_ROWS_SHOWN.
 * Errors: -EBADMSG from bad_rows_error(), naming the first bad row.
 */
#ifndef FKV_BUILDER_BAD_ROWS_H
#define FKV_BUILDER_BAD_ROWS_H

#include "builder/build.h"
#include "builder/seq.h"

#include <pthread.h>

enum { BAD_ROWS_SHOWN = 1000 };
#define BAD_ROWS_FEW UINT64_MAX

struct bad_row {
    uint64_t seq;
    char *reason; /* NULL when there was no memory for it */
};

struct bad_rows {
    const struct job *job;
    struct seq_places places; /* for when the workers are done */
    pthread_mutex_t lock;     /* guards all below */
    uint64_t n;
    struct bad_row *rows; /* the first ones, ascending by seq */
    size_t n_rows;
};

/* job and pieces are borrowed. */
void bad_rows_init(struct bad_rows *bad, const struct job *job, const struct input_piece *pieces,
                   size_t n_pieces);
void bad_rows_release(struct bad_rows *bad);

/* Notes a row. Returns BAD_ROWS_FEW, or once there are more than the job allows, the seq of the first. */
uint64_t bad_rows_add(struct bad_rows *bad, uint64_t seq, const char *reason);
uint64_t bad_rows_verdict(struct bad_rows *bad);
uint64_t bad_rows_count(struct bad_rows *bad);
int bad_rows_error(struct bad_rows *bad, struct err *err);

/* Calls the hook for each kept row, in order, when the job allows bad rows at all. */
void bad_rows_tell(struct bad_rows *bad, const struct build_hooks *hooks);

#endif
