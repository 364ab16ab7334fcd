/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/staging.h"

#include "builder/task.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/random.h>

static int name_directories(struct staging *staging, const struct job *job, struct err *err)
{
    char work[2 * TASK_NAME_MAX];
    uint64_t nonce = 0;
    if (getrandom(&nonce, sizeof nonce, 0) != sizeof nonce)
        return err_sys(err, -errno, "naming the build");
    if (job->task)
        snprintf(staging->task, sizeof staging->task, "%s", job->task);
    else
        task_name_new(staging->task);
    snprintf(work, sizeof work, LAYOUT_WORK_PREFIX "%s-%016" PRIx64, staging->task, nonce);
    snprintf(staging->table, sizeof staging->table, "%s", job->table);
    layout_staging_dir(job->table, work, staging->dir);
    layout_staging_dir(job->table, staging->task, staging->sealed_dir);
    return 0;
}

static int taken(const struct staging *staging, struct store *store, struct err *err)
{
    return err_set(err, -EEXIST,
                   "task %s: expected no build of that name, found %s/%s: publish that one "
                   "(fkv publish %s=%s), remove it, or build with another --task",
                   staging->task, store_url(store), staging->sealed_dir, staging->table,
                   staging->task);
}

int staging_open(struct staging *staging, struct store *store, const struct job *job,
                 struct err *err)
{
    char parts[STORE_PATH_MAX];
    int ret = name_directories(staging, job, err);
    if (!ret)
        ret = layout_exists(store, staging->sealed_dir, err);
    if (ret)
        return ret < 0 ? ret : taken(staging, store, err);
    snprintf(parts, sizeof parts, "%s/parts", staging->dir);
    ret = store_mkdir(store, parts, err);
    if (!ret)
        ret = layout_mark(store, staging->dir, err);
    if (ret)
        staging_drop(staging, store);
    return ret;
}

void staging_mark(const struct staging *staging, struct store *store)
{
    layout_mark(store, staging->dir, NULL);
}

int staging_seal(const struct staging *staging, struct store *store, struct err *err)
{
    struct err why = {0};
    layout_unmark(store, staging->dir);
    int ret = store_rename(store, staging->dir, staging->sealed_dir, &why);
    if (ret == -EEXIST)
        return taken(staging, store, err);
    return ret ? err_set(err, ret, "%s", err_text(&why, ret)) : 0;
}

int staging_explain(const struct staging *staging, struct store *store, int code, struct err *err)
{
    if (code != -ENOENT || layout_exists(store, staging->dir, NULL) != 0)
        return code;
    return err_set(err, -ESTALE,
                   "%s/%s: expected the directory of this build, found none: fkv gc with too short "
                   "a --staging-age, or somebody, removed it; build again",
                   store_url(store), staging->dir);
}

void staging_drop(const struct staging *staging, struct store *store)
{
    store_remove_tree(store, staging->dir, NULL);
}
