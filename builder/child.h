/* SPDX-License-Identifier: Apache-2.0 */
/*
 * child: another program, run in a process group of its own until it has ended or its time is over. What command.h and user_command.h
 * make of it differs; how a program is started, followed, ended and reaped is here alone.
 *
 * It has no descriptor of ours but its input and outputs, and no signal of ours blocked or ignored. When it has ended, its time is over
 * or a signal comes that ends this process, it and what is left of its process group are killed; a signal then goes its way. What it
 * started and what left that group (setsid, a shell's jobs under set -m) runs on.
 *
 * Threads: one at a time; the process has no other business with SIGCHLD and SIGPIPE meanwhile. Signals are held in the calling thread
 * only: while another one does not block them they go there, and are neither waited with nor seen here. A process with threads catches
 * them and sets *cancel, which is looked at every 20 ms.
 * Memory: a page; output is the caller's to keep, and to bound.
 * Errors: -ENOENT when there is no such program; -ENOEXEC for a script without a #! line, which is not given to sh; what starting it
 * met; -ETIMEDOUT; -ECANCELED when a signal came or *cancel was set. The words are the caller's, who knows what the program was for.
 */
#ifndef FKV_BUILDER_CHILD_H
#define FKV_BUILDER_CHILD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where output goes, as it comes. */
struct child_output {
    void (*take)(void *context, const char *data, size_t len);
    void *context;
};

struct child_params {
    const char *file; /* the program; without a slash it is looked for in $PATH; NULL: argv[0] */
    const char *const *argv; /* ends with NULL */
    char *const *env;        /* ends with NULL */
    const char *input;       /* for its standard input; NULL: that is empty */
    struct child_output out;
    struct child_output error; /* take NULL: goes where out goes, in the order in which it came */
    int64_t timeout_ns;
    const atomic_bool *cancel; /* ends it; may be NULL */
    bool outlasts_signals;     /* a signal waits until it has ended by itself or its time is over */
};

/* *status is as waitpid() has it, also with -ETIMEDOUT and -ECANCELED. */
int child_run(const struct child_params *params, int *status);

#endif
