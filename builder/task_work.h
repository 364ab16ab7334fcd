/* SPDX-License-Identifier: Apache-2.0 */
/*
 * task_work: one worker at one step of a task: says that it is alive, how far it is and what happened, and sees when the task is given up.
 *
 * While it works, work/<stage>-<index>.json is replaced every TASK_WORK_S; at the end the log is put beside the others, and, when the
 * step failed, failed-….json says why. What cannot be told because the store does not take it is left: the work's own error counts.
 *
 * Of two workers at one step the slower one may fail of what the faster one has done already: directories renamed, runs removed. So
 * whoever fails looks whether the step is done, before it tells and again when it has told: the faster one puts its document before
 * it takes back what was told, so either of them sees the other's.
 *
 * Threads: tick from one at a time; the rest one at a time. Memory: the log's text. Errors: -ECANCELED from the work once the task is
 * cancelled.
 */
#ifndef FKV_BUILDER_TASK_WORK_H
#define FKV_BUILDER_TASK_WORK_H

#include "builder/engine.h"
#include "builder/meter.h"
#include "builder/task.h"

#include <stdbool.h>

enum { TASK_WORK_S = 2, TASK_LOG_MAX = 1 << 20 };

struct task_work {
    const struct task *task;
    enum task_stage stage;
    uint32_t index;
    struct build_hooks hooks;
    struct meter meter;
    struct engine_local engine; /* one thread; runs what ticks the meter */
    atomic_bool is_cancelled;
    const atomic_bool *parent_cancel; /* the process is asked to stop; may be NULL */
    const char *keep_dir;             /* a directory on the store to be kept alive; may be NULL */
    bool (*is_done)(void *context);   /* is the step done, by whomever? NULL: nobody else does it */
    void *done_context;
    double marked;    /* when the mark was put last, as meter_seconds() */
    double stamped;   /* when the last marker was made, as meter_seconds() */
    double cpu_began; /* then, or at the beginning */
    struct build_progress last;
    pthread_mutex_t lock; /* guards log */
    struct buf log;
    size_t logged; /* bytes of it that are on the store */
};

void task_work_begin(struct task_work *work, const struct task *task, enum task_stage stage,
                     uint32_t index, const atomic_bool *cancel);
/* A line of the log. */
void task_work_say(struct task_work *work, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Runs fn(context) on a thread while this one ticks. */
int task_work_run(struct task_work *work, int (*fn)(void *context, struct err *err), void *context,
                  struct err *err);
/* How it ended: passes ret on, or 0 when another worker did it all the same. Nobody is told of -ECANCELED. */
int task_work_end(struct task_work *work, int ret, struct err *err);

/* Records a failure that met no worker: an engine that could not start, a plan that cannot be read. */
void task_work_fail(const struct task *task, enum task_stage stage, uint32_t index, int code,
                    const struct err *why);

/* The step is done: that it failed before, in this attempt, is past. */
void task_work_done(const struct task *task, enum task_stage stage, uint32_t index);

/* What a marker begins with: task_stamp(), and the time and CPU time since the worker's last one: a reduce task puts one a shard. */
json_t *task_work_stamp(struct task_work *work);

#endif
