/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/task_work.h"

#include "base/scope.h"
#include "base/utf8.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Of this thread's process: workers of the local engine share it, so it is told for a whole process only. */
static double cpu_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void work_name(const struct task_work *work, char out[TASK_FILE_MAX])
{
    snprintf(out, TASK_FILE_MAX, "work/%s-%" PRIu32 ".json", task_stage_name(work->stage),
             work->index);
}

/* ---- the mark ---- */

static void put_mark(struct task_work *work)
{
    char file[TASK_FILE_MAX];
    const struct build_progress *p = &work->last;
    json_t *doc = task_stamp(work->task);
    work_name(work, file);
    if (doc && (json_put_u64(doc, "rows", p->rows) || json_put_u64(doc, "done", p->bytes_done) ||
                json_put_u64(doc, "total", p->bytes_total) ||
                json_put_double(doc, "seconds", p->seconds))) {
        json_decref(doc);
        doc = NULL;
    }
    task_put(work->task, file, doc, NULL);
}

/* What was said since the last time, for those who look on. */
static void put_log(struct task_work *work)
{
    char host[64] = "host";
    char file[TASK_FILE_MAX + 64];
    char path[STORE_PATH_MAX];
    struct buf text = {0};
    {
        scope_lock(&work->lock);
        if (work->log.len == work->logged || buf_add(&text, work->log.data, work->log.len))
            return;
        work->logged = work->log.len;
    }
    gethostname(host, sizeof host - 1);
    host[strcspn(host, "/ ")] = 0;
    snprintf(file, sizeof file, "log/%s-%05" PRIu32 "-%" PRIu32 "-%s-%ld.log",
             task_stage_name(work->stage), work->index, work->task->attempt, host, (long)getpid());
    if (!task_path(work->task, file, path, NULL))
        store_put(work->task->store, path, text.data, text.len, NULL);
    buf_release(&text);
}

static void on_progress(void *context, const struct build_progress *progress)
{
    struct task_work *work = context;
    work->last = *progress;
    if (work->parent_cancel && *work->parent_cancel)
        work->is_cancelled = true;
    if (progress->seconds - work->marked < TASK_WORK_S)
        return;
    work->marked = progress->seconds;
    put_mark(work);
    put_log(work);
    if (task_has(work->task, "cancelled.json", NULL) == 1)
        work->is_cancelled = true;
}

static void on_bad_row(void *context, const char *text)
{
    task_work_say(context, "bad row: %s", text);
}

static void keep(void *context)
{
    struct task_work *work = context;
    if (work->keep_dir)
        layout_mark(work->task->store, work->keep_dir, NULL);
}

void task_work_begin(struct task_work *work, const struct task *task, enum task_stage stage,
                     uint32_t index, const atomic_bool *cancel)
{
    *work = (struct task_work){.task = task,
                               .stage = stage,
                               .index = index,
                               .parent_cancel = cancel,
                               .cpu_began = cpu_now()};
    work->hooks = (struct build_hooks){.progress = on_progress,
                                       .bad_row = on_bad_row,
                                       .cancel = &work->is_cancelled,
                                       .context = work};
    pthread_mutex_init(&work->lock, NULL);
    meter_init(&work->meter, &work->hooks);
    work->meter.keep = keep;
    work->meter.keep_context = work;
    engine_local_init(&work->engine, 1, &work->is_cancelled);
    task_work_say(work, "%s %" PRIu32 " of task %s, attempt %" PRIu32 ", process %ld begins",
                  task_stage_name(stage), index, task->name, task->attempt, (long)getpid());
    put_mark(work);
}

void task_work_say(struct task_work *work, const char *fmt, ...)
{
    char line[1024];
    char when[32];
    struct timespec now;
    struct tm utc;
    va_list args;
    va_start(args, fmt);
    vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    utf8_clean(line, strlen(line));
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", &utc);
    scope_lock(&work->lock);
    if (work->log.len < TASK_LOG_MAX)
        buf_printf(&work->log, "%s.%03ldZ %s\n", when, now.tv_nsec / 1000000, line);
}

/* ---- running ---- */

struct running {
    struct task_work *work;
    int (*fn)(void *context, struct err *err);
    void *context;
};

static int run_task(void *context, uint32_t number, struct err *err)
{
    struct running *running = context;
    return running->fn(running->context, err);
}

static void run_tick(void *context)
{
    struct running *running = context;
    meter_tick(&running->work->meter);
}

int task_work_run(struct task_work *work, int (*fn)(void *context, struct err *err), void *context,
                  struct err *err)
{
    struct running running = {.work = work, .fn = fn, .context = context};
    struct engine_work engine_work = {
        .n_tasks = 1, .task = run_task, .tick = run_tick, .context = &running};
    return work->engine.engine.run(&work->engine.engine, &engine_work, err);
}

json_t *task_work_stamp(struct task_work *work)
{
    json_t *doc = task_stamp(work->task);
    double now = meter_seconds(&work->meter);
    double cpu = cpu_now();
    if (doc && (json_put_double(doc, "seconds", now - work->stamped) ||
                json_put_double(doc, "cpu_seconds", cpu - work->cpu_began))) {
        json_decref(doc);
        return NULL;
    }
    work->stamped = now;
    work->cpu_began = cpu;
    return doc;
}

/* ---- the end ---- */

static void failure_name(const struct task *task, enum task_stage stage, uint32_t index,
                         char out[TASK_FILE_MAX])
{
    snprintf(out, TASK_FILE_MAX, "failed-%" PRIu32 "-%s-%" PRIu32 ".json", task->attempt,
             task_stage_name(stage), index);
}

/* A scheduler tried it again, and it went well. */
void task_work_done(const struct task *task, enum task_stage stage, uint32_t index)
{
    char file[TASK_FILE_MAX];
    char path[STORE_PATH_MAX];
    failure_name(task, stage, index, file);
    if (!task_path(task, file, path, NULL))
        store_remove(task->store, path, NULL);
}

/* The reason may have been cut within a character, or tell of a path that was: a document takes text only. */
static void put_failure(struct task_work *work, int code, const char *why)
{
    char file[TASK_FILE_MAX];
    char reason[ERR_TEXT_MAX];
    json_t *doc = task_work_stamp(work);
    snprintf(reason, sizeof reason, "%s", why);
    utf8_clean(reason, strlen(reason));
    failure_name(work->task, work->stage, work->index, file);
    if (doc &&
        (json_put_string(doc, "stage", task_stage_name(work->stage)) ||
         json_put_u64(doc, "index", work->index) || json_put_u64(doc, "errno", (uint64_t)-code) ||
         json_put_string(doc, "reason", reason))) {
        json_decref(doc);
        doc = NULL;
    }
    task_put(work->task, file, doc, NULL);
}

/* Has somebody else done what failed here? */
static bool is_overtaken(struct task_work *work, int ret, const struct err *err)
{
    if (!ret || ret == -ECANCELED || !work->is_done || !work->is_done(work->done_context))
        return false;
    task_work_say(work, "somebody else did it meanwhile; here: %s", err_text(err, ret));
    return true;
}

int task_work_end(struct task_work *work, int ret, struct err *err)
{
    char file[TASK_FILE_MAX];
    char path[STORE_PATH_MAX];
    if (is_overtaken(work, ret, err))
        ret = 0;
    bool is_told = ret && ret != -ECANCELED && !task_is_tried_again(work->task, ret);
    if (ret)
        task_work_say(work, "%s: %s", is_told ? "failed" : "stopped", err_text(err, ret));
    else
        task_work_say(work, "done in %.1f s", meter_seconds(&work->meter));
    /* The mark first, the log last: on a full store the room that the mark took is what the failure needs. */
    work_name(work, file);
    if (!task_path(work->task, file, path, NULL))
        store_remove(work->task->store, path, NULL);
    if (is_told)
        put_failure(work, ret, err_text(err, ret));
    if (is_told && is_overtaken(work, ret, err))
        ret = 0;
    if (!ret)
        task_work_done(work->task, work->stage, work->index);
    put_log(work);
    buf_release(&work->log);
    pthread_mutex_destroy(&work->lock);
    return ret;
}

void task_work_fail(const struct task *task, enum task_stage stage, uint32_t index, int code,
                    const struct err *why)
{
    struct task_work work;
    struct err err = *why;
    task_work_begin(&work, task, stage, index, NULL);
    task_work_end(&work, code, &err);
}
