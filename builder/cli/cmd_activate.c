/* SPDX-License-Identifier: Apache-2.0 */
#include "base/scope.h"
#include "builder/cli/args.h"
#include "builder/cli/cmd.h"
#include "builder/cli/switch.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { TABLES_MAX = 256 };

struct args {
    struct switch_options options;
    struct arg_pair pairs[TABLES_MAX];
    size_t n_pairs;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct args *args = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &args->options;
        return 0;
    case ARGP_KEY_ARG:
        if (args->n_pairs == TABLES_MAX)
            argp_error(state, "one record switches at most %d tables", TABLES_MAX);
        arg_split_pair(arg, &args->pairs[args->n_pairs]);
        if (!args->pairs[args->n_pairs].rest)
            argp_error(state, "expected TABLE=VERSION, found '%s'", arg);
        args->n_pairs++;
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "expected TABLE=VERSION");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const char doc[] = "Makes versions current, several tables in one record: readers see all "
                          "of them switch or none. A VERSION is a number, a "
                          "tag, or `previous`."
                          "\v"
                          "Going back is `fkv rollback`, which also quarantines the version left.\n"
                          "\n"
                          "Examples:\n"
                          "  fkv activate ads=44\n"
                          "  fkv activate ads=44 users=17 --reason 'model 2026-03'\n"
                          "  fkv activate ads=43 --force        # although it is quarantined\n";

int cmd_activate(int argc, char **argv, struct err *err)
{
    static const struct argp argp = {
        .parser = parse, .args_doc = "TABLE=VERSION…", .doc = doc, .children = switch_children};
    struct args args = {0};
    scope_session struct session session = {0};
    cli_parse(&argp, argc, argv, &args);
    scope_free struct op *ops = calloc(args.n_pairs, sizeof *ops);
    scope_free struct fleet_target *targets = calloc(args.n_pairs, sizeof *targets);
    if (!ops || !targets)
        return err_sys(err, -ENOMEM, "activating");
    int rc = session_open(&args.options.common, &session, err);
    for (size_t i = 0; !rc && i < args.n_pairs; i++) {
        const struct version_entry *v = NULL;
        rc = session_version(&session, args.pairs[i].table, args.pairs[i].rest, &v, err);
        if (rc)
            break;
        targets[i] = (struct fleet_target){args.pairs[i].table, v->version};
        ops[i] = (struct op){.kind = OP_ACTIVATE, .version = v->version};
        snprintf(ops[i].table, sizeof ops[i].table, "%.*s", TABLE_NAME_MAX, args.pairs[i].table);
    }
    return rc ? rc : switch_run(&session, &args.options, ops, targets, args.n_pairs, err);
}
