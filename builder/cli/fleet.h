/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fleet: waiting for live nodes, by their heartbeats on the store, and saying how they get on.
 *
 * Threads: one. Memory: none is kept.
 * Errors: -ETIMEDOUT names a node that is not there yet; -EPERM when nodes failed (which, and why); store errors.
 */
#ifndef FKV_CLI_FLEET_H
#define FKV_CLI_FLEET_H

#include "builder/cli/cli.h"
#include "manifest/heartbeat.h"

struct fleet_target {
    const char *table;
    uint64_t version;
};

struct fleet_wait {
    struct session *session;
    const struct fleet_target *targets;
    size_t n_targets;
    uint32_t quorum; /* 0: every live node */
    int64_t timeout_ns;
};

/* Is a later version of the table current already? Nodes will not prepare the target any more then. */
bool fleet_is_superseded(const struct state *state, const struct fleet_target *target);

/* Until live nodes (or the quorum) have every target ready that is not superseded. *n_live: how many there are. */
int fleet_wait_ready(const struct fleet_wait *wait, uint32_t *n_live, struct err *err);

/*
 * Until every live node that should serve a target does (or the quorum). Nodes that are pinned elsewhere, in the manifest or on their
 * host, are named but not waited for. -ESTALE when a later record makes another version current.
 */
int fleet_wait_serving(const struct fleet_wait *wait, uint32_t *n_live, struct err *err);

/* When to flip: now for at most one node, a moment ahead for several, so that they flip together. */
int64_t fleet_effective_ns(uint32_t n_live);

/* Live nodes now. */
int fleet_count(struct session *session, uint32_t *n_live, struct err *err);

#endif
