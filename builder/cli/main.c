/* SPDX-License-Identifier: Apache-2.0 */
/* fkv: finds the command and says how it ended. */
#include "builder/cli/cli.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct args {
    char **rest; /* the command and its words */
    int n_rest;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct args *args = state->input;
    switch (key) {
    case 's':
        setenv("FKV_STORE", arg, 1);
        return 0;
    case ARGP_KEY_ARG:
        args->rest = &state->argv[state->next - 1];
        args->n_rest = state->argc - state->next + 1;
        state->next = state->argc;
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_state_help(state, stderr, ARGP_HELP_STD_HELP & ~ARGP_HELP_EXIT_OK);
        exit(argp_err_exit_status);
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* The overview: every command in one line, then where to start. */
static char *overview(int key, const char *text, void *input)
{
    if (key != ARGP_KEY_HELP_POST_DOC)
        return (char *)text;
    struct buf out = {0};
    for (const struct command *c = commands; c->name; c++) {
        if (c->run)
            buf_printf(&out, "  %-11s %s\n", c->name, c->summary);
        else
            buf_printf(&out, "%s%s\n", out.len ? "\n" : "", c->name);
    }
    buf_printf(&out, "\n%s", text ? text : "");
    buf_add_byte(&out, 0);
    return (char *)out.data;
}

static const struct argp_option options[] = {
    {"store", 's', "URL", 0,
     "The store: /srv/fkv, file:///srv/fkv or nfs://server/dir (default: $FKV_STORE)", 0},
    {0},
};

static const char doc[] =
    "Builds feature tables, publishes them as immutable versions on a store, and moves whole "
    "fleets "
    "from one version to another and back."
    "\v"
    "A first table, from files of lines \"id<TAB>value\":\n"
    "  export FKV_STORE=file:///srv/fkv\n"
    "  fkv init /srv/fkv\n"
    "  fkv build ads day1.tsv --key u64 --value 'f16[100]' --publish\n"
    "  fkvd --store $FKV_STORE --mount /fkv   # on every host\n"
    "  fkv get ads 42                         # or: cat /fkv/ads/current/key/42\n"
    "  fkv build ads changes.tsv --delta --publish\n"
    "  fkv rollback ads\n"
    "\n"
    "`fkv COMMAND --help` and fkv-COMMAND(1) say more, with examples.\n"
    "\n"
    "Exit status: 0 ok, 1 not found, 2 usage, 3 refused, 4 timed out, 5 corrupt,\n6 I/O.";

static const struct command *find(const char *name)
{
    for (const struct command *c = commands; c->name; c++) {
        if (c->run && !strcmp(c->name, name))
            return c;
    }
    return NULL;
}

static int run(struct args *args, struct err *err)
{
    const struct command *command = find(args->rest[0]);
    if (!command)
        return err_set(err, -EINVAL, "no command '%s'; `fkv --help` lists them", args->rest[0]);
    char name[64];
    snprintf(name, sizeof name, "fkv %s", command->name);
    args->rest[0] = name;
    program_invocation_name = program_invocation_short_name = name;
    return command->run(args->n_rest, args->rest, err);
}

int main(int argc, char **argv)
{
    static const struct argp argp = {.options = options,
                                     .parser = parse,
                                     .args_doc = "COMMAND [ARG…]",
                                     .doc = doc,
                                     .help_filter = overview};
    struct args args = {0};
    struct err err = {0};
    /* argp's note on long and short options tells nobody anything. */
    setenv("ARGP_HELP_FMT", "no-dup-args-note", 0);
    argp_program_version = "fkv " FKV_VERSION;
    argp_err_exit_status = err_exit_status(-EINVAL);
    argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &args);
    int rc = run(&args, &err);
    if (!rc)
        rc = cli_flush(&err);
    if (rc)
        fprintf(stderr, "fkv: %s\n", err_text(&err, rc));
    return err_exit_status(rc);
}
