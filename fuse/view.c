/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/view.h"

#include <errno.h>
#include <string.h>

struct table *view_table(const struct view *view, const struct tree_node *node)
{
    return node->table < node_n_tables(view->node) ? node_table_at(view->node, node->table) : NULL;
}

struct version *view_pin(const struct view *view, const struct tree_node *node)
{
    struct table *table = view_table(view, node);
    struct version *version = table ? table_pin_version(table, node->version) : NULL;
    bool needs_load = node->kind == TREE_VERSION_BATCH || node->kind == TREE_KEYS;
    if (version && needs_load && !version_is_loaded(version)) {
        version_unpin(version);
        return NULL;
    }
    return version;
}

int view_target(const struct view *view, const struct tree_node *node, char out[TREE_LINK_TEXT_MAX])
{
    uint64_t current = 0;
    uint64_t previous = 0;
    struct table *table = view_table(view, node);
    if (!table)
        return -ENOENT;
    if (node->kind == TREE_LINK) {
        struct link link;
        int ret = links_find_number(view->links, node->table, node->part, &link);
        if (!ret)
            tree_target_text(link.version, out);
        return ret;
    }
    table_links(table, &current, &previous);
    uint64_t version = node->kind == TREE_CURRENT ? current : previous;
    if (!version)
        return -ENOENT;
    tree_target_text(version, out);
    return 0;
}

double view_name_timeout_s(enum tree_kind kind)
{
    /* A temporary link is renamed at once, and its name's timeout would go with it to `current`. */
    return kind == TREE_LINK ? 0 : VIEW_FOREVER_S;
}

static int find_fixed(enum tree_kind parent, const char *name, struct tree_node *out)
{
    struct tree_node child = {0};
    if (!tree_child_kind(parent, name, &child.kind))
        return -ENOENT;
    *out = child;
    return 0;
}

static int find_table(const struct view *view, const char *name, struct tree_node *out)
{
    struct table *table = node_table_find(view->node, name);
    if (!table)
        return -ENOENT;
    *out = (struct tree_node){.kind = TREE_TABLE, .table = table_index(table)};
    return 0;
}

static int find_in_table(const struct view *view, const struct tree_node *parent, const char *name,
                         struct tree_node *out)
{
    struct link link;
    char target[TREE_LINK_TEXT_MAX];
    struct tree_node child = {.table = parent->table};
    if (!view_table(view, parent))
        return -ENOENT;
    if (!tree_child_kind(TREE_TABLE, name, &child.kind)) {
        int ret = links_find(view->links, parent->table, name, &link);
        if (ret)
            return ret;
        child.kind = TREE_LINK;
        child.part = link.number;
    }
    if (tree_is_link(child.kind) && view_target(view, &child, target))
        return -ENOENT;
    *out = child;
    return 0;
}

static int find_version(const struct view *view, const struct tree_node *parent, const char *name,
                        struct tree_node *out)
{
    struct tree_node child = {.kind = TREE_VERSION, .table = parent->table};
    struct version *version = tree_version_of(name, &child.version) ? view_pin(view, &child) : NULL;
    if (!version)
        return -ENOENT;
    version_unpin(version);
    *out = child;
    return 0;
}

static int find_in_version(const struct view *view, const struct tree_node *parent,
                           const char *name, struct tree_node *out)
{
    struct tree_node child = *parent;
    struct version *version =
        tree_child_kind(TREE_VERSION, name, &child.kind) ? view_pin(view, &child) : NULL;
    if (!version)
        return -ENOENT;
    version_unpin(version);
    *out = child;
    return 0;
}

/* Names are asked for in the order of a listing, which is that of the parts: begin after the last one
 * found, or a listing of n parts takes n * n steps. */
static int find_part(struct view *view, const struct tree_node *parent, const char *name,
                     struct tree_node *out)
{
    struct version *version = view_pin(view, parent);
    size_t n_parts = version ? version_n_parts(version) : 0;
    size_t hint = atomic_load_explicit(&view->part_hint, memory_order_relaxed);
    if (n_parts > TREE_PARTS_MAX)
        n_parts = TREE_PARTS_MAX;
    for (size_t step = 0; step < n_parts; step++) {
        size_t i = (hint + step) % n_parts;
        if (strcmp(version_part_name(version, i), name) != 0)
            continue;
        *out = *parent;
        out->kind = TREE_PART;
        out->part = (uint32_t)i;
        atomic_store_explicit(&view->part_hint, (unsigned)i + 1, memory_order_relaxed);
        version_unpin(version);
        return 0;
    }
    version_unpin(version);
    return -ENOENT;
}

static int add_key(struct view *view, const struct tree_node *parent, const struct version *version,
                   const char *name, struct disk_worker *worker, struct tree_node *out)
{
    struct file_key key;
    struct keyfile keyfile = {.table = parent->table, .version = parent->version};
    if (strlen(name) > VALUE_NAME_MAX)
        return -ENAMETOOLONG;
    int ret = value_key_of(version, name, &key);
    if (!ret)
        ret = value_find_len(version, &key, worker, &keyfile.value_len);
    if (ret)
        return ret;
    strcpy(keyfile.name, name);
    struct tree_node child = {.kind = TREE_KEY};
    ret = keyfiles_add(view->keyfiles, &keyfile, &child.serial);
    if (!ret)
        *out = child;
    return ret;
}

static int find_key(struct view *view, const struct tree_node *parent, const char *name,
                    struct disk_worker *worker, struct tree_node *out)
{
    struct version *version = view_pin(view, parent);
    int ret = version ? add_key(view, parent, version, name, worker, out) : -ENOENT;
    version_unpin(version);
    return ret;
}

int view_find(struct view *view, const struct tree_node *parent, const char *name,
              struct disk_worker *worker, struct tree_node *out)
{
    switch (parent->kind) {
    case TREE_ROOT:
        return find_fixed(TREE_ROOT, name, out) ? find_table(view, name, out) : 0;
    case TREE_DAEMON_DIR:
        return find_fixed(TREE_DAEMON_DIR, name, out);
    case TREE_TABLE:
        return find_in_table(view, parent, name, out);
    case TREE_VERSIONS:
        return find_version(view, parent, name, out);
    case TREE_VERSION:
        return find_in_version(view, parent, name, out);
    case TREE_PARTS:
        return find_part(view, parent, name, out);
    case TREE_KEYS:
        return find_key(view, parent, name, worker, out);
    default:
        return -ENOTDIR;
    }
}
