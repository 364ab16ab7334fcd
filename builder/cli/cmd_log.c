/* SPDX-License-Identifier: Apache-2.0 */
#include "base/scope.h"
#include "builder/cli/args.h"
#include "builder/cli/cli.h"
#include "builder/cli/cmd.h"
#include "builder/cli/text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct args {
    struct cli_common common;
    const char *table;
    uint64_t limit;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct args *args = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &args->common;
        return 0;
    case 't':
        args->table = arg;
        return 0;
    case 'n':
        args->limit = arg_need_u64(state, "--limit", arg);
        return 0;
    case ARGP_KEY_ARG:
        if (args->table)
            argp_error(state, "expected one table, found another: '%s'", arg);
        args->table = arg;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option options[] = {
    {"table", 't', "TABLE", 0, "Only records about this table", 0},
    {"limit", 'n', "N", 0, "Only the last N records (0: all)", 0},
    {0},
};

static const char doc[] =
    "Shows the manifest's records, the oldest first: who did what, when and why. Nothing is ever "
    "taken out of it."
    "\v"
    "Examples:\n"
    "  fkv log\n"
    "  fkv log ads --limit 10\n"
    "  fkv log --json | jq '.records[] | select(.author | startswith(\"cron@\"))'\n";

static bool is_about(const struct record *record, const char *table)
{
    if (!table)
        return true;
    for (size_t i = 0; i < record->n_ops; i++) {
        if (!strcmp(record->ops[i].table, table))
            return true;
    }
    return false;
}

static void op_text(const struct op *op, struct buf *out)
{
    char n[TEXT_MAX];
    buf_printf(out, "%s %s", op_kind_name(op->kind), op->table);
    switch (op->kind) {
    case OP_PUBLISH:
        text_count(op->n_keys, n);
        buf_printf(out, " %" PRIu64 " (%s keys", op->version, n);
        text_size(op->len, n);
        buf_printf(out, ", %s", n);
        if (op->base)
            buf_printf(out, ", delta on %" PRIu64, op->base);
        buf_printf(out, ")");
        break;
    case OP_ROLLBACK:
        buf_printf(out, " %" PRIu64 " -> %" PRIu64, op->from, op->version);
        break;
    case OP_KEEP:
        buf_printf(out, " %u", op->keep);
        break;
    case OP_UNPIN:
    case OP_UNTAG:
        buf_printf(out, " %s", op->name);
        break;
    case OP_PIN:
        buf_printf(out, " %" PRIu64 " on %s%s", op->version, op->name,
                   op->canary ? " (canary)" : "");
        break;
    case OP_TAG:
        buf_printf(out, " %" PRIu64 " %s", op->version, op->name);
        break;
    default:
        buf_printf(out, " %" PRIu64, op->version);
    }
    if (op->force)
        buf_printf(out, " (forced)");
}

static void show(const struct record *record)
{
    char time[TEXT_MAX];
    text_time(record->time_ns, time);
    printf("%6" PRIu64 "  %s  %s", record->seq, time, record->author);
    if (record->reason[0])
        printf("  \"%s\"", record->reason);
    putchar('\n');
    for (size_t i = 0; i < record->n_ops; i++) {
        struct buf text = {0};
        op_text(&record->ops[i], &text);
        printf("        %.*s\n", (int)text.len, text.data ? (const char *)text.data : "");
        buf_release(&text);
    }
}

static json_t *op_json(const struct op *op)
{
    json_t *out = json_object();
    char hex[DIGEST_HEX_LEN + 1], time[TEXT_MAX];
    json_put_string(out, "op", op_kind_name(op->kind));
    json_put_string(out, "table", op->table);
    if (op->kind != OP_UNPIN && op->kind != OP_UNTAG && op->kind != OP_KEEP)
        json_put_u64(out, "version", op->version);
    if (op->kind == OP_PUBLISH) {
        digest_to_hex(&op->digest, hex);
        json_put_u64(out, "base", op->base);
        json_put_u64(out, "n_keys", op->n_keys);
        json_put_u64(out, "bytes", op->len);
        json_put_string(out, "digest", hex);
    }
    if (op->kind == OP_ROLLBACK)
        json_put_u64(out, "from", op->from);
    if (op->effective_ns) {
        text_rfc3339(op->effective_ns, time);
        json_put_string(out, "effective", time);
    }
    if (op->force)
        json_put_bool(out, "force", true);
    if (op->canary)
        json_put_bool(out, "canary", true);
    if (op->kind == OP_KEEP)
        json_put_u64(out, "keep", op->keep);
    if (op->name[0])
        json_put_string(out, "name", op->name);
    return out;
}

static json_t *record_to_json(const struct record *record)
{
    char time[TEXT_MAX];
    json_t *out = json_object();
    json_t *ops = json_array();
    text_rfc3339(record->time_ns, time);
    json_put_u64(out, "seq", record->seq);
    json_put_string(out, "time", time);
    json_put_string(out, "author", record->author);
    json_put_string(out, "reason", record->reason);
    for (size_t i = 0; i < record->n_ops; i++)
        json_append(ops, op_json(&record->ops[i]));
    json_put(out, "ops", ops);
    return out;
}

/* The first record to show so that at most limit are; records about other tables do not count. */
static int first_to_show(struct manifest *manifest, const struct args *args, uint64_t last,
                         uint64_t *first, struct err *err)
{
    uint64_t left = args->limit;
    *first = 1;
    for (uint64_t seq = last; args->limit && seq > 0; seq--) {
        struct record record = {0};
        int rc = manifest_read_record(manifest, seq, &record, err);
        if (rc)
            return rc;
        left -= is_about(&record, args->table);
        record_release(&record);
        *first = seq;
        if (!left)
            break;
    }
    return 0;
}

int cmd_log(int argc, char **argv, struct err *err)
{
    static const struct argp argp = {.options = options,
                                     .parser = parse,
                                     .args_doc = "[TABLE]",
                                     .doc = doc,
                                     .children = cli_children};
    struct args args = {0};
    scope_session struct session session = {0};
    const struct table_state *table = NULL;
    cli_parse(&argp, argc, argv, &args);
    int rc = session_open(&args.common, &session, err);
    if (!rc && args.table)
        rc = session_table(&session, args.table, &table, err);
    if (rc)
        return rc;
    uint64_t last = manifest_state(session.manifest)->seq;
    uint64_t first = 1;
    rc = first_to_show(session.manifest, &args, last, &first, err);
    json_t *list = args.common.json ? json_array() : NULL;
    for (uint64_t seq = first; !rc && seq <= last; seq++) {
        struct record record = {0};
        rc = manifest_read_record(session.manifest, seq, &record, err);
        if (!rc && is_about(&record, args.table)) {
            if (list)
                json_append(list, record_to_json(&record));
            else
                show(&record);
        }
        record_release(&record);
    }
    if (!list)
        return rc;
    json_t *out = json_object();
    json_put(out, "records", list);
    if (!rc)
        return cli_print_json(out, err);
    json_decref(out);
    return rc;
}
