/* SPDX-License-Identifier: Apache-2.0 */
/*
 * view: what exists in the mounted tree now: names to nodes, nodes to attributes.
 *
 * Threads: any. Memory: the view borrows all it points to; they outlive the mount.
 * Errors: -ENOENT for what does not exist (any more), -ENOTDIR, -ENOMEM, -EIO.
 */
#ifndef FKV_FUSE_VIEW_H
#define FKV_FUSE_VIEW_H

#include "fuse/keyfile.h"
#include "fuse/links.h"
#include "fuse/stats.h"
#include "fuse/tree.h"
#include "node/node.h"

#include <stdatomic.h>
#include <sys/stat.h>

struct disk;
struct disk_worker;
struct handle;
struct invalidate;
struct quota;
struct switcher;

struct view {
    struct node *node;
    struct stats *stats;
    struct quota *quota;
    struct keyfiles *keyfiles;
    struct links *links;
    struct invalidate *invalidate;
    struct disk *lookups;    /* in tables on disk */
    struct disk *part_reads; /* of whole part files */
    struct switcher *switcher;
    atomic_uint n_open_parts; /* each has a descriptor */
    uint32_t open_parts_max;
    atomic_uint part_hint; /* where a listing's next part is likely to be */
    pthread_mutex_t handles_lock;
    struct handle *handles; /* all open ones, under handles_lock */
    const char *mount;
    uint64_t daemon_id;
    struct timespec started; /* CLOCK_REALTIME */
};

/* How long the kernel may keep an answer, in seconds. Versions are immutable, and switches are
 * announced (watch.h); the second for directories that change covers an announcement that got
 * lost. */
#define VIEW_FOREVER_S 31536000.0
#define VIEW_CHANGES_S 1.0

/* The child of that name. A KEY gets a number with one lookup, for the kernel to forget. worker: NULL in
 * threads that must not wait for a disk (DISK_NEEDED). */
int view_find(struct view *view, const struct tree_node *parent, const char *name,
              struct disk_worker *worker, struct tree_node *out);

/* Attributes and how long they hold. pinned: the version of the open file asked through, or
 * NULL. */
int view_stat(struct view *view, const struct tree_node *node, const struct version *pinned,
              struct stat *out, double *timeout_s);

/* How long the name of such a node holds. */
double view_name_timeout_s(enum tree_kind kind);

/* The table of a node that has one, or NULL when there is none. */
struct table *view_table(const struct view *view, const struct tree_node *node);

/* The version of a node below v/<id>, pinned; NULL when it is not here, or not loaded though the
 * node needs that. */
struct version *view_pin(const struct view *view, const struct tree_node *node);

/* Where a link points. */
int view_target(const struct view *view, const struct tree_node *node,
                char out[TREE_LINK_TEXT_MAX]);

#endif
