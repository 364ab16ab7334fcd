/* SPDX-License-Identifier: Apache-2.0 */
#include "base/scope.h"
#include "builder/cli/activation.h"
#include "builder/cli/canary_nodes.h"
#include "builder/cli/cmd.h"
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
            argp_error(state, "one record promotes at most %d tables", SWITCH_TABLES_MAX);
        args->tables[args->n_tables++] = arg;
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "expected a table whose canary to promote");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const char doc[] =
    "Makes the version that is on canary the current one of each TABLE, on all nodes: waits until "
    "the live nodes have it ready, switches them all at one instant, and waits until they have. "
    "Several tables switch in one record."
    "\v"
    "A canary begins with `fkv publish --canary`, and ends with this or with `fkv abort`.\n"
    "\n"
    "Examples:\n"
    "  fkv promote ads --reason 'CTR on canary +0.4 %'\n"
    "  fkv promote ads users              # published together, promoted together\n";

static int plan_one(const struct session *session, const char *name, struct fleet_target *target,
                    struct op *op, struct err *err)
{
    const struct table_state *table = NULL;
    int rc = session_table(session, name, &table, err);
    if (rc)
        return rc;
    uint64_t version = 0;
    rc = canary_need(table, &version, err);
    if (rc)
        return rc;
    *target = (struct fleet_target){name, version};
    *op = (struct op){.kind = OP_ACTIVATE, .version = version};
    snprintf(op->table, sizeof op->table, "%s", table->name);
    return 0;
}

int cmd_promote(int argc, char **argv, struct err *err)
{
    static const struct argp argp = {
        .parser = parse, .args_doc = "TABLE…", .doc = doc, .children = switch_children_unforced};
    struct args args = {0};
    scope_session struct session session = {0};
    scope_activation struct activation activation = {0};
    cli_parse(&argp, argc, argv, &args);
    scope_free struct op *ops = calloc(args.n_tables, sizeof *ops);
    scope_free struct fleet_target *targets = calloc(args.n_tables, sizeof *targets);
    if (!ops || !targets)
        return err_sys(err, -ENOMEM, "promoting");
    struct switch_job job = {.targets = targets,
                             .ops = ops,
                             .n = args.n_tables,
                             .prepares = true,
                             .check = activation_check,
                             .context = &activation};
    int rc = session_open(&args.options.common, &session, err);
    for (size_t i = 0; !rc && i < args.n_tables; i++)
        rc = plan_one(&session, args.tables[i], &targets[i], &ops[i], err);
    if (!rc)
        rc = activation_init(&activation, &session, targets, args.n_tables, err);
    return rc ? rc : switch_command(&session, &args.options, &job, err);
}
