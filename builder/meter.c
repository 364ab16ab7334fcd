/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/meter.h"

#include <errno.h>
#include <time.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

void meter_init(struct meter *meter, const struct build_hooks *hooks)
{
    *meter = (struct meter){.hooks = hooks, .began = now()};
}

void meter_stage(struct meter *meter, enum build_stage stage, uint64_t bytes_total)
{
    atomic_store(&meter->bytes_done, 0);
    atomic_store(&meter->bytes_total, bytes_total);
    atomic_store(&meter->stage, stage);
    meter_tick(meter);
}

/* A map may read for hours and write nothing to the store. */
static void keep(struct meter *meter)
{
    double at = meter_seconds(meter);
    if (!meter->keep || at - meter->kept < METER_KEEP_S)
        return;
    meter->kept = at;
    meter->keep(meter->keep_context);
}

void meter_tick(struct meter *meter)
{
    keep(meter);
    if (!meter->hooks || !meter->hooks->progress)
        return;
    struct build_progress progress = {
        .stage = (enum build_stage)atomic_load(&meter->stage),
        .rows = atomic_load(&meter->rows),
        .bytes_done = atomic_load(&meter->bytes_done),
        .bytes_total = atomic_load(&meter->bytes_total),
        .seconds = meter_seconds(meter),
    };
    meter->hooks->progress(meter->hooks->context, &progress);
}

int meter_check(const struct meter *meter, struct err *err)
{
    if (meter->hooks && meter->hooks->cancel && *meter->hooks->cancel)
        return err_set(err, -ECANCELED, "cancelled");
    return 0;
}

double meter_seconds(const struct meter *meter)
{
    return now() - meter->began;
}
