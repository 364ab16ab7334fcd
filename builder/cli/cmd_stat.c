/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/cli/cli.h"
#include "builder/cli/cmd.h"
#include "builder/cli/stat.h"
#include "builder/cli/validation_show.h"
#include "builder/sealed.h"
#include "builder/version_reader.h"

#include <errno.h>
#include <inttypes.h>

enum { OPTION_SHARDS = 0x6200, OPTION_TASK };

struct args {
    struct cli_common common;
    const char *table;
    const char *version;
    const char *task; /* a build in staging instead */
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
    case OPTION_TASK:
        args->task = arg;
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 1 || (state->arg_num && args->task))
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
    {"task", OPTION_TASK, "TASK", 0, "The build TASK, sealed but not published", 0},
    {0},
};

static const char doc[] = "Explains where the bytes of a version (default: current) went: keys, "
                          "index, filter, values, padding, by level, and what a node "
                          "needs in memory and on disk. Only the last bytes of each part are read. "
                          "Then what the validators found, which is kept with it."
                          "\v"
                          "Examples:\n"
                          "  fkv stat ads\n"
                          "  fkv stat ads previous --shards\n"
                          "  fkv stat ads --task 20260301T120000.000Z-4711-1    # refused; why?\n"
                          "  fkv stat ads 43 --json | jq .all.where\n";

static int show(const struct session *session, const struct args *args, const char *dir,
                const struct digest *digest, struct err *err)
{
    struct version_desc desc = {0};
    struct stat_version stat = {0};
    int rc = version_desc_read(session->store, dir, digest, &desc, err);
    if (rc)
        return rc;
    rc = stat_read(session->store, dir, &desc, &stat, err);
    if (!rc && args->common.json) {
        json_t *out = stat_json(&stat, args->table, args->shards);
        json_put(out, "validation", validation_json(session->store, dir));
        rc = cli_print_json(out, err);
    } else if (!rc) {
        stat_print(&stat, args->table, args->shards);
        validation_print(session->store, dir);
    }
    stat_release(&stat);
    version_desc_release(&desc);
    return rc;
}

static int show_version(const struct session *session, const struct args *args, struct err *err)
{
    const struct version_entry *v = NULL;
    char dir[LAYOUT_PATH_MAX];
    int rc = session_version(session, args->table, args->version, &v, err);
    if (!rc && v->state == VERSION_FORGOTTEN)
        return err_set(err, -ENOENT,
                       "table %s: gc has removed the files of version %" PRIu64 "; see: fkv ls %s",
                       args->table, v->version, args->table);
    if (rc)
        return rc;
    layout_version_dir(args->table, v->version, dir);
    return show(session, args, dir, &v->digest, err);
}

static int show_task(const struct session *session, const struct args *args, struct err *err)
{
    struct sealed build;
    int rc = table_name_check(args->table, err);
    if (!rc)
        rc = task_name_check(args->task, err);
    if (!rc)
        rc = sealed_find(session->store, manifest_state(session->manifest), args->table, args->task,
                         &build, err);
    return rc ? rc : show(session, args, build.dir, NULL, err);
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
    cli_parse(&argp, argc, argv, &args);
    int rc = session_open(&args.common, &session, err);
    if (rc)
        return rc;
    return args.task ? show_task(&session, &args, err) : show_version(&session, &args, err);
}
