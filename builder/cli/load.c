/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/cli/load.h"

#include "base/scope.h"

#include <errno.h>
#include <string.h>
#include <time.h>

enum { TIMES_MAX = 4 << 20 };

struct worker {
    const struct load_params *params;
    pthread_t thread;
    fkv_batch *batch;
    size_t at; /* in the sample */
    int64_t until_ns;
    uint32_t *times_ns;
    size_t n_times;
    size_t cap;
    uint64_t n_batches;
    uint64_t n_found;
    int rc;
    char story[ERR_TEXT_MAX];
};

static int64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

static void remember(struct worker *w, int64_t ns)
{
    if (w->n_times == w->cap && w->cap < TIMES_MAX) {
        size_t cap = w->cap ? 2 * w->cap : 4096;
        uint32_t *times = realloc(w->times_ns, cap * sizeof *times);
        if (times) {
            w->times_ns = times;
            w->cap = cap;
        }
    }
    if (w->n_times < w->cap)
        w->times_ns[w->n_times++] = ns > UINT32_MAX ? UINT32_MAX : (uint32_t)ns;
}

/* One call: the next keys of the sample, from its beginning again at its end. */
static int ask(struct worker *w)
{
    const struct sample *s = w->params->sample;
    uint32_t n = w->params->batch;
    fkv_result result;
    if (w->at + n > s->n)
        w->at = 0;
    int64_t begin = now_ns();
    int rc = s->key_type == KEY_U64
                 ? fkv_get_u64(w->batch, s->ids + w->at, n, NULL, &result)
                 : fkv_get_bytes(w->batch, s->keys + w->at, s->lens + w->at, n, NULL, &result);
    if (rc)
        return rc;
    remember(w, now_ns() - begin);
    w->at += n;
    w->n_batches++;
    w->n_found += result.n_found;
    return 0;
}

static void *work(void *context)
{
    struct worker *w = context;
    int rc = fkv_batch_new(w->params->table, &w->batch);
    for (int i = 0; !rc && i < 20; i++)
        rc = ask(w);
    w->n_times = 0;
    w->n_batches = w->n_found = 0;
    w->until_ns = now_ns() + w->params->duration_ns;
    while (!rc && now_ns() < w->until_ns)
        rc = ask(w);
    w->rc = rc;
    if (rc)
        snprintf(w->story, sizeof w->story, "%s", fkv_last_error());
    return NULL;
}

static int by_time(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void sum_up(struct worker *workers, uint32_t n, struct load_result *out)
{
    size_t n_times = 0;
    for (uint32_t i = 0; i < n; i++) {
        n_times += workers[i].n_times;
        out->n_batches += workers[i].n_batches;
        out->n_found += workers[i].n_found;
    }
    out->n_keys = out->n_batches * out->batch;
    out->transport = fkv_batch_transport(workers[0].batch);
    scope_free uint32_t *all = calloc(n_times + 1, sizeof *all);
    if (!all || !n_times)
        return;
    size_t at = 0;
    for (uint32_t i = 0; i < n; i++) {
        memcpy(all + at, workers[i].times_ns, workers[i].n_times * sizeof *all);
        at += workers[i].n_times;
    }
    qsort(all, n_times, sizeof *all, by_time);
    out->p50_us = all[n_times / 2] / 1e3;
    out->p99_us = all[(size_t)((double)(n_times - 1) * 0.99)] / 1e3;
    out->p999_us = all[(size_t)((double)(n_times - 1) * 0.999)] / 1e3;
    out->max_us = all[n_times - 1] / 1e3;
}

int load_run(const struct load_params *params, struct load_result *out, struct err *err)
{
    uint32_t n = params->n_threads;
    if (n < 1 || n > LOAD_THREADS_MAX)
        return err_set(err, -EINVAL, "expected 1 to %d threads, found %u", LOAD_THREADS_MAX, n);
    if (params->batch > params->sample->n)
        return err_set(err, -EINVAL, "a batch of %u keys needs as many keys to ask for, found %zu",
                       params->batch, params->sample->n);
    scope_free struct worker *workers = calloc(n, sizeof *workers);
    if (!workers)
        return err_sys(err, -ENOMEM, "%u threads", n);
    int rc = 0;
    uint32_t started = 0;
    int64_t begin = now_ns();
    for (; !rc && started < n; started++) {
        struct worker *w = &workers[started];
        w->params = params;
        w->at = params->sample->n / n * started;
        rc = -pthread_create(&w->thread, NULL, work, w);
        if (rc) {
            err_sys(err, rc, "starting a thread");
            break;
        }
    }
    for (uint32_t i = 0; i < started; i++) {
        pthread_join(workers[i].thread, NULL);
        if (!rc && workers[i].rc)
            rc = err_set(err, workers[i].rc, "%s", workers[i].story);
    }
    *out =
        (struct load_result){.batch = params->batch, .seconds = (double)(now_ns() - begin) / 1e9};
    if (!rc) {
        out->seconds = (double)params->duration_ns / 1e9;
        sum_up(workers, n, out);
    }
    for (uint32_t i = 0; i < n; i++) {
        fkv_batch_free(workers[i].batch);
        free(workers[i].times_ns);
    }
    return rc;
}
