/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/cli/switch_options.h"

#include "builder/cli/args.h"
#include "builder/cli/summary.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#define SECOND_NS 1000000000LL

enum { OPTION_FORCE = 0x5300, OPTION_NO_WAIT, OPTION_QUORUM, OPTION_TIMEOUT, OPTION_REASON };

static const struct argp_option options[] = {
    {"no-wait", OPTION_NO_WAIT, NULL, 0,
     "Switch at once, whether or not nodes are ready, and do not wait for them", 0},
    {"quorum", OPTION_QUORUM, "N", 0, "So many nodes are enough (all live ones)", 0},
    {"timeout", OPTION_TIMEOUT, "TIME", 0, "How long to wait for nodes (10m)", 0},
    {"reason", OPTION_REASON, "TEXT", 0, "Why, for `fkv log`", 0},
    {0},
};
static const struct argp_option options_force[] = {
    {"force", OPTION_FORCE, NULL, 0, "Also to a version that is quarantined", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct switch_options *o = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        o->timeout_ns = 600 * SECOND_NS;
        state->child_inputs[0] = &o->common;
        return 0;
    case OPTION_NO_WAIT:
        o->no_wait = true;
        return 0;
    case OPTION_QUORUM:
        o->quorum = arg_need_u32(state, "--quorum", arg, 0, UINT32_MAX);
        return 0;
    case OPTION_TIMEOUT:
        o->timeout_ns = arg_need_duration(state, "--timeout", arg);
        return 0;
    case OPTION_REASON:
        o->reason = arg;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t parse_force(int key, char *arg, struct argp_state *state)
{
    struct switch_options *o = state->input;
    if (key == ARGP_KEY_INIT) {
        state->child_inputs[0] = o;
        return 0;
    }
    if (key != OPTION_FORCE)
        return ARGP_ERR_UNKNOWN;
    o->force = true;
    return 0;
}

static const struct argp argp = {.options = options, .parser = parse, .children = cli_children};
const struct argp_child switch_children_unforced[] = {{&argp, 0, NULL, 0}, {0}};
static const struct argp argp_force = {
    .options = options_force, .parser = parse_force, .children = switch_children_unforced};
const struct argp_child switch_children[] = {{&argp_force, 0, NULL, 0}, {0}};

/* error: what went wrong, or NULL. */
static int show_json(const struct switch_job *job, const struct fleet *fleet,
                     const struct switch_result *result, const char *error, struct err *err)
{
    json_t *out = summary_json(&fleet->look, result);
    json_t *list = json_array();
    for (size_t i = 0; i < job->n; i++) {
        json_t *one = json_object();
        json_put_string(one, "table", job->targets[i].table);
        json_put_u64(one, "version", job->targets[i].version);
        json_put_u64(one, "from", job->ops[i].from);
        json_append(list, one);
    }
    json_put(out, "tables", list);
    if (error)
        json_put_string(out, "error", error);
    return cli_print_json(out, err);
}

static void show_record(void *context, uint64_t seq)
{
    const struct switch_job *job = context;
    for (size_t i = 0; i < job->n; i++) {
        printf("%s is now at version %" PRIu64, job->targets[i].table, job->targets[i].version);
        if (job->ops[i].kind == OP_ROLLBACK)
            printf("; version %" PRIu64 " is quarantined", job->ops[i].from);
        if (seq)
            printf(" (record %" PRIu64 ")\n", seq);
        else
            printf(" already\n");
    }
    fflush(stdout);
}

static void show_end(const struct switch_job *job, const struct switch_options *o,
                     const struct fleet *fleet, const struct switch_result *result)
{
    struct buf text = {0};
    if (result->unread && !result->waited) {
        printf("not waiting for nodes; heartbeats could not be read\n");
        return;
    }
    if (!result->n_live && !result->unread) {
        printf("no node is live; nodes take it up when they come\n");
        return;
    }
    if (!result->waited) {
        printf("not waiting for %u live node%s\n", result->n_live, result->n_live == 1 ? "" : "s");
        return;
    }
    summary_text(&fleet->look, result, job->prepares && result->appended, &text);
    printf("%s\n", text.data ? (const char *)text.data : "");
    buf_release(&text);
    if (o->quorum && fleet->look.n_there < fleet->look.n_marks)
        printf("the others follow\n");
}

int switch_command(struct session *session, const struct switch_options *o,
                   const struct switch_job *job, struct err *err)
{
    scope_fleet struct fleet fleet = {0};
    struct switch_result result = {0};
    struct switch_plan plan = {
        .fleet = &fleet,
        .targets = job->targets,
        .ops = job->ops,
        .n = job->n,
        .prepares = job->prepares,
        .is_done = job->is_done,
        .no_wait = o->no_wait,
        .quorum = o->quorum,
        .timeout_ns = o->timeout_ns,
        .reason = o->reason,
        .check = job->check,
        .context = job->context,
        .appended = o->common.json ? NULL : show_record,
        .appended_context = (void *)job,
    };
    fleet_init(&fleet, session, o->common.json);
    for (size_t i = 0; i < job->n; i++)
        job->ops[i].force = o->force;
    struct err why = {0};
    int rc = switch_run(&plan, cli_now_ns(), &result, &why);
    if (rc == -EALREADY)
        return err_set(err, -ESTALE, "%s", why.text);
    if (rc)
        err_set(err, rc, "%s", err_text(&why, rc));
    if (rc && o->common.json && fleet.nodes.listed_ns)
        show_json(job, &fleet, &result, err_text(&why, rc), NULL);
    if (rc && result.appended)
        return err_wrap(err, rc, "record %" PRIu64 " is written, nodes follow when they can",
                        result.seq);
    if (rc == -ETIMEDOUT && !job->is_done)
        return err_wrap(err, rc,
                        "not switched; wait longer with --timeout, do with fewer nodes "
                        "with --quorum, or switch regardless with --no-wait");
    if (rc)
        return rc;
    if (o->common.json)
        return show_json(job, &fleet, &result, NULL, err);
    show_end(job, o, &fleet, &result);
    return 0;
}
