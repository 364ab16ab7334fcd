/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/slurm.h"

#include "base/scope.h"
#include "builder/command.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ANSWER_S = 60, N_FIELDS = 6 };

int slurm_check(struct err *err)
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

/* ---- asking ---- */

/* What passes by itself, from what a site's rules refuse. */
static bool is_out_of_reach(const char *complaint)
{
    static const char *const words[] = {"Unable to contact slurm controller",
                                        "timed out",
                                        "temporarily",
                                        "Zero Bytes were transmitted",
                                        "Unexpected message received",
                                        "Connection refused",
                                        "Communication connection failure",
                                        "Protocol authentication error",
                                        "backup controller"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strstr(complaint, words[i]))
            return true;
    return false;
}

/* Runs a command, flags are command_run()'s; its output ends with 0. */
static int ask(const char *const *argv, const char *input, unsigned flags, struct buf *output,
               struct err *err)
{
    struct err why = {0};
    int ret = command_run(argv, input, ANSWER_S, flags, output, &why);
    if (!ret)
        return buf_add_byte(output, 0) ? err_sys(err, -ENOMEM, "asking Slurm") : 0;
    if (ret == -EIO && !is_out_of_reach(why.text))
        ret = -EPERM;
    return err_set(err, ret == -ETIMEDOUT ? -EIO : ret, "%s", err_text(&why, ret));
}

int slurm_submit(const char *const *argv, const char *script, uint64_t *job, struct err *err)
{
    struct buf answer = {0};
    int ret = ask(argv, script, COMMAND_CHANGES, &answer, err);
    uint64_t id = ret ? 0 : strtoull((const char *)answer.data, NULL, 10);
    if (!ret && !id)
        ret = err_set(err, -EIO, "sbatch: expected the number of a job, found '%.100s'",
                      (const char *)answer.data);
    if (!ret)
        *job = id;
    buf_release(&answer);
    return ret;
}

/* The number behind "NAME" and blanks or "=" in text; 0 when there is none. */
static uint64_t number_behind(const char *text, const char *name)
{
    const char *at = strstr(text, name);
    return at ? strtoull(at + strlen(name) + strspn(at + strlen(name), " ="), NULL, 10) : 0;
}

int slurm_array_max(uint32_t *out, struct err *err)
{
    static const char *const argv[] = {"scontrol", "show", "config", NULL};
    struct buf answer = {0};
    int ret = ask(argv, NULL, 0, &answer, err);
    const char *text = ret ? "" : (const char *)answer.data;
    uint64_t n = number_behind(text, "MaxArraySize");
    uint64_t also = number_behind(text, "max_array_tasks");
    if (also && also < n)
        n = also;
    if (!ret && n < 2)
        ret = err_set(err, -EPERM,
                      "engine slurm: expected job arrays, found MaxArraySize %" PRIu64
                      " in this Slurm's configuration; ask its administrator for 1001 or more, or "
                      "submit with --engine local",
                      n);
    if (!ret)
        *out = n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
    buf_release(&answer);
    return ret;
}

/* ---- looking ---- */

int slurm_jobs_list(const struct slurm_jobs *jobs, const char *separator, struct buf *out)
{
    int ret = 0;
    for (size_t i = 0; i < jobs->n && !ret; i++)
        ret = buf_printf(out, "%s%" PRIu64, i ? separator : "", jobs->ids[i]);
    return ret;
}

/* One element: id, name, state, reason, node, status. */
struct row {
    char *field[N_FIELDS];
};

static bool row_split(char *line, struct row *row)
{
    for (int i = 0; i < N_FIELDS; i++) {
        char *end = strchr(line, '|');
        if (!end)
            return false;
        *end = 0;
        row->field[i] = line;
        line = end + 1;
    }
    return true;
}

static bool is_one_of(const char *word, const char *const *words)
{
    for (; *words; words++)
        if (strcmp(word, *words) == 0)
            return true;
    return false;
}

static int add_word(struct buf *list, const char *word, size_t len)
{
    if (list->len && buf_add_byte(list, ','))
        return -ENOMEM;
    return buf_add(list, word, len);
}

/* Elements of a job come one behind the other. */
static int add_job(struct buf *list, const char *id)
{
    size_t len = strspn(id, "0123456789");
    if (list->len >= len && memcmp(list->data + list->len - len, id, len) == 0 &&
        (list->len == len || list->data[list->len - len - 1] == ','))
        return 0;
    return add_word(list, id, len);
}

static void ended_take(const struct row *row, const char *stage, struct slurm_ended *out)
{
    snprintf(out->id, sizeof out->id, "%s", row->field[0]);
    snprintf(out->stage, sizeof out->stage, "%s", stage);
    snprintf(out->state, sizeof out->state, "%s", row->field[2]);
    snprintf(out->node, sizeof out->node, "%s", row->field[4]);
    out->status = atoi(row->field[5]);
}

static int row_take(const struct row *row, const char *stage, struct slurm_queue *q)
{
    static const char *const ended[] = {"COMPLETED",     "CANCELLED", "FAILED",   "TIMEOUT",
                                        "NODE_FAIL",     "PREEMPTED", "DEADLINE", "BOOT_FAIL",
                                        "OUT_OF_MEMORY", "REVOKED",   NULL};
    const char *state = row->field[2];
    const char *reason = row->field[3];
    if (is_one_of(state, ended)) {
        bool is_bad = strcmp(state, "COMPLETED") != 0;
        bool is_cancelled = strcmp(state, "CANCELLED") == 0;
        q->n_ended++;
        /* What failed tells more than what was cancelled because of it. */
        if (is_bad &&
            (!q->failed.id[0] || (strcmp(q->failed.state, "CANCELLED") == 0 && !is_cancelled)))
            ended_take(row, stage, &q->failed);
        return 0;
    }
    if (add_job(&q->jobs, row->field[0]))
        return -ENOMEM;
    if (strcasestr(reason, "held") || strcmp(state, "SPECIAL_EXIT") == 0) {
        q->n_held++;
        return add_word(&q->held, row->field[0], strlen(row->field[0]));
    }
    if (strcmp(state, "PENDING") && strcmp(state, "REQUEUED")) {
        q->n_running++;
        return 0;
    }
    q->n_pending++;
    if (!q->waits_for[0] && strcmp(reason, "Dependency") && strcmp(reason, "None") &&
        strcmp(reason, "JobArrayTaskLimit"))
        snprintf(q->waits_for, sizeof q->waits_for, "%s", reason);
    return 0;
}

static int rows_take(char *text, const char *prefix, struct slurm_queue *out)
{
    char *rest = NULL;
    size_t len = strlen(prefix);
    int ret = 0;
    for (char *line = strtok_r(text, "\n", &rest); line && !ret;
         line = strtok_r(NULL, "\n", &rest)) {
        struct row row;
        if (row_split(line, &row) && strncmp(row.field[1], prefix, len) == 0)
            ret = row_take(&row, row.field[1] + len, out);
    }
    return ret;
}

int slurm_look(const struct slurm_jobs *jobs, const char *prefix, struct slurm_queue *out,
               struct err *err)
{
    struct buf list = {0};
    struct buf answer = {0};
    struct err why = {0};
    if (!jobs->n)
        return 0;
    int ret = slurm_jobs_list(jobs, ",", &list) || buf_add_byte(&list, 0) ? -ENOMEM : 0;
    const char *argv[] = {"squeue",
                          "--noheader",
                          "--array",
                          "--states=all",
                          "--Format=JobArrayID:|,Name:|,State:|,Reason:|,NodeList:|,exit_code:|",
                          "--jobs",
                          (const char *)list.data,
                          NULL};
    if (!ret)
        ret = ask(argv, NULL, 0, &answer, &why);
    /* One number that is not known any more is a complaint; of several, those that are known are told. */
    bool is_forgotten = ret == -EPERM && strstr(why.text, "Invalid job id");
    if (is_forgotten)
        ret = 0;
    else if (!ret)
        ret = rows_take((char *)answer.data, prefix, out);
    buf_release(&list);
    buf_release(&answer);
    return ret ? err_set(err, ret, "%s", why.text[0] ? why.text : "asking Slurm: out of memory")
               : 0;
}

void slurm_queue_release(struct slurm_queue *queue)
{
    buf_release(&queue->jobs);
    buf_release(&queue->held);
}

/* ---- changing ---- */

/* The caller's to free; NULL when memory is short. */
static char *text_of(const struct buf *list)
{
    char *text = malloc(list->len + 1);
    if (!text)
        return NULL;
    memcpy(text, list->data, list->len);
    text[list->len] = 0;
    return text;
}

/* Jobs are scancel's words, one each. */
static int cancel_all(const struct buf *jobs, struct err *err)
{
    size_t n = 2;
    struct buf answer = {0};
    char *rest = NULL;
    scope_free char *text = text_of(jobs);
    scope_free const char **argv = calloc(SLURM_JOBS_MAX + n + 1, sizeof *argv);
    if (!argv || !text)
        return err_sys(err, -ENOMEM, "asking Slurm");
    argv[0] = "scancel";
    argv[1] = "--quiet";
    for (char *word = strtok_r(text, ",", &rest); word && n < SLURM_JOBS_MAX + 2;
         word = strtok_r(NULL, ",", &rest))
        argv[n++] = word;
    int ret = ask(argv, NULL, COMMAND_CHANGES, &answer, err);
    buf_release(&answer);
    return ret;
}

int slurm_cancel(const struct slurm_jobs *jobs, const char *prefix, struct err *err)
{
    struct slurm_queue queue = {0};
    int ret = slurm_look(jobs, prefix, &queue, err);
    if (!ret && queue.jobs.len)
        ret = cancel_all(&queue.jobs, err);
    slurm_queue_release(&queue);
    return ret;
}

int slurm_release(const struct buf *held, struct err *err)
{
    struct buf answer = {0};
    scope_free char *list = text_of(held);
    const char *const argv[] = {"scontrol", "release", list, NULL};
    int ret = list ? ask(argv, NULL, COMMAND_CHANGES, &answer, err)
                   : err_sys(err, -ENOMEM, "asking Slurm");
    buf_release(&answer);
    return ret;
}
