/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Slurm engine: sbatch once for the plan stage, which, knowing how many pieces and groups there are, submits the rest: an array of map
 * tasks, one of reduce tasks that begins when every map task is done, and one seal job behind that. What a node ran when it failed,
 * Slurm requeues; what a signal killed, or what could not reach the store, its batch script requeues, a few times (task_jobs.c). An element
 * that is done already ends at once, and only those that are missing are submitted, so a retry costs what is missing.
 *
 * Nothing here waits or watches: Slurm keeps the queue, across restarts of its controller too. What it loses nevertheless is found out by
 * who looks: a task that is not over, of which nothing is in the queue and no worker is heard of, is lost.
 */
#include "builder/slurm.h"
#include "builder/task_engine.h"
#include "builder/task_jobs.h"
#include "builder/task_reduce.h"
#include "builder/task_shape.h"
#include "builder/task_status.h"

#include "base/scope.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

enum {
    SUBMITTER_S = 120, /* what its one sbatch takes at most, and more */
    /* Elements of an array, whatever Slurm lets: with every other index missing they are a word of 100 KB, of which a program may have
     * 128 KiB. */
    ARRAY_MAX = 30000,
};

/* ---- arrays ---- */

/* Indices of a stage that have no marker yet. */
struct missing {
    enum task_stage stage;
    const bool *is_missing;
    uint32_t n;
};

/* Adds "a-b" or "a" to a list like "0,3-7". */
static int range_add(struct buf *out, uint32_t first, uint32_t last)
{
    const char *comma = out->len ? "," : "";
    return first == last ? buf_printf(out, "%s%" PRIu32, comma, first)
                         : buf_printf(out, "%s%" PRIu32 "-%" PRIu32, comma, first, last);
}

/* The missing ones of [begin, end), counted from begin. */
static int ranges_make(const struct missing *m, uint32_t begin, uint32_t end, struct buf *out)
{
    int ret = 0;
    for (uint32_t i = begin; i < end && !ret; i++) {
        uint32_t first = i;
        if (!m->is_missing[i])
            continue;
        while (i + 1 < end && m->is_missing[i + 1])
            i++;
        ret = range_add(out, first - begin, i - begin);
    }
    if (!ret && out->len)
        ret = buf_add_byte(out, 0);
    return ret;
}

/* Submits what is missing behind `after`, as many at a time as an array may have; the jobs are added to *jobs. */
static int array_submit(const struct task *task, const struct task_spec *spec,
                        const struct missing *m, uint32_t array_max, const struct slurm_jobs *after,
                        struct slurm_jobs *jobs, struct err *err)
{
    int ret = 0;
    for (uint64_t begin = 0; begin < m->n && !ret; begin += array_max) {
        uint64_t end = begin + array_max < m->n ? begin + array_max : m->n;
        struct buf array = {0};
        char words[64];
        snprintf(words, sizeof words, "%s --offset %" PRIu64, task_stage_name(m->stage), begin);
        if (ranges_make(m, (uint32_t)begin, (uint32_t)end, &array))
            ret = err_sys(err, -ENOMEM, "submitting to Slurm");
        struct task_job job = {
            .stage = m->stage, .words = words, .array = (const char *)array.data, .after = after};
        if (!ret && array.len && jobs->n == SLURM_JOBS_MAX)
            ret = err_set(err, -E2BIG,
                          "task %s: more than %d job arrays of %" PRIu32
                          " elements: give it a greater --piece",
                          task->name, (int)SLURM_JOBS_MAX, array_max);
        if (!ret && array.len)
            ret = task_job_submit(task, spec, &job, &jobs->ids[jobs->n], err);
        if (!ret && array.len)
            jobs->n++;
        buf_release(&array);
    }
    return ret;
}

/* Which pieces have no marker. */
static int missing_pieces(const struct task *task, uint32_t n, bool *out, struct err *err)
{
    for (uint32_t i = 0; i < n; i++) {
        char file[TASK_FILE_MAX];
        task_marker_name(STAGE_MAP, i, file);
        int has = task_has(task, file, err);
        if (has < 0)
            return has;
        out[i] = !has;
    }
    return 0;
}

/* Which groups have shards without one: all, while nobody knows how many shards there are. */
static int missing_groups(const struct task *task, const struct task_plan *plan, bool *out,
                          struct err *err)
{
    scope_json json_t *json = NULL;
    uint32_t n_shards = 0;
    struct err why = {0};
    memset(out, true, plan->n_groups * sizeof *out);
    int ret = task_get(task, "shape.json", &json, &why);
    if (ret == -ENOENT)
        return 0;
    if (ret)
        return err_set(err, ret, "%s", err_text(&why, ret));
    ret = json_get_u32((struct json_at){json, "shape.json"}, "shards", SHARDS_MAX, &n_shards, err);
    for (uint32_t g = 0; g < plan->n_groups && !ret; g++) {
        struct task_group group = task_plan_group(plan, g, n_shards);
        out[g] = false;
        for (uint32_t shard = group.first; shard < group.end && !ret; shard++) {
            char file[TASK_FILE_MAX];
            task_marker_name(STAGE_REDUCE, shard, file);
            int has = task_has(task, file, err);
            ret = has < 0 ? has : 0;
            out[g] |= has == 0;
        }
    }
    return ret;
}

/* ---- the chain ---- */

struct chain {
    struct slurm_jobs maps;
    struct slurm_jobs reduces;
    struct slurm_jobs seal;
    struct slurm_jobs all;
};

static void jobs_append(struct slurm_jobs *to, const struct slurm_jobs *from)
{
    for (size_t i = 0; i < from->n && to->n < SLURM_JOBS_MAX; i++)
        to->ids[to->n++] = from->ids[i];
}

/* chain->all has what was submitted, also when that failed half-way. */
static int chain_submit(const struct task *task, const struct task_plan *plan, struct chain *chain,
                        struct err *err)
{
    const struct task_spec *spec = plan->spec;
    scope_free bool *pieces = calloc((size_t)plan->n_pieces + 1, sizeof *pieces);
    scope_free bool *groups = calloc((size_t)plan->n_groups + 1, sizeof *groups);
    struct missing maps = {STAGE_MAP, pieces, plan->n_pieces};
    struct missing reduces = {STAGE_REDUCE, groups, plan->n_groups};
    uint32_t array_max = 0;
    if (!pieces || !groups)
        return err_sys(err, -ENOMEM, "submitting to Slurm");
    int ret = missing_pieces(task, plan->n_pieces, pieces, err);
    if (!ret)
        ret = missing_groups(task, plan, groups, err);
    if (!ret)
        ret = slurm_array_max(&array_max, err);
    if (array_max > ARRAY_MAX)
        array_max = ARRAY_MAX;
    if (!ret)
        ret = array_submit(task, spec, &maps, array_max, NULL, &chain->maps, err);
    if (!ret)
        ret = array_submit(task, spec, &reduces, array_max, &chain->maps, &chain->reduces, err);
    struct task_job seal = {.stage = STAGE_SEAL,
                            .words = "seal",
                            .after = chain->reduces.n ? &chain->reduces : &chain->maps};
    if (!ret)
        ret = task_job_submit(task, spec, &seal, &chain->seal.ids[0], err);
    chain->seal.n = ret ? 0 : 1;
    jobs_append(&chain->all, &chain->maps);
    jobs_append(&chain->all, &chain->reduces);
    jobs_append(&chain->all, &chain->seal);
    return ret;
}

int task_slurm_chain(const struct task *task, const struct task_plan *plan, struct err *err)
{
    char prefix[TASK_JOB_PREFIX_MAX];
    scope_free struct chain *chain = calloc(1, sizeof *chain);
    if (!chain)
        return err_sys(err, -ENOMEM, "submitting to Slurm");
    int ret = task_jobs_has(task, "rest", err);
    if (ret)
        return ret < 0 ? ret : 0;
    ret = chain_submit(task, plan, chain, err);
    if (!ret)
        ret = task_jobs_put(task, "rest", &chain->all, err);
    /* Half a chain would wait for ever, or run beside the next one. */
    task_jobs_prefix(task, prefix);
    if (ret)
        slurm_cancel(&chain->all, prefix, NULL);
    return ret;
}

/* ---- the engine ---- */

static int slurm_engine_check(const struct task_spec *spec, struct err *err)
{
    return slurm_check(err);
}

static int slurm_start(const struct task *task, const struct task_spec *spec, struct err *err)
{
    scope_free struct slurm_jobs *jobs = calloc(1, sizeof *jobs);
    struct task_job plan = {.stage = STAGE_PLAN, .words = "plan --chain"};
    int ret = jobs ? task_job_submit(task, spec, &plan, &jobs->ids[0], err)
                   : err_sys(err, -ENOMEM, "submitting to Slurm");
    if (!ret) {
        jobs->n = 1;
        ret = task_jobs_put(task, "plan", jobs, err);
    }
    return ret ? err_wrap(err, ret, "task %s", task->name) : 0;
}

static int slurm_stop(const struct task *task, struct err *err)
{
    struct task of = *task;
    char prefix[TASK_JOB_PREFIX_MAX];
    struct err why = {0};
    int ret = 0;
    scope_free struct slurm_jobs *jobs = calloc(1, sizeof *jobs);
    if (!jobs)
        return err_sys(err, -ENOMEM, "cancelling");
    task_jobs_prefix(task, prefix);
    /* An attempt at a time: a number may have been given out again, to a job of a later one. */
    for (of.attempt = task->attempt; of.attempt && !ret; of.attempt--) {
        jobs->n = 0;
        task_jobs_read(&of, jobs);
        ret = slurm_cancel(jobs, prefix, &why);
    }
    return ret ? err_set(err, ret,
                         "task %s: its Slurm jobs could not be taken from the queue (%s); say it "
                         "again when Slurm answers",
                         task->name, err_text(&why, ret))
               : 0;
}

/* ---- looking ---- */

/* What is recorded, and what Slurm says of it. The plan stage may have ended, and submitted the rest, in between: then once more. */
static int look_at(const struct task *task, struct slurm_jobs *jobs, struct slurm_queue *queue,
                   struct err *err)
{
    char prefix[TASK_JOB_PREFIX_MAX];
    task_jobs_prefix(task, prefix);
    for (;;) {
        size_t n;
        jobs->n = 0;
        task_jobs_read(task, jobs);
        slurm_queue_release(queue);
        *queue = (struct slurm_queue){0};
        int ret = slurm_look(jobs, prefix, queue, err);
        n = jobs->n;
        jobs->n = 0;
        task_jobs_read(task, jobs);
        if (ret || n == jobs->n)
            return ret;
    }
}

static double attempt_age_s(const struct task *task)
{
    scope_json json_t *json = NULL;
    char file[TASK_FILE_MAX];
    int64_t began_ns = 0;
    struct timespec now;
    snprintf(file, sizeof file, "attempt-%" PRIu32 ".json", task->attempt);
    if (task_get(task, file, &json, NULL) ||
        json_get_ns((struct json_at){json, file}, "time_ns", &began_ns, NULL))
        return 0;
    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec - (double)began_ns * 1e-9;
}

/* Nothing is in the queue: is it over, or does somebody work at it all the same? Read after the queue was. */
static bool is_lost(const struct task *task, const struct slurm_jobs *jobs)
{
    struct task_status status;
    if (!jobs->n && attempt_age_s(task) < SUBMITTER_S)
        return false;
    if (task_status_read(task, false, &status, NULL))
        return false;
    bool is_going_on = task_state_is_final(status.state);
    for (size_t i = 0; i < status.n_workers; i++)
        is_going_on |= status.workers[i].silent < TASK_SILENT_S;
    task_status_release(&status);
    return !is_going_on;
}

static void say_failed(const struct slurm_ended *e, struct buf *out)
{
    buf_printf(out, "; %s %s ended as %s", e->stage, e->id, e->state);
    if (e->node[0])
        buf_printf(out, " on %s", e->node);
    if (WIFSIGNALED(e->status))
        buf_printf(out, ", its script killed by signal %d", WTERMSIG(e->status));
    else if (WEXITSTATUS(e->status))
        buf_printf(out, " with status %d", WEXITSTATUS(e->status));
    if (WEXITSTATUS(e->status) == 126 || WEXITSTATUS(e->status) == 127)
        buf_printf(out, " (is fkv there, at the path it was submitted from? else say where: "
                        "slurm.fkv in the job file)");
    if (strcmp(e->state, "TIMEOUT") == 0)
        buf_printf(out, " (allow it more: slurm.time in the job file)");
    if (strcmp(e->state, "OUT_OF_MEMORY") == 0)
        buf_printf(out, " (allow it more: memory in the job file)");
}

static void say_jobs(const struct slurm_jobs *jobs, struct buf *out)
{
    enum { SHOWN = 8 };
    for (size_t i = 0; i < jobs->n && i < SHOWN; i++)
        buf_printf(out, "%s%" PRIu64, i ? ", " : "Slurm jobs ", jobs->ids[i]);
    if (jobs->n > SHOWN)
        buf_printf(out, " and %zu more", jobs->n - SHOWN);
    if (!jobs->n)
        buf_printf(out, "not known to have reached Slurm");
}

static void say_queue(const struct slurm_queue *q, struct buf *out)
{
    buf_printf(out, ": %" PRIu32 " running, %" PRIu32 " pending", q->n_running, q->n_pending);
    if (q->waits_for[0])
        buf_printf(out, " (%s)", q->waits_for);
    if (q->n_held)
        buf_printf(out, ", %" PRIu32 " held: scontrol release %.*s%s", q->n_held,
                   q->held.len > 80 ? 80 : (int)q->held.len, (const char *)q->held.data,
                   q->held.len > 80 ? "…" : "");
    if (q->failed.id[0])
        say_failed(&q->failed, out);
}

static int slurm_engine_look(const struct task *task, struct task_engine_look *out, struct err *err)
{
    struct slurm_queue queue = {0};
    struct buf text = {0};
    scope_free struct slurm_jobs *jobs = calloc(1, sizeof *jobs);
    if (!jobs)
        return err_sys(err, -ENOMEM, "asking Slurm");
    int ret = slurm_check(err);
    if (!ret)
        ret = look_at(task, jobs, &queue, err);
    if (!ret) {
        say_jobs(jobs, &text);
        say_queue(&queue, &text);
        buf_add_byte(&text, 0);
        *out = (struct task_engine_look){
            .n_running = queue.n_running, .n_pending = queue.n_pending, .n_held = queue.n_held};
        snprintf(out->text, sizeof out->text, "%s", text.data ? (const char *)text.data : "");
        out->is_lost = !queue.n_running && !queue.n_pending && !queue.n_held && is_lost(task, jobs);
    }
    slurm_queue_release(&queue);
    buf_release(&text);
    return ret;
}

static int slurm_resume(const struct task *task, uint32_t *n, struct err *err)
{
    struct slurm_queue queue = {0};
    scope_free struct slurm_jobs *jobs = calloc(1, sizeof *jobs);
    int ret = jobs ? look_at(task, jobs, &queue, err) : err_sys(err, -ENOMEM, "asking Slurm");
    if (!ret && queue.n_held)
        ret = slurm_release(&queue.held, err);
    if (!ret)
        *n = queue.n_held;
    slurm_queue_release(&queue);
    return ret;
}

const struct task_engine task_engine_slurm = {.name = "slurm",
                                              .check = slurm_engine_check,
                                              .start = slurm_start,
                                              .stop = slurm_stop,
                                              .look = slurm_engine_look,
                                              .resume = slurm_resume};
