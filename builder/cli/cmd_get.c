/* SPDX-License-Identifier: Apache-2.0 */
#include "base/scope.h"
#include "builder/cli/cli.h"
#include "builder/cli/cmd.h"
#include "builder/cli/lookup.h"
#include "builder/cli/value.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OPTION_MOUNT = 0x6000, OPTION_DIRECT, OPTION_RAW };

struct args {
    struct cli_common common;
    const char *mount;
    const char *version;
    bool direct;
    bool raw;
    const char *table;
    const char **keys;
    uint32_t n_keys;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct args *args = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &args->common;
        return 0;
    case 'v':
        args->version = arg;
        return 0;
    case OPTION_MOUNT:
        args->mount = arg;
        return 0;
    case OPTION_DIRECT:
        args->direct = true;
        return 0;
    case OPTION_RAW:
        args->raw = true;
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num == 0)
            args->table = arg;
        else
            args->keys[args->n_keys++] = arg;
        return 0;
    case ARGP_KEY_END:
        if (!args->n_keys)
            argp_error(state, "expected a table and at least one key");
        if (args->raw && (args->n_keys > 1 || args->common.json))
            argp_error(state, "--raw goes with one key and without --json");
        args->direct = args->direct || args->common.store_given;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option options[] = {
    {"mount", OPTION_MOUNT, "DIR", 0, "Where fkvd is mounted (/fkv or $FKV_MOUNT)", 0},
    {"version", 'v', "VERSION", 0, "Ask this version (default: current)", 0},
    {"direct", OPTION_DIRECT, NULL, 0, "Read the store, not the mount; --store says so too", 0},
    {"raw", OPTION_RAW, NULL, 0,
     "Only the value's bytes: one key; vectors as f32, with --direct as stored", 0},
    {0},
};

static const char doc[] = "Looks keys up through the mount, as a ranking process would, and prints "
                          "a line a key: key, tab, value. Vectors are printed as "
                          "numbers. Exits with 1 when a key is absent."
                          "\v"
                          "Examples:\n"
                          "  fkv get ads 42 43\n"
                          "  fkv get words cat --json\n"
                          "  fkv get ads 42 --version previous\n"
                          "  fkv get ads 42 --direct --version golden     # needs no daemon\n";

static int add_key(const struct lookup *lookup, const char *key, bool json, struct buf *out)
{
    if (json && lookup->schema.key_type != KEY_U64)
        return value_add_json_bytes(out, (const uint8_t *)key, strlen(key));
    return json ? buf_printf(out, "%llu", strtoull(key, NULL, 10))
                : value_add_escaped(out, (const uint8_t *)key, strlen(key));
}

static int add_text(const struct lookup *lookup, const struct args *args, uint32_t i,
                    struct buf *out)
{
    if (!lookup_found(lookup, i))
        return 0;
    if (args->raw)
        return lookup_add_value(lookup, i, LOOKUP_RAW, out);
    int rc = add_key(lookup, args->keys[i], false, out);
    if (!rc)
        rc = buf_add_byte(out, '\t');
    if (!rc)
        rc = lookup_add_value(lookup, i, LOOKUP_TEXT, out);
    return rc ? rc : buf_add_byte(out, '\n');
}

static int add_json(const struct lookup *lookup, const struct args *args, uint32_t i,
                    struct buf *out)
{
    bool found = lookup_found(lookup, i);
    int rc = buf_printf(out, "%s\n  {\"key\": ", i ? "," : "");
    if (!rc)
        rc = add_key(lookup, args->keys[i], true, out);
    if (!rc)
        rc = buf_printf(out, ", \"found\": %s", found ? "true, \"value\": " : "false");
    if (!rc && found)
        rc = lookup_add_value(lookup, i, LOOKUP_JSON, out);
    return rc ? rc : buf_add_byte(out, '}');
}

static int print(const struct lookup *lookup, const struct args *args, struct err *err)
{
    struct buf out = {0};
    bool json = args->common.json;
    int rc = 0;
    if (json)
        rc = buf_printf(&out, "{\"table\": \"%s\", \"version\": %" PRIu64 ", \"keys\": [",
                        args->table, lookup->version);
    for (uint32_t i = 0; !rc && i < args->n_keys; i++)
        rc = json ? add_json(lookup, args, i, &out) : add_text(lookup, args, i, &out);
    if (!rc && json)
        rc = buf_printf(&out, "\n]}\n");
    if (!rc && out.len)
        fwrite(out.data, 1, out.len, stdout);
    buf_release(&out);
    return rc ? err_sys(err, rc, "printing") : cli_flush(err);
}

static int absent(const struct lookup *lookup, const struct args *args, struct err *err)
{
    if (lookup->n_found == args->n_keys)
        return 0;
    uint32_t first = 0;
    while (lookup_found(lookup, first))
        first++;
    if (args->n_keys == 1)
        return err_set(err, -ENOENT, "%s version %" PRIu64 " has no key %s", args->table,
                       lookup->version, args->keys[0]);
    return err_set(err, -ENOENT, "%s version %" PRIu64 " has no key %s: %u of %u are absent",
                   args->table, lookup->version, args->keys[first], args->n_keys - lookup->n_found,
                   args->n_keys);
}

int cmd_get(int argc, char **argv, struct err *err)
{
    static const struct argp argp = {.options = options,
                                     .parser = parse,
                                     .args_doc = "TABLE KEY…",
                                     .doc = doc,
                                     .children = cli_children};
    scope_free const char **keys = calloc((size_t)argc + 1, sizeof *keys);
    const char *mount = getenv("FKV_MOUNT");
    struct args args = {.mount = mount ? mount : "/fkv", .keys = keys};
    scope_session struct session session = {0};
    struct lookup lookup = {0};
    int rc = 0;
    if (!keys)
        return err_sys(err, -ENOMEM, "reading the arguments");
    cli_parse(&argp, argc, argv, &args);
    if (args.direct)
        rc = session_open(&args.common, &session, err);
    if (!rc && args.direct)
        rc = lookup_in_store(&session, args.table, args.version, keys, args.n_keys, &lookup, err);
    else if (!rc)
        rc = lookup_in_mount(args.mount, args.table, args.version, keys, args.n_keys, &lookup, err);
    if (!rc)
        rc = print(&lookup, &args, err);
    if (!rc)
        rc = absent(&lookup, &args, err);
    lookup_release(&lookup);
    return rc;
}
