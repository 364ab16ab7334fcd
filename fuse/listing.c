/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/listing.h"

#include "base/scope.h"
#include "fuse/lowlevel.h"

#include <errno.h>

/* One entry; its offset is where the next one starts, so that a read may go on there. */
static int add(struct buf *out, const char *name, uint64_t ino, mode_t type)
{
    const struct stat st = {.st_ino = ino, .st_mode = type};
    size_t len = fuse_add_direntry(NULL, NULL, 0, name, NULL, 0);
    int ret = buf_reserve(out, len);
    if (ret)
        return ret;
    fuse_add_direntry(NULL, (char *)out->data + out->len, len, name, &st, (off_t)(out->len + len));
    out->len += len;
    return 0;
}

static int add_node(struct buf *out, const char *name, const struct tree_node *node)
{
    mode_t type = tree_is_dir(node->kind) ? S_IFDIR : tree_is_link(node->kind) ? S_IFLNK : S_IFREG;
    return add(out, name, tree_ino(node), type);
}

/* Those children with fixed names that exist now. */
static int add_fixed(struct view *view, const struct tree_node *dir, struct buf *out)
{
    int ret = 0;
    for (int kind = 0; kind < TREE_KIND_COUNT && !ret; kind++) {
        struct tree_node child;
        enum tree_kind found;
        const char *name = tree_name((enum tree_kind)kind);
        /* `batch` is the name of two kinds: only the one that this directory has is found by it. */
        if (!name || !tree_child_kind(dir->kind, name, &found) || found != (enum tree_kind)kind)
            continue;
        if (view_find(view, dir, name, NULL, &child) == 0)
            ret = add_node(out, name, &child);
    }
    return ret;
}

static int add_tables(struct view *view, struct buf *out)
{
    size_t n_tables = node_n_tables(view->node);
    int ret = 0;
    for (size_t i = 0; i < n_tables && !ret; i++) {
        const struct tree_node child = {.kind = TREE_TABLE, .table = (uint32_t)i};
        ret = add_node(out, table_name(node_table_at(view->node, i)), &child);
    }
    return ret;
}

static int add_versions(struct view *view, const struct tree_node *dir, struct buf *out)
{
    struct table *table = view_table(view, dir);
    if (!table)
        return -ENOENT;
    size_t max = table_versions(table, NULL, 0) + 8; /* some may come meanwhile */
    scope_free uint64_t *ids = calloc(max, sizeof *ids);
    if (!ids)
        return -ENOMEM;
    size_t n_ids = table_versions(table, ids, max);
    int ret = 0;
    for (size_t i = 0; i < n_ids && i < max && !ret; i++) {
        char name[24];
        const struct tree_node child = {
            .kind = TREE_VERSION, .table = dir->table, .version = ids[i]};
        if (ids[i] > TREE_VERSION_MAX)
            continue; /* beyond what an inode number holds */
        snprintf(name, sizeof name, "%llu", (unsigned long long)ids[i]);
        ret = add_node(out, name, &child);
    }
    return ret;
}

static int add_parts(const struct tree_node *dir, const struct version *version, struct buf *out)
{
    size_t n_parts = version_n_parts(version);
    int ret = 0;
    for (size_t i = 0; i < n_parts && i < TREE_PARTS_MAX && !ret; i++) {
        struct tree_node child = *dir;
        child.kind = TREE_PART;
        child.part = (uint32_t)i;
        ret = add_node(out, version_part_name(version, i), &child);
    }
    return ret;
}

int listing_write(struct view *view, const struct tree_node *dir, const struct version *version,
                  struct buf *out)
{
    int ret = add(out, ".", tree_ino(dir), S_IFDIR);
    if (!ret)
        ret = add(out, "..", TREE_ROOT_INO, S_IFDIR);
    if (!ret)
        ret = add_fixed(view, dir, out);
    if (ret)
        return ret;
    switch (dir->kind) {
    case TREE_ROOT:
        return add_tables(view, out);
    case TREE_VERSIONS:
        return add_versions(view, dir, out);
    case TREE_PARTS:
        return add_parts(dir, version, out);
    default:
        return 0;
    }
}
