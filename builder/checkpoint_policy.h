/* SPDX-License-Identifier: Apache-2.0 */
/*
 * checkpoint_policy: when a chain of deltas is to be merged into a full version without being asked.
 *
 * Threads: pure functions. Memory: none. Errors: none.
 */
#ifndef FKV_BUILDER_CHECKPOINT_POLICY_H
#define FKV_BUILDER_CHECKPOINT_POLICY_H

#include "builder/task_spec.h"
#include "format/version.h"

/* Is it time for this version, a delta that was just published? By its levels, or by what they take beside the oldest. */
bool checkpoint_is_due(const struct version_desc *desc, const struct checkpoint_policy *policy);

#endif
