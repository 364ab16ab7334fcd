/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/task_jobs.h"

#include "base/scope.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    WORDS_MAX = 320,
    RESTARTS_MAX = 5, /* of an element, by its own script */
};

void task_jobs_prefix(const struct task *task, char out[TASK_JOB_PREFIX_MAX])
{
    snprintf(out, TASK_JOB_PREFIX_MAX, "fkv-%s-", task->name);
}

/* ---- the documents ---- */

static void file_name(const struct task *task, const char *what, char out[TASK_FILE_MAX])
{
    snprintf(out, TASK_FILE_MAX, "slurm-%" PRIu32 "-%s.json", task->attempt, what);
}

int task_jobs_put(const struct task *task, const char *what, const struct slurm_jobs *jobs,
                  struct err *err)
{
    char file[TASK_FILE_MAX];
    json_t *out = task_stamp(task);
    json_t *ids = json_array();
    for (size_t i = 0; i < jobs->n; i++)
        json_append(ids, json_integer((json_int_t)jobs->ids[i]));
    if (!out || json_put(out, "jobs", ids)) {
        json_decref(out);
        out = NULL;
    }
    file_name(task, what, file);
    return task_put(task, file, out, err);
}

int task_jobs_has(const struct task *task, const char *what, struct err *err)
{
    char file[TASK_FILE_MAX];
    file_name(task, what, file);
    return task_has(task, file, err);
}

static void read_one(const struct task *task, const char *what, struct slurm_jobs *jobs)
{
    scope_json json_t *json = NULL;
    char file[TASK_FILE_MAX];
    const json_t *ids = NULL;
    file_name(task, what, file);
    if (task_get(task, file, &json, NULL) ||
        json_get_array((struct json_at){json, file}, "jobs", SLURM_JOBS_MAX, &ids, NULL))
        return;
    for (size_t i = 0; i < json_array_size(ids) && jobs->n < SLURM_JOBS_MAX; i++)
        jobs->ids[jobs->n++] = (uint64_t)json_integer_value(json_array_get(ids, i));
}

void task_jobs_read(const struct task *task, struct slurm_jobs *jobs)
{
    read_one(task, "plan", jobs);
    read_one(task, "rest", jobs);
}

/* ---- words for sbatch ---- */

struct words {
    const char *argv[WORDS_MAX];
    size_t n;
    struct buf text[16]; /* of those that were made */
    size_t n_text;
    bool is_short; /* of memory or room */
};

static void word(struct words *words, const char *text)
{
    words->is_short |= words->n + 1 == WORDS_MAX;
    if (!words->is_short)
        words->argv[words->n++] = text;
}

static void wordf(struct words *words, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void wordf(struct words *words, const char *fmt, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, fmt);
    int len = vasprintf(&text, fmt, args);
    va_end(args);
    if (len >= 0 && words->n_text < sizeof words->text / sizeof *words->text) {
        struct buf *buf = &words->text[words->n_text++];
        words->is_short |= buf_add(buf, text, (size_t)len + 1) != 0;
        word(words, (const char *)buf->data);
    } else {
        words->is_short = true;
    }
    if (len >= 0)
        free(text);
}

static void words_release(struct words *words)
{
    for (size_t i = 0; i < words->n_text; i++)
        buf_release(&words->text[i]);
}

static void word_after(struct words *words, const struct slurm_jobs *after)
{
    struct buf list = {0};
    if (slurm_jobs_list(after, ":", &list) || buf_add_byte(&list, 0))
        words->is_short = true;
    else
        wordf(words, "--dependency=afterok:%s", (const char *)list.data);
    buf_release(&list);
}

/* A process uses a little more than the memory of its tables. What the job's author gave comes last: it holds. */
static void words_make(struct words *words, const struct task *task, const struct task_spec *spec,
                       const struct task_job *job)
{
    const struct slurm_options *slurm = &spec->slurm;
    char prefix[TASK_JOB_PREFIX_MAX];
    uint64_t memory_mib = (spec->job.memory + spec->job.memory / 10 + (64ULL << 20)) >> 20;
    task_jobs_prefix(task, prefix);
    word(words, "sbatch");
    word(words, "--parsable");
    word(words, "--requeue");
    word(words, "--kill-on-invalid-dep=yes");
    word(words, "--chdir=/");
    word(words, "--output=/dev/null");
    wordf(words, "--job-name=%s%s", prefix, task_stage_name(job->stage));
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
    if (job->array && slurm->n_at_once)
        wordf(words, "--array=%s%%%" PRIu32, job->array, slurm->n_at_once);
    else if (job->array)
        wordf(words, "--array=%s", job->array);
    if (job->after && job->after->n)
        word_after(words, job->after);
    for (size_t i = 0; i < slurm->n_extra; i++)
        word(words, slurm->extra[i]);
}

/* ---- the script ---- */

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
 * Exit 6 is I/O, the store's or a disk's, and above 128 a signal: worth another try, first here, then on whatever node Slurm finds;
 * until the last one nobody is told that the task has failed. Everything else is said once: bad rows stay bad.
 *
 * Slurm itself requeues only what a node that failed was running. The last element of an array has the array's number for its job's,
 * which would requeue all of it: so an element is named by array and index. The requeue ends the script; where it is not allowed, the
 * script goes on to a last try. Jobs inherit what the script that submits them was told: not how often that was restarted.
 */
static const char script_end[] = " \"$@\"; status=$?; [ $status -gt 128 ] || [ $status -eq 6 ]; }\n"
                                 "restarts=${SLURM_RESTART_COUNT:-0}\n"
                                 "unset SLURM_RESTART_COUNT\n"
                                 "for pause in 1 5 15; do\n"
                                 "    work --again || exit $status\n"
                                 "    sleep $pause\n"
                                 "done\n"
                                 "id=$SLURM_JOB_ID\n"
                                 "[ -z \"$SLURM_ARRAY_TASK_ID\" ] || "
                                 "id=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID\n"
                                 "[ $restarts -lt %d ] && scontrol requeue \"$id\" && sleep 60\n"
                                 "work\n"
                                 "exit $status\n";

static int script_make(const struct task *task, const struct task_spec *spec, const char *stage,
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
        ret = buf_printf(out, " stage %s %s", task->name, stage);
    if (!ret)
        ret = buf_printf(out, script_end, RESTARTS_MAX);
    if (!ret)
        ret = buf_add_byte(out, 0);
    return ret ? err_sys(err, ret, "writing a batch script") : 0;
}

int task_job_submit(const struct task *task, const struct task_spec *spec,
                    const struct task_job *job, uint64_t *id, struct err *err)
{
    struct words words = {0};
    struct buf text = {0};
    words_make(&words, task, spec, job);
    int ret = words.is_short
                  ? err_set(err, -ENOMEM, "submitting to Slurm: too many words, or out of memory")
                  : script_make(task, spec, job->words, &text, err);
    if (!ret)
        ret = slurm_submit(words.argv, (const char *)text.data, id, err);
    words_release(&words);
    buf_release(&text);
    return ret;
}
