/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/task.h"

#include "base/hash.h"
#include "base/scope.h"
#include "manifest/author.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *const stage_names[STAGE_COUNT] = {"plan", "map", "reduce", "seal"};

const char *task_stage_name(enum task_stage stage)
{
    return stage < STAGE_COUNT ? stage_names[stage] : "?";
}

int task_stage_from_name(const char *name, enum task_stage *out, struct err *err)
{
    for (int i = 0; i < STAGE_COUNT; i++) {
        if (strcmp(name, stage_names[i]) == 0) {
            *out = (enum task_stage)i;
            return 0;
        }
    }
    return err_set(err, -EINVAL, "expected plan, map, reduce or seal; found '%.40s'", name);
}

bool task_is_tried_again(const struct task *task, int code)
{
    return task->is_tried_again && err_exit_status(code) == err_exit_status(-EIO);
}

void task_name_new(char out[TASK_NAME_MAX + 1])
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

void task_marker_name(enum task_stage stage, uint32_t index, char out[TASK_FILE_MAX])
{
    snprintf(out, TASK_FILE_MAX, "%s-%" PRIu32 ".json", task_stage_name(stage), index);
}

/* A name that has no room for the suffix is cut, and told by a digest from others that begin so. */
void task_checkpoint_name(const struct task *task, char out[TASK_NAME_MAX + 1])
{
    static const char suffix[] = "-checkpoint";
    enum { SUFFIX_LEN = sizeof suffix - 1, CUT_LEN = TASK_NAME_MAX - SUFFIX_LEN - 1 };
    char hex[DIGEST_HEX_LEN + 1];
    struct digest digest;
    size_t len = strlen(task->name);
    if (len + SUFFIX_LEN <= TASK_NAME_MAX) {
        memcpy(out, task->name, len);
        memcpy(out + len, suffix, sizeof suffix);
        return;
    }
    digest_of(task->name, len, &digest);
    digest_to_hex(&digest, hex);
    snprintf(out, TASK_NAME_MAX + 1, "%.*s-%s%s", CUT_LEN - DIGEST_HEX_LEN, task->name, hex,
             suffix);
}

json_t *task_stamp(const struct task *task)
{
    char author[AUTHOR_MAX];
    struct timespec now;
    json_t *out = json_object();
    author_current(author);
    clock_gettime(CLOCK_REALTIME, &now);
    if (out &&
        (json_put_u64(out, "attempt", task->attempt) || json_put_string(out, "author", author) ||
         json_put_u64(out, "pid", (uint64_t)getpid()) ||
         json_put_u64(out, "time_ns",
                      (uint64_t)now.tv_sec * 1000000000ULL + (uint64_t)now.tv_nsec))) {
        json_decref(out);
        return NULL;
    }
    return out;
}

/* ---- documents ---- */

int task_path(const struct task *task, const char *file, char out[STORE_PATH_MAX], struct err *err)
{
    if (snprintf(out, STORE_PATH_MAX, "%s/%s", task->dir, file) >= STORE_PATH_MAX)
        return err_set(err, -ENAMETOOLONG, "%s/%s: the path is too long", task->dir, file);
    return 0;
}

static int put(const struct task *task, const char *file, json_t *document, bool is_new,
               struct err *err)
{
    scope_json json_t *json = document;
    char path[STORE_PATH_MAX];
    struct buf text = {0};
    int ret = task_path(task, file, path, err);
    if (!ret && (!json || json_write(json, false, &text)))
        ret = err_sys(err, -ENOMEM, "task %s: writing %s", task->name, file);
    if (!ret)
        ret = is_new ? store_put_new(task->store, path, text.data, text.len, err)
                     : store_put(task->store, path, text.data, text.len, err);
    buf_release(&text);
    return ret;
}

int task_put_new(const struct task *task, const char *file, json_t *document, struct err *err)
{
    return put(task, file, document, true, err);
}

int task_put(const struct task *task, const char *file, json_t *document, struct err *err)
{
    return put(task, file, document, false, err);
}

int task_get(const struct task *task, const char *file, json_t **out, struct err *err)
{
    char path[STORE_PATH_MAX];
    struct buf text = {0};
    int ret = task_path(task, file, path, err);
    if (!ret)
        ret = store_get(task->store, path, TASK_DOCUMENT_MAX, &text, err);
    if (!ret)
        ret = json_parse(text.data, text.len, path, out, err);
    buf_release(&text);
    return ret;
}

int task_has(const struct task *task, const char *file, struct err *err)
{
    char path[STORE_PATH_MAX];
    int ret = task_path(task, file, path, err);
    return ret ? ret : layout_exists(task->store, path, err);
}

/* ---- the task ---- */

static int task_init(struct task *task, struct store *store, const char *name, struct err *err)
{
    int ret = task_name_check(name, err);
    if (ret)
        return ret;
    *task = (struct task){.store = store};
    snprintf(task->name, sizeof task->name, "%s", name);
    snprintf(task->dir, sizeof task->dir, "tasks/%s", name);
    return 0;
}

static int put_attempt(const struct task *task, const char *engine, struct err *err)
{
    char file[TASK_FILE_MAX];
    json_t *doc = task_stamp(task);
    snprintf(file, sizeof file, "attempt-%" PRIu32 ".json", task->attempt);
    if (doc && json_put_string(doc, "engine", engine)) {
        json_decref(doc);
        doc = NULL;
    }
    return task_put_new(task, file, doc, err);
}

int task_attempts_check(const struct task *task, struct err *err)
{
    if (task->attempt < TASK_ATTEMPTS_MAX)
        return 0;
    return err_set(err, -E2BIG,
                   "task %s: expected fewer than %d attempts, found %s/attempt-%" PRIu32
                   ".json: submit a new task",
                   task->name, (int)TASK_ATTEMPTS_MAX, task->dir, task->attempt);
}

int task_begin_attempt(struct task *task, const char *engine, struct err *err)
{
    struct err why = {0};
    int ret = task_attempts_check(task, err);
    if (ret)
        return ret;
    task->attempt++;
    ret = put_attempt(task, engine, &why);
    if (ret == -EEXIST)
        return err_set(err, ret,
                       "task %s: somebody else began attempt %" PRIu32 " just now; see: fkv task "
                       "show %s",
                       task->name, task->attempt, task->name);
    return ret ? err_set(err, ret, "%s", err_text(&why, ret)) : 0;
}

int task_create(struct store *store, const char *name, const void *job, size_t job_len,
                const char *engine, struct task *out, struct err *err)
{
    static const char *const dirs[] = {"work", "log", "runs"};
    struct task task;
    char path[STORE_PATH_MAX];
    struct err why = {0};
    int ret = task_init(&task, store, name, err);
    for (size_t i = 0; i < sizeof dirs / sizeof *dirs && !ret; i++) {
        ret = task_path(&task, dirs[i], path, err);
        if (!ret)
            ret = store_mkdir(store, path, err);
    }
    if (!ret)
        ret = task_path(&task, "job.json", path, err);
    if (ret)
        return ret;
    ret = store_put_new(store, path, job, job_len, &why);
    if (ret == -EEXIST)
        return err_set(
            err, ret,
            "task %s is there already; name another with --task, or see: fkv task show %s", name,
            name);
    if (ret)
        return err_set(err, ret, "%s", err_text(&why, ret));
    ret = task_begin_attempt(&task, engine, err);
    if (!ret)
        *out = task;
    return ret;
}

/* The n of "attempt-<n>.json" as it is written here, however great it is; 0: it is no such name. */
static uint64_t attempt_of(const char *name)
{
    static const char prefix[] = "attempt-";
    const char *digits = name + sizeof prefix - 1;
    char *end = NULL;
    if (strncmp(name, prefix, sizeof prefix - 1) || digits[0] < '1' || digits[0] > '9')
        return 0;
    uint64_t n = strtoull(digits, &end, 10);
    return strcmp(end, ".json") ? 0 : n;
}

/* The highest n of the attempt-<n>.json there are. A number that was made up must not have the next one's begin from it. */
static int find_attempt(struct task *task, struct err *err)
{
    struct store_list list = {0};
    int ret = layout_list(task->store, task->dir, &list, err);
    for (size_t i = 0; i < list.n_names && !ret; i++) {
        uint64_t n = attempt_of(list.names[i]);
        if (n > TASK_ATTEMPTS_MAX)
            ret = err_set(err, -EBADMSG,
                          "%s/%.40s: expected attempts up to %d, found that one: fkv did not put "
                          "it; remove the file and say it again",
                          task->dir, list.names[i], (int)TASK_ATTEMPTS_MAX);
        else if (n > task->attempt)
            task->attempt = (uint32_t)n;
    }
    store_list_release(&list);
    return ret;
}

int task_open(struct store *store, const char *name, struct task *out, struct err *err)
{
    struct task task;
    int ret = task_init(&task, store, name, err);
    if (!ret)
        ret = task_has(&task, "job.json", err);
    if (ret == 0)
        return err_set(err, -ENOENT, "no task %s on %s; those there are: fkv task ls", name,
                       store_url(store));
    if (ret > 0)
        ret = find_attempt(&task, err);
    if (ret)
        return ret;
    *out = task;
    return 0;
}
