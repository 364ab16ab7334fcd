/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/cli/args.h"
#include "builder/cli/cli.h"
#include "builder/cli/cmd.h"
#include "builder/cli/text.h"
#include "builder/collect.h"

#include <inttypes.h>
#include <stdio.h>

enum { OPTION_DRY_RUN = 0x6700, OPTION_STAGING_AGE, OPTION_SEALED_AGE, OPTION_WAIT };

struct args {
    struct cli_common common;
    struct collect_options options;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct args *args = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &args->common;
        return 0;
    case 'n':
        args->options.dry_run = true;
        return 0;
    case OPTION_STAGING_AGE:
        args->options.staging_age_ns = arg_need_duration(state, "--staging-age", arg);
        return 0;
    case OPTION_SEALED_AGE:
        args->options.sealed_age_ns = arg_need_duration(state, "--sealed-age", arg);
        return 0;
    case OPTION_WAIT:
        args->options.wait_ns = arg_need_duration(state, "--wait", arg);
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "unexpected argument '%s'", arg);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option options[] = {
    {"dry-run", 'n', NULL, 0, "Say what would be done, and do nothing", 0},
    {"staging-age", OPTION_STAGING_AGE, "TIME", 0,
     "Builds that stopped, orphans and temporary files go when untouched for so long (1d)", 0},
    {"sealed-age", OPTION_SEALED_AGE, "TIME", 0,
     "Sealed builds that nobody published go, and tasks (7d)", 0},
    {"wait", OPTION_WAIT, "TIME", 0, "How long to wait for nodes to let go of versions (10s)", 0},
    {0},
};

static const char doc[] =
    "Removes what nothing refers to any more: versions that are retired or beyond the keep rule, "
    "unless a record, pin, tag or "
    "live node still names them; builds that stopped; old tasks; what killed programs left behind; "
    "heartbeats "
    "of "
    "nodes that were not heard of for 30 days."
    "\v"
    "It can be stopped at any point and run again, also by two at once.\n"
    "\n"
    "Examples:\n"
    "  fkv gc --dry-run\n"
    "  17 * * * *  fkv gc --store file:///srv/fkv     # in a crontab\n";

static void say(void *context, const char *line)
{
    const struct args *args = context;
    fprintf(args->common.json ? stderr : stdout, "%s\n", line);
}

int cmd_gc(int argc, char **argv, struct err *err)
{
    static const struct argp argp = {
        .options = options, .parser = parse, .doc = doc, .children = cli_children};
    struct args args = {0};
    scope_session struct session session = {0};
    struct collect_result r = {0};
    collect_options_default(&args.options);
    args.options.say = say;
    args.options.context = &args;
    cli_parse(&argp, argc, argv, &args);
    int rc = session_open(&args.common, &session, err);
    if (!rc)
        rc = collect_run(session.store, session.manifest, &args.options, &r, err);
    if (rc)
        return rc;
    if (args.common.json) {
        json_t *out = json_object();
        json_put_bool(out, "dry_run", args.options.dry_run);
        json_put_u64(out, "versions", r.n_versions);
        json_put_u64(out, "held", r.n_held);
        json_put_u64(out, "orphans", r.n_orphans);
        json_put_u64(out, "builds", r.n_staging);
        json_put_u64(out, "tasks", r.n_tasks);
        json_put_u64(out, "temporaries", r.n_temporary);
        json_put_u64(out, "nodes", r.n_nodes);
        json_put_u64(out, "bytes", r.bytes);
        return cli_print_json(out, err);
    }
    char size[TEXT_MAX];
    text_size(r.bytes, size);
    printf("%s %u versions (%s), %u orphans, %u builds, %u tasks, %u temporary files, %u "
           "heartbeats of nodes "
           "gone for long; %u versions held by nodes\n",
           args.options.dry_run ? "would remove" : "removed", r.n_versions, size, r.n_orphans,
           r.n_staging, r.n_tasks, r.n_temporary, r.n_nodes, r.n_held);
    return 0;
}
