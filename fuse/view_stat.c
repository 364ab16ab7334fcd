/* SPDX-License-Identifier: Apache-2.0 */
/* Attributes of the mounted tree; its names are in view.c. */
#include "fuse/view.h"

#include <errno.h>
#include <string.h>

enum { READ_BITS = 0444, BLOCK_LEN = 4096, SECTOR_LEN = 512 };

/* Who owns a thing, and who may read it; nobody may change anything. */
struct access {
    uid_t uid;
    gid_t gid;
    uint32_t mode;
    struct timespec time;
};

/* A directory can be entered by whom may read it; a lookup file is written to be asked. */
static mode_t mode_of(enum tree_kind kind, uint32_t mode)
{
    uint32_t readable = mode & READ_BITS;
    if (tree_is_link(kind))
        return S_IFLNK | 0777;
    if (tree_is_dir(kind))
        return S_IFDIR | readable | readable >> 2;
    if (tree_is_lookup(kind))
        return S_IFREG | readable | readable >> 1;
    return S_IFREG | readable;
}

static void fill(const struct tree_node *node, const struct access *access, uint64_t len,
                 struct stat *out)
{
    *out = (struct stat){
        .st_ino = tree_ino(node),
        .st_mode = mode_of(node->kind, access->mode),
        .st_nlink = 1,
        .st_uid = access->uid,
        .st_gid = access->gid,
        .st_size = (off_t)len,
        .st_blksize = BLOCK_LEN,
        .st_blocks = (blkcnt_t)((len + SECTOR_LEN - 1) / SECTOR_LEN),
        .st_atim = access->time,
        .st_mtim = access->time,
        .st_ctim = access->time,
    };
}

static void access_of_version(const struct version *version, struct access *out)
{
    version_access(version, &out->uid, &out->gid, &out->mode);
    out->time = version_time(version);
}

static uint64_t len_in_version(const struct tree_node *node, const struct version *version)
{
    size_t len = 0;
    if (node->kind == TREE_PART)
        return node->part < version_n_parts(version) ? version_part_len(version, node->part) : 0;
    if (node->kind == TREE_VERSION_JSON)
        version_json(version, &len);
    return len;
}

/* Below v/<id>. */
static int stat_in_version(const struct view *view, const struct tree_node *node,
                           const struct version *pinned, uint64_t key_len, struct stat *out)
{
    struct access access;
    struct version *found = pinned ? NULL : view_pin(view, node);
    const struct version *version = pinned ? pinned : found;
    if (!version)
        return -ENOENT;
    access_of_version(version, &access);
    fill(node, &access, node->kind == TREE_KEY ? key_len : len_in_version(node, version), out);
    version_unpin(found);
    return 0;
}

static int stat_key(const struct view *view, const struct tree_node *node,
                    const struct version *pinned, struct stat *out)
{
    struct keyfile keyfile;
    if (!keyfiles_get(view->keyfiles, node->serial, &keyfile))
        return -ENOENT;
    const struct tree_node place = {
        .kind = TREE_KEY, .table = keyfile.table, .version = keyfile.version};
    int ret = stat_in_version(view, &place, pinned, keyfile.value_len, out);
    if (!ret)
        out->st_ino = tree_ino(node);
    return ret;
}

/* The table's own directory, its links, batch and v/. */
static int stat_in_table(const struct view *view, const struct tree_node *node, struct stat *out)
{
    struct access access = {.time = view->started};
    char target[TREE_LINK_TEXT_MAX] = "";
    struct table *table = view_table(view, node);
    if (!table)
        return -ENOENT;
    if (tree_is_link(node->kind)) {
        int ret = view_target(view, node, target);
        if (ret)
            return ret;
    }
    table_access(table, &access.uid, &access.gid, &access.mode);
    struct version *current = table_pin_current(table);
    if (current)
        access.time = version_time(current);
    version_unpin(current);
    fill(node, &access, strlen(target), out);
    return 0;
}

int view_stat(struct view *view, const struct tree_node *node, const struct version *pinned,
              struct stat *out, double *timeout_s)
{
    const struct access own = {.mode = READ_BITS, .time = view->started};
    *timeout_s = VIEW_CHANGES_S;
    switch (node->kind) {
    case TREE_ROOT:
    case TREE_DAEMON_DIR:
    case TREE_STATUS:
    case TREE_METRICS:
        fill(node, &own, 0, out);
        return 0;
    case TREE_CURRENT:
    case TREE_PREVIOUS:
    case TREE_LINK:
        *timeout_s = 0;
        return stat_in_table(view, node, out);
    case TREE_TABLE:
    case TREE_BATCH:
    case TREE_VERSIONS:
        return stat_in_table(view, node, out);
    case TREE_KEY:
        *timeout_s = VIEW_FOREVER_S;
        return stat_key(view, node, pinned, out);
    default:
        *timeout_s = VIEW_FOREVER_S;
        return stat_in_version(view, node, pinned, 0, out);
    }
}
