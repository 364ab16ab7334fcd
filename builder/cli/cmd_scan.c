/* SPDX-License-Identifier: Apache-2.0 */
#include "base/scope.h"
#include "builder/cli/args.h"
#include "builder/cli/cli.h"
#include "builder/cli/cmd.h"
#include "builder/cli/lookup.h"
#include "builder/cli/ordered.h"
#include "builder/cli/rows.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { OPTION_MOUNT = 0x6100, OPTION_DIRECT, OPTION_PREFIX, OPTION_FROM, OPTION_TO };

struct args {
    struct cli_common common;
    const char *mount;
    const char *version;
    const char *prefix;
    const char *from;
    const char *to;
    uint64_t limit;
    bool direct;
    bool jsonl;
    const char *table;
};

static int take_option(int key, char *arg, struct argp_state *state, struct args *args)
{
    switch (key) {
    case 'v':
        args->version = arg;
        return 0;
    case 'n':
        args->limit = arg_need_u64(state, "--limit", arg);
        return 0;
    case 'f':
        if (strcmp(arg, "tsv") != 0 && strcmp(arg, "jsonl") != 0)
            argp_error(state, "--format: expected tsv or jsonl, found '%s'", arg);
        args->jsonl = !strcmp(arg, "jsonl");
        return 0;
    case OPTION_MOUNT:
        args->mount = arg;
        return 0;
    case OPTION_DIRECT:
        args->direct = true;
        return 0;
    case OPTION_PREFIX:
        args->prefix = arg;
        return 0;
    case OPTION_FROM:
        args->from = arg;
        return 0;
    case OPTION_TO:
        args->to = arg;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct args *args = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &args->common;
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num)
            argp_error(state, "expected one table, found another: '%s'", arg);
        args->table = arg;
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "expected a table");
        return 0;
    case ARGP_KEY_END:
        if (args->prefix && (args->from || args->to))
            argp_error(state, "--prefix goes without --from and --to");
        args->direct = args->direct || args->common.store_given;
        return 0;
    default:
        return take_option(key, arg, state, args);
    }
}

static const struct argp_option options[] = {
    {"mount", OPTION_MOUNT, "DIR", 0, "Where fkvd is mounted (/fkv or $FKV_MOUNT)", 0},
    {"version", 'v', "VERSION", 0, "Scan this version (default: current)", 0},
    {"direct", OPTION_DIRECT, NULL, 0, "Read the store, not the mount; --store says so too", 0},
    {"prefix", OPTION_PREFIX, "TEXT", 0, "Keys that begin with it", 0},
    {"from", OPTION_FROM, "KEY", 0, "This key, or the first behind it (default: the first)", 0},
    {"to", OPTION_TO, "KEY", 0, "Stop before this key (default: behind the last)", 0},
    {"limit", 'n', "N", 0, "At most so many entries", 0},
    {"format", 'f', "NAME", 0, "tsv (default) or jsonl", 0},
    {0},
};

static const char doc[] =
    "Writes keys and values of a range in order of key, all of one version: a line an entry, key, "
    "tab, value, as `fkv dump` does. "
    "Numbers are ordered by value, byte keys byte by byte. Through the mount, the table must be of "
    "kind idx; --direct reads a "
    "whole version from the store and sorts any kind."
    "\v"
    "Examples:\n"
    "  fkv scan words --prefix straw\n"
    "  fkv scan ads --from 1000000 --to 2000000 | wc -l\n"
    "  fkv scan ads --limit 10 --format jsonl\n"
    "  fkv scan ads --direct --version golden --limit 10     # needs no daemon\n";

/* The words of --from and --to as numbers; an end of 0 would be none. */
static int parse_bounds(const struct args *args, uint64_t *from, uint64_t *to, struct err *err)
{
    int rc = 0;
    if (args->prefix)
        return err_set(err, -EINVAL, "the table's keys are u64: --from and --to, not --prefix");
    if (args->from)
        rc = lookup_parse_u64(args->from, from, err);
    if (!rc && args->to)
        rc = lookup_parse_u64(args->to, to, err);
    if (!rc && args->to && *to == 0)
        rc = err_set(err, -EINVAL, "--to: there is no key before 0");
    return rc;
}

static size_t length(const char *text)
{
    return text ? strlen(text) : 0;
}

static int range_for_mount(const struct args *args, const struct schema *schema, fkv_range *range,
                           struct err *err)
{
    *range = (fkv_range){.limit = args->limit};
    if (schema->key_type == KEY_U64)
        return parse_bounds(args, &range->from_u64, &range->to_u64, err);
    range->from = args->from;
    range->from_len = length(args->from);
    range->to = args->to;
    range->to_len = length(args->to);
    range->prefix = args->prefix;
    range->prefix_len = length(args->prefix);
    return 0;
}

static int print_mount(struct rows *rows, fkv_scan *scan, struct err *err)
{
    fkv_entry entry;
    int rc = rows_begin(rows, fkv_scan_version(scan), err);
    if (rc)
        return rc;
    while ((rc = fkv_scan_next(scan, &entry)) == 1) {
        struct part_entry row = {.key = entry.key_u64,
                                 .key_bytes = entry.key,
                                 .key_len = entry.key_len,
                                 .value = entry.value,
                                 .value_len = entry.value_len};
        rows->n_failed += entry.status != FKV_FOUND;
        rc = entry.status == FKV_FOUND ? rows_add(rows, &row, err) : 0;
        if (rc)
            return rc;
    }
    if (rc == -ENOTSUP) /* of the table, not of its bytes */
        return err_set(err, -EINVAL, "%s; --direct sorts a version of any kind", fkv_last_error());
    return rc ? lookup_mount_error(rc, "scan", err) : rows_finish(rows, err);
}

static int scan_mount(const struct args *args, struct rows *rows, struct err *err)
{
    char path[PATH_MAX];
    fkv_shape shape = {0};
    fkv_table *table = NULL;
    fkv_scan *scan = NULL;
    fkv_range range;
    int rc = lookup_mount_path(args->mount, args->table, args->version, path, err);
    if (rc)
        return rc;
    rc = fkv_open(path, NULL, &table);
    if (!rc)
        rc = fkv_get_shape(table, &shape);
    if (rc)
        rc = lookup_mount_error(rc, path, err);
    else if (!shape.version)
        rc = err_set(err, -ENOENT, "%s: the table has no current version yet", path);
    if (!rc)
        rc = lookup_schema(&shape, &rows->schema, err);
    if (!rc)
        rc = range_for_mount(args, &rows->schema, &range, err);
    if (!rc) {
        /* Of the version whose shape we know. */
        fkv_ask ask = {.exact_version = shape.version, .as_f32 = shape.dim != 0};
        rc = fkv_scan_new(table, &range, &ask, &scan);
        rc = rc ? lookup_mount_error(rc, path, err) : print_mount(rows, scan, err);
    }
    fkv_scan_free(scan);
    fkv_close(table);
    return rc;
}

static int range_for_store(const struct args *args, const struct schema *schema,
                           struct ordered_range *range, struct err *err)
{
    const char *from = args->prefix ? args->prefix : args->from;
    range->limit = args->limit;
    if (schema->key_type == KEY_U64)
        return parse_bounds(args, &range->from_u64, &range->to_u64, err);
    int rc = buf_add(&range->from, from ? from : "", length(from));
    if (!rc)
        rc = buf_add(&range->to, args->to ? args->to : "", length(args->to));
    if (!rc && args->prefix)
        rc = ordered_range_end_prefix(range);
    return rc ? err_sys(err, rc, "reading the arguments") : 0;
}

static int print_store(struct rows *rows, const struct args *args,
                       const struct version_reader *reader, struct err *err)
{
    const struct version_desc *desc = version_reader_desc(reader);
    struct ordered_range range = {0};
    struct ordered ordered = {0};
    struct part_entry entry;
    rows->schema = desc->schema;
    int rc = range_for_store(args, &desc->schema, &range, err);
    if (!rc)
        rc = ordered_init(&ordered, reader, &range, err);
    if (!rc)
        rc = rows_begin(rows, desc->version, err);
    while (!rc && (rc = ordered_next(&ordered, &entry)) == 1)
        rc = rows_add(rows, &entry, err);
    if (rc == -EBADMSG)
        rc = err_set(err, rc, "%s version %" PRIu64 ": an entry cannot be read; see: fkv verify",
                     args->table, desc->version);
    if (!rc)
        rc = rows_finish(rows, err);
    ordered_release(&ordered);
    ordered_range_release(&range);
    return rc;
}

static int scan_store(const struct args *args, struct rows *rows, struct err *err)
{
    scope_session struct session session = {0};
    const struct version_entry *v = NULL;
    struct version_reader *reader = NULL;
    int rc = session_open(&args->common, &session, err);
    if (!rc)
        rc = session_version(&session, args->table, args->version ? args->version : "current", &v,
                             err);
    if (!rc)
        rc = session_read_version(&session, args->table, v, &reader, err);
    if (!rc)
        rc = print_store(rows, args, reader, err);
    version_reader_close(reader);
    return rc;
}

int cmd_scan(int argc, char **argv, struct err *err)
{
    static const struct argp argp = {.options = options,
                                     .parser = parse,
                                     .args_doc = "TABLE",
                                     .doc = doc,
                                     .children = cli_children};
    const char *mount = getenv("FKV_MOUNT");
    struct args args = {.mount = mount ? mount : "/fkv"};
    cli_parse(&argp, argc, argv, &args);
    struct rows rows = {.table = args.table,
                        .json = args.common.json,
                        .jsonl = args.jsonl,
                        .is_decoded = !args.direct};
    int rc = args.direct ? scan_store(&args, &rows, err) : scan_mount(&args, &rows, err);
    rows_release(&rows);
    return rc;
}
