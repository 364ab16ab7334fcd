/* SPDX-License-Identifier: Apache-2.0 */
/*
 * task_plan: what the plan stage settles once for all workers of a task: the shape of the table, the base of a delta, the pieces of
 * the inputs, where parts go. tasks/<task>/plan.json.
 *
 * Pieces, groups and directories do not reach the result: parts are the same however a task is cut.
 *
 * Threads: immutable once open. Memory: release it. Errors: those of job_check(), inherit.h, delta_base.h and of looking at inputs;
 * -ENOENT while there is no plan; store errors.
 */
#ifndef FKV_BUILDER_TASK_PLAN_H
#define FKV_BUILDER_TASK_PLAN_H

#include "builder/delta_base.h"
#include "builder/input.h"
#include "builder/input_stamp.h"
#include "builder/run.h"
#include "builder/staging.h"
#include "builder/task.h"
#include "builder/task_spec_json.h"

struct task_plan {
    struct task_document document; /* the spec, with nothing of its schema left open but n_shards */
    const struct task_spec *spec;  /* &document.spec */
    struct staging staging;
    struct run_order order;
    uint64_t base; /* of a delta; else 0 */
    struct digest base_digest;
    struct input_piece *pieces; /* in the order of inputs, then place */
    uint32_t *inputs;           /* of each piece, which of the spec's inputs it is cut from */
    struct input_stamp *stamps; /* of each of the spec's inputs, as planned */
    uint32_t n_pieces;
    uint32_t
        n_groups; /* reduce tasks: group g has the shards [g * n / n_groups, (g + 1) * n / n_groups) */
};

/* Makes the plan, or finds that there is one. state is the manifest's. */
int task_plan_make(const struct task *task, const struct state *state, struct err *err);
int task_plan_open(const struct task *task, struct task_plan *plan, struct err *err);
void task_plan_release(struct task_plan *plan);

/* What one worker of the task may use: the spec's memory, or with the local engine its share of it. */
uint64_t task_plan_memory(const struct task_plan *plan);
uint32_t task_plan_threads(const struct task_spec *spec);
/* The same of those that map: what DuckDB reads takes so much that fewer may run at once. The spec's schema is settled. */
uint64_t task_plan_map_memory(const struct task_spec *spec);
uint32_t task_plan_map_threads(const struct task_spec *spec);

struct task_group {
    uint32_t first; /* shards [first, end) */
    uint32_t end;
};
struct task_group task_plan_group(const struct task_plan *plan, uint32_t group, uint32_t n_shards);

#endif
