/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/cli/cli.h"
#include "builder/cli/cmd.h"
#include "builder/cli/text.h"
#include "builder/cli/validation_show.h"
#include "builder/layout.h"
#include "builder/version_reader.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct args {
    struct cli_common common;
    const char *table;
    bool all;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct args *args = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &args->common;
        return 0;
    case 'a':
        args->all = true;
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num)
            argp_error(state, "expected one table, found another: '%s'", arg);
        args->table = arg;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option options[] = {
    {"all", 'a', NULL, 0, "Forgotten versions too", 0},
    {0},
};

static const char doc[] = "Lists the tables of a store, or the versions of TABLE: state, kind, "
                          "keys, bytes, age, tags and pins."
                          "\v"
                          "Examples:\n"
                          "  fkv ls\n"
                          "  fkv ls ads\n"
                          "  fkv ls ads --json | jq '.versions[] | select(.quarantined)'\n";

/* "a, b": what names this version. */
static void names_of(const struct table_state *table, uint64_t version, bool pins, struct buf *out)
{
    size_t n = pins ? table->n_pins : table->n_tags;
    for (size_t i = 0; i < n; i++) {
        const char *name = pins ? table->pins[i].name : table->tags[i].name;
        if ((pins ? table->pins[i].version : table->tags[i].version) == version)
            buf_printf(out, "%s%s%s", out->len ? ", " : "", name,
                       pins && table->pins[i].canary ? " (canary)" : "");
    }
    buf_add_byte(out, 0);
}

static json_t *names_json(const struct table_state *table, uint64_t version, bool pins)
{
    json_t *list = json_array();
    size_t n = pins ? table->n_pins : table->n_tags;
    for (size_t i = 0; i < n; i++) {
        if ((pins ? table->pins[i].version : table->tags[i].version) == version)
            json_append(list, json_string(pins ? table->pins[i].name : table->tags[i].name));
    }
    return list;
}

/* What a version's own description says; NULL when it is not there to be read. */
static const char *kind_of(const struct session *session, const char *table,
                           const struct version_entry *v)
{
    char dir[LAYOUT_PATH_MAX];
    struct version_desc desc = {0};
    if (v->state == VERSION_FORGOTTEN)
        return NULL;
    layout_version_dir(table, v->version, dir);
    if (version_desc_read(session->store, dir, &v->digest, &desc, NULL))
        return NULL;
    enum table_kind kind = desc.schema.kind;
    version_desc_release(&desc);
    return table_kind_name(kind);
}

static json_t *counts_json(const struct session *session, const char *table,
                           const struct version_entry *v)
{
    char dir[LAYOUT_PATH_MAX];
    if (v->state == VERSION_FORGOTTEN)
        return json_null();
    layout_version_dir(table, v->version, dir);
    return validation_counts_json(session->store, dir);
}

/* What its validators found, in a word. */
static void add_validation(const struct session *session, const char *table,
                           const struct version_entry *v, struct grid *grid)
{
    char dir[LAYOUT_PATH_MAX], word[VALIDATION_WORD_MAX] = "-";
    layout_version_dir(table, v->version, dir);
    if (v->state != VERSION_FORGOTTEN)
        validation_word(session->store, dir, word);
    grid_add(grid, "%s", word);
}

static json_t *version_json(const struct session *session, const struct table_state *table,
                            const struct version_entry *v)
{
    const char *kind = kind_of(session, table->name, v);
    char time[TEXT_MAX];
    json_t *out = json_object();
    json_put_u64(out, "version", v->version);
    json_put_string(out, "state", version_state_text(table, v));
    json_put_bool(out, "quarantined", v->quarantined);
    json_put(out, "kind", kind ? json_string(kind) : json_null());
    json_put_u64(out, "base", v->base);
    json_put_u64(out, "n_keys", v->n_keys);
    json_put_u64(out, "bytes", v->len);
    text_rfc3339(v->published_ns, time);
    json_put_string(out, "published", time);
    text_rfc3339(v->activated_ns, time);
    json_put(out, "activated", v->activated_ns ? json_string(time) : json_null());
    json_put(out, "tags", names_json(table, v->version, false));
    json_put(out, "pins", names_json(table, v->version, true));
    json_put_bool(out, "canary", v->version == table_state_canary(table));
    json_put(out, "validation", counts_json(session, table->name, v));
    return out;
}

static json_t *table_json(const struct session *session, const struct table_state *table, bool all)
{
    json_t *out = json_object();
    json_t *versions = json_array();
    json_put_string(out, "table", table->name);
    json_put_u64(out, "current", table->current);
    json_put_u64(out, "previous", table->previous);
    json_put_u64(out, "canary", table_state_canary(table));
    json_put_u64(out, "keep", table->keep);
    for (size_t i = 0; i < table->n_versions; i++) {
        if (all || table->versions[i].state != VERSION_FORGOTTEN)
            json_append(versions, version_json(session, table, &table->versions[i]));
    }
    json_put(out, "versions", versions);
    return out;
}

static void show_table(const struct session *session, const struct table_state *table, bool all,
                       int64_t now)
{
    static const char *const headers[] = {">VERSION", "STATE", "KIND",       ">KEYS",
                                          ">SIZE",    ">BASE", ">PUBLISHED", "VALIDATORS",
                                          "TAGS",     "PINS",  NULL};
    struct grid grid;
    grid_init(&grid, headers);
    for (size_t i = 0; i < table->n_versions; i++) {
        const struct version_entry *v = &table->versions[i];
        char keys[TEXT_MAX], size[TEXT_MAX], age[TEXT_MAX];
        struct buf tags = {0}, pins = {0};
        if (v->state == VERSION_FORGOTTEN && !all)
            continue;
        text_count(v->n_keys, keys);
        text_size(v->len, size);
        text_age(now - v->published_ns, age);
        names_of(table, v->version, false, &tags);
        names_of(table, v->version, true, &pins);
        grid_add(&grid, "%" PRIu64, v->version);
        grid_add(&grid, "%s%s", version_state_text(table, v),
                 v->quarantined ? ", quarantined" : "");
        const char *kind = kind_of(session, table->name, v);
        grid_add(&grid, "%s", kind ? kind : "-");
        grid_add(&grid, "%s", keys);
        grid_add(&grid, "%s", size);
        if (v->base)
            grid_add(&grid, "%" PRIu64, v->base);
        else
            grid_add(&grid, "-");
        grid_add(&grid, "%s ago", age);
        add_validation(session, table->name, v, &grid);
        grid_add(&grid, "%s", tags.data ? (const char *)tags.data : "");
        grid_add(&grid, "%s", pins.data ? (const char *)pins.data : "");
        buf_release(&tags);
        buf_release(&pins);
    }
    grid_print(&grid, stdout);
}

static size_t n_kept(const struct table_state *table)
{
    size_t n = 0;
    for (size_t i = 0; i < table->n_versions; i++)
        n += table->versions[i].state != VERSION_FORGOTTEN;
    return n;
}

static void show_tables(const struct session *session, const struct state *state, int64_t now)
{
    static const char *const headers[] = {"TABLE", "KIND",  ">CURRENT",  ">PREVIOUS", ">VERSIONS",
                                          ">KEYS", ">SIZE", ">SWITCHED", "CANARY",    NULL};
    struct grid grid;
    grid_init(&grid, headers);
    for (size_t i = 0; i < state->n_tables; i++) {
        const struct table_state *table = &state->tables[i];
        const struct version_entry *v = table_state_find(table, table->current);
        char keys[TEXT_MAX] = "-", size[TEXT_MAX] = "-", age[TEXT_MAX] = "-";
        if (v) {
            text_count(v->n_keys, keys);
            text_size(v->len, size);
            text_age(now - v->activated_ns, age);
        }
        const char *kind = v ? kind_of(session, table->name, v) : NULL;
        grid_add(&grid, "%s", table->name);
        grid_add(&grid, "%s", kind ? kind : "-");
        grid_add(&grid, table->current ? "%" PRIu64 : "-", table->current);
        grid_add(&grid, table->previous ? "%" PRIu64 : "-", table->previous);
        grid_add(&grid, "%zu", n_kept(table));
        grid_add(&grid, "%s", keys);
        grid_add(&grid, "%s", size);
        grid_add(&grid, v ? "%s ago" : "%s", age);
        uint64_t canary = table_state_canary(table);
        grid_add(&grid, canary ? "%" PRIu64 : "-", canary);
    }
    grid_print(&grid, stdout);
}

static int list_one(struct session *session, const struct args *args, struct err *err)
{
    const struct table_state *table = NULL;
    int rc = session_table(session, args->table, &table, err);
    if (rc)
        return rc;
    if (args->common.json)
        return cli_print_json(table_json(session, table, args->all), err);
    show_table(session, table, args->all, manifest_now_ns(session->manifest));
    return 0;
}

int cmd_ls(int argc, char **argv, struct err *err)
{
    static const struct argp argp = {.options = options,
                                     .parser = parse,
                                     .args_doc = "[TABLE]",
                                     .doc = doc,
                                     .children = cli_children};
    struct args args = {0};
    scope_session struct session session = {0};
    cli_parse(&argp, argc, argv, &args);
    int rc = session_open(&args.common, &session, err);
    if (rc)
        return rc;
    if (args.table)
        return list_one(&session, &args, err);
    const struct state *state = manifest_state(session.manifest);
    if (args.common.json) {
        json_t *list = json_array();
        for (size_t i = 0; i < state->n_tables; i++)
            json_append(list, table_json(&session, &state->tables[i], args.all));
        json_t *out = json_object();
        json_put(out, "tables", list);
        return cli_print_json(out, err);
    }
    if (state->n_tables)
        show_tables(&session, state, manifest_now_ns(session.manifest));
    else
        printf("no tables in %s yet; make one with: fkv build TABLE INPUT… and fkv publish TABLE\n",
               store_url(session.store));
    return 0;
}
