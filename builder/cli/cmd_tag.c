/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/cli/cmd.h"
#include "builder/cli/simple.h"

static error_t parse(int key, char *arg, struct argp_state *state)
{
    return simple_parse(state->input, key, arg, state, 3, 3);
}

static const char doc[] = "Gives a version a name. A name can stand wherever a version number can, "
                          "moves when it is given again, and keeps its version "
                          "from gc."
                          "\v"
                          "Examples:\n"
                          "  fkv tag ads current golden\n"
                          "  fkv rollback ads --to golden\n"
                          "  fkv untag ads golden\n";

int cmd_tag(int argc, char **argv, struct err *err)
{
    static const struct argp argp = {
        .parser = parse, .args_doc = "TABLE VERSION NAME", .doc = doc, .children = simple_children};
    struct simple simple = {0};
    cli_parse(&argp, argc, argv, &simple);
    int rc = tag_name_check(simple.words[2], err);
    return rc ? rc : simple_run(&simple, OP_TAG, simple.words[1], simple.words[2], err);
}

static error_t parse_untag(int key, char *arg, struct argp_state *state)
{
    return simple_parse(state->input, key, arg, state, 2, 2);
}

static const char doc_untag[] =
    "Takes a name off the version that has it; gc may then have the version."
    "\v"
    "Example:\n"
    "  fkv untag ads golden\n";

int cmd_untag(int argc, char **argv, struct err *err)
{
    static const struct argp argp = {.parser = parse_untag,
                                     .args_doc = "TABLE NAME",
                                     .doc = doc_untag,
                                     .children = simple_children};
    struct simple simple = {0};
    cli_parse(&argp, argc, argv, &simple);
    return simple_run(&simple, OP_UNTAG, NULL, simple.words[1], err);
}
