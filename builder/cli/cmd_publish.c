/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/cli/args.h"
#include "builder/cli/cli.h"
#include "builder/cli/cmd.h"
#include "builder/cli/release.h"

#include <stdio.h>
#include <string.h>

struct args {
    struct cli_common common;
    struct release_options release;
    struct arg_pair pairs[PUBLISH_ITEMS_MAX];
    struct publish_item items[PUBLISH_ITEMS_MAX];
    size_t n_items;
};

static void add_item(struct args *args, char *arg, struct argp_state *state)
{
    size_t i = args->n_items;
    if (i == PUBLISH_ITEMS_MAX)
        argp_error(state, "one record publishes at most %d tables", PUBLISH_ITEMS_MAX);
    arg_split_pair(arg, &args->pairs[i]);
    args->items[i] =
        (struct publish_item){.table = args->pairs[i].table, .task = args->pairs[i].rest};
    args->n_items++;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct args *args = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &args->common;
        state->child_inputs[1] = &args->release;
        return 0;
    case ARGP_KEY_ARG:
        add_item(args, arg, state);
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "expected a table to publish");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const char doc[] =
    "Publishes the build of each TABLE that was sealed last (or the build TASK) as a "
    "new version: the validators look at it, it "
    "gets its number, one record in the manifest names it. Then waits until "
    "the live nodes have it ready, and activates it: "
    "all nodes switch together. Several tables are published and activated "
    "in one record each, so that readers see all of "
    "them or none."
    "\v"
    "A build that a validator refuses stays in staging, and what they found "
    "with it (fkv stat TABLE --task TASK): change the limits, "
    "or build again. A delta whose base is no longer the newest "
    "version is refused; build it again.\n"
    "\n"
    "Examples:\n"
    "  fkv publish ads\n"
    "  fkv publish ads=20260301-120000-4711 users --reason 'hourly'\n"
    "  fkv publish ads --canary web1 --canary label:eu    # then fkv promote, or fkv abort\n"
    "  fkv publish ads --max-change 50 --quorum 3 --timeout 2m\n"
    "  fkv publish ads --max-norm-drift 0.1 --check './clicks.py \"$FKV_FIGURES\"'\n";

int cmd_publish(int argc, char **argv, struct err *err)
{
    static const struct argp_child children[] = {
        {&cli_argp, 0, NULL, 0}, {&release_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {
        .parser = parse, .args_doc = "TABLE[=TASK]…", .doc = doc, .children = children};
    struct args args = {0};
    scope_session struct session session = {0};
    cli_parse(&argp, argc, argv, &args);
    int rc = session_open(&args.common, &session, err);
    if (rc)
        return rc;
    json_t *json = NULL;
    rc = release_run(&session, args.items, args.n_items, &args.release, args.common.json,
                     args.common.json ? &json : NULL, err);
    if (json) {
        int printed = cli_print_json(json, rc ? NULL : err);
        rc = rc ? rc : printed;
    }
    return rc;
}
