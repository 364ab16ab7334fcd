/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/cli/fleet_look.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A rate over less than this says nothing. */
#define RATE_MIN_NS 300000000LL

bool fleet_is_superseded(const struct state *state, const struct fleet_target *target)
{
    const struct table_state *table = state_find_table(state, target->table);
    return table && table->current > target->version;
}

int64_t node_version_left_ns(const struct node_version *version, int64_t heard_ns, double *rate)
{
    *rate = 0;
    if (version->state != NODE_FETCHING && version->state != NODE_LOADING)
        return -1;
    int64_t took_ns = heard_ns - version->since_ns;
    if (!version->since_ns || took_ns < RATE_MIN_NS || !version->done)
        return -1;
    *rate = (double)version->done / ((double)took_ns / 1e9);
    if (version->total < version->done)
        return -1;
    return (int64_t)((double)(version->total - version->done) / *rate * 1e9);
}

/* What one node does about one target. */
struct step {
    bool expected;
    bool there;
    bool unread;
    const struct node_version *version;
};

static struct step step_ready(const struct fleet_question *q, const struct heartbeat *node,
                              const struct fleet_target *target, int64_t now_ns)
{
    const struct table_state *state = state_find_table(q->state, target->table);
    const struct node_table *table = heartbeat_find_table(node, target->table);
    struct step step = {0};
    if (!state || fleet_is_superseded(q->state, target))
        return step;
    step.expected = rollout_counts(node, state, target->version, now_ns);
    step.version = table ? node_table_find_version(table, target->version) : NULL;
    step.there =
        step.version && (step.version->state == NODE_READY || step.version->state == NODE_SERVING);
    return step;
}

/* The log's word on the table for this node, once a switch that is to come has taken effect. */
static uint64_t wanted_of(const struct table_state *table, const struct heartbeat *node,
                          int64_t now_ns)
{
    int64_t at_ns = now_ns > table->effective_ns ? now_ns : table->effective_ns;
    return table_state_wanted(table, node->node, (const char *const *)node->labels, node->n_labels,
                              at_ns);
}

static struct step step_serving(const struct fleet_question *q, const struct heartbeat *node,
                                const struct fleet_target *target, int64_t now_ns)
{
    const struct table_state *state = state_find_table(q->state, target->table);
    const struct node_table *table = heartbeat_find_table(node, target->table);
    struct step step = {0};
    if (!state || wanted_of(state, node, now_ns) != target->version)
        return step;
    if (table && table->local_pin && table->local_pin != target->version)
        return step;
    step.expected = true;
    step.unread = table && table->serving == target->version && node->seq < q->seq;
    step.there = table && table->serving == target->version && !step.unread;
    step.version = table ? node_table_find_version(table, target->version) : NULL;
    return step;
}

static void note_switch(struct fleet_look *look, const struct fleet_question *q,
                        const struct heartbeat *node)
{
    bool counted = false;
    for (size_t i = 0; i < q->n_targets; i++) {
        const struct node_table *table = heartbeat_find_table(node, q->targets[i].table);
        if (!table || table->serving != q->targets[i].version || table->switched_ns < q->since_ns)
            continue;
        if (!look->n_switched || table->switched_ns < look->first_switch_ns)
            look->first_switch_ns = table->switched_ns;
        if (!look->n_switched || table->switched_ns > look->last_switch_ns)
            look->last_switch_ns = table->switched_ns;
        look->n_switched += !counted;
        counted = true;
    }
}

static void mark_node(struct fleet_look *look, const struct fleet_question *q,
                      const struct heartbeat *node, int64_t now_ns)
{
    struct fleet_mark mark = {.node = node, .there = true};
    bool expected = false;
    for (size_t i = 0; i < q->n_targets; i++) {
        const struct fleet_target *target = &q->targets[i];
        struct step step = q->goal == FLEET_READY ? step_ready(q, node, target, now_ns)
                                                  : step_serving(q, node, target, now_ns);
        expected = expected || step.expected;
        if (!step.expected || step.there)
            continue;
        bool failed = step.version && step.version->state == NODE_FAILED;
        if (mark.there || (failed && !mark.failed)) {
            mark.target = target;
            mark.version = step.version;
            mark.unread = step.unread;
        }
        mark.there = false;
        mark.failed = mark.failed || failed;
    }
    if (!expected) {
        look->held[look->n_held++] = node;
        return;
    }
    look->marks[look->n_marks++] = mark;
    look->n_there += mark.there;
    look->n_failed += mark.failed;
    if (mark.there && q->goal == FLEET_SERVING)
        note_switch(look, q, node);
}

/* Less is further behind. */
static double progress_of(const struct fleet_mark *mark)
{
    if (mark->failed)
        return -2;
    if (!mark->version)
        return -1;
    double share =
        mark->version->total ? (double)mark->version->done / (double)mark->version->total : 0;
    return mark->version->state == NODE_LOADING ? 1 + share : share;
}

static void find_worst(struct fleet_look *look)
{
    for (size_t i = 0; i < look->n_marks; i++) {
        const struct fleet_mark *mark = &look->marks[i];
        if (!mark->there && (!look->worst || progress_of(mark) < progress_of(look->worst)))
            look->worst = mark;
    }
}

/* Each target by the rollout rule. */
static void decide_ready(struct fleet_look *look, const struct fleet_question *q,
                         const struct heartbeat_list *nodes, const struct rollout_clock *clock)
{
    look->done = true;
    for (size_t i = 0; i < q->n_targets; i++) {
        const struct table_state *table = state_find_table(q->state, q->targets[i].table);
        if (!table || fleet_is_superseded(q->state, &q->targets[i]))
            continue;
        struct rollout r = rollout_decide(nodes, table, q->targets[i].version, q->quorum, clock);
        if (r.n_awaited > look->n_awaited) {
            look->n_awaited = r.n_awaited;
            look->await_until_ns = r.await_until_ns;
            look->away_until_ns = r.away_until_ns;
        }
        look->done = look->done && r.verdict == ROLLOUT_GO;
        look->blocked = look->blocked || r.verdict == ROLLOUT_BLOCKED;
    }
}

static void decide_serving(struct fleet_look *look, const struct fleet_question *q)
{
    size_t needed = look->n_marks;
    if (q->quorum && q->quorum < needed)
        needed = q->quorum;
    look->done = look->n_there >= needed;
    look->blocked = !look->done && look->n_there + look->n_failed == look->n_marks;
}

int fleet_look(const struct fleet_question *q, const struct heartbeat_list *nodes,
               const struct rollout_clock *clock, struct fleet_look *out, struct err *err)
{
    int64_t now_ns = clock->now_ns;
    struct fleet_look look = {.n_unknown = (uint32_t)nodes->n_bad, .now_ns = now_ns};
    look.marks = calloc(nodes->n_nodes + 1, sizeof *look.marks);
    look.held = calloc(nodes->n_nodes + 1, sizeof *look.held);
    if (!look.marks || !look.held) {
        fleet_look_release(&look);
        return err_sys(err, -ENOMEM, "looking at %zu nodes", nodes->n_nodes);
    }
    for (size_t i = 0; i < nodes->n_nodes; i++) {
        const struct heartbeat *node = &nodes->nodes[i];
        if (!heartbeat_is_live(node, now_ns)) {
            look.n_unknown += !node->stopped && node->time_ns > now_ns;
            continue;
        }
        look.n_live++;
        mark_node(&look, q, node, now_ns);
    }
    if (q->goal == FLEET_READY)
        decide_ready(&look, q, nodes, clock);
    else
        decide_serving(&look, q);
    find_worst(&look);
    *out = look;
    return 0;
}

void fleet_look_release(struct fleet_look *look)
{
    free(look->marks);
    free(look->held);
    *look = (struct fleet_look){0};
}
