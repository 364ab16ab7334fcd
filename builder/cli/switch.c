/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/cli/switch.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#define SECOND_NS 1000000000LL

/* The flip gets so long at least, however long nodes took to get ready. */
#define FLIP_TIMEOUT_MIN_NS (10 * SECOND_NS)

/* Two readings of the store's clock agree that far. */
#define CLOCK_SLACK_NS (50 * 1000000LL)

bool switch_is_prepared(const struct table_state *table, uint64_t version)
{
    const struct version_entry *v = table_state_find(table, version);
    if (!v)
        return false;
    if (version == table->current || version == table->previous)
        return true;
    return v->state == VERSION_CANDIDATE && version > table->current &&
           !table_state_find_bad(table, v);
}

struct appending {
    const struct switch_plan *plan;
    int64_t now_ns; /* by the store's clock */
    int64_t effective_ns;
    bool is_guess; /* of now_ns: the store's clock could not be read */
    bool unread;   /* nothing is known of the nodes */
};

static int build(void *context, const struct state *state, struct op_list *list, struct err *err)
{
    struct appending *a = context;
    const struct switch_plan *plan = a->plan;
    struct manifest *manifest = plan->fleet->session->manifest;
    int rc = plan->check ? plan->check(plan->context, state, err) : 0;
    if (rc)
        return rc;
    a->is_guess = manifest_read_clock(manifest, &a->now_ns, NULL) != 0;
    if (a->is_guess)
        a->effective_ns = 0;
    else if (a->unread)
        a->effective_ns = a->now_ns + SWITCH_AHEAD_UNKNOWN_NS;
    else
        a->effective_ns = rollout_effective_ns(&plan->fleet->nodes.list, a->now_ns,
                                               manifest_write_cost_ns(manifest));
    for (size_t i = 0; i < plan->n; i++)
        plan->ops[i].effective_ns = a->effective_ns;
    *list = (struct op_list){.ops = plan->ops, .n_ops = plan->n};
    return 0;
}

bool switch_read_nodes(struct fleet *fleet)
{
    struct err why = {0};
    int rc = fleet_read(fleet, &why);
    if (rc)
        fprintf(stderr,
                "fkv: warning: heartbeats cannot be read, the record is written without them: %s\n",
                err_text(&why, rc));
    return !rc;
}

static int wait_ready(const struct switch_plan *plan, int64_t begin_ns, struct switch_result *out,
                      struct err *err)
{
    struct fleet_wait wait = {
        .targets = plan->targets,
        .n_targets = plan->n,
        .goal = FLEET_READY,
        .quorum = plan->quorum,
        .timeout_ns = plan->timeout_ns,
    };
    snprintf(plan->fleet->on_interrupt, sizeof plan->fleet->on_interrupt,
             "nothing was switched; fkv activate %s goes on from here", plan->targets[0].table);
    int rc = 0;
    if (plan->prepares && !plan->no_wait)
        rc = fleet_wait(plan->fleet, &wait, err);
    else
        out->unread = !switch_read_nodes(plan->fleet);
    out->prepare_ns = cli_now_ns() - begin_ns;
    return rc;
}

static int wait_serving(const struct switch_plan *plan, int64_t begin_ns, struct switch_result *out,
                        struct err *err)
{
    int64_t left_ns = plan->timeout_ns - (cli_now_ns() - begin_ns);
    int64_t least_ns =
        plan->timeout_ns < FLIP_TIMEOUT_MIN_NS ? plan->timeout_ns : FLIP_TIMEOUT_MIN_NS;
    struct fleet_wait wait = {
        .targets = plan->targets,
        .n_targets = plan->n,
        .goal = FLEET_SERVING,
        .quorum = plan->quorum,
        .timeout_ns = left_ns > least_ns ? left_ns : least_ns,
        .since_ns = out->written_ns - CLOCK_SLACK_NS,
        .seq = out->seq,
        .due_ns = out->effective_ns,
        .is_of_log = true,
    };
    snprintf(plan->fleet->on_interrupt, sizeof plan->fleet->on_interrupt,
             "the switch is in the log, nodes follow by themselves; see: fkv status");
    int rc = fleet_wait(plan->fleet, &wait, err);
    out->total_ns = cli_now_ns() - begin_ns;
    out->waited = !rc;
    return rc;
}

static int append(const struct switch_plan *plan, int64_t begin_ns, struct switch_result *out,
                  struct err *err)
{
    struct appending appending = {.plan = plan, .unread = out->unread};
    int rc = manifest_append(plan->fleet->session->manifest, plan->reason, build, &appending,
                             &out->seq, err);
    if (rc)
        return rc;
    if (appending.is_guess)
        fprintf(stderr, "fkv: warning: the store's clock cannot be read: nodes switch when they "
                        "read the record, not at one instant\n");
    else if (appending.effective_ns &&
             manifest_now_ns(plan->fleet->session->manifest) > appending.effective_ns)
        fprintf(stderr, "fkv: warning: writing the record took so long that the instant of the "
                        "switch was over: nodes switched when they read it\n");
    out->appended = true;
    out->written_ns = appending.now_ns;
    out->effective_ns = appending.effective_ns;
    out->append_ns = cli_now_ns() - begin_ns;
    return 0;
}

int switch_run(const struct switch_plan *plan, int64_t begin_ns, struct switch_result *out,
               struct err *err)
{
    *out = (struct switch_result){.written_ns = INT64_MAX}; /* no switch is of ours yet */
    int rc = plan->is_done ? fleet_read(plan->fleet, err) : wait_ready(plan, begin_ns, out, err);
    if (!rc && !plan->is_done)
        rc = append(plan, begin_ns, out, err);
    if (rc)
        return rc;
    out->n_live = fleet_n_live(plan->fleet);
    if (plan->appended)
        plan->appended(plan->appended_context, out->seq);
    if (plan->no_wait || (!out->n_live && !out->unread))
        return 0;
    return wait_serving(plan, begin_ns, out, err);
}
