/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What no record ever named goes by age: nothing tells a build that died from one that is slow, except that the slow one
 * marks its directory every minute, and a publisher does before it looks at a build. What goes is first renamed to a name of
 * gc's own, then looked at again, then removed: a publisher finds a build whole or not at all. An orphan may get its record
 * meanwhile; then it is put back.
 */
#include "builder/collect_impl.h"

#include "base/scope.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>

#define DAY_NS (24 * 3600 * 1000000000LL)

/* .gc-<id> was a version's directory, .gc-build-<name> one of staging/. */
#define WITHDRAWN_PREFIX       ".gc-"
#define WITHDRAWN_BUILD_PREFIX ".gc-build-"

/* The latest mtime of a path and, for a directory, of what lies in it and one level below. 0 when it is gone. */
static int64_t newest_mtime(struct store *store, const char *path, int depth)
{
    struct store_stat st;
    if (store_stat(store, path, &st, NULL))
        return 0;
    int64_t newest = st.mtime.tv_sec * 1000000000LL + st.mtime.tv_nsec;
    struct store_list list = {0};
    if (!st.is_dir || !depth || layout_list(store, path, &list, NULL))
        return newest;
    for (size_t i = 0; i < list.n_names; i++) {
        char child[STORE_PATH_MAX];
        if (snprintf(child, sizeof child, "%s/%s", path, list.names[i]) >= (int)sizeof child)
            continue;
        int64_t mtime = newest_mtime(store, child, depth - 1);
        newest = mtime > newest ? mtime : newest;
    }
    store_list_release(&list);
    return newest;
}

bool collect_is_stale(const struct collecting *c, const char *path, int64_t age_ns)
{
    int64_t mtime = newest_mtime(c->store, path, 2);
    return mtime && c->now_ns - mtime >= age_ns;
}

static int sweep_temporaries(struct collecting *c, const char *dir, struct err *err)
{
    struct store_list list = {0};
    int rc = layout_list(c->store, dir, &list, err);
    for (size_t i = 0; !rc && i < list.n_names; i++) {
        char path[STORE_PATH_MAX];
        if (!store_is_temporary(list.names[i]))
            continue;
        snprintf(path, sizeof path, "%s/%s", dir, list.names[i]);
        if (!collect_is_stale(c, path, c->options->staging_age_ns))
            continue;
        collect_say(c, "%s %s (temporary file)", collect_verb(c), path);
        rc = c->options->dry_run ? 0 : store_remove(c->store, path, err);
        c->result->n_temporary++;
    }
    store_list_release(&list);
    return rc;
}

/* A version's or build's directory, and its parts. */
static int sweep_dir(struct collecting *c, const char *dir, struct err *err)
{
    char parts[STORE_PATH_MAX];
    snprintf(parts, sizeof parts, "%s/parts", dir);
    int rc = sweep_temporaries(c, dir, err);
    return rc ? rc : sweep_temporaries(c, parts, err);
}

/* Finishes what an earlier run took out of v/: back when a record names it after all, else away. */
static int finish_withdrawn(struct collecting *c, const char *table, const char *name,
                            struct err *err)
{
    char from[STORE_PATH_MAX], to[LAYOUT_PATH_MAX];
    uint64_t version = 0;
    if (!layout_parse_version(name + strlen(WITHDRAWN_PREFIX), &version))
        return 0;
    int rc = manifest_refresh(c->manifest, NULL, err);
    if (rc)
        return rc;
    snprintf(from, sizeof from, "tables/%s/staging/%s", table, name);
    layout_version_dir(table, version, to);
    if (layout_is_published(manifest_state(c->manifest), table, version)) {
        rc = layout_exists(c->store, to, err);
        if (rc < 0)
            return rc;
        if (!rc)
            return store_rename(c->store, from, to, err);
    }
    return store_remove_tree(c->store, from, err);
}

static int sweep_orphan(struct collecting *c, const char *table, uint64_t version, struct err *err)
{
    char dir[LAYOUT_PATH_MAX], name[64], away[STORE_PATH_MAX];
    layout_version_dir(table, version, dir);
    if (!collect_is_stale(c, dir, c->options->staging_age_ns))
        return 0;
    collect_say(c, "%s %s (no record names it)", collect_verb(c), dir);
    c->result->n_orphans++;
    if (c->options->dry_run)
        return 0;
    snprintf(name, sizeof name, WITHDRAWN_PREFIX "%" PRIu64, version);
    snprintf(away, sizeof away, "tables/%s/staging", table);
    int rc = store_mkdir(c->store, away, err);
    if (rc)
        return rc;
    snprintf(away, sizeof away, "tables/%s/staging/%s", table, name);
    rc = layout_withdraw(c->store, c->manifest, table, version, away, err);
    if (rc <= 0)
        return rc;
    /* A publisher may have claimed an old build a moment before we did: its mark is fresh. */
    if (!collect_is_stale(c, away, c->options->staging_age_ns))
        return store_rename(c->store, away, dir, err);
    return store_remove_tree(c->store, away, err);
}

static int sweep_versions(struct collecting *c, const char *table, struct err *err)
{
    struct layout_versions versions = {0};
    int rc = layout_list_versions(c->store, table, &versions, err);
    /* Only what is read after the listing tells an orphan from what was published just now. */
    if (!rc)
        rc = manifest_refresh(c->manifest, NULL, err);
    for (size_t i = 0; !rc && i < versions.n; i++) {
        char dir[LAYOUT_PATH_MAX];
        layout_version_dir(table, versions.ids[i], dir);
        if (!layout_is_recorded(manifest_state(c->manifest), table, versions.ids[i]))
            rc = sweep_orphan(c, table, versions.ids[i], err);
        else
            rc = sweep_dir(c, dir, err);
    }
    free(versions.ids);
    return rc;
}

static bool starts_with(const char *name, const char *prefix)
{
    return !strncmp(name, prefix, strlen(prefix));
}

/* 1 when the directory holds a version.json. */
static int is_sealed(const struct collecting *c, const char *dir, struct err *err)
{
    char json[LAYOUT_PATH_MAX];
    layout_version_json(dir, json);
    return layout_exists(c->store, json, err);
}

/* name is the directory's, without gc's prefix. A task may wait in a queue, or for somebody who tries it again. */
static bool is_stale_build(const struct collecting *c, const char *dir, const char *name,
                           int sealed)
{
    if (sealed)
        return collect_is_stale(c, dir, c->options->sealed_age_ns);
    if (!collect_is_stale(c, dir, c->options->staging_age_ns))
        return false;
    return !collect_is_wanted(c, name) || collect_is_stale(c, dir, c->options->sealed_age_ns);
}

/*
 * Ends with a build that is at `away`, gc's name for it: back to its own when somebody is at work on it after all. version.json
 * goes first, so that what a killed run leaves does not pass for a build.
 */
static int finish_build(struct collecting *c, const char *table, const char *name, struct err *err)
{
    char away[LAYOUT_PATH_MAX], dir[LAYOUT_PATH_MAX], json[LAYOUT_PATH_MAX];
    layout_staging_dir(table, name, away);
    layout_staging_dir(table, name + strlen(WITHDRAWN_BUILD_PREFIX), dir);
    layout_version_json(away, json);
    int sealed = is_sealed(c, away, err);
    if (sealed < 0)
        return sealed;
    bool counts = sealed || starts_with(name, WITHDRAWN_BUILD_PREFIX LAYOUT_WORK_PREFIX);
    if (counts && !is_stale_build(c, away, name + strlen(WITHDRAWN_BUILD_PREFIX), sealed)) {
        struct err why = {0};
        int rc = store_rename(c->store, away, dir, &why);
        /* Another gc was faster, or another build has taken the name: this one waits for its age. */
        return rc && rc != -ENOENT && rc != -EEXIST ? err_set(err, rc, "%s", err_text(&why, rc))
                                                    : 0;
    }
    int rc = store_remove(c->store, json, err);
    return rc ? rc : store_remove_tree(c->store, away, err);
}

static int sweep_build(struct collecting *c, const char *table, const char *name, struct err *err)
{
    char dir[LAYOUT_PATH_MAX], away[LAYOUT_PATH_MAX], away_name[NAME_MAX + 1];
    struct err why = {0};
    layout_staging_dir(table, name, dir);
    int sealed = is_sealed(c, dir, err);
    if (sealed < 0)
        return sealed;
    if (!is_stale_build(c, dir, name, sealed))
        return sealed ? sweep_dir(c, dir, err) : 0;
    collect_say(c, "%s %s (%s)", collect_verb(c), dir,
                sealed ? "sealed, but never published" : "a build that stopped");
    if (!c->options->dry_run) {
        snprintf(away_name, sizeof away_name, WITHDRAWN_BUILD_PREFIX "%s", name);
        layout_staging_dir(table, away_name, away);
        int rc = store_rename(c->store, dir, away, &why);
        /* Its publisher, or another gc, has it. */
        if (rc == -ENOENT || rc == -EEXIST)
            return 0;
        if (rc)
            return err_set(err, rc, "%s", err_text(&why, rc));
        rc = finish_build(c, table, away_name, err);
        if (!rc)
            rc = layout_exists(c->store, dir, err);
        if (rc)
            return rc < 0 ? rc : 0;
    }
    c->result->n_staging++;
    return 0;
}

static int sweep_staging(struct collecting *c, const char *table, struct err *err)
{
    char dir[LAYOUT_PATH_MAX];
    struct store_list list = {0};
    snprintf(dir, sizeof dir, "tables/%s/staging", table);
    int rc = layout_list(c->store, dir, &list, err);
    for (size_t i = 0; !rc && i < list.n_names; i++) {
        const char *name = list.names[i];
        if (starts_with(name, WITHDRAWN_BUILD_PREFIX))
            rc = c->options->dry_run ? 0 : finish_build(c, table, name, err);
        else if (starts_with(name, WITHDRAWN_PREFIX))
            rc = c->options->dry_run ? 0 : finish_withdrawn(c, table, name, err);
        else if (starts_with(name, LAYOUT_WORK_PREFIX) || !task_name_check(name, NULL))
            rc = sweep_build(c, table, name, err);
    }
    store_list_release(&list);
    return rc ? rc : sweep_temporaries(c, dir, err);
}

int collect_nodes(struct collecting *c, const struct heartbeat_list *nodes, struct err *err)
{
    int rc = 0;
    for (size_t i = 0; !rc && i < nodes->n_nodes; i++) {
        char path[STORE_PATH_MAX];
        if (!heartbeat_is_abandoned(&nodes->nodes[i], c->now_ns))
            continue;
        snprintf(path, sizeof path, "nodes/%s.json", nodes->nodes[i].node);
        int64_t days = (c->now_ns - nodes->nodes[i].time_ns) / DAY_NS;
        if (days >= 0)
            collect_say(c, "%s %s (gone for %" PRId64 " days)", collect_verb(c), path, days);
        else
            collect_say(c, "%s %s (%" PRId64 " days ahead)", collect_verb(c), path, -days);
        rc = c->options->dry_run ? 0 : store_remove(c->store, path, err);
        c->result->n_nodes++;
    }
    return rc;
}

int collect_sweep(struct collecting *c, struct err *err)
{
    static const char *const dirs[] = {"log", "nodes", "tasks"};
    int rc = 0;
    for (size_t i = 0; !rc && i < sizeof dirs / sizeof *dirs; i++)
        rc = sweep_temporaries(c, dirs[i], err);
    struct store_list tables = {0};
    if (!rc)
        rc = layout_list(c->store, "tables", &tables, err);
    for (size_t i = 0; !rc && i < tables.n_names; i++) {
        if (table_name_check(tables.names[i], NULL))
            continue;
        rc = sweep_staging(c, tables.names[i], err);
        if (!rc)
            rc = sweep_versions(c, tables.names[i], err);
    }
    store_list_release(&tables);
    return rc ? rc : collect_tasks(c, err);
}
