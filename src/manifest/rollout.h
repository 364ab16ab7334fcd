/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rollout: may a candidate become current? A pure decision over heartbeats.
 *
 * A node counts when its heartbeat is younger than HEARTBEAT_LIVE_NS. The candidate may be activated when every
 * counted node (or `quorum` of them, when not 0) has it ready or serving. With no live node and no
 * quorum it may be activated at once: nodes catch up when they come. A quorum is never undercut: with fewer live nodes
 * it waits for more. Nodes that nothing is known of (n_unknown) do not hold it up, so the caller should warn of them.
 *
 * Threads: pure functions. Memory: pointers in results live as long as the heartbeats.
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
    uint32_t
        n_unknown; /* unreadable heartbeats, and those from so far in the future that they do not count */
    const struct heartbeat *failed; /* one that failed, for the message; or NULL */
    const char *reason;             /* its reason; lives as long as the heartbeats */
};

struct rollout rollout_decide(const struct heartbeat_list *nodes, const char *table,
                              uint64_t version, uint32_t quorum, int64_t now_ns);

/*
 * When a switch should take effect: far enough ahead that every live node has read the record by then (its own poll, at most
 * ROLLOUT_AHEAD_MAX_NS, and a margin for the request itself), so that all flip at that instant. 0, at once, for at most one
 * live node. now_ns by the store's clock, as the result.
 */
#define ROLLOUT_AHEAD_MAX_NS (5 * 1000000000LL)
int64_t rollout_effective_ns(const struct heartbeat_list *nodes, int64_t now_ns);

/*
 * After an activation: how many live nodes serve the version. Nodes that their own host's root pinned to another one
 * will not, and are counted neither here nor in *n_live.
 */
uint32_t rollout_serving(const struct heartbeat_list *nodes, const char *table, uint64_t version,
                         int64_t now_ns, uint32_t *n_live);

/*
 * As rollout_serving(), by what the log asks of each node: a node is settled when it serves table_state_wanted(), which
 * minds pins by node and by label. A switch is complete when all live nodes are settled.
 */
uint32_t rollout_settled(const struct heartbeat_list *nodes, const struct table_state *table,
                         int64_t now_ns, uint32_t *n_live);

#endif
