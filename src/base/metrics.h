/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metrics: counters and latency histograms that many threads add to, written as Prometheus text.
 *
 * A histogram is log-linear (as HDR histograms are): each power of two is cut into 4 equal buckets,
 * so a quantile is known to 25 %, from 256 ns to 34 s. The exposition shows every second bucket,
 * which keeps a table at about 50 lines.
 *
 * Threads: adding is one relaxed atomic per number and never waits; readers see each number at some
 * recent value.
 * Memory: plain structs, zero-initialised. Errors: -ENOMEM from the writers.
 */
#ifndef FKV_BASE_METRICS_H
#define FKV_BASE_METRICS_H

#include "base/buf.h"

#include <stdatomic.h>
#include <stdint.h>

typedef _Atomic uint64_t metric_count;

static inline void metric_add(metric_count *count, uint64_t n)
{
    atomic_fetch_add_explicit(count, n, memory_order_relaxed);
}
static inline void metric_sub(metric_count *count, uint64_t n)
{
    atomic_fetch_sub_explicit(count, n, memory_order_relaxed);
}
static inline uint64_t metric_get(const metric_count *count)
{
    return atomic_load_explicit(count, memory_order_relaxed);
}

enum {
    HISTOGRAM_SUB_BITS = 2,  /* 4 buckets a power of two */
    HISTOGRAM_LOW_BITS = 8,  /* the first bucket ends at 256 ns */
    HISTOGRAM_HIGH_BITS = 35 /* the last finite one at 2^35 ns */
};
enum { HISTOGRAM_BUCKETS = 2 + ((HISTOGRAM_HIGH_BITS - HISTOGRAM_LOW_BITS) << HISTOGRAM_SUB_BITS) };

struct histogram {
    metric_count counts[HISTOGRAM_BUCKETS]; /* the last one has no upper end */
    metric_count sum_ns;
};

void histogram_add(struct histogram *histogram, uint64_t ns);

/* Samples so far. */
uint64_t histogram_count(const struct histogram *histogram);

/* An upper end of the bucket that holds the given share (0 to 1) of all samples; 0 without any. */
uint64_t histogram_quantile_ns(const struct histogram *histogram, double share);

/* The bucket of a sample, and the first ns beyond a bucket (UINT64_MAX for the last). */
uint32_t histogram_bucket(uint64_t ns);
uint64_t histogram_bucket_end_ns(uint32_t bucket);

/* "# HELP" and "# TYPE" lines; once a metric. type: "counter", "gauge" or "histogram". */
int metrics_head(struct buf *out, const char *name, const char *type, const char *help);

/* One sample. labels: "table=\"ads\"" or "". */
int metrics_value(struct buf *out, const char *name, const char *labels, uint64_t value);
int metrics_seconds(struct buf *out, const char *name, const char *labels, double seconds);

/* The _bucket, _sum and _count lines of a histogram, in seconds. */
int metrics_histogram(struct buf *out, const char *name, const char *labels,
                      const struct histogram *histogram);

#endif
