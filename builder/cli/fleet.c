/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/cli/fleet.h"

#include "builder/cli/history.h"
#include "builder/cli/progress.h"
#include "manifest/rollout.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#define MS_NS 1000000LL

enum { POLL_MS = 100, FLIP_AHEAD_MS = 300 };

int64_t fleet_effective_ns(uint32_t n_live)
{
    return n_live > 1 ? cli_now_ns() + FLIP_AHEAD_MS * MS_NS : 0;
}

static const struct node_version *node_version_of(const struct heartbeat *node, const char *table,
                                                  uint64_t version)
{
    const struct node_table *t = heartbeat_find_table(node, table);
    return t ? node_table_find_version(t, version) : NULL;
}

static uint32_t count_live(const struct heartbeat_list *nodes, int64_t now_ns)
{
    uint32_t n = 0;
    for (size_t i = 0; i < nodes->n_nodes; i++)
        n += heartbeat_is_live(&nodes->nodes[i], now_ns);
    return n;
}

int fleet_count(struct session *session, uint32_t *n_live, struct err *err)
{
    struct heartbeat_list nodes = {0};
    int rc = heartbeat_list_read(session->store, &nodes, err);
    if (rc)
        return rc;
    *n_live = count_live(&nodes, cli_now_ns());
    heartbeat_list_release(&nodes);
    return 0;
}

/* What a look at the fleet found. */
struct look {
    bool done;
    uint32_t n_live;
    uint32_t n_there;    /* nodes that are where they should be, for the table that is worst off */
    uint32_t n_expected; /* of so many */
    char waiting[256];   /* a node that is not, and what it does */
};

static void describe(const struct heartbeat *node, const struct fleet_target *target,
                     struct look *look)
{
    const struct node_version *v = node_version_of(node, target->table, target->version);
    int n = snprintf(look->waiting, sizeof look->waiting, "%s: %s version %" PRIu64 " %s",
                     node->node, target->table, target->version,
                     v ? node_version_state_name(v->state) : "not seen yet");
    if (n > 0 && n < (int)sizeof look->waiting && v && v->state == NODE_FAILED && v->reason)
        snprintf(look->waiting + n, sizeof look->waiting - (size_t)n, ": %s", v->reason);
    if (n > 0 && n < (int)sizeof look->waiting && v && v->total &&
        (v->state == NODE_FETCHING || v->state == NODE_LOADING))
        snprintf(look->waiting + n, sizeof look->waiting - (size_t)n, " %.0f %%",
                 100.0 * (double)v->done / (double)v->total);
}

static bool is_there(const struct heartbeat *node, const struct fleet_target *target)
{
    const struct node_version *v = node_version_of(node, target->table, target->version);
    return v && (v->state == NODE_READY || v->state == NODE_SERVING);
}

/* Keeps what look says about the table that is worst off. */
static void note(struct look *look, uint32_t n_there, uint32_t n_expected, bool first)
{
    if (!first && n_expected - n_there <= look->n_expected - look->n_there)
        return;
    look->n_there = n_there;
    look->n_expected = n_expected;
}

bool fleet_is_superseded(const struct state *state, const struct fleet_target *target)
{
    const struct table_state *table = state_find_table(state, target->table);
    return table && table->current > target->version;
}

static int look_ready(const struct fleet_wait *wait, const struct heartbeat_list *nodes,
                      int64_t now_ns, struct look *look, struct err *err)
{
    look->done = true;
    look->n_live = count_live(nodes, now_ns);
    for (size_t i = 0; i < wait->n_targets; i++) {
        const struct fleet_target *target = &wait->targets[i];
        const struct state *state = manifest_state(wait->session->manifest);
        const struct table_state *table = state_find_table(state, target->table);
        if (!table || fleet_is_superseded(state, target))
            continue;
        struct rollout r = rollout_decide(nodes, table, target->version, wait->quorum, now_ns);
        note(look, r.n_ready, wait->quorum ? wait->quorum : r.n_live, i == 0);
        if (r.verdict == ROLLOUT_BLOCKED)
            return err_set(
                err, -EPERM,
                "table %s version %" PRIu64
                " stays a candidate: %u of %u live nodes failed to prepare it; node %s: %s",
                target->table, target->version, r.n_failed, r.n_live,
                r.failed ? r.failed->node : "?", r.reason ? r.reason : "no reason given");
        if (r.verdict == ROLLOUT_GO)
            continue;
        look->done = false;
        for (size_t j = 0; j < nodes->n_nodes; j++) {
            if (heartbeat_is_live(&nodes->nodes[j], now_ns) && !is_there(&nodes->nodes[j], target))
                describe(&nodes->nodes[j], target, look);
        }
    }
    return 0;
}

/* Is this node held at another version on purpose? */
static bool is_pinned_away(const struct table_state *table, const struct heartbeat *node,
                           uint64_t version, int64_t now_ns)
{
    const struct node_table *local = heartbeat_find_table(node, table->name);
    if (local && local->local_pin)
        return local->local_pin != version;
    return table_state_wanted(table, node->node, (const char *const *)node->labels, node->n_labels,
                              now_ns) != version;
}

/* Nobody will serve what another record took the place of: -ESTALE. */
static int check_current(const struct fleet_wait *wait, const struct fleet_target *target,
                         const struct table_state *table, struct err *err)
{
    struct history_switch by = {0};
    if (!table || table->current == target->version)
        return 0;
    int rc = history_last(wait->session, target->table, 0, &by, err);
    if (rc)
        return rc;
    return err_set(err, -ESTALE,
                   "table %s version %" PRIu64 ": superseded by record %" PRIu64
                   " by %s, which made version %" PRIu64 " current; see: fkv log",
                   target->table, target->version, by.seq, by.author, table->current);
}

static int look_serving(const struct fleet_wait *wait, const struct heartbeat_list *nodes,
                        int64_t now_ns, struct look *look, struct err *err)
{
    const struct state *state = manifest_state(wait->session->manifest);
    look->done = true;
    look->n_live = count_live(nodes, now_ns);
    for (size_t i = 0; i < wait->n_targets; i++) {
        const struct fleet_target *target = &wait->targets[i];
        const struct table_state *table = state_find_table(state, target->table);
        uint32_t n_there = 0, n_expected = 0;
        int rc = check_current(wait, target, table, err);
        if (rc)
            return rc;
        for (size_t j = 0; table && j < nodes->n_nodes; j++) {
            const struct heartbeat *node = &nodes->nodes[j];
            const struct node_table *t = heartbeat_find_table(node, target->table);
            if (!heartbeat_is_live(node, now_ns) ||
                is_pinned_away(table, node, target->version, now_ns + FLIP_AHEAD_MS * 10 * MS_NS))
                continue;
            n_expected++;
            if (t && t->serving == target->version)
                n_there++;
            else
                describe(node, target, look);
        }
        if (wait->quorum && n_expected > wait->quorum)
            n_expected = wait->quorum;
        if (n_there > n_expected)
            n_there = n_expected;
        note(look, n_there, n_expected, i == 0);
        look->done = look->done && n_there == n_expected;
    }
    return 0;
}

typedef int (*look_fn)(const struct fleet_wait *wait, const struct heartbeat_list *nodes,
                       int64_t now_ns, struct look *look, struct err *err);

static int wait_until(const struct fleet_wait *wait, look_fn look_at, const char *goal,
                      uint32_t *n_live, struct err *err)
{
    int64_t end = cli_now_ns() + wait->timeout_ns;
    struct progress *line = progress_new();
    struct look look = {0};
    int rc = 0;
    for (;;) {
        struct heartbeat_list nodes = {0};
        int64_t now = cli_now_ns();
        look = (struct look){0};
        rc = manifest_refresh(wait->session->manifest, NULL, err);
        if (!rc)
            rc = heartbeat_list_read(wait->session->store, &nodes, err);
        if (!rc)
            rc = look_at(wait, &nodes, now, &look, err);
        heartbeat_list_release(&nodes);
        if (rc || look.done)
            break;
        if (now >= end) {
            rc = err_set(err, -ETIMEDOUT, "%u of %u live nodes %s in time; %s", look.n_there,
                         look.n_expected, goal, look.waiting);
            break;
        }
        progress_show(line, "waiting: %u of %u nodes %s; %s", look.n_there, look.n_expected, goal,
                      look.waiting);
        nanosleep(&(struct timespec){.tv_nsec = POLL_MS * MS_NS}, NULL);
    }
    progress_free(line);
    if (!rc)
        *n_live = look.n_live;
    return rc;
}

int fleet_wait_ready(const struct fleet_wait *wait, uint32_t *n_live, struct err *err)
{
    return wait_until(wait, look_ready, "ready", n_live, err);
}

int fleet_wait_serving(const struct fleet_wait *wait, uint32_t *n_live, struct err *err)
{
    return wait_until(wait, look_serving, "serving", n_live, err);
}
