/* SPDX-License-Identifier: Apache-2.0 */
/*
 * task_spec: everything a submitted task is to do: what to build, on which engine, what becomes of it.
 *
 * As a file: tasks/<task>/job.json on the store, and job.toml by hand; both have the same members (task_spec_json.h).
 *
 * Threads: plain data. Memory: strings are borrowed from the document or command line it was made from. Errors: none.
 */
#ifndef FKV_BUILDER_TASK_SPEC_H
#define FKV_BUILDER_TASK_SPEC_H

#include "builder/job.h"
#include "builder/validate.h"

enum task_engine_kind {
    TASK_LOCAL, /* a process on the submitter's host, with threads */
    TASK_SLURM, /* job arrays */
    TASK_NONE,  /* whoever likes runs the stages: another scheduler, a script */
};

/* What is done with the sealed build. */
enum task_then {
    TASK_STOP,     /* nothing: `fkv publish` takes it later */
    TASK_PUBLISH,  /* as a candidate */
    TASK_ACTIVATE, /* published, and switched to when all live nodes are ready */
};

/* Passed on to sbatch; NULL or 0: not said. */
struct slurm_options {
    const char *partition;
    const char *account;
    const char *qos;
    const char *time_limit;   /* of each element, as sbatch --time takes it */
    const char *const *extra; /* more words for sbatch */
    size_t n_extra;
    uint32_t cpus;      /* of an element of an array; default 1 */
    uint32_t n_at_once; /* elements of an array that may run together; 0: as many as Slurm lets */
    const char *fkv;    /* this program's path on the nodes; NULL: as on the submitter */
};

/* When a published delta's chain is merged into a full version. */
struct checkpoint_policy {
    uint32_t levels; /* at so many levels; 0: never for their number */
    double
        share; /* when the deltas' bytes reach this share of the base's; 0: never for their size */
};

struct task_spec {
    struct job job; /* job.task is the task's name; memory and n_threads are those of one process */
    uint64_t piece_len; /* bytes of input of one map task; 0: chosen by memory */
    uint32_t n_reduce;  /* reduce tasks, each a group of shards; 0: chosen */
    enum task_engine_kind engine;
    struct slurm_options slurm;
    enum task_then then;
    struct validate_limits limits;
    struct checkpoint_policy checkpoint;
    uint32_t quorum;    /* as `fkv publish --quorum`; 0: all live nodes */
    int64_t timeout_ns; /* waiting for nodes */
    const char *reason;
};

#endif
