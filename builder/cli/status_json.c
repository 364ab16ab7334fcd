/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/cli/status_json.h"

#include "builder/cli/fleet_look.h"
#include "builder/cli/text.h"

#include <string.h>

static json_t *time_json(int64_t ns)
{
    char text[TEXT_MAX];
    if (!ns)
        return json_null();
    text_rfc3339(ns, text);
    return json_string(text);
}

static json_t *seconds_json(int64_t ns)
{
    return json_real((double)ns / 1e9);
}

static json_t *node_version_json(const struct node_version *v, int64_t heard_ns)
{
    double rate = 0;
    int64_t left_ns = node_version_left_ns(v, heard_ns, &rate);
    json_t *out = json_object();
    json_put_u64(out, "version", v->version);
    json_put_string(out, "state", node_version_state_name(v->state));
    json_put_u64(out, "done", v->done);
    json_put_u64(out, "total", v->total);
    json_put(out, "since", time_json(v->since_ns));
    if (rate > 0)
        json_put_double(out, "bytes_per_s", rate);
    if (left_ns >= 0)
        json_put(out, "left_s", seconds_json(left_ns));
    if (v->reason)
        json_put_string(out, "reason", v->reason);
    if (v->failures)
        json_put_u64(out, "failures", v->failures);
    return out;
}

static json_t *cell_json(const struct table_state *table, const struct status_cell *cell, bool live)
{
    static const char *const holds[] = {
        [HOLD_NONE] = "none", [HOLD_HOST] = "host", [HOLD_PIN] = "pin", [HOLD_CANARY] = "canary"};
    struct buf text = {0};
    json_t *out = json_object();
    json_t *versions = json_array();
    if (live)
        status_cell_full_text(cell, &text);
    else
        buf_printf(&text, "gone");
    buf_add_byte(&text, 0);
    json_put_string(out, "table", table->name);
    json_put_u64(out, "current", table->current);
    json_put_u64(out, "serving", cell->serving);
    json_put_u64(out, "wanted", cell->wanted);
    json_put_u64(out, "local_pin", cell->table ? cell->table->local_pin : 0);
    json_put_string(out, "held", holds[cell->hold]);
    json_put_bool(out, "settled", cell->settled);
    json_put(out, "switched", time_json(cell->table ? cell->table->switched_ns : 0));
    json_put_string(out, "text", text.data ? (const char *)text.data : "");
    for (size_t i = 0; cell->table && i < cell->table->n_versions; i++)
        json_append(versions, node_version_json(&cell->table->versions[i], cell->heard_ns));
    json_put(out, "versions", versions);
    buf_release(&text);
    return out;
}

static void node_facts(json_t *out, const struct heartbeat *node, int64_t now_ns)
{
    json_put_string(out, "node", node->node);
    json_put_bool(out, "live", heartbeat_is_live(node, now_ns));
    json_put_bool(out, "stopped", node->stopped);
    json_put(out, "heartbeat", time_json(node->time_ns));
    json_put(out, "age_s", seconds_json(now_ns - node->time_ns));
    json_put(out, "started", time_json(node->started_ns));
    json_put_u64(out, "record", node->seq);
    json_put_string(out, "host", node->host);
    json_put_u64(out, "pid", node->pid);
    json_put_string(out, "fkvd", node->fkvd);
    json_put_string(out, "instance", node->instance);
    json_put(out, "clock_ahead_s", seconds_json(node->clock_ahead_ns));
    json_put(out, "poll_s", seconds_json(node->poll_ns));
    json_put_u64(out, "memory_used", node->memory_used);
    json_put_u64(out, "memory_budget", node->memory_budget);
    json_put_u64(out, "cache_used", node->cache_used);
    json_put_u64(out, "cache_limit", node->cache_limit);
}

static json_t *node_json(const struct status *status, const struct heartbeat *node)
{
    json_t *out = json_object();
    json_t *labels = json_array();
    json_t *tables = json_array();
    bool live = heartbeat_is_live(node, status->now_ns);
    node_facts(out, node, status->now_ns);
    for (size_t i = 0; i < node->n_labels; i++)
        json_append(labels, json_string(node->labels[i]));
    json_put(out, "labels", labels);
    for (size_t i = 0; i < status->n_tables; i++) {
        struct status_cell cell;
        status_judge(node, status->tables[i].table, status->now_ns, &cell);
        json_append(tables, cell_json(status->tables[i].table, &cell, live));
    }
    json_put(out, "tables", tables);
    return out;
}

static json_t *group_json(const struct status_group *group)
{
    json_t *out = json_object();
    json_put_u64(out, "version", group->version);
    json_put_u64(out, "ready", group->n_ready);
    json_put_u64(out, "fetching", group->n_fetching);
    json_put_u64(out, "loading", group->n_loading);
    json_put_u64(out, "failing", group->n_failing);
    json_put_u64(out, "not_begun", group->n_waiting);
    if (group->n_fetching + group->n_loading) {
        json_put_double(out, "least_pct", group->least_pct);
        json_put(out, "left_s",
                 group->longest_ns < 0 ? json_null() : seconds_json(group->longest_ns));
    }
    return out;
}

static json_t *pins_json(const struct table_state *table)
{
    json_t *list = json_array();
    for (size_t i = 0; i < table->n_pins; i++) {
        json_t *one = json_object();
        json_put_string(one, "name", table->pins[i].name);
        json_put_u64(one, "version", table->pins[i].version);
        json_put_bool(one, "canary", table->pins[i].canary);
        json_append(list, one);
    }
    return list;
}

static json_t *table_json(const struct status_table *t)
{
    const struct table_state *table = t->table;
    json_t *out = json_object();
    json_t *candidates = json_array();
    json_t *quarantined = json_array();
    for (size_t i = 0; i < table->n_versions; i++) {
        const struct version_entry *v = &table->versions[i];
        if (v->state == VERSION_FORGOTTEN || v->state == VERSION_RETIRED)
            continue;
        if (v->quarantined)
            json_append(quarantined, json_integer((json_int_t)v->version));
        else if (v->state == VERSION_CANDIDATE && v->version > table->current &&
                 !table_state_find_bad(table, v))
            json_append(candidates, json_integer((json_int_t)v->version));
    }
    json_put_string(out, "table", table->name);
    json_put_u64(out, "current", table->current);
    json_put(out, "since", time_json(t->since_ns));
    json_put(out, "effective", time_json(table->effective_ns));
    json_put_u64(out, "previous", table->previous);
    json_put_u64(out, "canary", t->canary);
    json_put(out, "candidates", candidates);
    json_put(out, "quarantined", quarantined);
    json_put(out, "pins", pins_json(table));
    json_put_u64(out, "live_nodes", t->n_live);
    json_put_u64(out, "serving_current", t->n_current);
    json_put_u64(out, "serving_canary", t->n_canary);
    json_put_u64(out, "pinned_nodes", t->n_pinned);
    json_put(out, "behind", group_json(&t->behind));
    json_put(out, "next", t->next.version ? group_json(&t->next) : json_null());
    return out;
}

static json_t *issue_json(const struct status_issue *issue)
{
    json_t *out = json_object();
    json_put_bool(out, "problem", issue->is_problem);
    json_put_string(out, "kind", issue->kind);
    json_put(out, "node", issue->node ? json_string(issue->node->node) : json_null());
    json_put(out, "table", issue->table ? json_string(issue->table->name) : json_null());
    json_put_string(out, "text", issue->text);
    return out;
}

json_t *status_json(const struct status *status, const char *store_url, const char *only_node)
{
    json_t *out = json_object();
    json_t *tables = json_array();
    json_t *nodes = json_array();
    json_t *issues = json_array();
    for (size_t i = 0; i < status->n_tables; i++)
        json_append(tables, table_json(&status->tables[i]));
    for (size_t i = 0; i < status->nodes->n_nodes; i++) {
        const struct heartbeat *node = &status->nodes->nodes[i];
        if (!only_node || !strcmp(only_node, node->node))
            json_append(nodes, node_json(status, node));
    }
    for (size_t i = 0; i < status->n_issues; i++)
        json_append(issues, issue_json(&status->issues[i]));
    json_put_string(out, "store", store_url);
    json_put(out, "time", time_json(status->now_ns));
    json_put_u64(out, "record", status->state->seq);
    json_put_u64(out, "live_nodes", status->n_live);
    json_put_u64(out, "gone_nodes", status->n_gone);
    json_put_u64(out, "stopped_nodes", status->n_stopped);
    json_put_u64(out, "unreadable", status->nodes->n_bad);
    json_put_u64(out, "problems", status->n_problems);
    json_put(out, "tables", tables);
    json_put(out, "nodes", nodes);
    json_put(out, "issues", issues);
    return out;
}
