/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/cli/task_show.h"

#include "base/scope.h"
#include "builder/cli/clock.h"
#include "builder/cli/progress.h"
#include "builder/cli/text.h"
#include "builder/task_engine.h"
#include "builder/task_seal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum {
    WAIT_POLL_NS = 250 * 1000 * 1000,
    WAIT_LOOKS = 40 /* polls between two questions to the engine */
};

/* ---- progress ---- */

static double running_share(const struct task_status *s, enum task_stage stage)
{
    double sum = 0;
    for (size_t i = 0; i < s->n_workers; i++) {
        const struct task_worker *w = &s->workers[i];
        if (w->stage == stage && w->total && w->done < w->total)
            sum += (double)w->done / (double)w->total;
    }
    return sum;
}

double task_progress(const struct task_status *s, struct buf *words)
{
    uint32_t n_mapped = s->stages[STAGE_MAP].n_done;
    uint32_t n_reduced = s->stages[STAGE_REDUCE].n_done;
    double map = s->n_pieces ? (n_mapped + running_share(s, STAGE_MAP)) / s->n_pieces : 0;
    double reduce = s->n_shards ? (double)n_reduced / s->n_shards : 0;
    buf_printf(words, "%s", task_state_name(s->state));
    if (s->state == TASK_MAPPING)
        buf_printf(words, " %" PRIu32 " of %" PRIu32 " pieces", n_mapped, s->n_pieces);
    if (s->state == TASK_REDUCING && s->n_shards)
        buf_printf(words, " %" PRIu32 " of %" PRIu32 " shards", n_reduced, s->n_shards);
    if (s->state == TASK_PUBLISHED)
        buf_printf(words, " as version %" PRIu64, s->version);
    if (s->is_stalled)
        buf_printf(words, ", but silent for over %d s: continue it with fkv task retry %s",
                   TASK_SILENT_S, s->name);
    if (s->is_lost)
        buf_printf(words,
                   ", but lost, as nothing of it is queued or runs: continue it with fkv task "
                   "retry %s",
                   s->name);
    buf_add_byte(words, 0);
    if (s->state >= TASK_SEALING && s->state != TASK_FAILED && s->state != TASK_CANCELLED)
        return s->state >= TASK_SEALED ? 1 : 0.97;
    double share = 0.5 * (map > 1 ? 1 : map) + 0.45 * reduce;
    return share > 0.95 ? 0.95 : share;
}

/* ---- text ---- */

static void show_stage(struct grid *grid, const struct task_status *s, enum task_stage stage,
                       uint32_t n)
{
    const struct task_stage_times *t = &s->stages[stage];
    char took[TEXT_MAX], cpu[TEXT_MAX], bytes[TEXT_MAX], rate[TEXT_MAX + 8];
    if (!t->n_done) {
        grid_add(grid, "%s", task_stage_name(stage));
        grid_add(grid, "0 of %" PRIu32, n);
        for (int i = 0; i < 4; i++)
            grid_add(grid, "-");
        return;
    }
    double wall = t->ended - t->began;
    text_took((int64_t)(wall * 1e9), took);
    text_took((int64_t)(t->seconds * 1e9), cpu);
    text_size(t->bytes, bytes);
    if (wall > 0 && t->bytes) {
        char per_second[TEXT_MAX];
        text_size((uint64_t)((double)t->bytes / wall), per_second);
        snprintf(rate, sizeof rate, "%s/s", per_second);
    } else {
        snprintf(rate, sizeof rate, "-");
    }
    grid_add(grid, "%s", task_stage_name(stage));
    grid_add(grid, "%" PRIu32 " of %" PRIu32, t->n_done, n);
    grid_add(grid, "%s", took);
    grid_add(grid, "%s", cpu);
    grid_add(grid, "%s", t->bytes ? bytes : "-");
    grid_add(grid, "%s", rate);
}

static void show_stages(const struct task_status *s)
{
    static const char *const headers[] = {"stage",  ">done", ">took", ">work",
                                          ">bytes", ">pace", NULL};
    struct grid grid;
    if (!s->n_pieces)
        return;
    grid_init(&grid, headers);
    show_stage(&grid, s, STAGE_PLAN, 1);
    show_stage(&grid, s, STAGE_MAP, s->n_pieces);
    show_stage(&grid, s, STAGE_REDUCE, s->n_shards);
    show_stage(&grid, s, STAGE_SEAL, 1);
    grid_print(&grid, stdout);
}

static void show_workers(const struct task_status *s)
{
    for (size_t i = 0; i < s->n_workers; i++) {
        const struct task_worker *w = &s->workers[i];
        char done[TEXT_MAX], total[TEXT_MAX], took[TEXT_MAX], rows[TEXT_MAX], silent[TEXT_MAX];
        text_size(w->done, done);
        text_size(w->total, total);
        text_count(w->rows, rows);
        text_took((int64_t)(w->seconds * 1e9), took);
        text_took((int64_t)(w->silent * 1e9), silent);
        printf("  %s %" PRIu32 ": %s process %" PRIu64 ", %s of %s, %s rows, for %s",
               task_stage_name(w->stage), w->index, w->author, w->pid, done, w->total ? total : "?",
               rows, took);
        if (w->silent > TASK_SILENT_S)
            printf("; silent for %s", silent);
        printf("\n");
    }
}

static void show_result(const struct task *task)
{
    struct build_result r;
    char keys[TEXT_MAX], rows[TEXT_MAX], size[TEXT_MAX];
    if (task_result(task, &r, NULL))
        return;
    text_count(r.n_keys, keys);
    text_count(r.rows, rows);
    text_size(r.len, size);
    printf("result     %s keys", keys);
    if (r.n_tombstones)
        printf(", %" PRIu64 " deleted", r.n_tombstones);
    printf(", %s in %" PRIu32 " shard%s, from %s rows", size, r.n_shards,
           r.n_shards == 1 ? "" : "s", rows);
    if (r.bad_rows)
        printf("; %" PRIu64 " bad rows left out", r.bad_rows);
    if (r.duplicates)
        printf("; %" PRIu64 " duplicates left out", r.duplicates);
    printf("\n");
}

/* Asks the engine of a task that is not over; out->text is what it says, or why it says nothing. */
static void look(const struct task *task, struct task_status *s, struct task_engine_look *out)
{
    const struct task_engine *engine = task_engine_named(s->engine);
    struct err why = {0};
    *out = (struct task_engine_look){0};
    if (!engine || task_state_is_final(s->state))
        return;
    int ret = engine->look(task, out, &why);
    if (ret)
        snprintf(out->text, sizeof out->text, "not known: %.500s", err_text(&why, ret));
    s->is_lost = out->is_lost;
}

int task_show(const struct task *task, struct task_status *s, struct err *err)
{
    struct task_engine_look queue;
    char when[TEXT_MAX];
    struct buf words = {0};
    look(task, s, &queue);
    double share = task_progress(s, &words);
    text_time(s->submitted_ns, when);
    printf("task       %s\n", s->name);
    printf("table      %s%s\n", s->table, s->is_delta ? ", a delta" : "");
    printf("submitted  %s by %s\n", when, s->author);
    printf("engine     %s, attempt %" PRIu32 "%s%s\n", s->engine, s->attempt,
           queue.text[0] ? "; " : "", queue.text);
    printf("state      %s", words.data ? (const char *)words.data : "?");
    if (!task_state_is_final(s->state))
        printf(" (%.0f %%)", 100 * share);
    printf("\n");
    buf_release(&words);
    if (s->state == TASK_FAILED)
        printf("reason     %s %" PRIu32 ": %s\n", task_stage_name(s->failed_stage), s->failed_index,
               s->reason);
    if (s->checkpoint)
        printf("checkpoint version %" PRIu64 "\n", s->checkpoint);
    show_result(task);
    show_stages(s);
    show_workers(s);
    if (s->state == TASK_FAILED)
        printf("see its logs with: fkv task logs %s; try again with: fkv task retry %s\n", s->name,
               s->name);
    if (s->state == TASK_SEALED)
        printf("publish it with: fkv publish %s=%s\n", s->table, s->name);
    return cli_flush(err);
}

/* ---- JSON ---- */

static json_t *stage_json(const struct task_status *s, enum task_stage stage, uint32_t n)
{
    const struct task_stage_times *t = &s->stages[stage];
    json_t *out = json_object();
    json_put_u64(out, "n", n);
    json_put_u64(out, "done", t->n_done);
    json_put_double(out, "began", t->began);
    json_put_double(out, "ended", t->ended);
    json_put_double(out, "seconds", t->seconds);
    json_put_double(out, "cpu_seconds", t->cpu_seconds);
    json_put_u64(out, "rows", t->rows);
    json_put_u64(out, "bytes", t->bytes);
    return out;
}

static json_t *workers_json(const struct task_status *s)
{
    json_t *out = json_array();
    for (size_t i = 0; i < s->n_workers; i++) {
        const struct task_worker *w = &s->workers[i];
        json_t *one = json_object();
        json_put_string(one, "stage", task_stage_name(w->stage));
        json_put_u64(one, "index", w->index);
        json_put_string(one, "author", w->author);
        json_put_u64(one, "pid", w->pid);
        json_put_u64(one, "rows", w->rows);
        json_put_u64(one, "done", w->done);
        json_put_u64(one, "total", w->total);
        json_put_double(one, "seconds", w->seconds);
        json_put_double(one, "silent", w->silent);
        json_append(out, one);
    }
    return out;
}

static json_t *queue_json(const struct task_engine_look *queue)
{
    json_t *out = json_object();
    json_put_u64(out, "running", queue->n_running);
    json_put_u64(out, "pending", queue->n_pending);
    json_put_u64(out, "held", queue->n_held);
    json_put_bool(out, "lost", queue->is_lost);
    json_put_string(out, "says", queue->text);
    return out;
}

json_t *task_json(const struct task *task, struct task_status *s, bool has_queue)
{
    struct task_engine_look queue = {0};
    json_t *out = json_object();
    json_t *stages = json_object();
    struct build_result r;
    json_put_string(out, "task", s->name);
    json_put_string(out, "table", s->table);
    json_put_string(out, "state", task_state_name(s->state));
    json_put_bool(out, "stalled", s->is_stalled);
    json_put_bool(out, "delta", s->is_delta);
    json_put_string(out, "engine", s->engine);
    json_put_string(out, "author", s->author);
    json_put_u64(out, "submitted_ns", (uint64_t)s->submitted_ns);
    json_put_u64(out, "attempt", s->attempt);
    json_put_u64(out, "pieces", s->n_pieces);
    json_put_u64(out, "groups", s->n_groups);
    json_put_u64(out, "shards", s->n_shards);
    if (s->state == TASK_FAILED) {
        json_put_string(out, "reason", s->reason);
        json_put_string(out, "failed_stage", task_stage_name(s->failed_stage));
        json_put_u64(out, "failed_index", s->failed_index);
    }
    if (s->version) {
        json_put_u64(out, "version", s->version);
        json_put_bool(out, "active", s->is_active);
    }
    if (s->checkpoint)
        json_put_u64(out, "checkpoint", s->checkpoint);
    if (!task_result(task, &r, NULL)) {
        json_put_u64(out, "rows", r.rows);
        json_put_u64(out, "bad_rows", r.bad_rows);
        json_put_u64(out, "duplicates", r.duplicates);
        json_put_u64(out, "n_keys", r.n_keys);
        json_put_u64(out, "n_tombstones", r.n_tombstones);
        json_put_u64(out, "bytes", r.len);
    }
    if (has_queue) {
        look(task, s, &queue);
        json_put(out, "queue", queue_json(&queue));
    }
    json_put(stages, "plan", stage_json(s, STAGE_PLAN, 1));
    json_put(stages, "map", stage_json(s, STAGE_MAP, s->n_pieces));
    json_put(stages, "reduce", stage_json(s, STAGE_REDUCE, s->n_shards));
    json_put(stages, "seal", stage_json(s, STAGE_SEAL, 1));
    json_put(out, "stages", stages);
    json_put(out, "workers", workers_json(s));
    return out;
}

/* ---- waiting ---- */

static int wait_verdict(const struct task_status *s, struct err *err)
{
    if (s->state == TASK_FAILED)
        return err_set(err, s->failure ? s->failure : -EIO,
                       "task %s failed in %s %" PRIu32
                       ": %s (logs: fkv task logs %s; again: fkv task "
                       "retry %s)",
                       s->name, task_stage_name(s->failed_stage), s->failed_index, s->reason,
                       s->name, s->name);
    if (s->state == TASK_CANCELLED)
        return err_set(err, -EPERM, "task %s was cancelled", s->name);
    if (s->is_stalled)
        return err_set(err, -EIO,
                       "task %s: nothing was heard of its process for over %d s: it, or its host, "
                       "died; go on with: fkv task retry %s",
                       s->name, TASK_SILENT_S, s->name);
    if (s->is_lost)
        return err_set(err, -EIO,
                       "task %s is lost: nothing of it is queued or runs; see why with fkv task "
                       "show %s, and go on with: fkv task retry %s",
                       s->name, s->name, s->name);
    return 0;
}

/* Looks once, and asks the engine too when that is wanted: 1 when it is over, and *err is how it ended. */
static int wait_look(const struct task *task, bool asks, bool *is_held, struct progress *line,
                     struct err *err)
{
    struct task_engine_look queue;
    struct task_status status;
    struct task now;
    struct buf words = {0};
    char bar[PROGRESS_BAR_LEN + 1];
    int ret = task_open(task->store, task->name, &now, err);
    if (!ret)
        ret = task_status_read(&now, false, &status, err);
    if (ret)
        return ret;
    if (asks) {
        look(&now, &status, &queue);
        *is_held = queue.n_held != 0;
    }
    double share = task_progress(&status, &words);
    progress_bar(share, bar);
    progress_show(line, "[%s] %3.0f %%  %s%s", bar, 100 * share,
                  words.data ? (const char *)words.data : "",
                  *is_held ? ", held in the queue: see fkv task show" : "");
    buf_release(&words);
    ret = status.is_stalled || status.is_lost || task_state_is_final(status.state)
              ? wait_verdict(&status, err)
              : 0;
    if (!ret)
        ret = task_state_is_final(status.state);
    task_status_release(&status);
    return ret;
}

static int wait_over(const struct task *task, int64_t timeout_ns, struct progress *line,
                     struct err *err)
{
    int64_t began = cli_now_ns();
    bool is_held = false;
    for (int n = 1;; n++) {
        struct timespec pause = {0, WAIT_POLL_NS};
        int over = wait_look(task, n % WAIT_LOOKS == 1, &is_held, line, err);
        if (over)
            return over < 0 ? over : 0;
        if (timeout_ns && cli_now_ns() - began > timeout_ns)
            return err_set(err, -ETIMEDOUT, "task %s is not done yet; it goes on: fkv task show %s",
                           task->name, task->name);
        nanosleep(&pause, NULL);
    }
}

int task_wait(const struct task *task, int64_t timeout_ns, bool json, struct err *err)
{
    struct progress *line = json ? NULL : progress_new();
    struct task_status status;
    struct task now;
    struct err why = {0};
    int ret = wait_over(task, timeout_ns, line, err);
    progress_free(line);
    if (ret && !json)
        return ret;
    int shown = task_open(task->store, task->name, &now, &why);
    if (!shown)
        shown = task_status_read(&now, true, &status, &why);
    if (!shown) {
        shown = json ? cli_print_json(task_json(&now, &status, true), &why)
                     : task_show(&now, &status, &why);
        task_status_release(&status);
    }
    if (ret)
        return ret;
    return shown ? err_set(err, shown, "%s", err_text(&why, shown)) : 0;
}
