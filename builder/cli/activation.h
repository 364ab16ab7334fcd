/* SPDX-License-Identifier: Apache-2.0 */
/*
 * activation: what must still hold when versions are activated that nodes were waited for: nobody went back meanwhile, and nobody went
 * further.
 *
 * Threads: one. Memory: the caller's; activation_release(). Errors: as activation_check().
 */
#ifndef FKV_CLI_ACTIVATION_H
#define FKV_CLI_ACTIVATION_H

#include "builder/cli/cli.h"
#include "builder/cli/fleet_look.h"

struct activation {
    struct session *session;
    const struct fleet_target *targets;
    uint64_t *was; /* each table's current version at the start */
    uint64_t seq;  /* the log's end then */
    size_t n;
};

/* Remembers where the tables are now. targets are the caller's and live as long. */
int activation_init(struct activation *activation, struct session *session,
                    const struct fleet_target *targets, size_t n, struct err *err);
void activation_release(struct activation *activation);
#define scope_activation __attribute__((cleanup(activation_release)))

/*
 * For switch_plan's check; context is a struct activation. What an operator decided while we waited for nodes stands, and a slower
 * publisher must not take the fleet back from a later version: -EALREADY when all targets are superseded; -ESTALE when
 * some are, because versions that were published together are not to be switched to apart, and after a rollback.
 */
int activation_check(void *context, const struct state *state, struct err *err);

#endif
