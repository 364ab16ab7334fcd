/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/cli/simple.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { OPTION_REASON = 0x7300 };

static const struct argp_option options[] = {
    {"reason", OPTION_REASON, "TEXT", 0, "Why, for `fkv log`", 0},
    {0},
};

static error_t parse_reason(int key, char *arg, struct argp_state *state)
{
    struct simple *simple = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &simple->common;
        return 0;
    case OPTION_REASON:
        simple->reason = arg;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    .options = options, .parser = parse_reason, .children = cli_children};
const struct argp_child simple_children[] = {{&argp, 0, NULL, 0}, {0}};

error_t simple_parse(struct simple *simple, int key, char *arg, struct argp_state *state,
                     size_t min, size_t max)
{
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = simple;
        return 0;
    case ARGP_KEY_ARG:
        if (simple->n_words == max || simple->n_words == SIMPLE_WORDS_MAX)
            argp_error(state, "unexpected argument '%s'", arg);
        simple->words[simple->n_words++] = arg;
        return 0;
    case ARGP_KEY_END:
        if (simple->n_words < min)
            argp_error(state, "expected %zu arguments, found %zu", min, simple->n_words);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int simple_op(const struct session *session, const struct simple *simple, enum op_kind kind,
              const char *version, struct op *out, struct err *err)
{
    const struct table_state *table = NULL;
    const struct version_entry *entry = NULL;
    int rc = session_table(session, simple->words[0], &table, err);
    if (!rc && version)
        rc = session_version(session, table->name, version, &entry, err);
    if (rc)
        return rc;
    *out = (struct op){.kind = kind, .version = entry ? entry->version : 0};
    snprintf(out->table, sizeof out->table, "%s", table->name);
    return 0;
}

static void show(const struct op *op, uint64_t seq)
{
    printf("%s %s", op_kind_name(op->kind), op->table);
    if (op->version)
        printf(" %" PRIu64, op->version);
    if (op->name[0])
        printf(" %s", op->name);
    if (op->kind == OP_KEEP)
        printf(" %u", op->keep);
    printf(" (record %" PRIu64 ")\n", seq);
}

int simple_append(struct session *session, const struct simple *simple, struct op *ops,
                  size_t n_ops, struct err *err)
{
    uint64_t seq = 0;
    int rc = session_append(session, simple->reason, ops, n_ops, &seq, err);
    if (rc)
        return rc;
    if (simple->common.json) {
        json_t *out = json_object();
        json_put_u64(out, "record", seq);
        return cli_print_json(out, err);
    }
    for (size_t i = 0; i < n_ops; i++)
        show(&ops[i], seq);
    return 0;
}

int simple_run(const struct simple *simple, enum op_kind kind, const char *version,
               const char *name, struct err *err)
{
    scope_session struct session session = {0};
    struct op op = {0};
    int rc = session_open(&simple->common, &session, err);
    if (!rc)
        rc = simple_op(&session, simple, kind, version, &op, err);
    if (rc)
        return rc;
    if (name && strlen(name) > NODE_NAME_MAX)
        return err_set(err, -EINVAL, "a name has at most %d bytes, found %zu", NODE_NAME_MAX,
                       strlen(name));
    if (name)
        snprintf(op.name, sizeof op.name, "%s", name);
    return simple_append(&session, simple, &op, 1, err);
}
