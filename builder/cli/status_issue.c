/* SPDX-License-Identifier: Apache-2.0 */
/* What is not as it should be, or not as one would expect it, in one sentence each. */
#include "builder/cli/status_impl.h"

#include "builder/cli/text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* Room for one more, doubling. */
static int reserve(struct status *status)
{
    if (status->n_issues & (status->n_issues - 1))
        return 0;
    size_t cap = status->n_issues ? 2 * status->n_issues : 1;
    struct status_issue *grown = realloc(status->issues, cap * sizeof *grown);
    if (!grown)
        return -ENOMEM;
    status->issues = grown;
    return 0;
}

__attribute__((format(printf, 3, 4))) static int
add(struct status *status, struct status_issue issue, const char *fmt, ...)
{
    va_list ap;
    if (reserve(status))
        return -ENOMEM;
    va_start(ap, fmt);
    int len = vasprintf(&issue.text, fmt, ap);
    va_end(ap);
    if (len < 0)
        return -ENOMEM;
    status->issues[status->n_issues++] = issue;
    status->n_problems += issue.is_problem;
    return 0;
}

int status_fleet_issues(struct status *status, const struct status_input *input)
{
    size_t n = input->nodes->n_bad;
    if (!n)
        return 0;
    return add(status, (struct status_issue){true, "unreadable", NULL, NULL, NULL},
               "%zu heartbeat%s cannot be read: look into nodes/ on the store", n,
               n == 1 ? "" : "s");
}

static int gone_issue(struct status *status, const struct heartbeat *node)
{
    char age[TEXT_MAX];
    int64_t silent_ns = status->now_ns - node->time_ns;
    text_age(silent_ns < 0 ? -silent_ns : silent_ns, age);
    if (node->stopped)
        return add(status, (struct status_issue){false, "stopped", node, NULL, NULL},
                   "stopped %s ago, in good order", age);
    if (silent_ns < 0)
        return add(status, (struct status_issue){true, "ahead", node, NULL, NULL},
                   "its heartbeat is %s ahead of the store's clock, so it does not count", age);
    return add(status, (struct status_issue){true, "gone", node, NULL, NULL}, "gone: silent for %s",
               age);
}

static int clock_issue(struct status *status, const struct heartbeat *node)
{
    char text[TEXT_MAX];
    int64_t ahead_ns = node->clock_ahead_ns;
    if (ahead_ns < STATUS_CLOCK_NS && ahead_ns > -STATUS_CLOCK_NS)
        return 0;
    text_age(ahead_ns < 0 ? -ahead_ns : ahead_ns, text);
    return add(status, (struct status_issue){false, "clock", node, NULL, NULL},
               "its clock is %s %s the store's (switches go by the store's)", text,
               ahead_ns < 0 ? "behind" : "ahead of");
}

static int space_issues(struct status *status, const struct heartbeat *node)
{
    char used[TEXT_MAX], limit[TEXT_MAX];
    int rc = 0;
    if (node->memory_budget && node->memory_used > node->memory_budget) {
        text_size(node->memory_used, used);
        text_size(node->memory_budget, limit);
        rc = add(status, (struct status_issue){true, "memory", node, NULL, NULL},
                 "%s of memory used, over its budget of %s", used, limit);
    }
    if (!rc && node->cache_limit &&
        (double)node->cache_used >= (double)node->cache_limit / 100 * STATUS_CACHE_FULL_PCT) {
        text_size(node->cache_used, used);
        text_size(node->cache_limit, limit);
        rc = add(status, (struct status_issue){false, "cache", node, NULL, NULL},
                 "its cache is almost full: %s of %s", used, limit);
    }
    return rc;
}

/* Another daemon spoke under this name before, though this one was running already. */
static int double_issue(struct status *status, const struct status_input *input,
                        const struct heartbeat *node)
{
    for (size_t i = 0; input->before && i < input->before->n_nodes; i++) {
        const struct heartbeat *was = &input->before->nodes[i];
        if (strcmp(was->node, node->node) != 0 || !was->instance[0] || !node->instance[0])
            continue;
        if (!strcmp(was->instance, node->instance) || node->started_ns >= was->time_ns)
            return 0;
        return add(status, (struct status_issue){true, "double", node, NULL, NULL},
                   "two daemons use this name: one on %s, pid %" PRIu64 ", one on %s, pid %" PRIu64,
                   was->host[0] ? was->host : "?", was->pid, node->host[0] ? node->host : "?",
                   node->pid);
    }
    return 0;
}

int status_node_issues(struct status *status, const struct status_input *input,
                       const struct heartbeat *node)
{
    if (!heartbeat_is_live(node, status->now_ns))
        return gone_issue(status, node);
    int rc = double_issue(status, input, node);
    if (!rc)
        rc = clock_issue(status, node);
    if (!rc)
        rc = space_issues(status, node);
    if (!rc && !node->instance[0])
        rc = add(status, (struct status_issue){false, "old", node, NULL, NULL},
                 "an older fkvd, which does not say how often it polls");
    return rc;
}

/* Since when should the node have been at the version wanted? */
static int64_t due_ns(const struct table_state *table, const struct status_cell *cell)
{
    const struct version_entry *v = table_state_find(table, cell->wanted);
    if (!v)
        return 0;
    int64_t at_ns = v->activated_ns ? v->activated_ns : v->published_ns;
    return cell->wanted == table->current && table->effective_ns > at_ns ? table->effective_ns
                                                                         : at_ns;
}

static int behind_issue(struct status *status, const struct heartbeat *node,
                        const struct table_state *table, const struct status_cell *cell)
{
    bool failing = cell->coming && cell->coming->state == NODE_FAILED;
    bool late = status->now_ns - due_ns(table, cell) > STATUS_BEHIND_NS &&
                status->now_ns - node->started_ns > STATUS_BEHIND_NS;
    struct buf text = {0};
    status_cell_text(cell, &text);
    int rc = add(
        status,
        (struct status_issue){failing || late, failing ? "failing" : "behind", node, table, NULL},
        "%.*s", (int)text.len, text.data ? (const char *)text.data : "");
    buf_release(&text);
    return rc;
}

/* Versions that it could not take, though it serves what it should. */
static int failed_issues(struct status *status, const struct heartbeat *node,
                         const struct table_state *table, const struct status_cell *cell)
{
    int rc = 0;
    for (size_t i = 0; !rc && cell->table && i < cell->table->n_versions; i++) {
        const struct node_version *v = &cell->table->versions[i];
        if (v->state == NODE_FAILED && v != cell->coming)
            rc = add(status, (struct status_issue){true, "failing", node, table, NULL},
                     "%" PRIu64 " failed: %s", v->version,
                     v->reason ? v->reason : "no reason given");
    }
    return rc;
}

int status_cell_issues(struct status *status, const struct heartbeat *node,
                       const struct table_state *table, const struct status_cell *cell)
{
    static const char *const kinds[] = {
        [HOLD_HOST] = "pinned-on-host", [HOLD_PIN] = "pinned", [HOLD_CANARY] = "canary"};
    static const char *const texts[] = {[HOLD_HOST] = "pinned on its host (ln -sfn)",
                                        [HOLD_PIN] = "pinned",
                                        [HOLD_CANARY] = "canary"};
    int rc = 0;
    if (cell->serving && !table_state_find(table, cell->serving))
        rc = add(status, (struct status_issue){true, "unknown-version", node, table, NULL},
                 "serves version %" PRIu64 ", which the log does not know", cell->serving);
    if (!rc && !cell->settled)
        rc = behind_issue(status, node, table, cell);
    if (!rc && cell->settled && cell->hold != HOLD_NONE)
        rc = add(status, (struct status_issue){false, kinds[cell->hold], node, table, NULL}, "%s",
                 texts[cell->hold]);
    return rc ? rc : failed_issues(status, node, table, cell);
}
