/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tasks are handed out in order under one lock. When task k fails, no task above k is started any more, those below k run to
 * their end, and the lowest failure is reported: the one that a single thread would have met first.
 */
#include "base/scope.h"
#include "builder/engine.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

enum { TICK_NS = 250 * 1000 * 1000 };

struct crew {
    const struct engine_work *work;
    const atomic_bool *cancel;
    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t done;
    uint32_t next;
    uint32_t end; /* tasks from here on are not started */
    uint32_t n_running;
    int failure;
    struct err err;
};

static bool is_cancelled(const struct crew *crew)
{
    return crew->cancel && *crew->cancel;
}

/* The next task's number, or false. */
static bool crew_take(struct crew *crew, uint32_t *number)
{
    scope_lock(&crew->lock);
    if (crew->next >= crew->end || is_cancelled(crew))
        return false;
    *number = crew->next++;
    return true;
}

static void crew_fail(struct crew *crew, uint32_t number, int code, const struct err *err)
{
    scope_lock(&crew->lock);
    if (crew->failure && number >= crew->end)
        return;
    crew->end = number;
    crew->failure = code;
    crew->err = *err;
}

static void *crew_main(void *arg)
{
    struct crew *crew = arg;
    uint32_t number;
    while (crew_take(crew, &number)) {
        struct err err = {0};
        int ret = crew->work->task(crew->work->context, number, &err);
        if (ret)
            crew_fail(crew, number, ret, &err);
    }
    scope_lock(&crew->lock);
    crew->n_running--;
    pthread_cond_signal(&crew->done);
    return NULL;
}

/* Waits for the threads and ticks meanwhile. */
static void crew_wait(struct crew *crew)
{
    pthread_mutex_lock(&crew->lock);
    while (crew->n_running) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += TICK_NS;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        if (pthread_cond_timedwait(&crew->done, &crew->lock, &until) != ETIMEDOUT)
            continue;
        pthread_mutex_unlock(&crew->lock);
        if (crew->work->tick)
            crew->work->tick(crew->work->context);
        pthread_mutex_lock(&crew->lock);
    }
    pthread_mutex_unlock(&crew->lock);
}

static uint32_t crew_start(struct crew *crew, pthread_t *threads, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        crew->n_running++;
        if (pthread_create(&threads[i], NULL, crew_main, crew)) {
            crew->n_running--;
            return i;
        }
    }
    return n;
}

static int crew_result(struct crew *crew, struct err *err)
{
    if (crew->failure) {
        if (err)
            *err = crew->err;
        return crew->failure;
    }
    if (crew->next < crew->work->n_tasks)
        return err_set(err, -ECANCELED, "cancelled");
    return 0;
}

static void crew_init(struct crew *crew, const struct engine_work *work, const atomic_bool *cancel)
{
    pthread_condattr_t monotonic;
    *crew = (struct crew){.work = work, .cancel = cancel, .end = work->n_tasks};
    pthread_mutex_init(&crew->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&crew->done, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

static int local_run(struct engine *engine, const struct engine_work *work, struct err *err)
{
    struct engine_local *local = (struct engine_local *)engine;
    struct crew crew;
    uint32_t n = work->waits ? engine_n_threads(local->n_threads) : local->n_threads;
    if (work->n_at_once && work->n_at_once < n)
        n = work->n_at_once;
    if (work->n_tasks < n)
        n = work->n_tasks;
    if (n == 0)
        return 0;
    scope_free pthread_t *threads = calloc(n, sizeof *threads);
    if (!threads)
        return err_sys(err, -ENOMEM, "starting %u threads", n);
    crew_init(&crew, work, local->cancel);
    pthread_mutex_lock(&crew.lock);
    uint32_t n_started = crew_start(&crew, threads, n);
    pthread_mutex_unlock(&crew.lock);
    crew_wait(&crew);
    for (uint32_t i = 0; i < n_started; i++)
        pthread_join(threads[i], NULL);
    int ret = n_started ? crew_result(&crew, err) : err_sys(err, -EAGAIN, "starting %u threads", n);
    pthread_cond_destroy(&crew.done);
    pthread_mutex_destroy(&crew.lock);
    return ret;
}

void engine_local_init(struct engine_local *local, uint32_t n_threads, const atomic_bool *cancel)
{
    *local = (struct engine_local){
        .engine = {.run = local_run}, .n_threads = n_threads, .cancel = cancel};
}
