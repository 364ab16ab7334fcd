/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/tree.h"

#include <stdio.h>
#include <string.h>

enum { VERSION_BITS = 29, PART_BITS = 18, TABLE_BITS = 12, KIND_BITS = 5 };
enum {
    PART_SHIFT = VERSION_BITS,
    TABLE_SHIFT = PART_SHIFT + PART_BITS,
    KIND_SHIFT = TABLE_SHIFT + TABLE_BITS,
};
_Static_assert(KIND_SHIFT + KIND_BITS == 64, "the fields fill an inode number");
_Static_assert(TREE_KIND_COUNT <= 1 << KIND_BITS, "a kind fits its bits");
_Static_assert(TREE_TABLES_MAX == 1 << TABLE_BITS, "a table fits its bits");
_Static_assert(TREE_PARTS_MAX == 1 << PART_BITS, "a part fits its bits");

uint64_t tree_ino(const struct tree_node *node)
{
    if (node->kind == TREE_ROOT)
        return TREE_ROOT_INO;
    uint64_t kind = (uint64_t)node->kind << KIND_SHIFT;
    if (node->kind == TREE_KEY)
        return kind | node->serial;
    return kind | (uint64_t)node->table << TABLE_SHIFT | (uint64_t)node->part << PART_SHIFT |
           node->version;
}

bool tree_node_of(uint64_t ino, struct tree_node *out)
{
    uint64_t kind = ino >> KIND_SHIFT;
    if (kind >= TREE_KIND_COUNT || (kind == TREE_ROOT && ino != TREE_ROOT_INO))
        return false;
    struct tree_node node = {.kind = (enum tree_kind)kind};
    if (kind == TREE_KEY) {
        node.serial = ino & TREE_SERIAL_MAX;
    } else if (kind != TREE_ROOT) {
        node.table = (uint32_t)(ino >> TABLE_SHIFT) & (TREE_TABLES_MAX - 1);
        node.part = (uint32_t)(ino >> PART_SHIFT) & (TREE_PARTS_MAX - 1);
        node.version = ino & TREE_VERSION_MAX;
    }
    *out = node;
    return true;
}

bool tree_is_dir(enum tree_kind kind)
{
    return kind == TREE_ROOT || kind == TREE_DAEMON_DIR || kind == TREE_TABLE ||
           kind == TREE_VERSIONS || kind == TREE_VERSION || kind == TREE_KEYS || kind == TREE_PARTS;
}

bool tree_is_link(enum tree_kind kind)
{
    return kind == TREE_CURRENT || kind == TREE_PREVIOUS || kind == TREE_LINK;
}

bool tree_is_lookup(enum tree_kind kind)
{
    return kind == TREE_BATCH || kind == TREE_VERSION_BATCH;
}

static const struct {
    enum tree_kind parent;
    enum tree_kind kind;
    const char *name;
} children[] = {
    {TREE_ROOT, TREE_DAEMON_DIR, ".fkvd"},
    {TREE_DAEMON_DIR, TREE_STATUS, "status.json"},
    {TREE_DAEMON_DIR, TREE_METRICS, "metrics"},
    {TREE_TABLE, TREE_CURRENT, "current"},
    {TREE_TABLE, TREE_PREVIOUS, "previous"},
    {TREE_TABLE, TREE_BATCH, "batch"},
    {TREE_TABLE, TREE_VERSIONS, "v"},
    {TREE_VERSION, TREE_VERSION_BATCH, "batch"},
    {TREE_VERSION, TREE_VERSION_JSON, "version.json"},
    {TREE_VERSION, TREE_KEYS, "key"},
    {TREE_VERSION, TREE_PARTS, "parts"},
};
enum { N_CHILDREN = sizeof children / sizeof *children };

bool tree_child_kind(enum tree_kind parent, const char *name, enum tree_kind *out)
{
    for (size_t i = 0; i < N_CHILDREN; i++) {
        if (children[i].parent == parent && strcmp(children[i].name, name) == 0) {
            *out = children[i].kind;
            return true;
        }
    }
    return false;
}

const char *tree_name(enum tree_kind kind)
{
    for (size_t i = 0; i < N_CHILDREN; i++)
        if (children[i].kind == kind)
            return children[i].name;
    return NULL;
}

bool tree_version_of(const char *name, uint64_t *out)
{
    uint64_t number = 0;
    if (name[0] == '0' || name[0] == 0)
        return false;
    for (const char *c = name; *c; c++) {
        if (*c < '0' || *c > '9')
            return false;
        number = number * 10 + (uint64_t)(*c - '0');
        if (number > TREE_VERSION_MAX)
            return false;
    }
    *out = number;
    return true;
}

bool tree_target_of(const char *target, uint64_t *version)
{
    return strncmp(target, "v/", 2) == 0 && tree_version_of(target + 2, version);
}

void tree_target_text(uint64_t version, char out[TREE_LINK_TEXT_MAX])
{
    snprintf(out, TREE_LINK_TEXT_MAX, "v/%llu", (unsigned long long)version);
}
