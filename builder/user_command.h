/* SPDX-License-Identifier: Apache-2.0 */
/*
 * user_command: a command of the user's own, run by sh with a time limit, as child.h says: when the shell has ended, or its time is
 * over, its process group is killed.
 *
 * Its input is empty. Of its output, standard and error, the last line that says anything is kept, all else is read and thrown
 * away, however much it is.
 *
 * Threads: those of child.h. Memory: a page.
 * Errors: what starting it met; -ETIMEDOUT; -ECANCELED when a signal came or *cancel was set.
 */
#ifndef FKV_BUILDER_USER_COMMAND_H
#define FKV_BUILDER_USER_COMMAND_H

#include "base/err.h"

#include <stdatomic.h>
#include <stdint.h>

enum { USER_COMMAND_LINE_MAX = 200 };

struct user_command_end {
    int status;                           /* as the shell has it: exit status, or 128 + a signal */
    char line[USER_COMMAND_LINE_MAX + 1]; /* UTF-8 without control characters; may be empty */
};

/* env: "NAME=value" each, NULL at the end; they replace the process's own of the same name. cancel may be NULL. *out is
 * also written with -ETIMEDOUT and -ECANCELED. */
int user_command_run(const char *command, const char *const *env, int64_t timeout_ns,
                     const atomic_bool *cancel, struct user_command_end *out, struct err *err);

#endif
