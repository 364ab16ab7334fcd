/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/cli/args.h"
#include "builder/cli/cmd.h"
#include "builder/cli/simple.h"

#include <errno.h>

static error_t parse(int key, char *arg, struct argp_state *state)
{
    return simple_parse(state->input, key, arg, state, 2, 2);
}

static const char doc[] = "Sets how many former versions of a table gc and the nodes' caches keep "
                          "besides the current one (3 until it is said). "
                          "Tagged and pinned versions are kept in any case."
                          "\v"
                          "Example:\n"
                          "  fkv keep ads 24\n";

int cmd_keep(int argc, char **argv, struct err *err)
{
    static const struct argp argp = {
        .parser = parse, .args_doc = "TABLE N", .doc = doc, .children = simple_children};
    struct simple simple = {0};
    scope_session struct session session = {0};
    struct op op = {0};
    uint64_t keep = 0;
    cli_parse(&argp, argc, argv, &simple);
    if (arg_u64(simple.words[1], &keep) || keep > UINT32_MAX)
        return err_set(err, -EINVAL, "expected how many former versions to keep, found '%s'",
                       simple.words[1]);
    int rc = session_open(&simple.common, &session, err);
    if (!rc)
        rc = simple_op(&session, &simple, OP_KEEP, NULL, &op, err);
    op.keep = (uint32_t)keep;
    return rc ? rc : simple_append(&session, &simple, &op, 1, err);
}
