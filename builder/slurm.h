/* SPDX-License-Identifier: Apache-2.0 */
/*
 * slurm: Slurm's client commands, called and understood. What they print differs little between versions; known to hold for 20.11 to 23.
 *
 * Numbers are given out again when a controller dies before it has saved its state, so a job is taken for one of ours only when its
 * name begins as ours do.
 *
 * Threads: one. Memory: none is kept. Errors: -ENOENT without the commands; -EIO when the controller cannot be reached, which may be
 * over soon; -EPERM when Slurm refuses, with its reason.
 */
#ifndef FKV_BUILDER_SLURM_H
#define FKV_BUILDER_SLURM_H

#include "base/buf.h"
#include "base/err.h"

#include <stdint.h>

enum { SLURM_JOBS_MAX = 4096 };

struct slurm_jobs {
    uint64_t ids[SLURM_JOBS_MAX];
    size_t n;
};

/* An element that has ended and did not do its work. */
struct slurm_ended {
    char id[40];    /* "12_3" */
    char stage[16]; /* what its name says behind the prefix */
    char state[32]; /* "TIMEOUT" */
    char node[64];
    int status; /* of its script, as wait() tells it */
};

/* What Slurm says of a set of jobs; a job that is not an array is one element. */
struct slurm_queue {
    uint32_t n_running;
    uint32_t n_pending; /* held ones not counted */
    uint32_t n_held;    /* wait until somebody releases them */
    uint32_t n_ended;
    char waits_for
        [64]; /* why the first pending one waits, when it is not for other jobs of its chain; else "" */
    struct slurm_ended failed; /* the first that ended badly; id "" when none did */
    struct buf jobs;           /* "12,13": jobs of which something runs, waits or is held */
    struct buf held;           /* "12_3,12_7" */
};

/* Are the commands there? */
int slurm_check(struct err *err);

/* Submits a script; argv is sbatch's, with --parsable. *job is its number. */
int slurm_submit(const char *const *argv, const char *script, uint64_t *job, struct err *err);

/* How many elements an array may have; their indices begin at 0. */
int slurm_array_max(uint32_t *out, struct err *err);

/* Looks at those of the jobs whose names begin with prefix. Zero-initialise out; release it. */
int slurm_look(const struct slurm_jobs *jobs, const char *prefix, struct slurm_queue *out,
               struct err *err);
void slurm_queue_release(struct slurm_queue *queue);

/* Takes from the queue what of the jobs is ours by its name, and ends what runs. */
int slurm_cancel(const struct slurm_jobs *jobs, const char *prefix, struct err *err);

/* Lets held elements wait for a node again; held is slurm_queue's. */
int slurm_release(const struct buf *held, struct err *err);

/* "12,13" */
int slurm_jobs_list(const struct slurm_jobs *jobs, const char *separator, struct buf *out);

#endif
