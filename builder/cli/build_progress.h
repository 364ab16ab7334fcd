/* SPDX-License-Identifier: Apache-2.0 */
/*
 * build_progress: a running build on stderr: a bar on a terminal, a line every few seconds elsewhere; bad rows as they come.
 * Ctrl-C asks the build to stop, so that it cleans up; a second one ends the program.
 *
 * Threads: the hooks may be called from any thread. Memory: hooks are good until build_progress_free().
 */
#ifndef FKV_CLI_BUILD_PROGRESS_H
#define FKV_CLI_BUILD_PROGRESS_H

#include "builder/build.h"

struct build_progress_line;

struct build_progress_line *build_progress_new(void);
void build_progress_free(struct build_progress_line *line);
struct build_hooks build_progress_hooks(struct build_progress_line *line);

#endif
