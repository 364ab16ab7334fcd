/* SPDX-License-Identifier: Apache-2.0 */
#include "base/scope.h"
#include "builder/cli/canary_nodes.h"
#include "builder/cli/cmd.h"
#include "builder/cli/summary.h"
#include "builder/cli/switch.h"
#include "builder/cli/switch_options.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

struct args {
    struct switch_options options;
    const char *tables[SWITCH_TABLES_MAX];
    size_t n_tables;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct args *args = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &args->options;
        return 0;
    case ARGP_KEY_ARG:
        if (args->n_tables == SWITCH_TABLES_MAX)
            argp_error(state, "one record aborts at most %d tables", SWITCH_TABLES_MAX);
        args->tables[args->n_tables++] = arg;
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "expected a table whose canary to abort");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const char doc[] =
    "Ends the canary of each TABLE: its version is quarantined, the nodes that tried it go back to "
    "the current one. Waits until they have."
    "\v"
    "The others never served it. When it has been promoted already, `fkv rollback` goes back.\n"
    "\n"
    "Examples:\n"
    "  fkv abort ads --reason 'p99 on canary doubled'\n"
    "  fkv abort ads users\n";

/* What to quarantine, and where nodes go; tables without a current version have nowhere to go to. */
struct abort_plan {
    struct op *ops;
    struct fleet_target *targets;
    size_t n;
    size_t n_targets;
};

static int plan_one(const struct session *session, const char *name, struct abort_plan *plan,
                    struct err *err)
{
    const struct table_state *table = NULL;
    uint64_t version = 0;
    int rc = session_table(session, name, &table, err);
    if (!rc)
        rc = canary_need(table, &version, err);
    if (rc)
        return rc;
    struct op *op = &plan->ops[plan->n++];
    *op = (struct op){.kind = OP_QUARANTINE, .version = version};
    snprintf(op->table, sizeof op->table, "%s", table->name);
    if (table->current)
        plan->targets[plan->n_targets++] = (struct fleet_target){name, table->current};
    return 0;
}

static void show_record(const struct abort_plan *plan, uint64_t seq)
{
    for (size_t i = 0; i < plan->n; i++)
        printf("canary of %s is over; version %" PRIu64 " is quarantined (record %" PRIu64 ")\n",
               plan->ops[i].table, plan->ops[i].version, seq);
    fflush(stdout);
}

static int show_end(const struct abort_plan *plan, const struct switch_options *o,
                    const struct fleet *fleet, const struct switch_result *result, struct err *err)
{
    if (o->common.json) {
        json_t *out = summary_json(&fleet->look, result);
        json_t *list = json_array();
        for (size_t i = 0; i < plan->n; i++) {
            json_t *one = json_object();
            json_put_string(one, "table", plan->ops[i].table);
            json_put_u64(one, "quarantined", plan->ops[i].version);
            json_append(list, one);
        }
        json_put(out, "tables", list);
        return cli_print_json(out, err);
    }
    struct buf text = {0};
    summary_text(&fleet->look, result, false, &text);
    if (result->waited)
        printf("%s\n", text.data ? (const char *)text.data : "");
    buf_release(&text);
    if (plan->n_targets < plan->n)
        printf("a table without a current version has none to go back to: its nodes keep what they "
               "serve until another version is activated\n");
    return 0;
}

static int run(struct session *session, const struct switch_options *o,
               const struct abort_plan *plan, struct err *err)
{
    scope_fleet struct fleet fleet = {0};
    struct switch_result result = {.appended = true};
    int64_t begin_ns = cli_now_ns();
    fleet_init(&fleet, session, o->common.json);
    result.unread = !switch_read_nodes(&fleet);
    result.written_ns = manifest_now_ns(session->manifest);
    int rc = session_append(session, o->reason, plan->ops, plan->n, &result.seq, err);
    if (rc)
        return rc;
    result.n_live = fleet_n_live(&fleet);
    if (!o->common.json)
        show_record(plan, result.seq);
    struct fleet_wait wait = {.targets = plan->targets,
                              .n_targets = plan->n_targets,
                              .goal = FLEET_SERVING,
                              .quorum = o->quorum,
                              .timeout_ns = o->timeout_ns,
                              .since_ns = result.written_ns,
                              .seq = result.seq,
                              .is_of_log = true};
    snprintf(fleet.on_interrupt, sizeof fleet.on_interrupt,
             "the canary is over, nodes follow by themselves; see: fkv status");
    if (plan->n_targets && (result.n_live || result.unread) && !o->no_wait) {
        rc = fleet_wait(&fleet, &wait, err);
        result.waited = !rc;
    }
    result.total_ns = cli_now_ns() - begin_ns;
    if (rc)
        return err_wrap(err, rc, "record %" PRIu64 " is written, nodes follow when they can",
                        result.seq);
    return show_end(plan, o, &fleet, &result, err);
}

int cmd_abort(int argc, char **argv, struct err *err)
{
    static const struct argp argp = {
        .parser = parse, .args_doc = "TABLE…", .doc = doc, .children = switch_children_unforced};
    struct args args = {0};
    scope_session struct session session = {0};
    cli_parse(&argp, argc, argv, &args);
    scope_free struct op *ops = calloc(args.n_tables, sizeof *ops);
    scope_free struct fleet_target *targets = calloc(args.n_tables, sizeof *targets);
    if (!ops || !targets)
        return err_sys(err, -ENOMEM, "aborting");
    struct abort_plan plan = {.ops = ops, .targets = targets};
    int rc = session_open(&args.options.common, &session, err);
    for (size_t i = 0; !rc && i < args.n_tables; i++)
        rc = plan_one(&session, args.tables[i], &plan, err);
    return rc ? rc : run(&session, &args.options, &plan, err);
}
