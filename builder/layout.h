/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layout: where a table's builds and versions lie on the store, and how they are told apart.
 *
 *   tables/<table>/staging/.work-<task>-<nonce>/   a build under way
 *   tables/<table>/staging/<task>/                 a sealed build
 *   tables/<table>/staging/.gc-…                   what gc took away to remove it
 *   tables/<table>/v/<id>/                         a version; an orphan while no record names it
 *
 * Threads: pure functions, and calls on the store. Memory: lists are freed by the caller.
 * Errors: store errors.
 */
#ifndef FKV_BUILDER_LAYOUT_H
#define FKV_BUILDER_LAYOUT_H

#include "manifest/manifest.h"
#include "store/store.h"

#include <stdbool.h>

/* Room for every path below; names are checked before they come here. */
enum { LAYOUT_PATH_MAX = 256 };

#define LAYOUT_WORK_PREFIX ".work-"

void layout_version_dir(const char *table, uint64_t version, char out[LAYOUT_PATH_MAX]);
void layout_staging_dir(const char *table, const char *task, char out[LAYOUT_PATH_MAX]);
void layout_version_json(const char *dir, char out[LAYOUT_PATH_MAX]);

/* A version number as a directory is named: decimal, no leading zero, 1 to INT64_MAX. */
bool layout_parse_version(const char *name, uint64_t *out);

/* Numbers of the directories under tables/<table>/v, ascending; none is not an error. */
struct layout_versions {
    uint64_t *ids;
    size_t n;
};
int layout_list_versions(struct store *store, const char *table, struct layout_versions *out,
                         struct err *err);

/* As store_list(), but a missing directory is an empty list. Names are sorted. */
int layout_list(struct store *store, const char *dir, struct store_list *out, struct err *err);

/* 1 when path exists, 0 when not. */
int layout_exists(struct store *store, const char *path, struct err *err);

/*
 * Says that somebody is at work in a directory: writes a small file into it, which gc takes the age from. -ENOENT when the
 * directory is gone. layout_unmark() takes the file away, as far as that works.
 */
int layout_mark(struct store *store, const char *dir, struct err *err);
void layout_unmark(struct store *store, const char *dir);

/* Does a record name this version? is_published: and its files are not forgotten. */
bool layout_is_recorded(const struct state *state, const char *table, uint64_t version);
bool layout_is_published(const struct state *state, const char *table, uint64_t version);

/*
 * Takes an orphan v/<version> away by renaming it to `to`, unless a publisher that was still at work has appended its
 * record meanwhile: then it is put back. Returns 1 when it is now at `to`, 0 when it was left alone or is gone.
 */
int layout_withdraw(struct store *store, struct manifest *manifest, const char *table,
                    uint64_t version, const char *to, struct err *err);

#endif
