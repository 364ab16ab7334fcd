/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/cli/cmd.h"
#include "builder/cli/pin_name.h"
#include "builder/cli/simple.h"

struct args {
    struct simple simple;
    struct pin_name pin;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct args *args = state->input;
    if (pin_name_parse(&args->pin, key, arg) == 0)
        return 0;
    if (key == ARGP_KEY_END && !args->pin.node == !args->pin.label)
        argp_error(state, "expected either --node NAME or --label LABEL");
    return simple_parse(&args->simple, key, arg, state, 2, 2);
}

static const struct argp_option options[] = {
    {"node", OPTION_NODE, "NAME", 0, "This node", 0},
    {"label", OPTION_LABEL, "LABEL", 0, "Every node that has this label (fkvd --label)", 0},
    {0},
};

static const char doc[] =
    "Holds nodes at a version, whatever becomes current: an "
    "experiment, the search for a bad release. Until `fkv unpin`."
    "\v"
    "A pin of a node goes before a pin of its label. To try a new version out: "
    "`fkv publish --canary`.\n"
    "\n"
    "Examples:\n"
    "  fkv pin ads 44 --node web7\n"
    "  fkv pin ads previous --label control\n"
    "  fkv unpin ads --node web7\n";

int cmd_pin(int argc, char **argv, struct err *err)
{
    static const struct argp argp = {.options = options,
                                     .parser = parse,
                                     .args_doc = "TABLE VERSION",
                                     .doc = doc,
                                     .children = simple_children};
    struct args args = {0};
    char name[NODE_NAME_MAX + 1];
    cli_parse(&argp, argc, argv, &args);
    int rc = pin_name_text(&args.pin, name, err);
    return rc ? rc : simple_run(&args.simple, OP_PIN, args.simple.words[1], name, err);
}
