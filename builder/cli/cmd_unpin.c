/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/cli/cmd.h"
#include "builder/cli/pin_name.h"
#include "builder/cli/simple.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OPTION_LOCAL = 0x7500, OPTION_MOUNT };

struct args {
    struct simple simple;
    struct pin_name pin;
    bool local;
    const char *mount;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct args *args = state->input;
    if (pin_name_parse(&args->pin, key, arg) == 0)
        return 0;
    switch (key) {
    case OPTION_LOCAL:
        args->local = true;
        return 0;
    case OPTION_MOUNT:
        args->mount = arg;
        return 0;
    case ARGP_KEY_END:
        if (args->local + !!args->pin.node + !!args->pin.label != 1)
            argp_error(state, "expected one of --node NAME, --label LABEL and --local");
    }
    return simple_parse(&args->simple, key, arg, state, 1, 1);
}

static const struct argp_option options[] = {
    {"node", OPTION_NODE, "NAME", 0, "This node", 0},
    {"label", OPTION_LABEL, "LABEL", 0, "The nodes that have this label", 0},
    {"local", OPTION_LOCAL, NULL, 0, "The pin that `ln -sfn` made on this host", 0},
    {"mount", OPTION_MOUNT, "DIR", 0, "Where fkvd is mounted, for --local (/fkv or $FKV_MOUNT)", 0},
    {0},
};

static const char doc[] = "Ends a pin: the nodes follow the table again."
                          "\v"
                          "--local needs root and the mount, but no store.\n"
                          "\n"
                          "Examples:\n"
                          "  fkv unpin ads --node web7\n"
                          "  fkv unpin ads --label control\n"
                          "  fkv unpin ads --local --mount /fkv\n";

/* The daemon takes the removal of `current` as: follow again. */
static int unpin_local(const struct args *args, struct err *err)
{
    const char *mount = args->mount ? args->mount : getenv("FKV_MOUNT");
    char path[PATH_MAX];
    struct stat st;
    int rc = table_name_check(args->simple.words[0], err);
    if (rc)
        return rc;
    mount = mount ? mount : "/fkv";
    snprintf(path, sizeof path, "%s/.fkvd/status.json", mount);
    if (stat(path, &st))
        return err_sys(err, -errno, "no fkvd is mounted at %s (looked for %s)", mount, path);
    snprintf(path, sizeof path, "%s/%s/current", mount, args->simple.words[0]);
    if (unlink(path))
        return err_sys(err, -errno, "ending the local pin by removing %s", path);
    printf("%s follows the store again on this host\n", args->simple.words[0]);
    return 0;
}

int cmd_unpin(int argc, char **argv, struct err *err)
{
    static const struct argp argp = {.options = options,
                                     .parser = parse,
                                     .args_doc = "TABLE",
                                     .doc = doc,
                                     .children = simple_children};
    struct args args = {0};
    char name[NODE_NAME_MAX + 1];
    cli_parse(&argp, argc, argv, &args);
    if (args.local)
        return unpin_local(&args, err);
    int rc = pin_name_text(&args.pin, name, err);
    return rc ? rc : simple_run(&args.simple, OP_UNPIN, NULL, name, err);
}
