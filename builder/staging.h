/* SPDX-License-Identifier: Apache-2.0 */
/*
 * staging: the directory of a build under way, tables/<table>/staging/.work-<task>-<nonce>/, which becomes …/staging/<task>/
 * when it is sealed. Of two builds with one task name, the one that is sealed first has it.
 *
 * Threads: one at a time for a build. Memory: none. Errors: -EEXIST when there is a build of that name; store errors.
 */
#ifndef FKV_BUILDER_STAGING_H
#define FKV_BUILDER_STAGING_H

#include "builder/job.h"
#include "builder/layout.h"

struct staging {
    char table[TABLE_NAME_MAX + 1];
    char task[TASK_NAME_MAX + 1];
    char dir[LAYOUT_PATH_MAX]; /* while it is under way */
    char sealed_dir[LAYOUT_PATH_MAX];
};

/* Makes the directory, with parts/ in it. */
int staging_open(struct staging *staging, struct store *store, const struct job *job,
                 struct err *err);

/* Says that the build is alive, for gc; from time to time. */
void staging_mark(const struct staging *staging, struct store *store);

/* Gives the directory the task's name; version.json must be in it. */
int staging_seal(const struct staging *staging, struct store *store, struct err *err);

/* Passes an error on; -ENOENT because the directory was removed under the build gets words, and is -ESTALE. */
int staging_explain(const struct staging *staging, struct store *store, int code, struct err *err);

/* Removes all of it, as far as that works. */
void staging_drop(const struct staging *staging, struct store *store);

#endif
