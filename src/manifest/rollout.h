/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rollout: may a candidate become current? A pure decision over heartbeats.
 *
 * A node counts when it is live (its heartbeat is less than HEARTBEAT_LIVE_NS from now, either way) and would serve the candidate
 * once that is current: a node that its own host or a pin of the log then holds at another version does not. What a counted
 * node says of the candidate makes it ready (NODE_READY, NODE_SERVING), failed (NODE_FAILED) or preparing (anything else, also
 * when it says nothing of the version or of the table: a node that just started, or has not read the record yet).
 *
 * Silence says something only of a store that is there. A node that is missed (heartbeat_is_missed()) is awaited, which is as good
 * as counted and preparing,
 *   - until ROLLOUT_SPEAK_NS after the store was away: after the asker had trouble with it, and after the latest time at which a live
 *     node that had been started before says it was in contact again
 *   - when nobody counts at all and there is no quorum, until the asker has had the store for ROLLOUT_SPEAK_NS without a break
 *
 *   needed = the quorum; without one, every counted and every awaited node
 *   GO       as many as needed are ready; so at once when there is no quorum, nobody counts, and nobody is missed
 *   BLOCKED  else, when some failed and none is preparing
 *   WAIT     else; also for more nodes, as a quorum is never undercut
 *
 * A node that failed and tries again is preparing again. Nodes that nothing is known of (n_unknown) do not hold a rollout up,
 * nor do those held elsewhere (n_elsewhere), so the caller should name them.
 *
 * Threads: pure functions. Memory: pointers in results live as long as the heartbeats.
 */
#ifndef FKV_MANIFEST_ROLLOUT_H
#define FKV_MANIFEST_ROLLOUT_H

#include "manifest/heartbeat.h"

enum rollout_verdict {
    ROLLOUT_WAIT, /* some node is still preparing, or too few are there */
    ROLLOUT_GO,
    ROLLOUT_BLOCKED, /* every node is done, and too many failed */
};

/* A node that lives speaks within this time of the store being there. */
#define ROLLOUT_SPEAK_NS HEARTBEAT_LIVE_NS

/* When it is asked, and what the asker saw of the store himself. By the store's clock. */
struct rollout_clock {
    int64_t now_ns;
    int64_t away_until_ns; /* it could not be asked, or its clock was set, until then; 0: never */
    int64_t watched_since_ns; /* it could be asked, without a break; 0: for longer than matters */
};

struct rollout {
    enum rollout_verdict verdict;
    uint32_t n_live;    /* nodes that count */
    uint32_t n_awaited; /* silent ones that are given time to speak */
    uint32_t n_ready;
    uint32_t n_failed;
    uint32_t n_elsewhere; /* live, but held at another version */
    /* Unreadable heartbeats, and those from so far in the future that they do not count. */
    uint32_t n_unknown;
    const struct heartbeat *failed; /* one that failed, for the message; or NULL */
    const char *reason;             /* its reason, or NULL */
    int64_t away_until_ns;          /* when the store was away last, by anybody's word; 0: never */
    int64_t await_until_ns;         /* until when the awaited ones have time; 0: none is */
};

/* Does the node count? */
bool rollout_counts(const struct heartbeat *node, const struct table_state *table, uint64_t version,
                    int64_t now_ns);

/* As above. table is the log's word, for its pins. */
struct rollout rollout_decide(const struct heartbeat_list *nodes, const struct table_state *table,
                              uint64_t version, uint32_t quorum, const struct rollout_clock *clock);

/*
 * The same rule over the nodes that serve version now if they can, because a pin holds them at it: is a canary ready where it is
 * tried? With no such node it says WAIT: a version that nobody tries has not been tried.
 */
struct rollout rollout_decide_canary(const struct heartbeat_list *nodes,
                                     const struct table_state *table, uint64_t version,
                                     uint32_t quorum, const struct rollout_clock *clock);

/*
 * When a switch should take effect: far enough ahead that every live node has read the record by then (its own poll, at most
 * ROLLOUT_AHEAD_MAX_NS, and a margin for the writing of it, 150 ms or twice write_ns, which is what writing takes as far as is
 * known, at most ROLLOUT_MARGIN_MAX_NS), so that all flip at that instant. 0, at once, for at most one live node. now_ns by the
 * store's clock, as the result.
 */
#define ROLLOUT_AHEAD_MAX_NS  (5 * 1000000000LL)
#define ROLLOUT_MARGIN_MAX_NS (2 * 1000000000LL)
int64_t rollout_effective_ns(const struct heartbeat_list *nodes, int64_t now_ns, int64_t write_ns);

#endif
