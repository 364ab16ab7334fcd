/* SPDX-License-Identifier: Apache-2.0 */
/*
 * validate_command: validators that are commands of the user's own.
 *
 * A command runs under sh -c and finds in its environment
 *
 *   FKV_TABLE, FKV_TASK    what is to be published
 *   FKV_STORE              the store's URL
 *   FKV_BUILD_DIR          the build's directory: a path, or for a store on NFS the store's URL and a path in it
 *   FKV_FIGURES            a file with the build's figures, as figures.json; empty when there are none
 *   FKV_BASE, FKV_CURRENT  the version that a delta lies on, and the one now current; empty when there is none
 *
 * Exit status 0 passes. Any other, and not to end in time, fails, with the last line of its output as the sentence.
 *
 * Threads: one at a time. Memory: little. Errors: of making the file, or starting sh; -ECANCELED.
 */
#ifndef FKV_BUILDER_VALIDATE_COMMAND_H
#define FKV_BUILDER_VALIDATE_COMMAND_H

#include "builder/validate.h"

/* Runs them all, or with !is_worth_it skips them; findings has room for limits->n_commands. */
int validate_commands(struct store *store, const struct validate_input *input,
                      const struct build_figures *figures, const struct validate_limits *limits,
                      bool is_worth_it, struct validate_finding *findings, struct err *err);

#endif
