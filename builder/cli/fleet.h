/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fleet: waiting for live nodes, by their heartbeats on the store, and showing how they get on.
 *
 * A store that cannot be asked for a while does not end the waiting: nodes go on without it, and so does the one who waits, until
 * his time is up.
 *
 * Threads: one. Memory: fleet_release().
 * Errors: -ETIMEDOUT names a node that is not there yet; -EPERM when nodes failed (which, and why); store errors.
 */
#ifndef FKV_CLI_FLEET_H
#define FKV_CLI_FLEET_H

#include "builder/cli/cli.h"
#include "builder/cli/fleet_look.h"
#include "builder/cli/fleet_nodes.h"

#include <stdatomic.h>

/* What is known of the fleet: lasts over several waits. */
struct fleet {
    struct session *session;
    struct fleet_nodes nodes;
    struct fleet_look look;    /* the last one */
    bool quiet;                /* shows no progress */
    char on_interrupt[256];    /* how things stand when ^C ends a wait; "": nothing to say */
    const atomic_bool *cancel; /* ends a wait; may be NULL */
    bool warned;               /* of nodes that cannot be judged */
    bool had_node;             /* in this wait, a node that should be at a target */
    /* What was seen of the store: as in struct rollout_clock, and CLOCK_MONOTONIC of the last answer; 0: never. */
    int64_t away_until_ns;
    int64_t watched_since_ns;
    int64_t answered_ns;
};

void fleet_init(struct fleet *fleet, struct session *session, bool quiet);
void fleet_release(struct fleet *fleet);
#define scope_fleet __attribute__((cleanup(fleet_release)))

/* Reads the heartbeats, unless that was just now, and warns on stderr of nodes that cannot be judged. */
int fleet_read(struct fleet *fleet, struct err *err);
uint32_t fleet_n_live(struct fleet *fleet);

struct fleet_wait {
    const struct fleet_target *targets;
    size_t n_targets;
    enum fleet_goal goal;
    uint32_t quorum;    /* 0: every live node */
    int64_t timeout_ns; /* from now */
    int64_t since_ns;   /* as in struct fleet_question; so is seq */
    uint64_t seq;
    int64_t due_ns;  /* nobody can be there before, by the store's clock; 0: at any time */
    bool is_of_log;  /* the targets are what the log says: -ESTALE when it says otherwise */
    bool needs_node; /* with no node that should be at a target, wait for one */
    /* May end the wait, by the newest state; or NULL. */
    int (*check)(void *context, const struct state *state, struct err *err);
    void *context;
};

/* Until the live nodes that should be at the targets are. fleet->look tells how it went, also after a failure. */
int fleet_wait(struct fleet *fleet, const struct fleet_wait *wait, struct err *err);

/* Would trying the same again later help? True of a store that could be reached before, and cannot now. */
bool fleet_is_passing(int rc);

#endif
