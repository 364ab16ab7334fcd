/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/task_status.h"

#include "base/scope.h"
#include "base/utf8.h"
#include "builder/task_engine.h"
#include "builder/task_spec_json.h"
#include "manifest/manifest.h"
#include "store/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *task_state_name(enum task_state state)
{
    static const char *const names[] = {"queued",  "planning",  "mapping", "reducing",
                                        "sealing", "verifying", "sealed",  "published",
                                        "failed",  "cancelled"};
    return names[state];
}

bool task_state_is_final(enum task_state state)
{
    return state >= TASK_SEALED;
}

/* ---- what names tell ---- */

struct listing {
    bool has_plan;
    bool has_shape;
    bool has_sealed;
    bool has_published;
    bool has_cancelled;
    uint32_t n_mapped;
    uint32_t n_reduced;
    uint32_t n_failed;
    char failed[TASK_FILE_MAX]; /* the first of this attempt */
    uint64_t failed_order;
};

/* "map-7.json" of that stage? */
static bool is_marker(const char *name, enum task_stage stage, uint32_t *index)
{
    char expected[TASK_FILE_MAX];
    unsigned n = 0;
    size_t len = strlen(task_stage_name(stage));
    if (strncmp(name, task_stage_name(stage), len) || sscanf(name + len, "-%9u", &n) != 1)
        return false;
    *index = n;
    task_marker_name(stage, n, expected);
    return strcmp(name, expected) == 0;
}

/* "failed-<attempt>-<stage>-<index>.json": a number that orders by stage and index. */
static bool is_failure(const char *name, uint32_t attempt, uint64_t *order)
{
    unsigned n = 0;
    unsigned index = 0;
    char word[16] = "";
    enum task_stage stage;
    if (sscanf(name, "failed-%9u-%15[a-z]-%9u.json", &n, word, &index) != 3 || n != attempt ||
        task_stage_from_name(word, &stage, NULL))
        return false;
    *order = (uint64_t)stage << 32 | index;
    return true;
}

static void listing_take(struct listing *l, const char *name, uint32_t attempt)
{
    uint32_t index = 0;
    uint64_t order = 0;
    l->has_plan |= strcmp(name, "plan.json") == 0;
    l->has_shape |= strcmp(name, "shape.json") == 0;
    l->has_sealed |= strcmp(name, "sealed.json") == 0;
    l->has_published |= strcmp(name, "published.json") == 0;
    l->has_cancelled |= strcmp(name, "cancelled.json") == 0;
    l->n_mapped += is_marker(name, STAGE_MAP, &index);
    l->n_reduced += is_marker(name, STAGE_REDUCE, &index);
    if (!is_failure(name, attempt, &order))
        return;
    if (l->n_failed++ == 0 || order < l->failed_order) {
        l->failed_order = order;
        snprintf(l->failed, sizeof l->failed, "%s", name);
    }
}

static int listing_read(const struct task *task, struct listing *out, struct err *err)
{
    struct store_list list = {0};
    *out = (struct listing){0};
    int ret = layout_list(task->store, task->dir, &list, err);
    for (size_t i = 0; i < list.n_names; i++)
        listing_take(out, list.names[i], task->attempt);
    store_list_release(&list);
    return ret;
}

/* ---- documents ---- */

/* For terminals, whoever wrote it. */
static void copy_text(const char *text, char *out, size_t cap)
{
    snprintf(out, cap, "%s", text);
    utf8_clean(out, strlen(out));
}

static void copy_member(struct json_at at, const char *key, char *out, size_t cap)
{
    const char *text = NULL;
    if (!json_get_string(at, key, 255, &text, NULL))
        copy_text(text, out, cap);
}

static int read_job(const struct task *task, struct task_status *s, struct err *err)
{
    json_t *json = NULL;
    struct task_document document = {0};
    int ret = task_get(task, "job.json", &json, err);
    if (!ret)
        ret = task_spec_decode_json(json, "job.json", &document, err);
    if (ret)
        return ret;
    const struct task_spec *spec = &document.spec;
    snprintf(s->table, sizeof s->table, "%s", spec->job.table ? spec->job.table : "?");
    s->then = spec->then;
    snprintf(s->engine, sizeof s->engine, "%s", task_engine_of(spec->engine)->name);
    s->is_delta = spec->job.is_delta;
    task_document_release(&document);
    return 0;
}

static int read_attempts(const struct task *task, struct task_status *s, struct err *err)
{
    char file[TASK_FILE_MAX];
    scope_json json_t *first = NULL;
    scope_json json_t *last = NULL;
    /* Its submitter died before it could begin: a retry does. */
    if (!task->attempt)
        return 0;
    int ret = task_get(task, "attempt-1.json", &first, err);
    snprintf(file, sizeof file, "attempt-%" PRIu32 ".json", task->attempt);
    if (!ret)
        ret = task_get(task, file, &last, err);
    if (ret)
        return ret;
    copy_member((struct json_at){first, "attempt-1.json"}, "author", s->author, sizeof s->author);
    copy_member((struct json_at){last, file}, "engine", s->engine, sizeof s->engine);
    return json_get_ns((struct json_at){first, "attempt-1.json"}, "time_ns", &s->submitted_ns, err);
}

static int read_failure(const struct task *task, const struct listing *l, struct task_status *s,
                        struct err *err)
{
    scope_json json_t *json = NULL;
    uint64_t code = 0;
    struct json_at at = {NULL, l->failed};
    int ret = task_get(task, l->failed, &json, err);
    at.object = json;
    if (!ret)
        ret = json_get_u64(at, "errno", 4095, &code, err);
    if (ret)
        return ret;
    const char *reason = json_string_value(json_object_get(json, "reason"));
    copy_text(reason ? reason : "?", s->reason, sizeof s->reason);
    s->failure = -(int)code;
    s->failed_stage = (enum task_stage)(l->failed_order >> 32);
    s->failed_index = (uint32_t)l->failed_order;
    return 0;
}

static int read_published(const struct task *task, struct task_status *s, struct err *err)
{
    scope_json json_t *json = NULL;
    int ret = task_get(task, "published.json", &json, err);
    struct json_at at = {json, "published.json"};
    if (!ret)
        ret = json_get_u64(at, "version", INT64_MAX, &s->version, err);
    if (!ret)
        ret = json_get_bool(at, "active", &s->is_active, err);
    if (!ret && json_has(at, "checkpoint"))
        ret = json_get_u64(at, "checkpoint", INT64_MAX, &s->checkpoint, err);
    return ret;
}

static int read_plan(const struct task *task, struct task_status *s, struct err *err)
{
    scope_json json_t *json = NULL;
    const json_t *pieces = NULL;
    int ret = task_get(task, "plan.json", &json, err);
    struct json_at at = {json, "plan.json"};
    if (!ret)
        ret = json_get_array(at, "pieces", UINT32_MAX, &pieces, err);
    if (!ret)
        ret = json_get_u32(at, "groups", UINT32_MAX, &s->n_groups, err);
    if (!ret)
        s->n_pieces = (uint32_t)json_array_size(pieces);
    return ret;
}

static int read_shape(const struct task *task, struct task_status *s, struct err *err)
{
    scope_json json_t *json = NULL;
    int ret = task_get(task, "shape.json", &json, err);
    struct json_at at = {json, "shape.json"};
    return ret ? ret : json_get_u32(at, "shards", SHARDS_MAX, &s->n_shards, err);
}

/* ---- workers ---- */

static int read_worker(const struct task *task, const char *name, int64_t now_ns,
                       struct task_worker *w)
{
    scope_json json_t *json = NULL;
    char file[2 * TASK_FILE_MAX];
    char path[STORE_PATH_MAX];
    struct store_stat st;
    for (int stage = 0;; stage++) {
        if (stage == STAGE_COUNT)
            return -ENOENT;
        w->stage = (enum task_stage)stage;
        if (is_marker(name, w->stage, &w->index))
            break;
    }
    snprintf(file, sizeof file, "work/%.*s", TASK_FILE_MAX, name);
    if (task_get(task, file, &json, NULL) || task_path(task, file, path, NULL) ||
        store_stat(task->store, path, &st, NULL))
        return -ENOENT;
    struct json_at at = {json, file};
    json_get_u64(at, "rows", INT64_MAX, &w->rows, NULL);
    json_get_u64(at, "done", INT64_MAX, &w->done, NULL);
    json_get_u64(at, "total", INT64_MAX, &w->total, NULL);
    json_get_u64(at, "pid", INT64_MAX, &w->pid, NULL);
    w->seconds = json_number_value(json_object_get(json, "seconds"));
    copy_member(at, "author", w->author, sizeof w->author);
    double silent = (double)(now_ns - (st.mtime.tv_sec * 1000000000LL + st.mtime.tv_nsec)) * 1e-9;
    w->silent = silent > 0 ? silent : 0;
    return 0;
}

/* By the store's clock, which stamped the marks. Not read in the task's directory: that would be a sign of life. */
static int64_t store_now(struct store *store)
{
    struct store_clock clock;
    return store_clock_read(store, "nodes", &clock, NULL) ? 0 : store_clock_now_ns(&clock);
}

static int read_workers(const struct task *task, struct task_status *s, struct err *err)
{
    char dir[STORE_PATH_MAX];
    struct store_list list = {0};
    int ret = task_path(task, "work", dir, err);
    if (!ret)
        ret = layout_list(task->store, dir, &list, err);
    if (ret || !list.n_names) {
        store_list_release(&list);
        return ret;
    }
    int64_t now = store_now(task->store);
    s->workers = calloc(list.n_names, sizeof *s->workers);
    for (size_t i = 0; s->workers && i < list.n_names; i++) {
        if (!read_worker(task, list.names[i], now, &s->workers[s->n_workers]))
            s->n_workers++;
    }
    store_list_release(&list);
    return s->workers ? 0 : err_sys(err, -ENOMEM, "task %s", task->name);
}

/* ---- times ---- */

static void times_add(struct task_stage_times *t, const json_t *json, enum task_stage stage)
{
    double ended = (double)json_integer_value(json_object_get(json, "time_ns")) * 1e-9;
    double seconds = json_number_value(json_object_get(json, "seconds"));
    const json_t *part = json_object_get(json, "part");
    if (!t->began || ended - seconds < t->began)
        t->began = ended - seconds;
    if (ended > t->ended)
        t->ended = ended;
    t->seconds += seconds;
    t->cpu_seconds += json_number_value(json_object_get(json, "cpu_seconds"));
    t->rows += (uint64_t)json_integer_value(json_object_get(json, "rows"));
    t->bytes += (uint64_t)json_integer_value(
        stage == STAGE_MAP ? json_object_get(json, "input_bytes") : json_object_get(part, "bytes"));
}

static int read_times(const struct task *task, enum task_stage stage, uint32_t n,
                      struct task_stage_times *t, struct err *err)
{
    for (uint32_t i = 0; i < n; i++) {
        scope_json json_t *json = NULL;
        char file[TASK_FILE_MAX];
        struct err why = {0};
        task_marker_name(stage, i, file);
        int ret = task_get(task, file, &json, &why);
        if (ret == -ENOENT)
            continue;
        if (ret)
            return err_set(err, ret, "%s", err_text(&why, ret));
        times_add(t, json, stage);
    }
    return 0;
}

static int read_detail(const struct task *task, struct task_status *s, struct err *err)
{
    static const struct {
        const char *file;
        enum task_stage stage;
    } single[] = {{"plan.json", STAGE_PLAN}, {"sealed.json", STAGE_SEAL}};
    int ret = read_times(task, STAGE_MAP, s->n_pieces, &s->stages[STAGE_MAP], err);
    if (!ret)
        ret = read_times(task, STAGE_REDUCE, s->n_shards, &s->stages[STAGE_REDUCE], err);
    for (size_t i = 0; i < 2 && !ret; i++) {
        scope_json json_t *json = NULL;
        if (task_get(task, single[i].file, &json, NULL))
            continue;
        times_add(&s->stages[single[i].stage], json, single[i].stage);
        s->stages[single[i].stage].n_done = 1;
    }
    return ret;
}

/* ---- all of it ---- */

static enum task_state state_of(const struct listing *l, const struct task_status *s)
{
    /* Whoever cancelled it may have come too late. */
    if (l->has_published)
        return TASK_PUBLISHED;
    if (l->has_sealed && s->then == TASK_STOP)
        return TASK_SEALED;
    if (l->has_cancelled)
        return TASK_CANCELLED;
    if (l->n_failed)
        return TASK_FAILED;
    if (l->has_sealed)
        return TASK_VERIFYING;
    if (l->has_shape && l->n_reduced >= s->n_shards)
        return TASK_SEALING;
    if (l->has_plan && (l->has_shape || l->n_mapped >= s->n_pieces))
        return TASK_REDUCING;
    if (l->has_plan)
        return TASK_MAPPING;
    return s->n_workers ? TASK_PLANNING : TASK_QUEUED;
}

/* When anything was put: marks and documents change the directories they are in. */
static int64_t last_sign(const struct task *task)
{
    char dir[STORE_PATH_MAX];
    int64_t last = 0;
    const char *const dirs[] = {"", "/work"};
    for (size_t i = 0; i < 2; i++) {
        struct store_stat st;
        snprintf(dir, sizeof dir, "%s%s", task->dir, dirs[i]);
        if (store_stat(task->store, dir, &st, NULL))
            continue;
        int64_t at = st.mtime.tv_sec * 1000000000LL + st.mtime.tv_nsec;
        last = at > last ? at : last;
    }
    return last;
}

/* A queue may keep a task waiting for days; a process of its own has no reason to be silent. */
static bool is_stalled(const struct task *task, const struct task_status *s)
{
    if (task_state_is_final(s->state) || strcmp(s->engine, "local") != 0)
        return false;
    int64_t now = store_now(task->store);
    return now && now - last_sign(task) > TASK_SILENT_S * 1000000000LL;
}

int task_status_read(const struct task *task, bool has_detail, struct task_status *out,
                     struct err *err)
{
    struct task_status s = {.attempt = task->attempt};
    struct listing l;
    snprintf(s.name, sizeof s.name, "%s", task->name);
    int ret = listing_read(task, &l, err);
    if (!ret)
        ret = read_job(task, &s, err);
    if (!ret)
        ret = read_attempts(task, &s, err);
    if (!ret && l.has_plan)
        ret = read_plan(task, &s, err);
    if (!ret && l.has_shape)
        ret = read_shape(task, &s, err);
    if (!ret && l.n_failed)
        ret = read_failure(task, &l, &s, err);
    if (!ret && l.has_published)
        ret = read_published(task, &s, err);
    if (!ret)
        ret = read_workers(task, &s, err);
    if (!ret && has_detail)
        ret = read_detail(task, &s, err);
    s.stages[STAGE_MAP].n_done = l.n_mapped;
    s.stages[STAGE_REDUCE].n_done = l.n_reduced;
    s.state = state_of(&l, &s);
    s.is_stalled = is_stalled(task, &s);
    if (ret)
        task_status_release(&s);
    else
        *out = s;
    return ret;
}

void task_status_release(struct task_status *status)
{
    free(status->workers);
    *status = (struct task_status){0};
}

int task_list(struct store *store, struct store_list *out, struct err *err)
{
    int ret = layout_list(store, "tasks", out, err);
    size_t n = 0;
    for (size_t i = 0; i < out->n_names; i++) {
        if (task_name_check(out->names[i], NULL))
            free(out->names[i]);
        else
            out->names[n++] = out->names[i];
    }
    out->n_names = n;
    return ret;
}
