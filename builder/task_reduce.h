/* SPDX-License-Identifier: Apache-2.0 */
/*
 * task_reduce: a group of a task's shards: their share of all runs merged, written as parts, read back, and, of a delta, counted against
 * the base. A marker a shard, so a worker that died in the middle of a group costs one shard.
 *
 * Threads: one at a time for a group; groups in parallel. Memory: task_plan_memory(), and what spill.h says for each piece.
 * Errors: those of reduce.h, verify.h and spill.h.
 */
#ifndef FKV_BUILDER_TASK_REDUCE_H
#define FKV_BUILDER_TASK_REDUCE_H

#include "builder/figures.h"
#include "builder/reduce.h"
#include "builder/task_plan.h"
#include "builder/task_work.h"

/* What a marker says. */
struct task_reduced {
    struct part_desc part; /* its chunks are freed by task_reduced_release() */
    struct reduce_totals totals;
    uint64_t n_added;             /* of a delta: keys that the base does not have */
    uint64_t n_removed;           /* tombstones of keys that it has */
    struct build_figures figures; /* of the part */
};

int task_reduce(const struct task *task, const struct task_plan *plan, uint32_t group,
                const atomic_bool *cancel, struct err *err);

/* The shard's marker: 1; 0 when there is none. */
int task_reduced_get(const struct task *task, uint32_t shard, struct task_reduced *out,
                     struct err *err);
void task_reduced_release(struct task_reduced *reduced);

#endif
