/* SPDX-License-Identifier: Apache-2.0 */
/*
 * progress: how far a fetch or a load is, and whether it should stop.
 *
 * Threads: the worker writes, anybody reads. Memory, Errors: none.
 */
#ifndef FKV_NODE_PROGRESS_H
#define FKV_NODE_PROGRESS_H

#include <stdatomic.h>
#include <stdint.h>

struct progress {
    _Atomic uint64_t done;  /* bytes */
    _Atomic uint64_t total; /* bytes; 0: not known yet */
};

/* Asked before every chunk: 0 to go on, -ECANCELED to give way (the work will be resumed),
 * -ETIMEDOUT. */
struct stop {
    int (*check)(void *context);
    void *context;
};

static inline int stop_check(const struct stop *stop)
{
    return stop->check ? stop->check(stop->context) : 0;
}

static inline void progress_begin(struct progress *progress, uint64_t total)
{
    atomic_store_explicit(&progress->done, 0, memory_order_relaxed);
    atomic_store_explicit(&progress->total, total, memory_order_relaxed);
}

static inline void progress_add(struct progress *progress, uint64_t n)
{
    atomic_fetch_add_explicit(&progress->done, n, memory_order_relaxed);
}

#endif
