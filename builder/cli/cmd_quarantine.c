/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/cli/cmd.h"
#include "builder/cli/simple.h"

enum { OPTION_RELEASE = 0x7100 };

struct args {
    struct simple simple;
    bool release;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct args *args = state->input;
    if (key == OPTION_RELEASE) {
        args->release = true;
        return 0;
    }
    return simple_parse(&args->simple, key, arg, state, 2, 2);
}

static const struct argp_option options[] = {
    {"release", OPTION_RELEASE, NULL, 0, "End the quarantine", 0},
    {0},
};

static const char doc[] = "Marks a version as bad: it cannot become current without --force, and "
                          "no delta may lie on it. `fkv rollback` does this "
                          "to the version it leaves."
                          "\v"
                          "Examples:\n"
                          "  fkv quarantine ads 44 --reason 'trained on half a day'\n"
                          "  fkv quarantine ads 44 --release\n";

int cmd_quarantine(int argc, char **argv, struct err *err)
{
    static const struct argp argp = {.options = options,
                                     .parser = parse,
                                     .args_doc = "TABLE VERSION",
                                     .doc = doc,
                                     .children = simple_children};
    struct args args = {0};
    cli_parse(&argp, argc, argv, &args);
    return simple_run(&args.simple, args.release ? OP_RELEASE : OP_QUARANTINE, args.simple.words[1],
                      NULL, err);
}
