/* SPDX-License-Identifier: Apache-2.0 */
#include "base/scope.h"
#include "builder/cli/activation.h"
#include "builder/cli/args.h"
#include "builder/cli/cmd.h"
#include "builder/cli/switch_options.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define FAR_AHEAD_NS (2 * (ROLLOUT_AHEAD_MAX_NS + ROLLOUT_MARGIN_MAX_NS))

struct args {
    struct switch_options options;
    struct arg_pair pairs[SWITCH_TABLES_MAX];
    size_t n_pairs;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct args *args = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &args->options;
        return 0;
    case ARGP_KEY_ARG:
        if (args->n_pairs == SWITCH_TABLES_MAX)
            argp_error(state, "one record switches at most %d tables", SWITCH_TABLES_MAX);
        arg_split_pair(arg, &args->pairs[args->n_pairs++]);
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "expected TABLE or TABLE=VERSION");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const char doc[] =
    "Makes versions current, several tables in one record: readers see all of them switch or none. "
    "A VERSION is a number, a tag, or `previous`; without one it is the newest candidate. Waits "
    "until the live nodes have the versions ready, switches them all at one instant, and waits "
    "until they have."
    "\v"
    "This takes over from a publisher that died, wherever it was. A version that nodes do not "
    "prepare beforehand, because it is neither a candidate nor the previous one, is switched to at "
    "once: each node follows when it has it.\n"
    "Going back is `fkv rollback`, which also quarantines the version left.\n"
    "\n"
    "Examples:\n"
    "  fkv activate ads                   # what was published last\n"
    "  fkv activate ads=44 users=17 --reason 'model 2026-03'\n"
    "  fkv activate ads --quorum 6        # two of eight nodes may follow later\n"
    "  fkv activate ads=43 --force        # although it is quarantined\n";

/* The newest candidate; without one, what is current, to see whether nodes serve it. */
static int newest(const struct table_state *table, uint64_t *out, struct err *err)
{
    for (size_t i = table->n_versions; i-- > 0;) {
        const struct version_entry *v = &table->versions[i];
        if (v->state == VERSION_CANDIDATE && v->version > table->current &&
            !table_state_find_bad(table, v)) {
            *out = v->version;
            return 0;
        }
    }
    *out = table->current;
    return table->current
               ? 0
               : err_set(err, -ENOENT, "table %s has no candidate to activate; see: fkv ls %s",
                         table->name, table->name);
}

static int plan_one(const struct session *session, const struct arg_pair *pair,
                    struct fleet_target *target, struct op *op, struct switch_job *job,
                    struct err *err)
{
    const struct table_state *table = NULL;
    const struct version_entry *v = NULL;
    uint64_t version = 0;
    int rc = session_table(session, pair->table, &table, err);
    if (!rc && pair->rest)
        rc = session_version(session, table->name, pair->rest, &v, err);
    if (!rc && !pair->rest)
        rc = newest(table, &version, err);
    if (rc)
        return rc;
    version = v ? v->version : version;
    *target = (struct fleet_target){pair->table, version};
    *op = (struct op){.kind = OP_ACTIVATE, .version = version};
    snprintf(op->table, sizeof op->table, "%s", table->name);
    job->prepares = job->prepares && switch_is_prepared(table, version);
    /* What is to come much later than any command means is hastened. */
    int64_t ahead_ns = table->effective_ns - manifest_now_ns(session->manifest);
    job->is_done = job->is_done && table->current == version && ahead_ns < FAR_AHEAD_NS;
    return 0;
}

static int check_once(const struct args *args, struct err *err)
{
    for (size_t i = 0; i < args->n_pairs; i++)
        for (size_t j = 0; j < i; j++)
            if (!strcmp(args->pairs[i].table, args->pairs[j].table))
                return err_set(err, -EINVAL, "table %s is named twice", args->pairs[i].table);
    return 0;
}

int cmd_activate(int argc, char **argv, struct err *err)
{
    static const struct argp argp = {
        .parser = parse, .args_doc = "TABLE[=VERSION]…", .doc = doc, .children = switch_children};
    struct args args = {0};
    scope_session struct session session = {0};
    scope_activation struct activation activation = {0};
    cli_parse(&argp, argc, argv, &args);
    scope_free struct op *ops = calloc(args.n_pairs, sizeof *ops);
    scope_free struct fleet_target *targets = calloc(args.n_pairs, sizeof *targets);
    if (!ops || !targets)
        return err_sys(err, -ENOMEM, "activating");
    struct switch_job job = {.targets = targets,
                             .ops = ops,
                             .n = args.n_pairs,
                             .prepares = true,
                             .is_done = true,
                             .check = activation_check,
                             .context = &activation};
    int rc = check_once(&args, err);
    if (!rc)
        rc = session_open(&args.options.common, &session, err);
    for (size_t i = 0; !rc && i < args.n_pairs; i++)
        rc = plan_one(&session, &args.pairs[i], &targets[i], &ops[i], &job, err);
    if (!rc)
        rc = activation_init(&activation, &session, targets, args.n_pairs, err);
    return rc ? rc : switch_command(&session, &args.options, &job, err);
}
