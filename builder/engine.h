/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine: the seam between what a build does and where it runs. Work comes as numbered tasks that are independent
 * and idempotent; an engine runs them all, in any order and number at once, and says what failed.
 *
 * Invariant: when tasks fail, the error reported is that of the lowest number among those that a run in order would
 * have reached, so the same fault gives the same words with any number of threads.
 *
 * Threads: run() returns when no task runs any more. tick() is called a few times a second, by one thread at a time.
 * Memory: tasks and context are borrowed. Errors: the tasks' own; -ECANCELED; -EAGAIN when threads cannot be made.
 */
#ifndef FKV_BUILDER_ENGINE_H
#define FKV_BUILDER_ENGINE_H

#include "base/err.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct engine_work {
    uint32_t n_tasks;
    uint32_t n_at_once; /* how many may run together; 0: the engine's own limit */
    bool waits;         /* tasks wait for the disk now and then: engine_n_threads() of them */
    int (*task)(void *context, uint32_t number, struct err *err);
    void (*tick)(void *context); /* may be NULL */
    void *context;
};

/* Threads that keep n cores busy with tasks that wait now and then; one core's worth stays one. */
static inline uint32_t engine_n_threads(uint32_t n)
{
    return n + n / 2;
}

struct engine {
    int (*run)(struct engine *engine, const struct engine_work *work, struct err *err);
};

/* Threads of this process. */
struct engine_local {
    struct engine engine;
    uint32_t n_threads;
    const atomic_bool *cancel; /* may be NULL */
};
void engine_local_init(struct engine_local *local, uint32_t n_threads, const atomic_bool *cancel);

#endif
