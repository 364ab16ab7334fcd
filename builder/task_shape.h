/* SPDX-License-Identifier: Apache-2.0 */
/*
 * task_shape: what can be settled only when all pieces are mapped: that the pieces fit together, how many shards the table gets, how
 * values are stored. shape.json, put once by whichever reduce task is first; all others take it from there.
 *
 * Threads: one at a time. Memory: a marker a piece; while values are sampled, VALUE_CODING_MEMORY.
 * Errors: -EBADMSG for more bad rows in all than the job allows, or pieces that cannot be made to fit; -EAGAIN while pieces are missing.
 */
#ifndef FKV_BUILDER_TASK_SHAPE_H
#define FKV_BUILDER_TASK_SHAPE_H

#include "builder/task_map.h"
#include "builder/value_coding.h"

struct task_shape {
    uint32_t n_shards;
    struct level_totals totals;
    uint64_t rows;
    uint64_t bad_rows;
    uint64_t input_bytes;
    struct value_coding coding;
    struct task_mapped *mapped; /* of each piece; see task_shape_pieces() */
    struct input_piece *pieces; /* the plan's, and how many lines come before them; likewise */
};

/* Finds or makes it, without what it has of pieces. work is the worker that waits for it, within task_work_run(). */
int task_shape_open(const struct task *task, const struct task_plan *plan, struct task_work *work,
                    struct task_shape *shape, struct err *err);
/* Reads what it has of pieces: a marker each, so only who has something to reduce asks for it. */
int task_shape_pieces(const struct task *task, const struct task_plan *plan,
                      struct task_shape *shape, struct err *err);
void task_shape_release(struct task_shape *shape);

#endif
