/* SPDX-License-Identifier: Apache-2.0 */
/*
 * task_logs: what the workers of a task said, stage by stage, on standard output.
 *
 * Threads: one. Memory: TASK_LOGS_MAX, with JSON that of each log. Errors: store errors of listing; a log that cannot be read is told
 * of in its place, and the others are shown.
 */
#ifndef FKV_CLI_TASK_LOGS_H
#define FKV_CLI_TASK_LOGS_H

#include "builder/task.h"

/* Of one log: a worker writes less (TASK_LOG_MAX), but others may write there too. Of a longer one the end is shown. */
enum { TASK_LOGS_MAX = 4 << 20 };

int task_logs(const struct task *task, bool is_json, struct err *err);

#endif
