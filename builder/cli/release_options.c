/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/cli/args.h"
#include "builder/cli/release.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SECOND_NS 1000000000LL

enum {
    OPTION_CHANGE = 0x5200,
    OPTION_ROWS,
    OPTION_NOT_FINITE,
    OPTION_SCHEMA,
    OPTION_DUPLICATES,
    OPTION_EMPTY,
    OPTION_BAD_ROWS,
    OPTION_DRIFT,
    OPTION_COMMAND,
    OPTION_COMMAND_TIMEOUT,
    OPTION_NO_ACTIVATE,
    OPTION_NO_WAIT,
    OPTION_QUORUM,
    OPTION_TIMEOUT,
    OPTION_REASON,
    OPTION_CANARY,
    OPTION_FIRST = OPTION_CHANGE,
    OPTION_LAST = OPTION_CANARY,
};

static const struct argp_option options[] = {
    {NULL, 0, NULL, 0, "What the validators allow:", 10},
    {"max-change", OPTION_CHANGE, "PCT", 0,
     "Change of the number of rows since the current version (20; 0: any)", 10},
    {"min-rows", OPTION_ROWS, "N", 0, "Rows there must be (1)", 10},
    {"max-not-finite", OPTION_NOT_FINITE, "N", 0,
     "Vectors that may hold NaN or Inf (0); with %, their share", 10},
    {"max-duplicates", OPTION_DUPLICATES, "PCT", 0, "Rows that --duplicates may have dropped (any)",
     10},
    {"max-empty", OPTION_EMPTY, "PCT", 0, "Values without a byte, or vectors of zeros (any)", 10},
    {"max-bad-rows", OPTION_BAD_ROWS, "PCT", 0, "Rows that may have been rejected (any)", 10},
    {"max-norm-drift", OPTION_DRIFT, "D", 0,
     "Distance, 0 to 1, of the vectors' norms from those of the current version (any)", 10},
    {"check", OPTION_COMMAND, "COMMAND", 0,
     "A command that must succeed, for sh -c; may be repeated; see: man fkv-publish", 10},
    {"check-timeout", OPTION_COMMAND_TIMEOUT, "TIME", 0, "How long each may take (10m)", 10},
    {"allow-schema-change", OPTION_SCHEMA, NULL, 0, "Key or value type may differ", 10},
    {NULL, 0, NULL, 0, "Activation:", 20},
    {"canary", OPTION_CANARY, "NODE", 0,
     "Switch only this node, or the nodes of label:NAME, and stop; may be repeated; see: fkv "
     "promote, "
     "fkv abort",
     20},
    {"no-activate", OPTION_NO_ACTIVATE, NULL, 0, "Leave it a candidate; see: fkv activate", 20},
    {"no-wait", OPTION_NO_WAIT, NULL, 0, "Activate at once, whether or not nodes are ready", 20},
    {"quorum", OPTION_QUORUM, "N", 0, "So many ready nodes are enough (all live ones)", 20},
    {"timeout", OPTION_TIMEOUT, "TIME", 0, "How long to wait for nodes (10m)", 20},
    {"reason", OPTION_REASON, "TEXT", 0, "Why, for `fkv log`", 20},
    {0},
};

static uint32_t bit_of(int option)
{
    return 1U << (option - OPTION_FIRST);
}

static void add_canary(struct release_options *o, const char *name, struct argp_state *state)
{
    struct err why = {0};
    if (pin_name_check(name, &why))
        argp_error(state, "--canary: %s", why.text);
    for (size_t i = 0; i < o->n_canaries; i++) {
        if (!strcmp(o->canaries[i], name))
            return;
    }
    if (o->n_canaries == RELEASE_CANARIES_MAX)
        argp_error(state, "--canary may be repeated %d times at most; give the nodes a label",
                   RELEASE_CANARIES_MAX);
    o->canaries[o->n_canaries++] = name;
}

static void add_command(struct release_options *o, const char *command, struct argp_state *state)
{
    struct validate_limits *limits = &o->limits;
    if (!*command)
        argp_error(state, "--check: expected a command, found nothing");
    if (limits->n_commands == VALIDATE_COMMANDS_MAX)
        argp_error(state, "--check may be repeated %d times at most", VALIDATE_COMMANDS_MAX);
    limits->commands[limits->n_commands++] = command;
}

/* "5", vectors, or "0.1%", a share of them. */
static void set_not_finite(struct release_options *o, const char *arg, struct argp_state *state)
{
    if (strchr(arg, '%'))
        o->limits.max_not_finite_pct = arg_need_percent(state, "--max-not-finite", arg);
    else
        o->limits.max_not_finite = arg_need_u64(state, "--max-not-finite", arg);
}

static double need_distance(struct argp_state *state, const char *arg)
{
    char *end = NULL;
    double distance = strtod(arg, &end);
    if (end == arg || *end || !(distance >= 0 && distance <= 1))
        argp_error(state, "--max-norm-drift: expected a number from 0 to 1, found '%s'", arg);
    return distance;
}

/* What validators allow; ARGP_ERR_UNKNOWN for another option. */
static error_t parse_limit(int key, char *arg, struct argp_state *state, struct release_options *o)
{
    struct validate_limits *limits = &o->limits;
    switch (key) {
    case OPTION_CHANGE:
        limits->max_change_pct = arg_need_percent(state, "--max-change", arg);
        return 0;
    case OPTION_ROWS:
        limits->min_rows = arg_need_u64(state, "--min-rows", arg);
        return 0;
    case OPTION_NOT_FINITE:
        set_not_finite(o, arg, state);
        return 0;
    case OPTION_SCHEMA:
        limits->allow_schema_change = true;
        return 0;
    case OPTION_DUPLICATES:
        limits->max_duplicates_pct = arg_need_percent(state, "--max-duplicates", arg);
        return 0;
    case OPTION_EMPTY:
        limits->max_empty_pct = arg_need_percent(state, "--max-empty", arg);
        return 0;
    case OPTION_BAD_ROWS:
        limits->max_bad_rows_pct = arg_need_percent(state, "--max-bad-rows", arg);
        return 0;
    case OPTION_DRIFT:
        limits->max_norm_drift = need_distance(state, arg);
        return 0;
    case OPTION_COMMAND:
        add_command(o, arg, state);
        return 0;
    case OPTION_COMMAND_TIMEOUT:
        limits->command_timeout_ns = arg_need_duration(state, "--check-timeout", arg);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct release_options *o = state->input;
    if (key >= OPTION_FIRST && key <= OPTION_LAST)
        o->given |= bit_of(key);
    switch (key) {
    case ARGP_KEY_INIT:
        *o = (struct release_options){.timeout_ns = 600 * SECOND_NS, .reason = ""};
        validate_limits_default(&o->limits);
        return 0;
    case OPTION_NO_ACTIVATE:
        o->no_activate = true;
        return 0;
    case OPTION_NO_WAIT:
        o->no_wait = true;
        return 0;
    case OPTION_QUORUM:
        o->quorum = arg_need_u32(state, "--quorum", arg, 0, UINT32_MAX);
        return 0;
    case OPTION_TIMEOUT:
        o->timeout_ns = arg_need_duration(state, "--timeout", arg);
        return 0;
    case OPTION_REASON:
        o->reason = arg;
        return 0;
    case OPTION_CANARY:
        add_canary(o, arg, state);
        return 0;
    case ARGP_KEY_END:
        if (o->n_canaries && (o->no_activate || o->quorum))
            argp_error(state,
                       "--canary goes neither with --no-activate nor with --quorum, which is "
                       "for fkv promote");
        return 0;
    default:
        return parse_limit(key, arg, state, o);
    }
}

/* ---- over a task's own ---- */

static int commands_append(const struct validate_limits *from, struct validate_limits *to,
                           struct err *err)
{
    if (from->n_commands > VALIDATE_COMMANDS_MAX - to->n_commands)
        return err_set(err, -E2BIG,
                       "--check: expected at most %d commands, those of the job file counted; "
                       "found %zu",
                       VALIDATE_COMMANDS_MAX, from->n_commands + to->n_commands);
    for (size_t i = 0; i < from->n_commands; i++)
        to->commands[to->n_commands++] = from->commands[i];
    return 0;
}

static void percents_override(const struct release_options *o, struct validate_limits *to)
{
    const struct validate_limits *from = &o->limits;
    if (o->given & bit_of(OPTION_CHANGE))
        to->max_change_pct = from->max_change_pct;
    if (o->given & bit_of(OPTION_DUPLICATES))
        to->max_duplicates_pct = from->max_duplicates_pct;
    if (o->given & bit_of(OPTION_EMPTY))
        to->max_empty_pct = from->max_empty_pct;
    if (o->given & bit_of(OPTION_BAD_ROWS))
        to->max_bad_rows_pct = from->max_bad_rows_pct;
}

static void limits_override(const struct release_options *o, struct validate_limits *to)
{
    const struct validate_limits *from = &o->limits;
    if (o->given & bit_of(OPTION_ROWS))
        to->min_rows = from->min_rows;
    /* Both: what allows more counts, so one that the spec has could not be tightened by the other. */
    if (o->given & bit_of(OPTION_NOT_FINITE)) {
        to->max_not_finite = from->max_not_finite;
        to->max_not_finite_pct = from->max_not_finite_pct;
    }
    if (o->given & bit_of(OPTION_DRIFT))
        to->max_norm_drift = from->max_norm_drift;
    if (o->given & bit_of(OPTION_SCHEMA))
        to->allow_schema_change = from->allow_schema_change;
    if (o->given & bit_of(OPTION_COMMAND_TIMEOUT))
        to->command_timeout_ns = from->command_timeout_ns;
    percents_override(o, to);
}

int release_override(const struct release_options *o, struct task_spec *spec, struct err *err)
{
    if (o->given & bit_of(OPTION_QUORUM))
        spec->quorum = o->quorum;
    if (o->given & bit_of(OPTION_TIMEOUT))
        spec->timeout_ns = o->timeout_ns;
    if (o->given & bit_of(OPTION_REASON))
        spec->reason = o->reason;
    limits_override(o, &spec->limits);
    return commands_append(&o->limits, &spec->limits, err);
}

const struct argp release_argp = {.options = options, .parser = parse};
