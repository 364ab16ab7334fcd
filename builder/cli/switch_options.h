/* SPDX-License-Identifier: Apache-2.0 */
/*
 * switch_options: what activate, promote and rollback share: their options, and running a switch and saying how it went.
 *
 * Threads: one. Memory: none is kept. Errors: those of switch.h.
 */
#ifndef FKV_CLI_SWITCH_OPTIONS_H
#define FKV_CLI_SWITCH_OPTIONS_H

#include "builder/cli/switch.h"

enum { SWITCH_TABLES_MAX = 256 };

struct switch_options {
    struct cli_common common;
    bool force;
    bool no_wait;
    uint32_t quorum;
    int64_t timeout_ns;
    const char *reason;
};

/* --force, --no-wait, --quorum, --timeout, --reason and the common ones; input: struct switch_options. */
extern const struct argp_child switch_children[];
/* The same without --force. */
extern const struct argp_child switch_children_unforced[];

struct switch_job {
    const struct fleet_target *targets;
    struct op *ops; /* as many; force and effective_ns are filled in */
    size_t n;
    bool prepares;
    bool is_done; /* the log says so already: only wait for nodes */
    int (*check)(void *context, const struct state *state, struct err *err);
    void *context;
};

/* Switches, waits, and prints what happened, as text or JSON. */
int switch_command(struct session *session, const struct switch_options *options,
                   const struct switch_job *job, struct err *err);

#endif
