/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/cli/status.h"

#include "builder/cli/fleet_look.h"
#include "builder/cli/fleet_show.h"
#include "builder/cli/status_impl.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static bool is_canary(const struct table_state *table, uint64_t version)
{
    for (size_t i = 0; i < table->n_pins; i++) {
        if (table->pins[i].canary && table->pins[i].version == version)
            return true;
    }
    return false;
}

void status_judge(const struct heartbeat *node, const struct table_state *table, int64_t now_ns,
                  struct status_cell *out)
{
    struct status_cell cell = {.table = heartbeat_find_table(node, table->name),
                               .heard_ns = node->time_ns};
    uint64_t unpinned = now_ns < table->effective_ns ? table->before : table->current;
    cell.wanted = table_state_wanted(table, node->node, (const char *const *)node->labels,
                                     node->n_labels, now_ns);
    if (cell.wanted != unpinned)
        cell.hold = is_canary(table, cell.wanted) ? HOLD_CANARY : HOLD_PIN;
    if (cell.table && cell.table->local_pin) {
        cell.wanted = cell.table->local_pin;
        cell.hold = HOLD_HOST;
    }
    cell.serving = cell.table ? cell.table->serving : 0;
    cell.coming = cell.table ? node_table_find_version(cell.table, cell.wanted) : NULL;
    /* A table that has no current version takes nothing away from a node. */
    cell.settled = cell.serving == cell.wanted || !cell.wanted;
    *out = cell;
}

void status_cell_text(const struct status_cell *cell, struct buf *out)
{
    static const char *const holds[] = {
        [HOLD_NONE] = "",
        [HOLD_HOST] = ", pinned on its host (ln -sfn)",
        [HOLD_PIN] = ", pinned",
        [HOLD_CANARY] = ", canary",
    };
    if (cell->settled && !cell->wanted)
        buf_printf(out, "ok, no version is current");
    else if (cell->settled)
        buf_printf(out, "ok%s", holds[cell->hold]);
    else if (cell->coming && cell->coming->state == NODE_FAILED)
        buf_printf(out, "FAILING: %" PRIu64 "%s: %s", cell->wanted, holds[cell->hold],
                   cell->coming->reason ? cell->coming->reason : "no reason given");
    else {
        buf_printf(out, "behind: %" PRIu64 "%s ", cell->wanted, holds[cell->hold]);
        node_version_text(cell->coming, cell->heard_ns, out);
    }
}

void status_cell_full_text(const struct status_cell *cell, struct buf *out)
{
    status_cell_text(cell, out);
    for (size_t i = 0; cell->table && i < cell->table->n_versions; i++) {
        const struct node_version *v = &cell->table->versions[i];
        if (v->state == NODE_FAILED && v != cell->coming)
            buf_printf(out, "; %" PRIu64 " failed: %s", v->version,
                       v->reason ? v->reason : "no reason given");
    }
}

static void group_add(struct status_group *group, const struct node_version *version,
                      int64_t heard_ns)
{
    double rate = 0;
    if (!version || version->state == NODE_CACHED) {
        group->n_waiting++;
        return;
    }
    switch (version->state) {
    case NODE_READY:
    case NODE_SERVING:
        group->n_ready++;
        return;
    case NODE_FAILED:
        group->n_failing++;
        return;
    default:
        break;
    }
    bool first = !group->n_fetching && !group->n_loading;
    double pct = version->total ? 100.0 * (double)version->done / (double)version->total : 0;
    int64_t left_ns = node_version_left_ns(version, heard_ns, &rate);
    group->n_fetching += version->state == NODE_FETCHING;
    group->n_loading += version->state == NODE_LOADING;
    if (first || pct < group->least_pct)
        group->least_pct = pct;
    if (first || left_ns > group->longest_ns)
        group->longest_ns = left_ns;
}

static void count_cell(struct status_table *t, const struct status_cell *cell)
{
    t->n_live++;
    t->n_current += t->current && cell->serving == t->current->version;
    if (cell->settled && (cell->hold == HOLD_HOST || cell->hold == HOLD_PIN))
        t->n_pinned++;
    if (t->canary && cell->serving == t->canary)
        t->n_canary++;
    if (!cell->settled && cell->wanted == t->behind.version)
        group_add(&t->behind, cell->coming, cell->heard_ns);
    if (t->next.version)
        group_add(&t->next,
                  cell->table ? node_table_find_version(cell->table, t->next.version) : NULL,
                  cell->heard_ns);
}

static uint64_t newest_candidate(const struct table_state *table)
{
    for (size_t i = table->n_versions; i-- > 0;) {
        const struct version_entry *v = &table->versions[i];
        if (v->version <= table->current)
            break;
        if (v->state == VERSION_CANDIDATE && !table_state_find_bad(table, v))
            return v->version;
    }
    return 0;
}

static void table_init(struct status_table *t, const struct table_state *table)
{
    *t = (struct status_table){.table = table};
    t->current = table_state_find(table, table->current);
    t->canary = table_state_canary(table);
    t->behind.version = table->current;
    t->next.version = newest_candidate(table);
    if (t->current)
        t->since_ns = t->current->activated_ns > table->effective_ns ? t->current->activated_ns
                                                                     : table->effective_ns;
}

static int tables_init(struct status *status, const struct status_input *input)
{
    status->tables = calloc(input->state->n_tables + 1, sizeof *status->tables);
    if (!status->tables)
        return -ENOMEM;
    for (size_t i = 0; i < input->state->n_tables; i++) {
        const struct table_state *table = &input->state->tables[i];
        if (!input->only_table || !strcmp(input->only_table, table->name))
            table_init(&status->tables[status->n_tables++], table);
    }
    return 0;
}

static int add_node(struct status *status, const struct status_input *input,
                    const struct heartbeat *node)
{
    bool is_shown = !input->only_node || !strcmp(input->only_node, node->node);
    bool is_live = heartbeat_is_live(node, input->now_ns);
    int rc = is_shown ? status_node_issues(status, input, node) : 0;
    status->n_live += is_live;
    status->n_stopped += node->stopped;
    status->n_gone += !is_live && !node->stopped;
    for (size_t i = 0; !rc && is_live && i < status->n_tables; i++) {
        struct status_cell cell;
        status_judge(node, status->tables[i].table, input->now_ns, &cell);
        count_cell(&status->tables[i], &cell);
        if (is_shown)
            rc = status_cell_issues(status, node, status->tables[i].table, &cell);
    }
    return rc;
}

int status_make(const struct status_input *input, struct status *out, struct err *err)
{
    struct status status = {.state = input->state, .nodes = input->nodes, .now_ns = input->now_ns};
    int rc = tables_init(&status, input);
    if (!rc)
        rc = status_fleet_issues(&status, input);
    for (size_t i = 0; !rc && i < input->nodes->n_nodes; i++)
        rc = add_node(&status, input, &input->nodes->nodes[i]);
    if (rc) {
        status_release(&status);
        return err_sys(err, rc, "judging %zu nodes", input->nodes->n_nodes);
    }
    *out = status;
    return 0;
}

void status_release(struct status *status)
{
    for (size_t i = 0; i < status->n_issues; i++)
        free(status->issues[i].text);
    free(status->issues);
    free(status->tables);
    *status = (struct status){0};
}
