/* SPDX-License-Identifier: Apache-2.0 */
/*
 * timeline: latencies by the moment they ended, in ticks of 100 ms, each tick marked with what was going on.
 *
 * Threads: one; merge afterwards. Memory: 30 KiB for each tick in which something ended.
 */
#ifndef FKV_TESTS_BENCH_TIMELINE_H
#define FKV_TESTS_BENCH_TIMELINE_H

#include "bench_util.h"
#include "histogram.h"

#include <stdbool.h>

enum { TICK_MS = 100, TICKS_MAX = 6000 };

struct tick {
    uint64_t mark; /* the last one: a version, a phase */
    struct histogram latency;
};

struct timeline {
    struct tick *ticks[TICKS_MAX];
};

static inline void timeline_add(struct timeline *timeline, uint64_t at_ns, uint64_t mark,
                                uint64_t latency_ns)
{
    uint64_t i = at_ns / ((uint64_t)TICK_MS * 1000000);
    if (i >= TICKS_MAX)
        return;
    if (!timeline->ticks[i])
        timeline->ticks[i] = calloc(1, sizeof **timeline->ticks);
    BENCH_MUST(timeline->ticks[i]);
    timeline->ticks[i]->mark = mark;
    histogram_add(&timeline->ticks[i]->latency, latency_ns);
}

/* A JSON list of the ticks of n timelines together; the mark bears its name. */
static inline void timelines_print(const struct timeline *const *timelines, int n,
                                   const char *mark_name)
{
    static struct histogram sum;
    bool is_first = true;
    printf("[");
    for (int t = 0; t < TICKS_MAX; t++) {
        uint64_t mark = 0;
        memset(&sum, 0, sizeof sum);
        for (int i = 0; i < n; i++) {
            if (!timelines[i]->ticks[t])
                continue;
            histogram_merge(&sum, &timelines[i]->ticks[t]->latency);
            mark = timelines[i]->ticks[t]->mark;
        }
        if (!sum.n)
            continue;
        printf("%s\n  {\"s\": %.1f, \"batches\": %llu, \"p50_us\": %.1f, \"p99_us\": %.1f, "
               "\"max_us\": %.1f, \"%s\": %llu}",
               is_first ? "" : ",", t * TICK_MS / 1e3, (unsigned long long)sum.n,
               (double)histogram_at(&sum, 0.5) / 1e3, (double)histogram_at(&sum, 0.99) / 1e3,
               (double)sum.max / 1e3, mark_name, (unsigned long long)mark);
        is_first = false;
    }
    printf("]");
}

#endif
