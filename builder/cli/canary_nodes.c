/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/cli/canary_nodes.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* So many nodes are named in a refusal. */
enum { NAMED_MAX = 12 };

int canary_need(const struct table_state *table, uint64_t *version, struct err *err)
{
    *version = table_state_canary(table);
    if (*version)
        return 0;
    return err_set(err, -EPERM,
                   "table %s has no version on canary (current is %" PRIu64
                   "); one begins with fkv publish %s --canary NODE, a candidate is activated with "
                   "fkv activate %s, and what is current is left with fkv rollback %s",
                   table->name, table->current, table->name, table->name, table->name);
}

void canary_names_text(const struct table_state *table, uint64_t version, struct buf *out)
{
    size_t n = 0;
    for (size_t i = 0; i < table->n_pins; i++) {
        if (table->pins[i].canary && table->pins[i].version == version)
            buf_printf(out, "%s%s", n++ ? ", " : "", table->pins[i].name);
    }
}

static const struct pin_entry *find_pin(const struct table_state *table, const char *name)
{
    for (size_t i = 0; table && i < table->n_pins; i++) {
        if (!table->pins[i].canary && !strcmp(table->pins[i].name, name))
            return &table->pins[i];
    }
    return NULL;
}

/* As the fold does it: a pin of the node goes first, then those of its labels in their order. */
bool canary_node_matches(const struct heartbeat *node, const char *name_of_table,
                         const struct table_state *table, const char *name)
{
    const struct node_table *on_node = heartbeat_find_table(node, name_of_table);
    if (on_node && on_node->local_pin)
        return false;
    if (!strcmp(node->node, name))
        return true;
    if (find_pin(table, node->node))
        return false;
    for (size_t i = 0; i < node->n_labels; i++) {
        char label[NODE_NAME_MAX + 1];
        snprintf(label, sizeof label, "label:%.*s", (int)LABEL_NAME_MAX, node->labels[i]);
        if (!strcmp(label, name))
            return true;
        if (find_pin(table, label))
            return false;
    }
    return false;
}

/* "n1 (canary, eu), n2 and 7 more" */
static void live_text(const struct heartbeat_list *nodes, int64_t now_ns, struct buf *out)
{
    size_t n = 0;
    for (size_t i = 0; i < nodes->n_nodes; i++) {
        const struct heartbeat *node = &nodes->nodes[i];
        if (!heartbeat_is_live(node, now_ns) || n++ >= NAMED_MAX)
            continue;
        buf_printf(out, "%s%s", n > 1 ? ", " : "", node->node);
        for (size_t j = 0; j < node->n_labels; j++)
            buf_printf(out, "%s%s", j ? ", " : " (", node->labels[j]);
        buf_printf(out, "%s", node->n_labels ? ")" : "");
    }
    if (n > NAMED_MAX)
        buf_printf(out, " and %zu more", n - NAMED_MAX);
    buf_add_byte(out, 0);
}

static int no_match(const struct heartbeat_list *nodes, const char *table, const char *name,
                    int64_t now_ns, struct err *err)
{
    struct buf live = {0};
    live_text(nodes, now_ns, &live);
    const char *text = live.data ? (const char *)live.data : "";
    int rc = err_set(err, -EPERM,
                     "--canary %s: no live node would try table %s out under that name; %s%.500s%s",
                     name, table, *text ? "live nodes (labels): " : "no node is live", text,
                     *text ? "; one that is pinned elsewhere does not take part" : "");
    buf_release(&live);
    return rc;
}

int canary_nodes_check(const struct heartbeat_list *nodes, const char *name_of_table,
                       const struct table_state *table, const char *const *names, size_t n_names,
                       int64_t now_ns, struct err *err)
{
    for (size_t i = 0; i < n_names; i++) {
        bool found = false;
        for (size_t j = 0; j < nodes->n_nodes && !found; j++)
            found = heartbeat_is_live(&nodes->nodes[j], now_ns) &&
                    canary_node_matches(&nodes->nodes[j], name_of_table, table, names[i]);
        if (!found)
            return no_match(nodes, name_of_table, names[i], now_ns, err);
    }
    return 0;
}
