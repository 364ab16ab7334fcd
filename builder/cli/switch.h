/* SPDX-License-Identifier: Apache-2.0 */
/*
 * switch: the one way in which commands move the fleet to versions: publish, activate, promote and rollback.
 *
 *   wait until live nodes are ready -> one record with an effective_at -> wait until they have flipped -> say how it went
 *
 * The first step is left out for a rollback, which must not wait for anybody, and for versions that nodes do not prepare before the
 * log asks for them (switch_is_prepared()).
 *
 * Threads: one. Memory: switch_result_release().
 * Errors: those of the manifest's rules and of fleet.h; -EALREADY when check says that nothing is to be done.
 */
#ifndef FKV_CLI_SWITCH_H
#define FKV_CLI_SWITCH_H

#include "builder/cli/fleet.h"

struct switch_plan {
    struct fleet *fleet;
    const struct fleet_target *targets;
    struct op *ops; /* as many as targets; effective_ns is filled in when the record is written */
    size_t n;
    bool prepares; /* wait until nodes are ready */
    bool is_done;  /* the log says so already: write nothing, wait until nodes serve */
    bool no_wait;  /* wait for nothing at all */
    uint32_t quorum;
    int64_t timeout_ns;
    const char *reason;
    /* May refuse when the record is about to be written, by the newest state; NULL: nothing to check. */
    int (*check)(void *context, const struct state *state, struct err *err);
    void *context;
    /* Told when the record is written, before the wait for the flip; may be NULL. seq 0: is_done. */
    void (*appended)(void *context, uint64_t seq);
    void *appended_context;
};

struct switch_result {
    bool appended;
    bool waited;        /* until nodes had flipped */
    uint64_t seq;       /* the record */
    int64_t written_ns; /* just before the record was written, by the store's clock */
    int64_t effective_ns;
    int64_t prepare_ns; /* from the start until nodes were ready */
    int64_t append_ns;  /* from the start until the record was written */
    int64_t total_ns;   /* until nodes had flipped */
    uint32_t n_live;    /* when the record was written */
    bool unread;        /* heartbeats could not be read then: n_live says nothing */
};

/* Ahead of now far enough for any node: for a record that is written without knowing the nodes. */
#define SWITCH_AHEAD_UNKNOWN_NS (ROLLOUT_AHEAD_MAX_NS + ROLLOUT_MARGIN_MAX_NS)

/*
 * Reads heartbeats for a record that must not depend on them: warns when they cannot be read. False then; also for want of memory,
 * which the record itself will tell.
 */
bool switch_read_nodes(struct fleet *fleet);

/* Do nodes load this version before the log asks for it? */
bool switch_is_prepared(const struct table_state *table, uint64_t version);

/* begin_ns: when it all began, by cli_now_ns(). *out is filled as far as things went also on failure. */
int switch_run(const struct switch_plan *plan, int64_t begin_ns, struct switch_result *out,
               struct err *err);

#endif
