/* SPDX-License-Identifier: Apache-2.0 */
#include "manifest/rollout.h"

#include <stddef.h>

static uint64_t wanted(const struct table_state *table, const struct heartbeat *node,
                       int64_t now_ns)
{
    return table_state_wanted(table, node->node, (const char *const *)node->labels, node->n_labels,
                              now_ns);
}

/* Live, and it serves version, if it can, once the log says what table does. */
static bool is_meant(const struct heartbeat *node, const struct table_state *table,
                     uint64_t version, int64_t now_ns)
{
    const struct node_table *on_node = heartbeat_find_table(node, table->name);
    if (!heartbeat_is_live(node, now_ns))
        return false;
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
    return is_meant(node, &then, version, now_ns);
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

/* Over the nodes that would serve version by what table says. */
static struct rollout decide(const struct heartbeat_list *nodes, const struct table_state *table,
                             uint64_t version, uint32_t quorum, int64_t now_ns)
{
    struct rollout out = {.verdict = ROLLOUT_WAIT, .n_unknown = (uint32_t)nodes->n_bad};
    for (size_t i = 0; i < nodes->n_nodes; i++) {
        const struct heartbeat *node = &nodes->nodes[i];
        if (!heartbeat_is_live(node, now_ns))
            out.n_unknown += node->time_ns > now_ns;
        else if (is_meant(node, table, version, now_ns))
            count_node(&out, node, table->name, version);
        else
            out.n_elsewhere++;
    }
    uint32_t needed = quorum ? quorum : out.n_live;
    if (out.n_ready >= needed)
        out.verdict = ROLLOUT_GO;
    else if (out.n_failed > 0 && out.n_ready + out.n_failed == out.n_live)
        out.verdict = ROLLOUT_BLOCKED;
    return out;
}

struct rollout rollout_decide(const struct heartbeat_list *nodes, const struct table_state *table,
                              uint64_t version, uint32_t quorum, int64_t now_ns)
{
    struct table_state then = once_current(table, version);
    return decide(nodes, &then, version, quorum, now_ns);
}

struct rollout rollout_decide_canary(const struct heartbeat_list *nodes,
                                     const struct table_state *table, uint64_t version,
                                     uint32_t quorum, int64_t now_ns)
{
    struct rollout out = decide(nodes, table, version, quorum, now_ns);
    if (out.n_live == 0)
        out.verdict = ROLLOUT_WAIT;
    return out;
}

enum { POLL_MS_UNSAID = 1000, MARGIN_MS = 150 };

int64_t rollout_effective_ns(const struct heartbeat_list *nodes, int64_t now_ns)
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
    return now_ns + poll_ns + MARGIN_MS * ms_ns;
}
