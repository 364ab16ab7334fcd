/* SPDX-License-Identifier: Apache-2.0 */
#include "manifest/rollout.h"

#include <stddef.h>

static uint64_t wanted(const struct table_state *table, const struct heartbeat *node,
                       int64_t now_ns)
{
    return table_state_wanted(table, node->node, (const char *const *)node->labels, node->n_labels,
                              now_ns);
}

/* Does it serve version, if it can and lives, once the log says what table does? */
static bool is_meant(const struct heartbeat *node, const struct table_state *table,
                     uint64_t version, int64_t now_ns)
{
    const struct node_table *on_node = heartbeat_find_table(node, table->name);
    if (on_node && on_node->local_pin)
        return on_node->local_pin == version;
    return wanted(table, node, now_ns) == version;
}

/* The table as it will be when version is current; its arrays are borrowed. */
static struct table_state once_current(const struct table_state *table, uint64_t version)
{
    struct table_state then = *table;
    then.current = version;
    then.effective_ns = 0;
    return then;
}

bool rollout_counts(const struct heartbeat *node, const struct table_state *table, uint64_t version,
                    int64_t now_ns)
{
    struct table_state then = once_current(table, version);
    return heartbeat_is_live(node, now_ns) && is_meant(node, &then, version, now_ns);
}

static void count_node(struct rollout *out, const struct heartbeat *node, const char *table,
                       uint64_t version)
{
    const struct node_table *on_node = heartbeat_find_table(node, table);
    const struct node_version *found = on_node ? node_table_find_version(on_node, version) : NULL;
    out->n_live++;
    if (!found)
        return;
    out->n_ready += found->state == NODE_READY || found->state == NODE_SERVING;
    out->n_failed += found->state == NODE_FAILED;
    if (found->state == NODE_FAILED && !out->failed) {
        out->failed = node;
        out->reason = found->reason;
    }
}

/* A node that had the store from its start on says nothing of what was before. */
static int64_t away_until(const struct heartbeat_list *nodes, const struct rollout_clock *clock)
{
    int64_t until_ns = clock->away_until_ns;
    for (size_t i = 0; i < nodes->n_nodes; i++) {
        const struct heartbeat *node = &nodes->nodes[i];
        if (heartbeat_is_live(node, clock->now_ns) && node->contact_ns > node->started_ns &&
            node->contact_ns <= node->time_ns && node->contact_ns > until_ns)
            until_ns = node->contact_ns;
    }
    return until_ns;
}

static bool is_recent(int64_t since_ns, int64_t now_ns)
{
    int64_t age_ns = 0;
    return since_ns > 0 && !__builtin_sub_overflow(now_ns, since_ns, &age_ns) &&
           age_ns < ROLLOUT_SPEAK_NS;
}

/* What silence is worth. */
static void await_missed(struct rollout *out, uint32_t n_missed, uint32_t quorum,
                         const struct rollout_clock *clock)
{
    int64_t since_ns = 0;
    if (is_recent(out->away_until_ns, clock->now_ns))
        since_ns = out->away_until_ns;
    if (!quorum && !out->n_live && is_recent(clock->watched_since_ns, clock->now_ns) &&
        clock->watched_since_ns > since_ns)
        since_ns = clock->watched_since_ns;
    if (!n_missed || !since_ns)
        return;
    out->n_awaited = n_missed;
    out->await_until_ns = since_ns + ROLLOUT_SPEAK_NS;
}

/* Over the nodes that would serve version by what table says. */
static struct rollout decide(const struct heartbeat_list *nodes, const struct table_state *table,
                             uint64_t version, uint32_t quorum, const struct rollout_clock *clock)
{
    struct rollout out = {.verdict = ROLLOUT_WAIT,
                          .n_unknown = (uint32_t)nodes->n_bad,
                          .away_until_ns = away_until(nodes, clock)};
    int64_t now_ns = clock->now_ns;
    uint32_t n_missed = 0;
    for (size_t i = 0; i < nodes->n_nodes; i++) {
        const struct heartbeat *node = &nodes->nodes[i];
        bool is_live = heartbeat_is_live(node, now_ns);
        bool counts = is_meant(node, table, version, now_ns);
        if (is_live && counts)
            count_node(&out, node, table->name, version);
        out.n_elsewhere += is_live && !counts;
        out.n_unknown += !is_live && !node->stopped && node->time_ns > now_ns;
        n_missed += counts && heartbeat_is_missed(node, now_ns);
    }
    await_missed(&out, n_missed, quorum, clock);
    uint32_t n_counted = out.n_live + out.n_awaited;
    if (out.n_ready >= (quorum ? quorum : n_counted))
        out.verdict = ROLLOUT_GO;
    else if (out.n_failed > 0 && out.n_ready + out.n_failed == n_counted)
        out.verdict = ROLLOUT_BLOCKED;
    return out;
}

struct rollout rollout_decide(const struct heartbeat_list *nodes, const struct table_state *table,
                              uint64_t version, uint32_t quorum, const struct rollout_clock *clock)
{
    struct table_state then = once_current(table, version);
    return decide(nodes, &then, version, quorum, clock);
}

struct rollout rollout_decide_canary(const struct heartbeat_list *nodes,
                                     const struct table_state *table, uint64_t version,
                                     uint32_t quorum, const struct rollout_clock *clock)
{
    struct rollout out = decide(nodes, table, version, quorum, clock);
    if (out.n_live == 0)
        out.verdict = ROLLOUT_WAIT;
    return out;
}

enum { POLL_MS_UNSAID = 1000, MARGIN_MS = 150 };

static int64_t margin_ns(int64_t write_ns)
{
    if (write_ns >= ROLLOUT_MARGIN_MAX_NS / 2)
        return ROLLOUT_MARGIN_MAX_NS;
    return 2 * write_ns > MARGIN_MS * 1000000LL ? 2 * write_ns : MARGIN_MS * 1000000LL;
}

int64_t rollout_effective_ns(const struct heartbeat_list *nodes, int64_t now_ns, int64_t write_ns)
{
    static const int64_t ms_ns = 1000000;
    uint32_t n_live = 0;
    int64_t poll_ns = 0;
    for (size_t i = 0; i < nodes->n_nodes; i++) {
        const struct heartbeat *node = &nodes->nodes[i];
        if (!heartbeat_is_live(node, now_ns))
            continue;
        int64_t its_ns = node->poll_ns > 0 ? node->poll_ns : POLL_MS_UNSAID * ms_ns;
        poll_ns = its_ns > poll_ns ? its_ns : poll_ns;
        n_live++;
    }
    if (n_live < 2)
        return 0;
    poll_ns = poll_ns < ROLLOUT_AHEAD_MAX_NS ? poll_ns : ROLLOUT_AHEAD_MAX_NS;
    return now_ns + poll_ns + margin_ns(write_ns);
}
