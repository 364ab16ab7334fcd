/* SPDX-License-Identifier: Apache-2.0 */
/*
 * task_run: stages of a task in this process: one of them, as `fkv stage` does under a scheduler, or all, as the local engine's process
 * does. Publishing comes after, and is the command's.
 *
 * Threads: the stages make their own. Memory: the spec's. Errors: those of the stages.
 */
#ifndef FKV_BUILDER_TASK_RUN_H
#define FKV_BUILDER_TASK_RUN_H

#include "builder/task_plan.h"

#include <stdatomic.h>

/* Plans a task that has no plan yet. */
int task_stage_plan(const struct task *task, struct manifest *manifest, const atomic_bool *cancel,
                    struct err *err);
/* Seals a task whose shards are all there. */
int task_stage_seal(const struct task *task, const struct task_plan *plan,
                    const atomic_bool *cancel, struct err *err);
/* Plan, map, reduce, seal; what is done already is not done again. */
int task_run_all(const struct task *task, struct manifest *manifest, const atomic_bool *cancel,
                 struct err *err);
/* Large buffers go back to the system when they are freed: see build_run(). And the process may have as many files open as it is let:
 * a reduce task reads the runs of every piece, which may be thousands, and opening them over and over costs (spill_files). */
void task_run_prepare(void);

#endif
