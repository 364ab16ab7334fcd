/* SPDX-License-Identifier: Apache-2.0 */
/*
 * task_map: one piece of a task's inputs becomes sorted runs in runs/ on the store, and a marker that names them.
 *
 * Threads: one at a time for a piece; pieces in parallel. Memory: task_plan_map_memory().
 * Errors: those of map_run(); -ESTALE for an input that changed since the task was planned.
 */
#ifndef FKV_BUILDER_TASK_MAP_H
#define FKV_BUILDER_TASK_MAP_H

#include "builder/map.h"
#include "builder/task_plan.h"
#include "builder/task_work.h"

/* What a marker says. */
struct task_mapped {
    char file[TASK_FILE_MAX]; /* in the task's directory */
    struct digest digest;
    uint64_t len;
    uint64_t rows;
    uint64_t bad_rows;
    uint64_t input_bytes;
    uint64_t begin; /* where the piece really begins and ends in its file */
    uint64_t end;
    uint64_t n_lines;
    struct level_totals totals;
};

/* Maps a piece that is not mapped yet. */
int task_map(const struct task *task, const struct task_plan *plan, uint32_t piece,
             const atomic_bool *cancel, struct err *err);

/* The piece's marker: 1; 0 when there is none. */
int task_mapped_get(const struct task *task, uint32_t piece, struct task_mapped *out,
                    struct err *err);

/*
 * Maps a piece again that began where no row does. Pieces of one file that meet prove each other: the first one begins at the file's
 * start, and each ends where the next must begin. Its marker is replaced. Called within task_work_run(work).
 */
int task_map_again(const struct task *task, const struct task_plan *plan, uint32_t piece,
                   uint64_t begin, struct task_work *work, struct task_mapped *out,
                   struct err *err);

#endif
