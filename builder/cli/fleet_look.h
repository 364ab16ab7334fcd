/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fleet_look: how far the live nodes are on their way to versions. A pure judgement over heartbeats and the manifest's state.
 *
 * Threads: pure functions. Memory: fleet_look_release(); what marks point at lives as long as the heartbeats and targets do.
 * Errors: -ENOMEM.
 */
#ifndef FKV_CLI_FLEET_LOOK_H
#define FKV_CLI_FLEET_LOOK_H

#include "manifest/rollout.h"

struct fleet_target {
    const char *table;
    uint64_t version;
};

enum fleet_goal {
    FLEET_READY,   /* has every target loaded, so that it could be served at once */
    FLEET_SERVING, /* serves every target that the log asks it to serve */
};

/* Where one live node stands. */
struct fleet_mark {
    const struct heartbeat *node;
    const struct fleet_target *target;  /* one that it is not at yet, a failed one first; or NULL */
    const struct node_version *version; /* its word on that; NULL: not seen yet */
    bool there;
    bool failed;
    bool unread; /* serves it, but has not read the record yet that asks for it */
};

struct fleet_look {
    struct fleet_mark *marks; /* of the nodes that are expected at a target; by name */
    size_t n_marks;
    const struct heartbeat **held; /* live ones that are kept elsewhere on purpose */
    size_t n_held;
    uint32_t n_live;
    uint32_t n_there;
    uint32_t n_failed;
    uint32_t n_unknown; /* see struct rollout */
    /* FLEET_READY: silent nodes that are given time to speak, until when, and when the store was away; see there too. */
    uint32_t n_awaited;
    int64_t await_until_ns;
    int64_t away_until_ns;
    int64_t now_ns; /* when this was */
    bool done;
    bool blocked; /* nobody is on the way any more, and too many failed */
    /* one that failed, or that is least far; NULL when all are there */
    const struct fleet_mark *worst;
    /* Of the nodes that are there and say when they switched, not before `since_ns`. */
    uint32_t n_switched;
    int64_t first_switch_ns;
    int64_t last_switch_ns;
};

struct fleet_question {
    const struct state *state;
    const struct fleet_target *targets;
    size_t n_targets;
    enum fleet_goal goal;
    uint32_t quorum;  /* 0: every live node that is expected */
    int64_t since_ns; /* switches before that are not of this occasion */
    uint64_t seq;     /* FLEET_SERVING: who has not read so far is not there; 0: no matter */
};

/* Is a later version of the table current already? Nodes do not prepare the target any more then. */
bool fleet_is_superseded(const struct state *state, const struct fleet_target *target);

/* *out is released by the caller, also before it is used again. */
int fleet_look(const struct fleet_question *question, const struct heartbeat_list *nodes,
               const struct rollout_clock *clock, struct fleet_look *out, struct err *err);
void fleet_look_release(struct fleet_look *look);

/* How long until a fetch or load is done, as it went until heard_ns, when the node said so; negative: cannot be said. rate: bytes a
 * second. */
int64_t node_version_left_ns(const struct node_version *version, int64_t heard_ns, double *rate);

#endif
