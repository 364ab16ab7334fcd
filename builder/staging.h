/* SPDX-License-Identifier: Apache-2.0 */
/*
 * staging: the directory of a build under way, tables/<table>/staging/<task>/.
 *
 * Threads: one at a time for a task. Memory: none. Errors: -EEXIST when the task is sealed already; store errors.
 */
#ifndef FKV_BUILDER_STAGING_H
#define FKV_BUILDER_STAGING_H

#include "builder/job.h"
#include "manifest/name.h"
#include "store/store.h"

struct staging {
    char task[TASK_NAME_MAX + 1];
    char dir[STORE_PATH_MAX];
};

/* Makes the directory, with parts/ in it; what an earlier, unsealed build of the same task left there goes first. */
int staging_open(struct staging *staging, struct store *store, const struct job *job,
                 struct err *err);

/* Removes all of it, as far as that works. */
void staging_drop(const struct staging *staging, struct store *store);

#endif
