/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Slurm engine: sbatch once for the plan stage, which, knowing how many pieces and groups there are, submits the rest: an array of map
 * tasks, one of reduce tasks that begins when every map task is done, and one seal job behind that. What a node ran when it failed,
 * Slurm requeues; what a signal killed, or what could not reach the store, its batch script requeues, a few times. An element that is
 * done already ends at once, and only those that are missing are submitted, so a retry costs what is missing.
 *
 * Nothing here waits or watches: Slurm keeps the queue, across restarts of its controller too.
 */
#include "builder/command.h"
#include "builder/task_engine.h"
#include "builder/task_shape.h"

#include "base/scope.h"
#include "builder/task_reduce.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    TIMEOUT_S = 60,
    WORDS_MAX = 320,
    WORD_LEN = 512,
    ARRAY_MAX =
        1000, /* elements of one array: Slurm's MaxArraySize is 1001 unless told otherwise */
    RESTARTS_MAX = 5, /* of an element, by its own script */
    JOBS_MAX = 4096,  /* of a task */
};

/* ---- words for sbatch ---- */

struct words {
    const char *argv[WORDS_MAX];
    size_t n;
    char text[64][WORD_LEN];
    size_t n_text;
};

static void word(struct words *words, const char *text)
{
    if (words->n + 1 < WORDS_MAX)
        words->argv[words->n++] = text;
    words->argv[words->n] = NULL;
}

static void wordf(struct words *words, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void wordf(struct words *words, const char *fmt, ...)
{
    va_list args;
    if (words->n_text == sizeof words->text / sizeof *words->text)
        return;
    char *text = words->text[words->n_text++];
    va_start(args, fmt);
    vsnprintf(text, WORD_LEN, fmt, args);
    va_end(args);
    word(words, text);
}

/* What every job of the task has. A process uses a little more than the memory of its tables. */
static void words_common(struct words *words, const struct task *task, const struct task_spec *spec,
                         const char *stage)
{
    const struct slurm_options *slurm = &spec->slurm;
    uint64_t memory_mib = (spec->job.memory + spec->job.memory / 10 + (64ULL << 20)) >> 20;
    word(words, "sbatch");
    word(words, "--parsable");
    word(words, "--requeue");
    word(words, "--kill-on-invalid-dep=yes");
    word(words, "--output=/dev/null");
    wordf(words, "--job-name=fkv-%s-%s", task->name, stage);
    wordf(words, "--mem=%" PRIu64 "M", memory_mib);
    wordf(words, "--cpus-per-task=%" PRIu32, slurm->cpus ? slurm->cpus : 1);
    if (slurm->partition)
        wordf(words, "--partition=%s", slurm->partition);
    if (slurm->account)
        wordf(words, "--account=%s", slurm->account);
    if (slurm->qos)
        wordf(words, "--qos=%s", slurm->qos);
    if (slurm->time_limit)
        wordf(words, "--time=%s", slurm->time_limit);
    for (size_t i = 0; i < slurm->n_extra; i++)
        word(words, slurm->extra[i]);
}

/* Text as one word for a shell. */
static int quote(struct buf *out, const char *text)
{
    int ret = buf_add_byte(out, '\'');
    for (; *text && !ret; text++)
        ret = *text == '\'' ? buf_add(out, "'\\''", 4) : buf_add_byte(out, (uint8_t)*text);
    return ret ? ret : buf_add_byte(out, '\'');
}

static int program_path(const struct task_spec *spec, char out[PATH_MAX], struct err *err)
{
    if (spec->slurm.fkv) {
        snprintf(out, PATH_MAX, "%s", spec->slurm.fkv);
        return 0;
    }
    ssize_t n = readlink("/proc/self/exe", out, PATH_MAX - 1);
    if (n < 0)
        return err_sys(err, -errno, "finding this program's path");
    out[n] = 0;
    return 0;
}

/*
 * Exit 6 is I/O, the store's or a disk's, and above 128 a signal: worth another try, first here, then on whatever node Slurm finds.
 * Everything else is said once: bad rows stay bad. The last element of an array has the array's number as its job's, which would
 * requeue all of it: so an element is named by array and index.
 */
static int script(const struct task *task, const struct task_spec *spec, const char *stage,
                  struct buf *out, struct err *err)
{
    char program[PATH_MAX];
    int ret = program_path(spec, program, err);
    if (ret)
        return ret;
    ret = buf_printf(out, "#!/bin/sh\nwork() { ");
    if (!ret)
        ret = quote(out, program);
    if (!ret)
        ret = buf_printf(out, " --store ");
    if (!ret)
        ret = quote(out, store_url(task->store));
    if (!ret)
        ret = buf_printf(out,
                         " stage %s %s; status=$?; [ $status -gt 128 ] || [ $status -eq 6 ]; }\n"
                         "for pause in 1 5 15; do\n"
                         "    work || exit $status\n"
                         "    sleep $pause\n"
                         "done\n"
                         "id=$SLURM_JOB_ID\n"
                         "[ -z \"$SLURM_ARRAY_TASK_ID\" ] || "
                         "id=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID\n"
                         "[ \"${SLURM_RESTART_COUNT:-0}\" -lt %d ] && scontrol requeue \"$id\"\n"
                         "exit $status\n",
                         task->name, stage, RESTARTS_MAX);
    if (!ret)
        ret = buf_add_byte(out, 0);
    return ret ? err_sys(err, ret, "writing a batch script") : 0;
}

/* Submits; *job is its number. */
static int submit(const struct task *task, const struct task_spec *spec, struct words *words,
                  const char *stage, uint64_t *job, struct err *err)
{
    struct buf text = {0};
    struct buf answer = {0};
    int ret = script(task, spec, stage, &text, err);
    if (!ret)
        ret = command_run(words->argv, (const char *)text.data, TIMEOUT_S, &answer, err);
    if (!ret && buf_add_byte(&answer, 0))
        ret = err_sys(err, -ENOMEM, "submitting to Slurm");
    if (!ret) {
        char *end = NULL;
        *job = strtoull((const char *)answer.data, &end, 10);
        if (!*job)
            ret = err_set(err, -EIO, "sbatch: expected the number of a job, found '%.100s'",
                          (const char *)answer.data);
    }
    buf_release(&text);
    buf_release(&answer);
    return ret;
}

/* ---- which jobs a task has ---- */

struct jobs {
    uint64_t ids[JOBS_MAX];
    size_t n;
};

static void jobs_file(const struct task *task, const char *what, char out[TASK_FILE_MAX])
{
    snprintf(out, TASK_FILE_MAX, "slurm-%" PRIu32 "-%s.json", task->attempt, what);
}

static json_t *jobs_encode(const struct task *task, const struct jobs *jobs)
{
    json_t *out = task_stamp(task);
    json_t *ids = json_array();
    for (size_t i = 0; i < jobs->n; i++)
        json_append(ids, json_integer((json_int_t)jobs->ids[i]));
    if (!out || json_put(out, "jobs", ids)) {
        json_decref(out);
        return NULL;
    }
    return out;
}

static void jobs_read(const struct task *task, const char *what, struct jobs *jobs)
{
    scope_json json_t *json = NULL;
    char file[TASK_FILE_MAX];
    const json_t *ids = NULL;
    jobs_file(task, what, file);
    if (task_get(task, file, &json, NULL) ||
        json_get_array((struct json_at){json, file}, "jobs", JOBS_MAX, &ids, NULL))
        return;
    for (size_t i = 0; i < json_array_size(ids) && jobs->n < JOBS_MAX; i++)
        jobs->ids[jobs->n++] = (uint64_t)json_integer_value(json_array_get(ids, i));
}

static void jobs_list(const struct jobs *jobs, const char *separator, struct buf *out)
{
    for (size_t i = 0; i < jobs->n; i++)
        buf_printf(out, "%s%" PRIu64, i ? separator : "", jobs->ids[i]);
}

/* ---- arrays ---- */

/* Adds "a-b" or "a" to a list like "0,3-7". */
static int range_add(struct buf *out, uint32_t first, uint32_t last)
{
    const char *comma = out->len ? "," : "";
    return first == last ? buf_printf(out, "%s%" PRIu32, comma, first)
                         : buf_printf(out, "%s%" PRIu32 "-%" PRIu32, comma, first, last);
}

/* Submits what is missing of a stage's indices, ARRAY_MAX at a time, behind `after`; their numbers are added to *jobs. */
static int array_submit(const struct task *task, const struct task_spec *spec,
                        enum task_stage stage, const bool *is_missing, uint32_t n,
                        const struct jobs *after, struct jobs *jobs, struct err *err)
{
    int ret = 0;
    for (uint32_t begin = 0; begin < n && !ret; begin += ARRAY_MAX) {
        scope_free struct words *words = calloc(1, sizeof *words);
        struct buf array = {0};
        struct buf dependency = {0};
        char command[64];
        uint64_t id = 0;
        if (!words)
            return err_sys(err, -ENOMEM, "submitting to Slurm");
        for (uint32_t i = begin; i < n && i < begin + ARRAY_MAX; i++) {
            uint32_t first = i;
            while (is_missing[i] && i + 1 < n && i + 1 < begin + ARRAY_MAX && is_missing[i + 1])
                i++;
            if (is_missing[i])
                ret = ret ? ret : range_add(&array, first - begin, i - begin);
        }
        if (array.len == 0)
            continue;
        words_common(words, task, spec, task_stage_name(stage));
        buf_printf(&dependency, "--dependency=afterok:");
        jobs_list(after, ":", &dependency);
        buf_add_byte(&dependency, 0);
        if (after->n)
            word(words, (const char *)dependency.data);
        if (spec->slurm.n_at_once)
            buf_printf(&array, "%%%" PRIu32, spec->slurm.n_at_once);
        struct buf flag = {0};
        buf_printf(&flag, "--array=%.*s", (int)array.len, (const char *)array.data);
        buf_add_byte(&flag, 0);
        word(words, (const char *)flag.data);
        snprintf(command, sizeof command, "%s --offset %" PRIu32, task_stage_name(stage), begin);
        ret = submit(task, spec, words, command, &id, err);
        if (!ret && jobs->n < JOBS_MAX)
            jobs->ids[jobs->n++] = id;
        buf_release(&flag);
        buf_release(&array);
        buf_release(&dependency);
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

static int chain(const struct task *task, const struct task_plan *plan, struct jobs *all,
                 struct err *err)
{
    const struct task_spec *spec = plan->spec;
    scope_free bool *pieces = calloc((size_t)plan->n_pieces + 1, sizeof *pieces);
    scope_free bool *groups = calloc((size_t)plan->n_groups + 1, sizeof *groups);
    scope_free struct jobs *maps = calloc(1, sizeof *maps);
    scope_free struct jobs *reduces = calloc(1, sizeof *reduces);
    scope_free struct words *words = calloc(1, sizeof *words);
    uint64_t seal = 0;
    if (!pieces || !groups || !maps || !reduces || !words)
        return err_sys(err, -ENOMEM, "submitting to Slurm");
    int ret = missing_pieces(task, plan->n_pieces, pieces, err);
    if (!ret)
        ret = missing_groups(task, plan, groups, err);
    if (!ret)
        ret = array_submit(task, spec, STAGE_MAP, pieces, plan->n_pieces, maps, maps, err);
    if (!ret)
        ret = array_submit(task, spec, STAGE_REDUCE, groups, plan->n_groups, maps, reduces, err);
    if (ret)
        return ret;
    words_common(words, task, spec, "seal");
    struct buf dependency = {0};
    buf_printf(&dependency, "--dependency=afterok:");
    jobs_list(reduces->n ? reduces : maps, ":", &dependency);
    buf_add_byte(&dependency, 0);
    if (reduces->n || maps->n)
        word(words, (const char *)dependency.data);
    ret = submit(task, spec, words, "seal", &seal, err);
    buf_release(&dependency);
    for (size_t i = 0; i < maps->n && all->n < JOBS_MAX; i++)
        all->ids[all->n++] = maps->ids[i];
    for (size_t i = 0; i < reduces->n && all->n < JOBS_MAX; i++)
        all->ids[all->n++] = reduces->ids[i];
    if (!ret && all->n < JOBS_MAX)
        all->ids[all->n++] = seal;
    return ret;
}

static void cancel_jobs(const struct jobs *jobs)
{
    struct buf list = {0};
    struct buf output = {0};
    if (!jobs->n)
        return;
    jobs_list(jobs, ",", &list);
    buf_add_byte(&list, 0);
    const char *argv[] = {"scancel", "--quiet", (const char *)list.data, NULL};
    command_run(argv, NULL, TIMEOUT_S, &output, NULL);
    buf_release(&list);
    buf_release(&output);
}

int task_slurm_chain(const struct task *task, const struct task_plan *plan, struct err *err)
{
    char file[TASK_FILE_MAX];
    scope_free struct jobs *jobs = calloc(1, sizeof *jobs);
    if (!jobs)
        return err_sys(err, -ENOMEM, "submitting to Slurm");
    jobs_file(task, "rest", file);
    int ret = task_has(task, file, err);
    if (ret)
        return ret < 0 ? ret : 0;
    ret = chain(task, plan, jobs, err);
    if (!ret)
        ret = task_put(task, file, jobs_encode(task, jobs), err);
    /* Half a chain would wait for ever, or run beside the next one. */
    if (ret)
        cancel_jobs(jobs);
    return ret;
}

/* ---- the engine ---- */

static int slurm_check(const struct task_spec *spec, struct err *err)
{
    static const char *const programs[] = {"sbatch", "scancel", "squeue", "scontrol"};
    for (size_t i = 0; i < sizeof programs / sizeof *programs; i++) {
        if (!command_is_there(programs[i]))
            return err_set(err, -ENOENT,
                           "engine slurm: expected %s in $PATH, found none; install Slurm's client "
                           "commands (Debian: slurm-client), or submit with --engine local",
                           programs[i]);
    }
    return 0;
}

static int slurm_start(const struct task *task, const struct task_spec *spec, struct err *err)
{
    char file[TASK_FILE_MAX];
    struct jobs *jobs = calloc(1, sizeof *jobs);
    scope_free struct words *words = calloc(1, sizeof *words);
    int ret = jobs && words ? 0 : err_sys(err, -ENOMEM, "submitting to Slurm");
    if (!ret) {
        words_common(words, task, spec, "plan");
        jobs->n = 1;
        ret = submit(task, spec, words, "plan --chain", &jobs->ids[0], err);
    }
    jobs_file(task, "plan", file);
    if (!ret)
        ret = task_put(task, file, jobs_encode(task, jobs), err);
    free(jobs);
    return ret ? err_wrap(err, ret, "task %s", task->name) : 0;
}

static int slurm_cancel(const struct task *task, struct err *err)
{
    struct task of = *task;
    scope_free struct jobs *jobs = calloc(1, sizeof *jobs);
    if (!jobs)
        return err_sys(err, -ENOMEM, "cancelling");
    for (of.attempt = 1; of.attempt <= task->attempt; of.attempt++) {
        jobs_read(&of, "plan", jobs);
        jobs_read(&of, "rest", jobs);
    }
    cancel_jobs(jobs);
    return 0;
}

/* Counts the states of squeue's lines, one element a line. */
static void count_states(char *text, uint32_t *n_running, uint32_t *n_pending, uint32_t *n_other)
{
    char *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        if (strncmp(line, "RUNNING", 7) == 0)
            ++*n_running;
        else if (strncmp(line, "PENDING", 7) == 0)
            ++*n_pending;
        else
            ++*n_other;
    }
}

static int slurm_describe(const struct task *task, struct buf *out, struct err *err)
{
    scope_free struct jobs *jobs = calloc(1, sizeof *jobs);
    struct buf list = {0};
    struct buf output = {0};
    uint32_t n_running = 0;
    uint32_t n_pending = 0;
    uint32_t n_other = 0;
    if (!jobs)
        return err_sys(err, -ENOMEM, "asking Slurm");
    jobs_read(task, "plan", jobs);
    jobs_read(task, "rest", jobs);
    if (!jobs->n)
        return 0;
    jobs_list(jobs, ",", &list);
    buf_add_byte(&list, 0);
    buf_printf(out, "Slurm jobs %s", (const char *)list.data);
    const char *argv[] = {
        "squeue", "--noheader", "--array", "--format=%T", "--jobs", (const char *)list.data, NULL};
    /* Jobs that are over for a while are not known any more: squeue complains, and that says nothing. */
    if (command_is_there("squeue") && !command_run(argv, NULL, TIMEOUT_S, &output, NULL) &&
        !buf_add_byte(&output, 0)) {
        count_states((char *)output.data, &n_running, &n_pending, &n_other);
        buf_printf(out, ": %" PRIu32 " running, %" PRIu32 " pending", n_running, n_pending);
        if (n_other)
            buf_printf(out, ", %" PRIu32 " ending", n_other);
    }
    buf_release(&list);
    buf_release(&output);
    return 0;
}

const struct task_engine task_engine_slurm = {.name = "slurm",
                                              .check = slurm_check,
                                              .start = slurm_start,
                                              .cancel = slurm_cancel,
                                              .describe = slurm_describe};
