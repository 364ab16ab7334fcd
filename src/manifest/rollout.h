/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rollout: may a candidate become current? A pure decision over heartbeats.
 *
 * A node counts when its heartbeat is younger than HEARTBEAT_LIVE_NS. The candidate may be activated when every
 * counted node (or `quorum` of them, when not 0) has it ready or serving. With no live node it may be
 * activated at once: nodes catch up when they come.
 *
 * Threads: pure functions.
 */
#ifndef FKV_MANIFEST_ROLLOUT_H
#define FKV_MANIFEST_ROLLOUT_H

#include "manifest/heartbeat.h"

enum rollout_verdict {
    ROLLOUT_WAIT, /* some live node is still preparing */
    ROLLOUT_GO,
    ROLLOUT_BLOCKED, /* every node is done, and too many failed */
};

struct rollout {
    enum rollout_verdict verdict;
    uint32_t n_live;
    uint32_t n_ready; /* ready or serving */
    uint32_t n_failed;
    const struct heartbeat *failed; /* one that failed, for the message; or NULL */
    const char *reason;             /* its reason; lives as long as the heartbeats */
};

struct rollout rollout_decide(const struct heartbeat_list *nodes, const char *table,
                              uint64_t version, uint32_t quorum, int64_t now_ns);

/* After an activation: how many live nodes serve the version. */
uint32_t rollout_serving(const struct heartbeat_list *nodes, const char *table, uint64_t version,
                         int64_t now_ns, uint32_t *n_live);

#endif
