/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/cli/cli.h"
#include "builder/cli/cmd.h"
#include "builder/cli/text.h"
#include "manifest/heartbeat.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct args {
    struct cli_common common;
    const char *table;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct args *args = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &args->common;
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

static const char doc[] =
    "Shows the fleet: for every node and table what it serves, what it should serve and what holds "
    "it up. A node speaks through "
    "its heartbeat on the store; one that was silent for 30 seconds counts as gone."
    "\v"
    "Examples:\n"
    "  fkv status\n"
    "  fkv status ads\n"
    "  fkv status --json | jq '.nodes[] | select(.live | not) | .node'\n";

/* What a node says of one table, judged. */
struct verdict {
    uint64_t wanted;
    const struct node_table *table;    /* NULL: it says nothing */
    const struct node_version *coming; /* its word on the version wanted; or NULL */
    const struct node_version *failed; /* one that failed; or NULL */
    bool pinned;
    bool settled;
};

static void judge(const struct heartbeat *node, const struct table_state *table, int64_t now,
                  struct verdict *v)
{
    *v = (struct verdict){.table = heartbeat_find_table(node, table->name)};
    v->wanted = table_state_wanted(table, node->node, (const char *const *)node->labels,
                                   node->n_labels, now);
    v->pinned = v->wanted != table->current && now >= table->effective_ns;
    if (v->table && v->table->local_pin) {
        v->wanted = v->table->local_pin;
        v->pinned = true;
    }
    v->coming = v->table ? node_table_find_version(v->table, v->wanted) : NULL;
    for (size_t i = 0; v->table && i < v->table->n_versions; i++) {
        if (v->table->versions[i].state == NODE_FAILED)
            v->failed = &v->table->versions[i];
    }
    v->settled = (v->table ? v->table->serving : 0) == v->wanted;
}

/* "ok", "pinned on its host", "loading 43, 45 %", "43 failed: …" */
static void verdict_text(const struct verdict *v, bool live, struct buf *out)
{
    if (!live)
        buf_printf(out, "gone");
    else if (v->settled)
        buf_printf(out, "%s",
                   !v->pinned            ? "ok"
                   : v->table->local_pin ? "ok, pinned on its host (ln -sfn)"
                                         : "ok, pinned");
    else if (!v->coming)
        buf_printf(out, "behind: %" PRIu64 " not seen yet", v->wanted);
    else if (v->coming->state == NODE_FAILED)
        buf_printf(out, "FAILING: %" PRIu64 ": %s", v->wanted,
                   v->coming->reason ? v->coming->reason : "no reason given");
    else
        buf_printf(out, "behind: %" PRIu64 " %s", v->wanted,
                   node_version_state_name(v->coming->state));
    if (live && v->coming && v->coming->total && !v->settled &&
        (v->coming->state == NODE_FETCHING || v->coming->state == NODE_LOADING))
        buf_printf(out, " %.0f %%", 100.0 * (double)v->coming->done / (double)v->coming->total);
    if (live && v->failed && v->failed != v->coming)
        buf_printf(out, "; %" PRIu64 " failed: %s", v->failed->version,
                   v->failed->reason ? v->failed->reason : "no reason given");
    buf_add_byte(out, 0);
}

static json_t *table_json(const struct table_state *table, const struct verdict *v, bool live)
{
    struct buf text = {0};
    json_t *out = json_object();
    json_t *versions = json_array();
    verdict_text(v, live, &text);
    json_put_string(out, "table", table->name);
    json_put_u64(out, "current", table->current);
    json_put_u64(out, "serving", v->table ? v->table->serving : 0);
    json_put_u64(out, "wanted", v->wanted);
    json_put_u64(out, "local_pin", v->table ? v->table->local_pin : 0);
    json_put_bool(out, "settled", v->settled);
    json_put_string(out, "text", text.data ? (const char *)text.data : "");
    for (size_t i = 0; v->table && i < v->table->n_versions; i++) {
        const struct node_version *version = &v->table->versions[i];
        json_t *one = json_object();
        json_put_u64(one, "version", version->version);
        json_put_string(one, "state", node_version_state_name(version->state));
        json_put_u64(one, "done", version->done);
        json_put_u64(one, "total", version->total);
        if (version->reason)
            json_put_string(one, "reason", version->reason);
        json_append(versions, one);
    }
    json_put(out, "versions", versions);
    buf_release(&text);
    return out;
}

static json_t *node_json(const struct heartbeat *node, const struct state *state, const char *only,
                         int64_t now)
{
    char time[TEXT_MAX];
    json_t *out = json_object();
    json_t *tables = json_array();
    json_t *labels = json_array();
    bool live = heartbeat_is_live(node, now);
    json_put_string(out, "node", node->node);
    json_put_bool(out, "live", live);
    text_rfc3339(node->time_ns, time);
    json_put_string(out, "heartbeat", time);
    json_put_double(out, "age_s", (double)(now - node->time_ns) / 1e9);
    json_put_u64(out, "record", node->seq);
    json_put_u64(out, "memory_used", node->memory_used);
    json_put_u64(out, "memory_budget", node->memory_budget);
    for (size_t i = 0; i < node->n_labels; i++)
        json_append(labels, json_string(node->labels[i]));
    json_put(out, "labels", labels);
    for (size_t i = 0; i < state->n_tables; i++) {
        struct verdict v;
        if (only && strcmp(only, state->tables[i].name) != 0)
            continue;
        judge(node, &state->tables[i], now, &v);
        json_append(tables, table_json(&state->tables[i], &v, live));
    }
    json_put(out, "tables", tables);
    return out;
}

static int show_json(struct session *session, const struct heartbeat_list *nodes, const char *only,
                     struct err *err)
{
    const struct state *state = manifest_state(session->manifest);
    int64_t now = session_now_ns(session);
    json_t *list = json_array();
    for (size_t i = 0; i < nodes->n_nodes; i++)
        json_append(list, node_json(&nodes->nodes[i], state, only, now));
    json_t *out = json_object();
    json_put_string(out, "store", store_url(session->store));
    json_put_u64(out, "record", state->seq);
    json_put_u64(out, "unreadable", nodes->n_bad);
    json_put(out, "nodes", list);
    return cli_print_json(out, err);
}

static void add_row(struct grid *grid, const struct heartbeat *node,
                    const struct table_state *table, const char *age, const char *memory,
                    int64_t now)
{
    struct verdict v;
    struct buf text = {0};
    judge(node, table, now, &v);
    verdict_text(&v, heartbeat_is_live(node, now), &text);
    grid_add(grid, "%s", node->node);
    grid_add(grid, "%s", age);
    grid_add(grid, "%s", memory);
    grid_add(grid, "%s", table->name);
    if (v.table && v.table->serving)
        grid_add(grid, "%" PRIu64, v.table->serving);
    else
        grid_add(grid, "-");
    grid_add(grid, "%s", text.data ? (const char *)text.data : "");
    buf_release(&text);
}

static void show(struct session *session, const struct heartbeat_list *nodes, const char *only)
{
    static const char *const headers[] = {"NODE",     ">HEARD", ">MEMORY", "TABLE",
                                          ">SERVING", "STATE",  NULL};
    const struct state *state = manifest_state(session->manifest);
    int64_t now = session_now_ns(session);
    struct grid grid;
    grid_init(&grid, headers);
    for (size_t i = 0; i < nodes->n_nodes; i++) {
        const struct heartbeat *node = &nodes->nodes[i];
        char age[TEXT_MAX], heard[TEXT_MAX + 8], memory[TEXT_MAX];
        text_age(now - node->time_ns, age);
        snprintf(heard, sizeof heard, "%s ago", age);
        text_size(node->memory_used, memory);
        for (size_t j = 0; j < state->n_tables; j++) {
            if (!only || !strcmp(only, state->tables[j].name))
                add_row(&grid, node, &state->tables[j], heard, memory, now);
        }
    }
    grid_print(&grid, stdout);
    if (nodes->n_bad)
        printf("%zu heartbeats could not be read: see %s/nodes\n", nodes->n_bad,
               store_url(session->store));
}

int cmd_status(int argc, char **argv, struct err *err)
{
    static const struct argp argp = {
        .parser = parse, .args_doc = "[TABLE]", .doc = doc, .children = cli_children};
    struct args args = {0};
    scope_session struct session session = {0};
    struct heartbeat_list nodes = {0};
    const struct table_state *table = NULL;
    cli_parse(&argp, argc, argv, &args);
    int rc = session_open(&args.common, &session, err);
    if (!rc && args.table)
        rc = session_table(&session, args.table, &table, err);
    if (!rc)
        rc = heartbeat_list_read(session.store, &nodes, err);
    if (!rc && args.common.json)
        rc = show_json(&session, &nodes, args.table, err);
    else if (!rc && nodes.n_nodes)
        show(&session, &nodes, args.table);
    else if (!rc)
        printf("no node has reported to %s yet; start one with: fkvd --store %s --mount /fkv\n",
               store_url(session.store), store_url(session.store));
    heartbeat_list_release(&nodes);
    return rc;
}
