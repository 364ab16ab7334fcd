/* SPDX-License-Identifier: Apache-2.0 */
/* One table or one node in full. */
#include "builder/cli/fleet_show.h"
#include "builder/cli/status_text.h"
#include "builder/cli/text.h"

#include <inttypes.h>
#include <string.h>

static void show_version(const struct status *status, const struct table_state *table,
                         uint64_t version, const char *what, const char *more, FILE *file)
{
    const struct version_entry *v = table_state_find(table, version);
    char published[TEXT_MAX], activated[TEXT_MAX], size[TEXT_MAX];
    if (!v)
        return;
    text_age(status->now_ns - v->published_ns, published);
    text_size(v->len, size);
    fprintf(file, "  %-12s %" PRIu64 "  %s, published %s ago", what, version, size, published);
    if (v->activated_ns) {
        text_age(status->now_ns - v->activated_ns, activated);
        fprintf(file, ", activated %s ago", activated);
    }
    fprintf(file, "%s%s\n", *more ? ", " : "", more);
}

static void show_canary(const struct status *status, const struct status_table *t, FILE *file)
{
    struct buf names = {0};
    buf_printf(&names, "tried by ");
    for (size_t i = 0, n = 0; i < t->table->n_pins; i++) {
        const struct pin_entry *pin = &t->table->pins[i];
        if (pin->canary && pin->version == t->canary)
            buf_printf(&names, "%s%s", n++ ? ", " : "", pin->name);
    }
    buf_add_byte(&names, 0);
    show_version(status, t->table, t->canary, "canary", names.data ? (const char *)names.data : "",
                 file);
    buf_release(&names);
}

void status_show_table(const struct status *status, const struct status_table *t, FILE *file)
{
    const struct table_state *table = t->table;
    char when[TEXT_MAX];
    fprintf(file, "%s\n", table->name);
    show_version(status, table, table->current, "current", "", file);
    if (table->effective_ns > status->now_ns) {
        text_age(table->effective_ns - status->now_ns, when);
        fprintf(file, "  %-12s in %s; until then nodes serve %" PRIu64 "\n", "takes effect", when,
                table->before);
    }
    show_version(status, table, table->previous, "previous", "", file);
    if (t->canary)
        show_canary(status, t, file);
    for (size_t i = table->n_versions; i-- > 0;) {
        const struct version_entry *v = &table->versions[i];
        if (v->state == VERSION_CANDIDATE && v->version > table->current &&
            v->version != t->canary && !table_state_find_bad(table, v))
            show_version(status, table, v->version, "candidate", "", file);
        else if (v->quarantined && v->state != VERSION_FORGOTTEN && v->state != VERSION_RETIRED)
            show_version(status, table, v->version, "quarantined", "", file);
    }
    for (size_t i = 0; i < table->n_pins; i++) {
        if (!table->pins[i].canary)
            fprintf(file, "  %-12s %" PRIu64 "  for %s\n", "pin", table->pins[i].version,
                    table->pins[i].name);
    }
    fputc('\n', file);
}

static void show_facts(const struct status *status, const struct heartbeat *node, FILE *file)
{
    char age[TEXT_MAX], up[TEXT_MAX], used[TEXT_MAX], limit[TEXT_MAX];
    bool live = heartbeat_is_live(node, status->now_ns);
    text_age(status->now_ns - node->time_ns, age);
    text_age(status->now_ns - node->started_ns, up);
    fprintf(file, "node %s: %s, heard %s ago, started %s ago\n", node->node,
            live            ? "live"
            : node->stopped ? "stopped"
                            : "GONE",
            age, up);
    fprintf(file, "  %-8s %s, pid %" PRIu64 ", fkvd %s\n", "host", node->host[0] ? node->host : "?",
            node->pid, node->fkvd[0] ? node->fkvd : "?");
    fprintf(file, "  %-8s", "labels");
    for (size_t i = 0; i < node->n_labels; i++)
        fprintf(file, "%s%s", i ? ", " : " ", node->labels[i]);
    text_size(node->memory_used, used);
    text_size(node->memory_budget, limit);
    fprintf(file, "%s\n  %-8s %s of %s\n", node->n_labels ? "" : " none", "memory", used, limit);
    text_size(node->cache_used, used);
    text_size(node->cache_limit, limit);
    fprintf(file, "  %-8s %s of %s\n", "cache", used,
            node->cache_limit ? limit : "what the disk holds");
    fprintf(file, "  %-8s record %" PRIu64 " of %" PRIu64 ", polls every %.0f ms\n", "log",
            node->seq, status->state->seq, (double)node->poll_ns / 1e6);
    fprintf(file, "  %-8s %+.3f s from the store's\n\n", "clock",
            (double)node->clock_ahead_ns / 1e9);
}

static void version_row(struct grid *grid, const struct status *status, int64_t heard_ns,
                        const char *table, const char *serving, const struct node_version *v,
                        const char *judged)
{
    struct buf text = {0};
    char age[TEXT_MAX] = "-";
    if (v)
        node_version_text(v, heard_ns, &text);
    if (v && v->since_ns)
        text_age(status->now_ns - v->since_ns, age);
    grid_add(grid, "%s", table);
    grid_add(grid, "%s", serving);
    grid_add(grid, v ? "%" PRIu64 : "-", v ? v->version : 0);
    grid_add(grid, "%.*s", (int)text.len, text.data ? (const char *)text.data : "");
    grid_add(grid, "%s", age);
    grid_add(grid, "%s", judged);
    buf_release(&text);
}

void status_show_node(const struct status *status, const struct heartbeat *node, FILE *file)
{
    static const char *const headers[] = {"TABLE", ">SERVING", ">VERSION", "STATE",
                                          ">FOR",  "JUDGED",   NULL};
    struct grid grid;
    show_facts(status, node, file);
    grid_init(&grid, headers);
    for (size_t i = 0; i < status->n_tables; i++) {
        const struct table_state *table = status->tables[i].table;
        struct status_cell cell;
        struct buf judged = {0};
        char serving[TEXT_MAX] = "-";
        status_judge(node, table, status->now_ns, &cell);
        status_cell_text(&cell, &judged);
        buf_add_byte(&judged, 0);
        if (cell.serving)
            snprintf(serving, sizeof serving, "%" PRIu64, cell.serving);
        size_t n = cell.table ? cell.table->n_versions : 0;
        for (size_t j = 0; j < n || j == 0; j++)
            version_row(&grid, status, node->time_ns, j ? "" : table->name, j ? "" : serving,
                        n ? &cell.table->versions[j] : NULL,
                        j || !judged.data ? "" : (const char *)judged.data);
        buf_release(&judged);
    }
    grid_print(&grid, file);
}
