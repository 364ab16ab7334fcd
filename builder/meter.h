/* SPDX-License-Identifier: Apache-2.0 */
/*
 * meter: counts what the threads of a build have done, and tells the caller's hooks.
 *
 * Threads: counters are added to from any thread; meter_tick() from one at a time.
 * Memory: plain data; the hooks are borrowed. Errors: none; -ECANCELED from meter_check().
 */
#ifndef FKV_BUILDER_METER_H
#define FKV_BUILDER_METER_H

#include "builder/build.h"

#include <stdatomic.h>

/* Far below any age at which gc takes a build for dead. */
enum { METER_KEEP_S = 60 };

struct meter {
    const struct build_hooks *hooks; /* may be NULL */
    double began;                    /* seconds of CLOCK_MONOTONIC */
    void (*keep)(void *context);     /* called by a tick, every METER_KEEP_S; may be NULL */
    void *keep_context;
    double kept; /* when it was called last, since the build began */
    _Atomic int stage;
    _Atomic uint64_t rows;
    _Atomic uint64_t bytes_done;
    _Atomic uint64_t bytes_total;
};

void meter_init(struct meter *meter, const struct build_hooks *hooks);
void meter_stage(struct meter *meter, enum build_stage stage, uint64_t bytes_total);
void meter_tick(struct meter *meter);

static inline void meter_add(struct meter *meter, uint64_t bytes)
{
    atomic_fetch_add_explicit(&meter->bytes_done, bytes, memory_order_relaxed);
}

/* -ECANCELED once the caller asked to stop. */
int meter_check(const struct meter *meter, struct err *err);

/* Seconds since the build began. */
double meter_seconds(const struct meter *meter);

#endif
