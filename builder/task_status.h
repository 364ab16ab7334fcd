/* SPDX-License-Identifier: Apache-2.0 */
/*
 * task_status: how far a task is, found out from what lies in its directory. Nobody keeps a state that could be wrong.
 *
 * Threads: plain data. Memory: release it. Errors: store errors; -EBADMSG for documents that are none.
 */
#ifndef FKV_BUILDER_TASK_STATUS_H
#define FKV_BUILDER_TASK_STATUS_H

#include "builder/task.h"
#include "builder/task_spec.h"

enum task_state {
    TASK_QUEUED, /* nobody has begun it */
    TASK_PLANNING,
    TASK_MAPPING,
    TASK_REDUCING,
    TASK_SEALING,   /* every part is written and was read back */
    TASK_VERIFYING, /* sealed; validators, publishing, waiting for nodes */
    TASK_SEALED,    /* and that is what was asked for */
    TASK_PUBLISHED,
    TASK_FAILED,
    TASK_CANCELLED,
};

const char *task_state_name(enum task_state state);
/* Nothing happens any more by itself. */
bool task_state_is_final(enum task_state state);

enum {
    TASK_SILENT_S = 30 /* a worker that has not replaced its mark for so long is thought dead */
};

/* A worker that has a mark. */
struct task_worker {
    enum task_stage stage;
    uint32_t index;
    uint64_t rows;
    uint64_t done;
    uint64_t total; /* 0: not known */
    double seconds; /* since it began */
    double silent;  /* since its last mark */
    uint64_t pid;
    char author[256];
};

/* Over the markers of one stage. */
struct task_stage_times {
    uint32_t n_done;
    double began; /* seconds since 1970 by the workers' clocks; 0: not begun */
    double ended;
    double
        cpu_seconds; /* sum; of the local engine, whose workers share a process, more than was used */
    double seconds; /* sum */
    uint64_t rows;  /* map */
    uint64_t bytes; /* map: of input; reduce: of parts */
};

struct task_status {
    char name[TASK_NAME_MAX + 1];
    char table[TABLE_NAME_MAX + 1];
    char author[256];
    char engine[16];
    enum task_then then;
    bool is_delta;
    int64_t submitted_ns;
    uint32_t attempt;
    enum task_state state;
    bool is_stalled; /* not final, begun, and no worker has said anything for TASK_SILENT_S */
    bool is_lost;    /* its engine says so; set by who asked it */
    /* Of a failed one: the first failure in the order of stages and pieces. */
    int failure; /* -errno */
    enum task_stage failed_stage;
    uint32_t failed_index;
    char reason[ERR_TEXT_MAX];
    uint32_t n_pieces; /* 0: not planned yet */
    uint32_t n_groups;
    uint32_t n_shards; /* 0: not known yet */
    uint64_t version;  /* published as */
    bool is_active;
    uint64_t checkpoint; /* the version that the chain was merged into; 0: none */
    struct task_stage_times stages[STAGE_COUNT];
    struct task_worker *workers;
    size_t n_workers;
};

/* has_detail: reads every marker, for times, rows and bytes. */
int task_status_read(const struct task *task, bool has_detail, struct task_status *out,
                     struct err *err);
void task_status_release(struct task_status *status);

/* Names of all tasks, in order: the oldest first when they name themselves. Released by the caller. */
int task_list(struct store *store, struct store_list *out, struct err *err);

#endif
