/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/cli/status_text.h"

#include "builder/cli/text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* More nodes than that with one issue in common share a line. */
enum { QUARANTINED_MAX = 3, ALONE_MAX = 5 };

static void count_text(struct buf *out, uint32_t n)
{
    char text[TEXT_MAX];
    text_count(n, text);
    buf_printf(out, "%s", text);
}

/* ", 3 ready" or its beginning without the comma. */
static void part(struct buf *out, bool *first, uint32_t n, const char *what)
{
    if (!n)
        return;
    buf_printf(out, "%s", *first ? "" : ", ");
    count_text(out, n);
    buf_printf(out, " %s", what);
    *first = false;
}

static void group_text(const struct status_group *group, bool *first, struct buf *out)
{
    char left[TEXT_MAX];
    part(out, first, group->n_ready, "ready");
    part(out, first, group->n_loading, "loading");
    part(out, first, group->n_fetching, "fetching");
    if (group->n_loading + group->n_fetching) {
        buf_printf(out, " (%.0f %%", group->least_pct);
        if (group->longest_ns >= 0) {
            text_age(group->longest_ns, left);
            buf_printf(out, ", %s left", left);
        }
        buf_printf(out, ")");
    }
    part(out, first, group->n_waiting, "not begun");
    part(out, first, group->n_failing, "FAILING");
}

void status_nodes_text(const struct status_table *t, struct buf *out)
{
    bool first = false;
    if (!t->n_live) {
        buf_printf(out, "no live node");
        return;
    }
    if (t->current) {
        bool all = t->n_current == t->n_live;
        buf_printf(out, "%s", all ? "all " : "");
        count_text(out, t->n_current);
        if (!all) {
            buf_printf(out, " of ");
            count_text(out, t->n_live);
        }
        buf_printf(out, " serve %" PRIu64, t->current->version);
    } else {
        buf_printf(out, "no version is current");
    }
    group_text(&t->behind, &first, out);
    part(out, &first, t->n_pinned, "pinned");
    part(out, &first, t->n_canary, "on canary");
    if (t->next.version) {
        first = true;
        buf_printf(out, "; %" PRIu64 ": ", t->next.version);
        group_text(&t->next, &first, out);
    }
}

/* "2 h", "in 0.3 s" */
static void add_since(struct grid *grid, const struct status_table *t, int64_t now_ns)
{
    char age[TEXT_MAX];
    int64_t ns = now_ns - t->since_ns;
    text_age(ns < 0 ? -ns : ns, age);
    if (t->since_ns)
        grid_add(grid, "%s%s", ns < 0 ? "in " : "", age);
    else
        grid_add(grid, "-");
}

static void next_text(const struct status_table *t, int64_t now_ns, struct buf *out)
{
    uint64_t version = t->canary ? t->canary : t->next.version;
    const struct version_entry *v = version ? table_state_find(t->table, version) : NULL;
    char age[TEXT_MAX];
    if (v) {
        text_age(now_ns - v->published_ns, age);
        buf_printf(out, "%" PRIu64 "%s, %s old", version, t->canary ? " on canary" : "", age);
    } else {
        buf_printf(out, "-");
    }
    if (t->canary && t->next.version != t->canary)
        buf_printf(out, "; %" PRIu64, t->next.version);
    buf_add_byte(out, 0);
}

/* The newest ones. */
static void quarantined_text(const struct table_state *table, struct buf *out)
{
    size_t n = 0;
    for (size_t i = table->n_versions; i-- > 0;) {
        const struct version_entry *v = &table->versions[i];
        if (!v->quarantined || v->state == VERSION_FORGOTTEN || v->state == VERSION_RETIRED)
            continue;
        if (n++ < QUARANTINED_MAX)
            buf_printf(out, "%s%" PRIu64, n > 1 ? ", " : "", v->version);
    }
    if (n > QUARANTINED_MAX)
        buf_printf(out, ", …");
    buf_printf(out, "%s", n ? "" : "-");
    buf_add_byte(out, 0);
}

static void show_tables(const struct status *status, FILE *file)
{
    static const char *const headers[] = {"TABLE", ">CURRENT",    ">SINCE", ">PREVIOUS",
                                          "NEXT",  "QUARANTINED", "NODES",  NULL};
    struct grid grid;
    grid_init(&grid, headers);
    for (size_t i = 0; i < status->n_tables; i++) {
        const struct status_table *t = &status->tables[i];
        struct buf next = {0}, bad = {0}, nodes = {0};
        next_text(t, status->now_ns, &next);
        quarantined_text(t->table, &bad);
        status_nodes_text(t, &nodes);
        grid_add(&grid, "%s", t->table->name);
        grid_add(&grid, t->table->current ? "%" PRIu64 : "-", t->table->current);
        add_since(&grid, t, status->now_ns);
        grid_add(&grid, t->table->previous ? "%" PRIu64 : "-", t->table->previous);
        grid_add(&grid, "%s", next.data ? (const char *)next.data : "");
        grid_add(&grid, "%s", bad.data ? (const char *)bad.data : "");
        grid_add(&grid, "%.*s", (int)nodes.len, nodes.data ? (const char *)nodes.data : "");
        buf_release(&next);
        buf_release(&bad);
        buf_release(&nodes);
    }
    grid_print(&grid, file);
}

static void row(struct grid *grid, const struct status *status, const struct heartbeat *node,
                const struct table_state *table, const char *text)
{
    char age[TEXT_MAX] = "-";
    const struct node_table *t = node && table ? heartbeat_find_table(node, table->name) : NULL;
    if (node)
        text_age(status->now_ns - node->time_ns, age);
    grid_add(grid, "%s", node ? node->node : "-");
    grid_add(grid, node ? "%s ago" : "%s", age);
    grid_add(grid, "%s", table ? table->name : "-");
    if (t && t->serving)
        grid_add(grid, "%" PRIu64, t->serving);
    else
        grid_add(grid, "-");
    grid_add(grid, "%s", text);
}

static const char *const node_headers[] = {"NODE", ">HEARD", "TABLE", ">SERVING", "STATE", NULL};

/* Issues of one kind on one table: what a thousand nodes have in common is one line. */
struct bunch {
    const struct status_issue *first;
    size_t n;
};

static bool is_alike(const struct status_issue *a, const struct status_issue *b)
{
    if (strcmp(a->kind, b->kind) != 0 || a->table != b->table || a->is_problem != b->is_problem)
        return false;
    return strcmp(a->kind, "failing") != 0 || !strcmp(a->text, b->text);
}

static struct bunch *find_bunch(struct bunch *bunches, size_t n, const struct status_issue *issue)
{
    for (size_t i = 0; i < n; i++) {
        if (is_alike(bunches[i].first, issue))
            return &bunches[i];
    }
    return NULL;
}

static struct bunch *make_bunches(const struct status *status, size_t *n)
{
    struct bunch *bunches = calloc(status->n_issues + 1, sizeof *bunches);
    *n = 0;
    for (size_t i = 0; bunches && i < status->n_issues; i++) {
        struct bunch *bunch = find_bunch(bunches, *n, &status->issues[i]);
        if (!bunch) {
            bunch = &bunches[(*n)++];
            bunch->first = &status->issues[i];
        }
        bunch->n++;
    }
    return bunches;
}

static void bunch_row(struct grid *grid, const struct status *status, const struct bunch *bunch)
{
    const struct status_issue *issue = bunch->first;
    char age[TEXT_MAX];
    text_age(status->now_ns - issue->node->time_ns, age);
    grid_add(grid, "%s and %zu more", issue->node->node, bunch->n - 1);
    grid_add(grid, "%s ago", age);
    grid_add(grid, "%s", issue->table ? issue->table->name : "-");
    grid_add(grid, "…");
    grid_add(grid, "%s", issue->text);
}

/* Problems first. all: every one has its line. */
static void show_issues(const struct status *status, size_t max, FILE *file)
{
    struct grid grid;
    size_t n_bunches = 0, n = 0;
    struct bunch *bunches = make_bunches(status, &n_bunches);
    bool all = max == SIZE_MAX;
    grid_init(&grid, node_headers);
    for (int problems = 1; bunches && problems >= 0; problems--) {
        for (size_t i = 0; i < status->n_issues; i++) {
            const struct status_issue *issue = &status->issues[i];
            if (issue->is_problem != problems)
                continue;
            const struct bunch *bunch = find_bunch(bunches, n_bunches, issue);
            bool together = !all && bunch->n > ALONE_MAX;
            if ((together && bunch->first != issue) || n++ >= max)
                continue;
            if (together)
                bunch_row(&grid, status, bunch);
            else
                row(&grid, status, issue->node, issue->table, issue->text);
        }
    }
    free(bunches);
    if (n)
        fputc('\n', file);
    if (n)
        grid_print(&grid, file);
    grid_free(&grid);
    if (n > max)
        fprintf(file, "… and %zu more; see: fkv status --all, --node NODE, or --json\n", n - max);
}

static void show_all(const struct status *status, FILE *file)
{
    struct grid grid;
    grid_init(&grid, node_headers);
    for (size_t i = 0; i < status->nodes->n_nodes; i++) {
        const struct heartbeat *node = &status->nodes->nodes[i];
        for (size_t j = 0; j < status->n_tables; j++) {
            struct status_cell cell;
            struct buf text = {0};
            status_judge(node, status->tables[j].table, status->now_ns, &cell);
            if (heartbeat_is_live(node, status->now_ns))
                status_cell_full_text(&cell, &text);
            else
                buf_printf(&text, node->stopped ? "stopped" : "gone");
            buf_add_byte(&text, 0);
            row(&grid, status, node, status->tables[j].table,
                text.data ? (const char *)text.data : "");
            buf_release(&text);
        }
    }
    fputc('\n', file);
    grid_print(&grid, file);
}

static void show_nodes(const struct status *status, FILE *file)
{
    char live[TEXT_MAX], gone[TEXT_MAX];
    text_count(status->n_live, live);
    text_count(status->n_gone, gone);
    fprintf(file, "nodes  %s live", live);
    if (status->n_gone)
        fprintf(file, ", %s gone", gone);
    if (status->n_stopped)
        fprintf(file, ", %u stopped", status->n_stopped);
    size_t n_notes = status->n_issues - status->n_problems;
    fprintf(file, "; %zu problem%s", status->n_problems, status->n_problems == 1 ? "" : "s");
    if (n_notes)
        fprintf(file, ", %zu note%s", n_notes, n_notes == 1 ? "" : "s");
    fprintf(file, "\n\n");
}

void status_show(const struct status *status, const struct status_layout *layout, FILE *file)
{
    show_nodes(status, file);
    show_tables(status, file);
    if (layout->all)
        show_all(status, file);
    show_issues(status, layout->all ? SIZE_MAX : layout->max_issues, file);
}
