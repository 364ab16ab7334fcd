/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/cli/cli.h"
#include "builder/cli/cmd.h"
#include "builder/cli/stat.h"
#include "builder/layout.h"
#include "builder/version_reader.h"

#include <errno.h>
#include <inttypes.h>

enum { OPTION_SHARDS = 0x6200 };

struct args {
    struct cli_common common;
    const char *table;
    const char *version;
    bool shards;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct args *args = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &args->common;
        return 0;
    case OPTION_SHARDS:
        args->shards = true;
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 1)
            argp_error(state, "unexpected argument '%s'", arg);
        *(state->arg_num ? &args->version : &args->table) = arg;
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "expected a table");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option options[] = {
    {"shards", OPTION_SHARDS, NULL, 0, "Every shard of every level too", 0},
    {0},
};

static const char doc[] = "Explains where the bytes of a version (default: current) went: keys, "
                          "index, filter, values, padding, by level, and what a node "
                          "needs in memory and on disk. Only the last bytes of each part are read."
                          "\v"
                          "Examples:\n"
                          "  fkv stat ads\n"
                          "  fkv stat ads previous --shards\n"
                          "  fkv stat ads 43 --json | jq .all.where\n";

static int show(const struct session *session, const struct args *args,
                const struct version_entry *v, struct err *err)
{
    char dir[LAYOUT_PATH_MAX];
    struct version_desc desc = {0};
    struct stat_version stat = {0};
    layout_version_dir(args->table, v->version, dir);
    int rc = version_desc_read(session->store, dir, &v->digest, &desc, err);
    if (rc)
        return rc;
    rc = stat_read(session->store, dir, &desc, &stat, err);
    if (!rc && args->common.json)
        rc = cli_print_json(stat_json(&stat, args->table, args->shards), err);
    else if (!rc)
        stat_print(&stat, args->table, args->shards);
    stat_release(&stat);
    version_desc_release(&desc);
    return rc;
}

int cmd_stat(int argc, char **argv, struct err *err)
{
    static const struct argp argp = {.options = options,
                                     .parser = parse,
                                     .args_doc = "TABLE [VERSION]",
                                     .doc = doc,
                                     .children = cli_children};
    struct args args = {.version = "current"};
    scope_session struct session session = {0};
    const struct version_entry *v = NULL;
    cli_parse(&argp, argc, argv, &args);
    int rc = session_open(&args.common, &session, err);
    if (!rc)
        rc = session_version(&session, args.table, args.version, &v, err);
    if (!rc && v->state == VERSION_FORGOTTEN)
        return err_set(err, -ENOENT,
                       "table %s: gc has removed the files of version %" PRIu64 "; see: fkv ls %s",
                       args.table, v->version, args.table);
    return rc ? rc : show(&session, &args, v, err);
}
