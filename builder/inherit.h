/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inherit: a table built before keeps its shape unless the job says otherwise.
 *
 * Threads: one. Memory: none. Errors: -EINVAL when there is no version to take a shape from and the job does not say one;
 * store errors.
 */
#ifndef FKV_BUILDER_INHERIT_H
#define FKV_BUILDER_INHERIT_H

#include "builder/job.h"
#include "manifest/manifest.h"
#include "store/store.h"

/* Fills in what job->given leaves open of job->schema, from the newest version of the table. */
int inherit_schema(struct store *store, const struct state *state, struct job *job,
                   struct err *err);

#endif
