/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/cli/cli.h"
#include "builder/cli/cmd.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct args {
    struct cli_common common;
    const char *where;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct args *args = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &args->common;
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num)
            argp_error(state, "expected one directory, found another: '%s'", arg);
        args->where = arg;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const char doc[] = "Makes a store in DIR (default: --store or $FKV_STORE), which is made "
                          "when it is missing. A store that is there "
                          "already is left as it is."
                          "\v"
                          "Examples:\n"
                          "  fkv init /srv/fkv\n"
                          "  export FKV_STORE=file:///srv/fkv\n";

/* Makes the last directory of a file store's path. Parents must exist: a typing mistake should not make a tree. */
static int make_dir(const char *url, struct err *err)
{
    const char *dir = !strncmp(url, "file://", 7) ? url + 7 : url;
    if (dir[0] != '/' || mkdir(dir, 0755) == 0 || errno == EEXIST)
        return 0;
    return err_sys(err, -errno, "making the directory %s", dir);
}

int cmd_init(int argc, char **argv, struct err *err)
{
    static const struct argp argp = {
        .parser = parse, .args_doc = "[DIR]", .doc = doc, .children = cli_children};
    struct args args = {0};
    scope_session struct session session = {0};
    cli_parse(&argp, argc, argv, &args);
    if (args.where)
        args.common.store_url = args.where;
    int rc = args.common.store_url ? make_dir(args.common.store_url, err) : 0;
    if (!rc)
        rc = session_open_store(&args.common, &session.store, err);
    if (!rc)
        rc = manifest_init_store(session.store, err);
    if (!rc)
        rc = manifest_open(session.store, &session.manifest, err);
    if (rc)
        return rc;
    const char *url = store_url(session.store);
    const char *id = manifest_store_id(session.manifest);
    if (args.common.json) {
        json_t *out = json_object();
        json_put_string(out, "store", url);
        json_put_string(out, "id", id);
        return cli_print_json(out, err);
    }
    printf("store %s, id %s\n", url, id);
    return 0;
}
