/* SPDX-License-Identifier: Apache-2.0 */
/*
 * helper: a thread that reads ahead and writes behind for another one, so that sorting and merging do not wait for the disk.
 *
 * Jobs are done one after the other, in the order they were handed in. A job is its owner's again once helper_wait() returned.
 * Without a thread to be had a job is done at once, by who hands it in: slower, not wrong.
 *
 * Threads: one owner hands in and waits. Memory: a stack; jobs are the owner's.
 * Errors: -ENOMEM; a job's own, told by helper_wait().
 */
#ifndef FKV_BUILDER_HELPER_H
#define FKV_BUILDER_HELPER_H

#include "base/err.h"

#include <stdbool.h>

struct helper;

/* Part of what the job is about; zero-initialised but for run. */
struct helper_job {
    int (*run)(struct helper_job *job, struct err *err);
    /* The helper's: */
    struct helper_job *next;
    bool is_done;
    int ret;
    struct err err;
};

int helper_new(struct helper **out, struct err *err);
/* Does what was handed in first. Accepts NULL. */
void helper_free(struct helper *helper);

void helper_submit(struct helper *helper, struct helper_job *job);
/* Once for each helper_submit(): what the job came to. */
int helper_wait(struct helper *helper, struct helper_job *job, struct err *err);

#endif
