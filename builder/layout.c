/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/layout.h"

#include "base/scope.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void layout_version_dir(const char *table, uint64_t version, char out[LAYOUT_PATH_MAX])
{
    snprintf(out, LAYOUT_PATH_MAX, "tables/%s/v/%" PRIu64, table, version);
}

void layout_staging_dir(const char *table, const char *task, char out[LAYOUT_PATH_MAX])
{
    snprintf(out, LAYOUT_PATH_MAX, "tables/%s/staging/%s", table, task);
}

void layout_version_json(const char *dir, char out[LAYOUT_PATH_MAX])
{
    snprintf(out, LAYOUT_PATH_MAX, "%.*s/version.json", LAYOUT_PATH_MAX - 16, dir);
}

bool layout_parse_version(const char *name, uint64_t *out)
{
    uint64_t n = 0;
    if (name[0] < '1' || name[0] > '9')
        return false;
    for (const char *p = name; *p; p++) {
        if (*p < '0' || *p > '9' || n > (INT64_MAX - 9) / 10)
            return false;
        n = n * 10 + (uint64_t)(*p - '0');
    }
    *out = n;
    return true;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int layout_list(struct store *store, const char *dir, struct store_list *out, struct err *err)
{
    struct err missing = {0};
    int rc = store_list(store, dir, out, &missing);
    if (rc == -ENOENT) {
        *out = (struct store_list){0};
        return 0;
    }
    if (rc)
        return err_set(err, rc, "%s", err_text(&missing, rc));
    if (out->n_names)
        qsort(out->names, out->n_names, sizeof *out->names, by_name);
    return 0;
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

int layout_list_versions(struct store *store, const char *table, struct layout_versions *out,
                         struct err *err)
{
    char dir[LAYOUT_PATH_MAX];
    snprintf(dir, sizeof dir, "tables/%s/v", table);
    struct store_list list = {0};
    int rc = layout_list(store, dir, &list, err);
    if (rc)
        return rc;
    uint64_t *ids = calloc(list.n_names + 1, sizeof *ids);
    if (!ids) {
        store_list_release(&list);
        return err_sys(err, -ENOMEM, "listing %s", dir);
    }
    size_t n = 0;
    for (size_t i = 0; i < list.n_names; i++) {
        if (layout_parse_version(list.names[i], &ids[n]))
            n++;
    }
    store_list_release(&list);
    qsort(ids, n, sizeof *ids, by_number);
    *out = (struct layout_versions){.ids = ids, .n = n};
    return 0;
}

int layout_exists(struct store *store, const char *path, struct err *err)
{
    struct store_stat st;
    struct err why = {0};
    int rc = store_stat(store, path, &st, &why);
    if (rc == -ENOENT)
        return 0;
    if (rc)
        return err_set(err, rc, "%s", err_text(&why, rc));
    return 1;
}

static void mark_path(const char *dir, char out[LAYOUT_PATH_MAX])
{
    snprintf(out, LAYOUT_PATH_MAX, "%.*s/.in-use", LAYOUT_PATH_MAX - 16, dir);
}

int layout_mark(struct store *store, const char *dir, struct err *err)
{
    char path[LAYOUT_PATH_MAX];
    mark_path(dir, path);
    return store_put(store, path, "", 0, err);
}

void layout_unmark(struct store *store, const char *dir)
{
    char path[LAYOUT_PATH_MAX];
    mark_path(dir, path);
    store_remove(store, path, NULL);
}

bool layout_is_recorded(const struct state *state, const char *table, uint64_t version)
{
    const struct table_state *t = state_find_table(state, table);
    return t && table_state_find(t, version);
}

bool layout_is_published(const struct state *state, const char *table, uint64_t version)
{
    const struct table_state *t = state_find_table(state, table);
    const struct version_entry *entry = t ? table_state_find(t, version) : NULL;
    return entry && entry->state != VERSION_FORGOTTEN;
}

int layout_withdraw(struct store *store, struct manifest *manifest, const char *table,
                    uint64_t version, const char *to, struct err *err)
{
    char dir[LAYOUT_PATH_MAX];
    layout_version_dir(table, version, dir);
    struct err why = {0};
    int rc = store_rename(store, dir, to, &why);
    if (rc == -ENOENT)
        return 0;
    if (rc)
        return err_set(err, rc, "%s", err_text(&why, rc));
    rc = manifest_refresh(manifest, NULL, err);
    if (!rc && !layout_is_published(manifest_state(manifest), table, version))
        return 1;
    int back = store_rename(store, to, dir, rc ? NULL : err);
    return rc ? rc : back;
}
