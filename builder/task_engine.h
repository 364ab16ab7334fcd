/* SPDX-License-Identifier: Apache-2.0 */
/*
 * task_engine: the seam between a task and where its stages run. Whatever the engine, a stage is the command `fkv stage TASK STAGE`,
 * which can be repeated and run anywhere; an engine has them run in order and again when a worker dies, and knows how to stop them.
 *
 *   local   one process on this host runs all stages, map and reduce with threads
 *   slurm   job arrays for map and reduce, with dependencies; Slurm queues, and requeues what a failed node ran
 *   none    nothing is run: another scheduler, or a script, runs the stages of what is recorded
 *
 * Threads: one. Memory: none is kept. Errors: what could not be started, and why.
 */
#ifndef FKV_BUILDER_TASK_ENGINE_H
#define FKV_BUILDER_TASK_ENGINE_H

#include "builder/task_plan.h"
#include "builder/task_spec.h"

/* What an engine knows of a task's newest attempt that the store does not. */
struct task_engine_look {
    uint32_t n_running; /* elements of its queue */
    uint32_t n_pending;
    uint32_t n_held; /* wait until somebody releases them */
    bool is_lost;    /* nothing is queued, nobody works, and it is not over: only a retry goes on */
    char text
        [640]; /* for people: "Slurm jobs 12, 13: 3 running, 10 pending (Resources)"; may be "" */
};

struct task_engine {
    const char *name;
    /* Is there all that it needs? Asked before a task is recorded. */
    int (*check)(const struct task_spec *spec, struct err *err);
    /* Has the newest attempt run. Returns as soon as that is sure to happen. */
    int (*start)(const struct task *task, const struct task_spec *spec, struct err *err);
    /* Stops what runs or waits of all attempts, as far as it can be found: the task is cancelled, or begins anew. */
    int (*stop)(const struct task *task, struct err *err);
    /* Asks how it stands. *out is zero where nothing is known. */
    int (*look)(const struct task *task, struct task_engine_look *out, struct err *err);
    /* Lets go on what is held; *n is how many elements that was. */
    int (*resume)(const struct task *task, uint32_t *n, struct err *err);
};

extern const struct task_engine task_engine_local;
extern const struct task_engine task_engine_slurm;
extern const struct task_engine task_engine_none;

const struct task_engine *task_engine_of(enum task_engine_kind kind);
const struct task_engine *task_engine_named(const char *name); /* NULL when there is none */
enum task_engine_kind task_engine_kind_of(const struct task_engine *engine);

/* Has the task's engine run the newest attempt; when it cannot be started, the attempt has failed, and says so. */
int task_start(const struct task *task, const struct task_spec *spec, struct err *err);

/* The plan stage under Slurm: submits map, reduce and seal behind it; at most once an attempt. */
int task_slurm_chain(const struct task *task, const struct task_plan *plan, struct err *err);

#endif
