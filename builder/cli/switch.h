/* SPDX-License-Identifier: Apache-2.0 */
/*
 * switch: what activate and rollback do after they know the versions: one record, then waiting until nodes have flipped.
 *
 * Threads: one. Memory: none is kept. Errors: those of the manifest's rules; -ETIMEDOUT when nodes did not follow in time.
 */
#ifndef FKV_CLI_SWITCH_H
#define FKV_CLI_SWITCH_H

#include "builder/cli/cli.h"
#include "builder/cli/fleet.h"

struct switch_options {
    struct cli_common common;
    bool force;
    bool no_wait;
    int64_t timeout_ns;
    const char *reason;
};

/* --force, --no-wait, --timeout, --reason and the common ones; input: struct switch_options. */
extern const struct argp_child switch_children[];

/* Prints what happened, as text or JSON. ops and targets go together, n of each. */
int switch_run(struct session *session, const struct switch_options *options, struct op *ops,
               const struct fleet_target *targets, size_t n, struct err *err);

#endif
