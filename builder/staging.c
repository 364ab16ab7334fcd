/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/staging.h"

#include "builder/build.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* UTC first, so that names sort by age; then what keeps two builds of one moment apart. */
static void task_name(char out[TASK_NAME_MAX + 1])
{
    static _Atomic unsigned count;
    struct timespec now;
    struct tm utc;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    size_t n = strftime(out, TASK_NAME_MAX + 1, "%Y%m%dT%H%M%S", &utc);
    snprintf(out + n, TASK_NAME_MAX + 1 - n, ".%03ldZ-%ld-%u", now.tv_nsec / 1000000,
             (long)getpid(), atomic_fetch_add(&count, 1) + 1);
}

static int is_sealed(struct store *store, const char *dir, struct err *err)
{
    char path[STORE_PATH_MAX + 16];
    struct store_stat st;
    struct err missing = {0};
    snprintf(path, sizeof path, "%s/version.json", dir);
    int ret = store_stat(store, path, &st, &missing);
    if (ret == 0)
        return 1;
    if (ret == -ENOENT)
        return 0;
    if (err)
        *err = missing;
    return ret;
}

int staging_open(struct staging *staging, struct store *store, const struct job *job,
                 struct err *err)
{
    char parts[STORE_PATH_MAX + 16];
    if (job->task)
        snprintf(staging->task, sizeof staging->task, "%s", job->task);
    else
        task_name(staging->task);
    snprintf(staging->dir, sizeof staging->dir, "tables/%s/staging/%s", job->table, staging->task);
    int sealed = is_sealed(store, staging->dir, err);
    if (sealed < 0)
        return sealed;
    if (sealed)
        return err_set(err, -EEXIST,
                       "%s is a sealed build already: publish it, remove it, or choose another "
                       "--task",
                       staging->dir);
    int ret = store_remove_tree(store, staging->dir, err);
    snprintf(parts, sizeof parts, "%s/parts", staging->dir);
    return ret ? ret : store_mkdir(store, parts, err);
}

void staging_drop(const struct staging *staging, struct store *store)
{
    store_remove_tree(store, staging->dir, NULL);
}

int build_find_sealed(struct store *store, const char *table, char task[TASK_NAME_MAX + 1],
                      struct err *err)
{
    char path[STORE_PATH_MAX];
    struct store_list list = {0};
    const char *last = NULL;
    int ret = table_name_check(table, err);
    if (ret)
        return ret;
    snprintf(path, sizeof path, "tables/%s/staging", table);
    ret = store_list(store, path, &list, err);
    if (ret && ret != -ENOENT)
        return ret;
    for (size_t i = 0; !ret && i < list.n_names; i++) {
        char dir[STORE_PATH_MAX];
        const char *name = list.names[i];
        if (task_name_check(name, NULL) || (last && strcmp(name, last) < 0))
            continue;
        snprintf(dir, sizeof dir, "tables/%s/staging/%s", table, name);
        int sealed = is_sealed(store, dir, err);
        if (sealed < 0)
            ret = sealed;
        if (sealed > 0)
            last = name;
    }
    if (last && !ret)
        snprintf(task, TASK_NAME_MAX + 1, "%s", last);
    else if (!ret || ret == -ENOENT)
        ret = err_set(err, -ENOENT, "table %s has no sealed build: run fkv build first", table);
    store_list_release(&list);
    return ret;
}
