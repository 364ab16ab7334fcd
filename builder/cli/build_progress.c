/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/cli/build_progress.h"

#include "base/scope.h"
#include "builder/cli/progress.h"
#include "builder/cli/text.h"

#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { BAD_ROWS_SHOWN = 20 };

struct build_progress_line {
    pthread_mutex_t lock;
    struct progress *line;
    double shown_at;
    enum build_stage stage;
    double stage_began;
    uint64_t n_bad;
};

static atomic_bool cancelled; /* lock-free, so a signal handler may set it */

static void on_interrupt(int sig)
{
    cancelled = true;
    signal(sig, SIG_DFL);
}

struct build_progress_line *build_progress_new(void)
{
    struct build_progress_line *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    pthread_mutex_init(&p->lock, NULL);
    p->line = progress_new();
    signal(SIGINT, on_interrupt);
    signal(SIGTERM, on_interrupt);
    return p;
}

void build_progress_free(struct build_progress_line *p)
{
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    if (!p)
        return;
    progress_free(p->line);
    if (p->n_bad > BAD_ROWS_SHOWN)
        fprintf(stderr, "fkv: … and %" PRIu64 " more bad rows\n", p->n_bad - BAD_ROWS_SHOWN);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

static void show(struct build_progress_line *p, const struct build_progress *now)
{
    static const char *const stages[] = {"map", "reduce", "seal", "verify"};
    char rows[TEXT_MAX], done[TEXT_MAX], bar[PROGRESS_BAR_LEN + 1], rate[TEXT_MAX], eta[TEXT_MAX];
    double seconds = now->seconds - p->stage_began;
    double speed = seconds > 0 ? (double)now->bytes_done / seconds : 0;
    double share = now->bytes_total ? (double)now->bytes_done / (double)now->bytes_total : 0;
    text_count(now->rows, rows);
    text_size(now->bytes_done, done);
    text_size((uint64_t)speed, rate);
    if (share > 0 && share <= 1 && speed > 0)
        text_age((int64_t)((double)(now->bytes_total - now->bytes_done) / speed * 1e9), eta);
    else
        snprintf(eta, sizeof eta, "?");
    progress_bar(share, bar);
    double row_rate = now->stage == BUILD_MAP && seconds > 0 ? (double)now->rows / seconds : 0;
    char per_second[TEXT_MAX];
    text_count((uint64_t)row_rate, per_second);
    if (progress_is_terminal(p->line))
        progress_show(p->line, "%-6s [%s] %3.0f %%  %s rows%s%s%s  %s/s  ETA %s",
                      stages[now->stage], bar, 100 * share, rows, row_rate > 0 ? ", " : "",
                      row_rate > 0 ? per_second : "", row_rate > 0 ? " rows/s" : "", rate, eta);
    else
        progress_show(p->line, "%s: %.0f %%, %s rows%s%s%s, %s at %s/s, ETA %s", stages[now->stage],
                      100 * share, rows, row_rate > 0 ? " at " : "", row_rate > 0 ? per_second : "",
                      row_rate > 0 ? " rows/s" : "", done, rate, eta);
}

static void on_progress(void *context, const struct build_progress *now)
{
    struct build_progress_line *p = context;
    scope_lock(&p->lock);
    if (now->stage != p->stage) {
        p->stage = now->stage;
        p->stage_began = now->seconds;
    }
    double every = progress_is_terminal(p->line) ? 0.1 : 5;
    if (now->seconds - p->shown_at < every)
        return;
    p->shown_at = now->seconds;
    show(p, now);
}

static void on_bad_row(void *context, const char *place_and_reason)
{
    struct build_progress_line *p = context;
    scope_lock(&p->lock);
    if (p->n_bad++ < BAD_ROWS_SHOWN)
        progress_end_line(p->line, "fkv: bad row: %s", place_and_reason);
}

struct build_hooks build_progress_hooks(struct build_progress_line *line)
{
    if (!line)
        return (struct build_hooks){.cancel = &cancelled};
    return (struct build_hooks){
        .progress = on_progress, .bad_row = on_bad_row, .cancel = &cancelled, .context = line};
}
