/* SPDX-License-Identifier: Apache-2.0 */
#include "base/scope.h"
#include "builder/cli/args.h"
#include "builder/cli/cli.h"
#include "builder/cli/cmd.h"
#include "builder/cli/text.h"
#include "builder/cli/value.h"
#include "builder/version_reader.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { ADDED, REMOVED, CHANGED, N_KINDS };

struct args {
    struct cli_common common;
    const char *words[3];
    bool keys;
    uint64_t limit;
};

struct diff {
    const struct args *args;
    struct version_reader *a, *b;
    bool same_values; /* both hold the same type of value */
    uint64_t n[N_KINDS];
    uint64_t n_same;
    json_t *lists[N_KINDS]; /* for --json --keys */
    struct buf text;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct args *args = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &args->common;
        return 0;
    case 'k':
        args->keys = true;
        return 0;
    case 'n':
        args->limit = arg_need_u64(state, "--limit", arg);
        args->keys = true;
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 2)
            argp_error(state, "unexpected argument '%s'", arg);
        args->words[state->arg_num] = arg;
        return 0;
    case ARGP_KEY_END:
        if (state->arg_num < 1)
            argp_error(state, "expected a table");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option options[] = {
    {"keys", 'k', NULL, 0, "List the keys: + added, - removed, ~ changed", 0},
    {"limit", 'n', "N", 0, "At most so many keys of each kind", 0},
    {0},
};

static const char doc[] = "Compares two versions of a table (default: previous and current), key "
                          "by key: what B added, removed and changed since A."
                          "\v"
                          "Examples:\n"
                          "  fkv diff ads\n"
                          "  fkv diff ads 41 43 --keys | head\n"
                          "  fkv diff ads golden current --json --limit 100\n";

static int note(struct diff *diff, int kind, const struct schema *schema,
                const struct part_entry *entry)
{
    static const char marks[N_KINDS] = {'+', '-', '~'};
    bool json = diff->args->common.json;
    diff->n[kind]++;
    if (!diff->args->keys || (diff->args->limit && diff->n[kind] > diff->args->limit))
        return 0;
    buf_clear(&diff->text);
    if (json && schema->key_type == KEY_U64)
        return json_append(diff->lists[kind], entry->key <= INT64_MAX
                                                  ? json_integer((json_int_t)entry->key)
                                                  : json_sprintf("%" PRIu64, entry->key));
    int rc = value_add_key(&diff->text, schema, entry, json);
    if (rc)
        return rc;
    if (!json) {
        printf("%c %.*s\n", marks[kind], (int)diff->text.len, (const char *)diff->text.data);
        return 0;
    }
    return json_append(diff->lists[kind], json_loadb((const char *)diff->text.data, diff->text.len,
                                                     JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL));
}

/* Counts a live entry of the newer version. */
static int compare_entry(struct diff *diff, const struct part_entry *entry, struct value_room *room)
{
    const struct schema *schema = &version_reader_desc(diff->b)->schema;
    struct part_entry was;
    int has = version_reader_find(diff->a, entry, room, &was);
    if (has < 0)
        return has;
    if (!has)
        return note(diff, ADDED, schema, entry);
    if (!diff->same_values || was.value_len != entry->value_len ||
        (was.value_len && memcmp(was.value, entry->value, was.value_len)))
        return note(diff, CHANGED, schema, entry);
    diff->n_same++;
    return 0;
}

static int walk_new(struct diff *diff)
{
    struct version_cursor cursor = {0};
    struct value_room room = {0};
    struct part_entry entry;
    int rc;
    while ((rc = version_reader_next(diff->b, &cursor, &entry)) > 0) {
        rc = compare_entry(diff, &entry, &room);
        if (rc < 0)
            break;
    }
    version_cursor_release(&cursor);
    value_room_release(&room);
    return rc;
}

static int walk_old(struct diff *diff)
{
    const struct schema *schema = &version_reader_desc(diff->a)->schema;
    struct version_cursor cursor = {0};
    struct part_entry entry;
    struct part_entry found;
    int rc;
    while ((rc = version_reader_next(diff->a, &cursor, &entry)) > 0) {
        rc = version_reader_find_stored(diff->b, &entry, &found);
        if (rc == 0)
            rc = note(diff, REMOVED, schema, &entry);
        if (rc < 0)
            break;
    }
    version_cursor_release(&cursor);
    return rc;
}

static int print_json(struct diff *diff, uint64_t from, uint64_t to, struct err *err)
{
    static const char *const names[N_KINDS] = {"added", "removed", "changed"};
    json_t *out = json_object();
    json_put_string(out, "table", diff->args->words[0]);
    json_put_u64(out, "from", from);
    json_put_u64(out, "to", to);
    for (int kind = 0; kind < N_KINDS; kind++)
        json_put_u64(out, names[kind], diff->n[kind]);
    json_put_u64(out, "same", diff->n_same);
    json_put_bool(out, "same_value_type", diff->same_values);
    if (diff->args->keys) {
        json_t *keys = json_object();
        for (int kind = 0; kind < N_KINDS; kind++) {
            json_put(keys, names[kind], diff->lists[kind]);
            diff->lists[kind] = NULL;
        }
        json_put(out, "keys", keys);
    }
    return cli_print_json(out, err);
}

static void print_text(const struct diff *diff, uint64_t from, uint64_t to)
{
    char n[4][TEXT_MAX];
    for (int kind = 0; kind < N_KINDS; kind++)
        text_count(diff->n[kind], n[kind]);
    text_count(diff->n_same, n[N_KINDS]);
    printf("%s %" PRIu64 " -> %" PRIu64 ": %s added, %s removed, %s changed, %s the same\n",
           diff->args->words[0], from, to, n[ADDED], n[REMOVED], n[CHANGED], n[N_KINDS]);
    if (!diff->same_values)
        printf("the value type changed, so every common key counts as changed\n");
}

static int compare(struct diff *diff, struct err *err)
{
    const struct version_desc *a = version_reader_desc(diff->a), *b = version_reader_desc(diff->b);
    char was[VALUE_TEXT_MAX], is[VALUE_TEXT_MAX];
    if (a->schema.key_type != b->schema.key_type)
        return err_set(err, -EINVAL,
                       "keys of version %" PRIu64 " are %s, of version %" PRIu64
                       " %s: they have nothing in common",
                       a->version, key_type_name(a->schema.key_type), b->version,
                       key_type_name(b->schema.key_type));
    schema_value_text(&a->schema, was);
    schema_value_text(&b->schema, is);
    diff->same_values =
        !strcmp(was, is) || (a->schema.elem == ELEM_NONE && b->schema.elem == ELEM_NONE);
    int rc = walk_new(diff);
    if (!rc)
        rc = walk_old(diff);
    return rc ? err_sys(err, rc, "comparing versions %" PRIu64 " and %" PRIu64, a->version,
                        b->version)
              : 0;
}

int cmd_diff(int argc, char **argv, struct err *err)
{
    static const struct argp argp = {.options = options,
                                     .parser = parse,
                                     .args_doc = "TABLE [A [B]]",
                                     .doc = doc,
                                     .children = cli_children};
    struct args args = {.words = {NULL, "previous", "current"}};
    scope_session struct session session = {0};
    const struct version_entry *a = NULL, *b = NULL;
    struct diff diff = {.args = &args};
    cli_parse(&argp, argc, argv, &args);
    int rc = session_open(&args.common, &session, err);
    if (!rc)
        rc = session_version(&session, args.words[0], args.words[1], &a, err);
    if (!rc)
        rc = session_version(&session, args.words[0], args.words[2], &b, err);
    if (!rc)
        rc = session_read_version(&session, args.words[0], a, &diff.a, err);
    if (!rc)
        rc = session_read_version(&session, args.words[0], b, &diff.b, err);
    for (int kind = 0; kind < N_KINDS && args.common.json; kind++)
        diff.lists[kind] = json_array();
    if (!rc)
        rc = compare(&diff, err);
    if (!rc && args.common.json)
        rc = print_json(&diff, a->version, b->version, err);
    else if (!rc)
        print_text(&diff, a->version, b->version);
    for (int kind = 0; kind < N_KINDS; kind++)
        json_decref(diff.lists[kind]);
    buf_release(&diff.text);
    version_reader_close(diff.a);
    version_reader_close(diff.b);
    return rc;
}
