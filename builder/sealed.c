/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/sealed.h"

#include "builder/version_reader.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Created later, or at the same moment and later by name. What cannot be read has no time, and is the last choice. */
static bool is_later(const struct sealed *best, const char *task, const char *created)
{
    int by_time = strcmp(created, best->created);
    return !best->task[0] || by_time > 0 || (by_time == 0 && strcmp(task, best->task) > 0);
}

/* Takes a candidate when it is the one asked for, or the last so far. */
static void consider(const char *table, const char *task, const char *created, const char *wanted,
                     uint64_t orphan, struct sealed *best)
{
    if (wanted ? strcmp(task, wanted) != 0 : !is_later(best, task, created))
        return;
    snprintf(best->task, sizeof best->task, "%s", task);
    snprintf(best->created, sizeof best->created, "%s", created);
    best->orphan = orphan;
    if (orphan)
        layout_version_dir(table, orphan, best->dir);
    else
        layout_staging_dir(table, task, best->dir);
}

static void look_at_staged(struct store *store, const char *table, const char *task,
                           const char *wanted, struct sealed *best)
{
    char dir[LAYOUT_PATH_MAX];
    struct version_desc desc = {0};
    layout_staging_dir(table, task, dir);
    if (!wanted)
        version_desc_read(store, dir, NULL, &desc, NULL);
    consider(table, task, desc.created ? desc.created : "", wanted, 0, best);
    version_desc_release(&desc);
}

static int look_in_staging(struct store *store, const char *table, const char *wanted,
                           struct sealed *best, struct err *err)
{
    char dir[LAYOUT_PATH_MAX];
    snprintf(dir, sizeof dir, "tables/%s/staging", table);
    struct store_list list = {0};
    int rc = layout_list(store, dir, &list, err);
    for (size_t i = 0; !rc && i < list.n_names; i++) {
        char build[LAYOUT_PATH_MAX], json[LAYOUT_PATH_MAX];
        if (task_name_check(list.names[i], NULL))
            continue;
        layout_staging_dir(table, list.names[i], build);
        layout_version_json(build, json);
        rc = layout_exists(store, json, err);
        if (rc > 0)
            look_at_staged(store, table, list.names[i], wanted, best);
        rc = rc < 0 ? rc : 0;
    }
    store_list_release(&list);
    return rc;
}

/* Reads whose build an orphan is; one that cannot be read is gc's business, not ours. */
static void look_at_orphan(struct store *store, const char *table, uint64_t id, const char *wanted,
                           struct sealed *best)
{
    char dir[LAYOUT_PATH_MAX];
    struct version_desc desc = {0};
    layout_version_dir(table, id, dir);
    if (version_desc_read(store, dir, NULL, &desc, NULL))
        return;
    if (desc.task && !task_name_check(desc.task, NULL))
        consider(table, desc.task, desc.created ? desc.created : "", wanted, id, best);
    version_desc_release(&desc);
}

static int look_in_versions(struct store *store, const struct table_state *published,
                            const char *table, const char *wanted, struct sealed *best,
                            struct err *err)
{
    struct layout_versions versions = {0};
    int rc = layout_list_versions(store, table, &versions, err);
    for (size_t i = 0; !rc && i < versions.n; i++) {
        if (!published || !table_state_find(published, versions.ids[i]))
            look_at_orphan(store, table, versions.ids[i], wanted, best);
    }
    free(versions.ids);
    return rc;
}

uint64_t sealed_published_as(struct store *store, const struct table_state *published,
                             const char *table, const char *task)
{
    for (size_t i = published ? published->n_versions : 0; i-- > 0;) {
        char dir[LAYOUT_PATH_MAX];
        struct version_desc desc = {0};
        const struct version_entry *entry = &published->versions[i];
        if (entry->state == VERSION_FORGOTTEN)
            continue;
        layout_version_dir(table, entry->version, dir);
        if (version_desc_read(store, dir, NULL, &desc, NULL))
            continue;
        bool same = desc.task && !strcmp(desc.task, task);
        version_desc_release(&desc);
        if (same)
            return entry->version;
    }
    return 0;
}

/* What a publisher may have left behind that died before it activated; 0: nothing. */
static uint64_t newest_candidate(const struct table_state *published)
{
    for (size_t i = published ? published->n_versions : 0; i-- > 0;) {
        const struct version_entry *v = &published->versions[i];
        if (v->version > published->current && v->state == VERSION_CANDIDATE &&
            !table_state_find_bad(published, v))
            return v->version;
    }
    return 0;
}

int sealed_find(struct store *store, const struct state *state, const char *table, const char *task,
                struct sealed *out, struct err *err)
{
    struct sealed best = {0};
    const struct table_state *published = state_find_table(state, table);
    int rc = look_in_staging(store, table, task, &best, err);
    if (rc)
        return rc;
    if (!task || !best.task[0])
        rc = look_in_versions(store, published, table, task, &best, err);
    if (rc)
        return rc;
    if (best.task[0]) {
        *out = best;
        return 0;
    }
    uint64_t waiting = task ? 0 : newest_candidate(published);
    if (waiting)
        return err_set(err, -ENOENT,
                       "no sealed build of table %s waits, but version %" PRIu64
                       " is published and not activated; activate it with: fkv activate %s",
                       table, waiting, table);
    if (!task)
        return err_set(err, -ENOENT,
                       "no sealed build of table %s waits under %s/tables/%s/staging; make one "
                       "with: fkv build %s INPUT…",
                       table, store_url(store), table, table);
    uint64_t version = sealed_published_as(store, published, table, task);
    if (version)
        return err_set(err, -EEXIST,
                       "build %s of table %s is published already, as version %" PRIu64, task,
                       table, version);
    return err_set(
        err, -ENOENT,
        "no sealed build %s of table %s under %s/tables/%s/staging; a build is sealed when "
        "it has a version.json",
        task, table, store_url(store), table);
}
