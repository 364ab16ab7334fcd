/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sealed: builds that wait for their record.
 *
 * A sealed build lies in staging/<task>, or, when its publisher died between the rename and the record, in a
 * v/<id> that no record names. Both can be published; the second is adopted where it lies.
 *
 * Threads: one at a time. Memory: plain data. Errors: -ENOENT says where was looked, -EEXIST that the task is published
 * already; store errors.
 */
#ifndef FKV_BUILDER_SEALED_H
#define FKV_BUILDER_SEALED_H

#include "builder/layout.h"

struct sealed {
    char task[TASK_NAME_MAX + 1];
    char created[32]; /* version.json's, when builds were compared */
    uint64_t orphan;  /* its number when it lies in v/<id>; 0: in staging */
    char dir[LAYOUT_PATH_MAX];
};

/* The build of that task, or for NULL the one sealed last: by its version.json's `created`, then by name. */
int sealed_find(struct store *store, const struct state *state, const char *table, const char *task,
                struct sealed *out, struct err *err);

/* The published version that this task made; 0: none that can still be read. */
uint64_t sealed_published_as(struct store *store, const struct table_state *published,
                             const char *table, const char *task);

#endif
