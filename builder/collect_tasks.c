/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tasks go by age as a whole: their workers, and people who look at why one failed, leave marks and documents there. A directory
 * is renamed before it is removed, so that nobody finds half a task.
 */
#include "builder/collect_impl.h"
#include "builder/task_status.h"

#include <errno.h>
#include <string.h>

#define WITHDRAWN_PREFIX ".gc-"

enum { NONCE_LEN = 16 };

/* ".work-<task>-<16 hex digits>": the task. */
static bool work_task(const char *dir_name, char out[TASK_NAME_MAX + 1])
{
    size_t prefix = strlen(LAYOUT_WORK_PREFIX);
    size_t len = strlen(dir_name);
    if (len <= prefix + 1 + NONCE_LEN || strncmp(dir_name, LAYOUT_WORK_PREFIX, prefix) ||
        dir_name[len - NONCE_LEN - 1] != '-')
        return false;
    len -= prefix + 1 + NONCE_LEN;
    if (len > TASK_NAME_MAX)
        return false;
    memcpy(out, dir_name + prefix, len);
    out[len] = 0;
    return !task_name_check(out, NULL);
}

bool collect_is_wanted(const struct collecting *c, const char *dir_name)
{
    char name[TASK_NAME_MAX + 1];
    struct task task;
    struct task_status status;
    if (!work_task(dir_name, name))
        return false;
    int ret = task_open(c->store, name, &task, NULL);
    if (ret)
        return ret != -ENOENT;
    /* What cannot be understood may be of a newer version. */
    if (task_status_read(&task, false, &status, NULL))
        return true;
    bool is_wanted = !task_state_is_final(status.state) || status.state == TASK_FAILED;
    task_status_release(&status);
    return is_wanted;
}

/* One that never got its job.json is nothing but what a killed submitter left. */
static int age_of(const struct collecting *c, const char *dir, int64_t *age_ns, struct err *err)
{
    char job[STORE_PATH_MAX + 16];
    snprintf(job, sizeof job, "%s/job.json", dir);
    int has = layout_exists(c->store, job, err);
    *age_ns = has ? c->options->sealed_age_ns : c->options->staging_age_ns;
    return has < 0 ? has : 0;
}

static int sweep_task(struct collecting *c, const char *name, struct err *err)
{
    char dir[STORE_PATH_MAX], away[STORE_PATH_MAX];
    struct err why = {0};
    int64_t age_ns = 0;
    snprintf(dir, sizeof dir, "tasks/%.*s", TASK_NAME_MAX, name);
    snprintf(away, sizeof away, "tasks/" WITHDRAWN_PREFIX "%.*s", TASK_NAME_MAX, name);
    int rc = age_of(c, dir, &age_ns, err);
    if (rc || !collect_is_stale(c, dir, age_ns))
        return rc;
    collect_say(c, "%s %s (a task that nobody touched for long)", collect_verb(c), dir);
    c->result->n_tasks++;
    if (c->options->dry_run)
        return 0;
    rc = store_rename(c->store, dir, away, &why);
    /* Another gc has it. */
    if (rc == -ENOENT || rc == -EEXIST)
        return 0;
    if (rc)
        return err_set(err, rc, "%s", err_text(&why, rc));
    /* Somebody may have tried it again a moment before. */
    if (!collect_is_stale(c, away, age_ns)) {
        c->result->n_tasks--;
        return store_rename(c->store, away, dir, err);
    }
    return store_remove_tree(c->store, away, err);
}

/* What an earlier run was killed at. */
static int sweep_withdrawn(struct collecting *c, const char *name, struct err *err)
{
    char away[STORE_PATH_MAX];
    snprintf(away, sizeof away, "tasks/%s", name);
    if (c->options->dry_run || !collect_is_stale(c, away, c->options->staging_age_ns))
        return 0;
    return store_remove_tree(c->store, away, err);
}

int collect_tasks(struct collecting *c, struct err *err)
{
    struct store_list list = {0};
    int rc = layout_list(c->store, "tasks", &list, err);
    for (size_t i = 0; !rc && i < list.n_names; i++) {
        const char *name = list.names[i];
        if (strncmp(name, WITHDRAWN_PREFIX, strlen(WITHDRAWN_PREFIX)) == 0)
            rc = sweep_withdrawn(c, name, err);
        else if (!task_name_check(name, NULL))
            rc = sweep_task(c, name, err);
    }
    store_list_release(&list);
    return rc;
}
