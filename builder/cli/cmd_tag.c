/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/cli/cmd.h"
#include "builder/cli/simple.h"

enum { OPTION_DELETE = 0x7400 };

struct args {
    struct simple simple;
    bool delete;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct args *args = state->input;
    size_t n = args->delete ? 2 : 3;
    if (key == OPTION_DELETE) {
        args->delete = true;
        return 0;
    }
    return simple_parse(&args->simple, key, arg, state, n, 3);
}

static const struct argp_option options[] = {
    {"delete", OPTION_DELETE, NULL, 0, "Take the name off: fkv tag --delete TABLE NAME", 0},
    {0},
};

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
    static const struct argp argp = {.options = options,
                                     .parser = parse,
                                     .args_doc = "TABLE VERSION NAME",
                                     .doc = doc,
                                     .children = simple_children};
    struct args args = {0};
    cli_parse(&argp, argc, argv, &args);
    const char *const *words = args.simple.words;
    if (args.delete)
        return simple_run(&args.simple, OP_UNTAG, NULL, words[args.simple.n_words - 1], err);
    int rc = tag_name_check(words[2], err);
    return rc ? rc : simple_run(&args.simple, OP_TAG, words[1], words[2], err);
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
