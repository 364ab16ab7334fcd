/* SPDX-License-Identifier: Apache-2.0 */
/*
 * validate_drift: have the norms of the vectors moved since the version now current?
 *
 * The figures of a delta are those of its own level; so the current version's are added up along its chain. Keys that a delta
 * replaced count twice there, which moves the distribution by little as long as deltas are small.
 *
 * Threads: one at a time. Memory: figures are 8 KiB. Errors: store errors.
 */
#ifndef FKV_BUILDER_VALIDATE_DRIFT_H
#define FKV_BUILDER_VALIDATE_DRIFT_H

#include "builder/validate.h"

/* Fills in one finding. figures is NULL when the build has none, last when there is no version to compare with. */
int validate_drift(struct store *store, const struct validate_input *input,
                   const struct build_figures *figures, const struct version_entry *last,
                   const struct validate_limits *limits, struct validate_finding *finding,
                   struct err *err);

#endif
