/* SPDX-License-Identifier: Apache-2.0 */
#include "base/scope.h"
#include "builder/cli/cli.h"
#include "builder/cli/cmd.h"
#include "builder/cli/value.h"
#include "builder/layout.h"
#include "builder/version_reader.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { FLUSH_LEN = 1 << 20 };

struct args {
    struct cli_common common;
    const char *table;
    const char *version;
    bool jsonl;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct args *args = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &args->common;
        return 0;
    case 'f':
        if (strcmp(arg, "tsv") != 0 && strcmp(arg, "jsonl") != 0)
            argp_error(state, "--format: expected tsv or jsonl, found '%s'", arg);
        args->jsonl = !strcmp(arg, "jsonl");
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 1)
            argp_error(state, "unexpected argument '%s'", arg);
        *(state->arg_num ? &args->version : &args->table) = arg;
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "expected a table");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option options[] = {
    {"format", 'f', "NAME", 0, "tsv (default) or jsonl", 0},
    {0},
};

static const char doc[] =
    "Writes every key and value of a version (default: current) to standard output, as `fkv build` "
    "reads them: building from it "
    "gives the same content again. A delta version is written whole. Keys come in hash order."
    "\v"
    "Examples:\n"
    "  fkv dump ads 43 | zstd > ads-43.tsv.zst\n"
    "  fkv dump ads golden --format jsonl | head -1\n";

static int write_out(struct buf *text, struct err *err)
{
    if (text->len && fwrite(text->data, 1, text->len, stdout) != text->len)
        return err_sys(err, -errno, "writing to standard output");
    buf_clear(text);
    return 0;
}

static int add_row(struct buf *out, const struct schema *schema, const struct part_entry *entry,
                   float *floats, bool json)
{
    int rc = json ? buf_printf(out, "{\"key\": ") : 0;
    if (!rc)
        rc = value_add_key(out, schema, entry, json);
    if (!rc)
        rc = buf_printf(out, json ? ", \"value\": " : "\t");
    if (!rc)
        rc = value_add_stored(out, schema, entry->value, entry->value_len, floats, json);
    return rc ? rc : buf_printf(out, json ? "}\n" : "\n");
}

static int dump(const struct version_reader *reader, const char *name, bool json, struct err *err)
{
    uint64_t n = 0;
    const struct schema *schema = &version_reader_desc(reader)->schema;
    scope_free float *floats = calloc(schema->dim + 1, sizeof *floats);
    struct version_cursor cursor = {0};
    struct part_entry entry;
    struct buf text = {0};
    int rc = floats ? 0 : -ENOMEM;
    while (!rc && (rc = version_reader_next(reader, &cursor, &entry)) > 0) {
        rc = add_row(&text, schema, &entry, floats, json);
        n++;
        if (!rc && text.len >= FLUSH_LEN)
            rc = write_out(&text, err);
    }
    if (rc == -EBADMSG)
        rc = err_set(err, rc,
                     "table %s version %" PRIu64 ", shard %u, level %u: expected an entry, found "
                     "bytes that are none; %" PRIu64 " rows came before it. Publish it again",
                     name, version_reader_desc(reader)->version, cursor.shard, cursor.level, n);
    if (!rc)
        rc = write_out(&text, err);
    version_cursor_release(&cursor);
    buf_release(&text);
    return rc == -ENOMEM ? err_sys(err, rc, "dumping") : rc;
}

int cmd_dump(int argc, char **argv, struct err *err)
{
    static const struct argp argp = {.options = options,
                                     .parser = parse,
                                     .args_doc = "TABLE [VERSION]",
                                     .doc = doc,
                                     .children = cli_children_quiet};
    struct args args = {.version = "current"};
    scope_session struct session session = {0};
    const struct version_entry *v = NULL;
    struct version_reader *reader = NULL;
    cli_parse(&argp, argc, argv, &args);
    int rc = session_open(&args.common, &session, err);
    if (!rc)
        rc = session_version(&session, args.table, args.version, &v, err);
    if (!rc)
        rc = session_read_version(&session, args.table, v, &reader, err);
    if (!rc)
        rc = dump(reader, args.table, args.jsonl, err);
    version_reader_close(reader);
    return rc;
}
