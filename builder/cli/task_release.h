/* SPDX-License-Identifier: Apache-2.0 */
/*
 * task_release: what becomes of a sealed task: published, switched to, its chain merged, as its job says; published.json tells.
 *
 * Killed anywhere, it goes on from the manifest: a version that a record names is not published twice.
 *
 * Threads: one beside the ticking one. Memory: none is kept. Errors: those of release.h.
 */
#ifndef FKV_CLI_TASK_RELEASE_H
#define FKV_CLI_TASK_RELEASE_H

#include "builder/cli/cli.h"
#include "builder/task_plan.h"

#include <stdatomic.h>

/* Nothing to do for a task that is published, or is to stay sealed. */
int task_release(struct session *session, const struct task *task, const struct task_spec *spec,
                 const atomic_bool *cancel, struct err *err);

#endif
