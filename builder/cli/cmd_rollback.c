/* SPDX-License-Identifier: Apache-2.0 */
#include "base/scope.h"
#include "builder/cli/cmd.h"
#include "builder/cli/switch_options.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { OPTION_TO = 0x7200 };

struct args {
    struct switch_options options;
    const char *to;
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
    case OPTION_TO:
        args->to = arg;
        return 0;
    case ARGP_KEY_ARG:
        if (args->n_tables == SWITCH_TABLES_MAX)
            argp_error(state, "one record rolls back at most %d tables", SWITCH_TABLES_MAX);
        args->tables[args->n_tables++] = arg;
        return 0;
    case ARGP_KEY_END:
        if (!args->n_tables)
            argp_error(state, "expected a table to roll back");
        if (args->to && args->n_tables > 1)
            argp_error(state,
                       "--to goes with one table; several go back to their previous versions");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option options[] = {
    {"to", OPTION_TO, "VERSION", 0, "A number or tag (default: the previous version)", 0},
    {0},
};

static const char doc[] =
    "Rolls tables back to their previous version, or one table to any version that is retained. "
    "Waits until every live node has "
    "switched. The version left is quarantined: it does not become current again unless somebody "
    "says --force or `fkv quarantine "
    "--release`."
    "\v"
    "A node that has the version loaded, as it has the previous one, switches at once; an older "
    "one is loaded from "
    "its cache or fetched first. On a host that cannot reach the store, root can do this instead:\n"
    "  ln -sfn v/41 /fkv/ads/current\n"
    "\n"
    "Examples:\n"
    "  fkv rollback ads --reason 'CTR fell at 02:40'\n"
    "  fkv rollback ads --to 41\n"
    "  fkv rollback ads users             # both at once\n";

static int plan(const struct session *session, const struct args *args, size_t i, struct op *op,
                struct fleet_target *target, struct err *err)
{
    const struct table_state *table = NULL;
    const struct version_entry *to = NULL;
    int rc = session_table(session, args->tables[i], &table, err);
    if (rc)
        return rc;
    if (!table->current)
        return err_set(err, -ENOENT, "table %s has no current version to roll back from",
                       table->name);
    if (!args->to && !table->previous)
        return err_set(
            err, -ENOENT,
            "table %s has no previous version to go back to; name one with --to: fkv ls %s",
            table->name, table->name);
    rc = session_version(session, table->name, args->to ? args->to : "previous", &to, err);
    if (rc)
        return rc;
    if (to->version == table->current)
        return err_set(err, -EPERM, "table %s is at version %" PRIu64 " already", table->name,
                       to->version);
    *op = (struct op){.kind = OP_ROLLBACK, .version = to->version, .from = table->current};
    snprintf(op->table, sizeof op->table, "%s", table->name);
    *target = (struct fleet_target){args->tables[i], to->version};
    return 0;
}

int cmd_rollback(int argc, char **argv, struct err *err)
{
    static const struct argp argp = {.options = options,
                                     .parser = parse,
                                     .args_doc = "TABLE…",
                                     .doc = doc,
                                     .children = switch_children};
    struct args args = {0};
    scope_session struct session session = {0};
    cli_parse(&argp, argc, argv, &args);
    scope_free struct op *ops = calloc(args.n_tables, sizeof *ops);
    scope_free struct fleet_target *targets = calloc(args.n_tables, sizeof *targets);
    if (!ops || !targets)
        return err_sys(err, -ENOMEM, "rolling back");
    int rc = session_open(&args.options.common, &session, err);
    for (size_t i = 0; !rc && i < args.n_tables; i++)
        rc = plan(&session, &args, i, &ops[i], &targets[i], err);
    struct switch_job job = {.targets = targets, .ops = ops, .n = args.n_tables};
    return rc ? rc : switch_command(&session, &args.options, &job, err);
}
