/* SPDX-License-Identifier: Apache-2.0 */
/*
 * task_seal: all shards of a task become a sealed build in tables/<table>/staging/<task>, which publishing takes from there.
 *
 * Killed anywhere, it is done again: links and version.json that are there stay, the rename happens once, and sealed.json is put when
 * the build is where it belongs.
 *
 * Threads: one at a time. Memory: version.json. Errors: -EAGAIN while shards are missing; -EEXIST when another build has the task's
 * name; store errors.
 */
#ifndef FKV_BUILDER_TASK_SEAL_H
#define FKV_BUILDER_TASK_SEAL_H

#include "builder/build.h"
#include "builder/task_plan.h"
#include "builder/task_shape.h"
#include "builder/task_work.h"

/* work is the worker, within task_work_run(). */
int task_seal(const struct task *task, const struct task_plan *plan, struct task_work *work,
              struct err *err);

/* What was built, from the task's documents: seconds are sums over workers. After sealing. */
int task_result(const struct task *task, struct build_result *out, struct err *err);

/* Removes what only an unfinished task needs: sorted runs, as far as that works. */
void task_clean(const struct task *task);

/*
 * Forgets what is mapped, so that it is mapped again: shards that are reduced stay, as they would come out the same. When inputs
 * are not as they were planned any more, or are a query's, or the staging directory is gone, the plan and all that rests on it goes too.
 * A sealed build is no longer one. While no worker is at it, and nothing of it is published.
 */
int task_forget(const struct task *task, struct err *err);

/* Removes the runs and the staging directory of a task that was given up, also a sealed one unless it is published. */
void task_give_up(const struct task *task, bool is_published);

#endif
