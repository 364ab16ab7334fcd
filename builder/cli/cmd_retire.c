/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/cli/cmd.h"
#include "builder/cli/simple.h"

static error_t parse(int key, char *arg, struct argp_state *state)
{
    return simple_parse(state->input, key, arg, state, 2, SIMPLE_WORDS_MAX);
}

static const char doc[] = "Retires versions: they can never become current again, and the next gc "
                          "removes them. The current version, and those that are "
                          "pinned or tagged, are refused."
                          "\v"
                          "gc retires by itself what is beyond the keep rule (`fkv keep`); this is "
                          "for what should go sooner.\n"
                          "\n"
                          "Example:\n"
                          "  fkv retire ads 39 40 && fkv gc\n";

int cmd_retire(int argc, char **argv, struct err *err)
{
    static const struct argp argp = {
        .parser = parse, .args_doc = "TABLE VERSION…", .doc = doc, .children = simple_children};
    struct simple simple = {0};
    scope_session struct session session = {0};
    struct op ops[SIMPLE_WORDS_MAX];
    cli_parse(&argp, argc, argv, &simple);
    int rc = session_open(&simple.common, &session, err);
    for (size_t i = 1; !rc && i < simple.n_words; i++)
        rc = simple_op(&session, &simple, OP_RETIRE, simple.words[i], &ops[i - 1], err);
    return rc ? rc : simple_append(&session, &simple, ops, simple.n_words - 1, err);
}
