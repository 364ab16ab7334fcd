/* SPDX-License-Identifier: Apache-2.0 */
/*
 * task_jobs: which Slurm jobs were submitted for a task, as documents in its directory, and how sbatch is told of a stage.
 *
 *   tasks/<task>/slurm-<attempt>-plan.json   the job of the plan stage, put by the submitter
 *                slurm-<attempt>-rest.json   those of the stages behind it, put by the plan stage
 *
 * A submitter may die between a submission and its document. Jobs that nobody knows of do no harm: their stages find what is done, or
 * that the task is cancelled.
 *
 * Threads: one. Memory: none is kept. Errors: those of slurm.h; store errors.
 */
#ifndef FKV_BUILDER_TASK_JOBS_H
#define FKV_BUILDER_TASK_JOBS_H

#include "builder/slurm.h"
#include "builder/task.h"
#include "builder/task_spec.h"

enum { TASK_JOB_PREFIX_MAX = TASK_NAME_MAX + 16 };

/* What the names of a task's jobs begin with; the stage's name follows. */
void task_jobs_prefix(const struct task *task, char out[TASK_JOB_PREFIX_MAX]);

/* what: "plan" or "rest", of the task's attempt. */
int task_jobs_put(const struct task *task, const char *what, const struct slurm_jobs *jobs,
                  struct err *err);
int task_jobs_has(const struct task *task, const char *what, struct err *err); /* 1 or 0 */
/* Adds to *jobs what is recorded of the task's attempt; what cannot be read is left out. */
void task_jobs_read(const struct task *task, struct slurm_jobs *jobs);

struct task_job {
    enum task_stage stage;
    const char *words; /* of fkv stage, behind the task's name: "map --offset 1000" */
    const char *array; /* indices as sbatch takes them; NULL: one job */
    const struct slurm_jobs
        *after; /* begins when these have done all of their work; may be empty or NULL */
};

/* Submits one job; *id is its number. */
int task_job_submit(const struct task *task, const struct task_spec *spec,
                    const struct task_job *job, uint64_t *id, struct err *err);

#endif
