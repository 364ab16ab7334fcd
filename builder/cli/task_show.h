/* SPDX-License-Identifier: Apache-2.0 */
/*
 * task_show: tasks as people and scripts read them, and waiting for one.
 *
 * Threads: one. Memory: none is kept. Errors: store errors; from task_wait() what the task failed of.
 */
#ifndef FKV_CLI_TASK_SHOW_H
#define FKV_CLI_TASK_SHOW_H

#include "builder/cli/cli.h"
#include "builder/task_status.h"

/* All there is to say of a task; asks its engine too, and keeps in *status whether that has lost it. */
int task_show(const struct task *task, struct task_status *status, struct err *err);
/* has_queue: with what its engine says. */
json_t *task_json(const struct task *task, struct task_status *s, bool has_queue);

/* A share of the work that is done, 0 to 1, with what is said in words: "mapping 3 of 12 pieces". */
double task_progress(const struct task_status *status, struct buf *words);

/*
 * Shows progress until nothing happens any more, then what became of it, as JSON also of what failed; timeout_ns 0: as long as it takes.
 * -EIO for a task whose process died.
 */
int task_wait(const struct task *task, int64_t timeout_ns, bool json, struct err *err);

#endif
