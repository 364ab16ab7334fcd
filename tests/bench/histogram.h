/* SPDX-License-Identifier: Apache-2.0 */
/*
 * histogram: latencies in nanoseconds, in buckets that grow with the value: 64 to each power of
 * two, so a quantile is good to 1.6 %.
 *
 * Threads: one; merge afterwards. Memory: 30 KiB each, no allocation.
 */
#ifndef FKV_TESTS_BENCH_HISTOGRAM_H
#define FKV_TESTS_BENCH_HISTOGRAM_H

#include <stdint.h>

enum { HIST_SUB_BITS = 6, HIST_SUB = 1 << HIST_SUB_BITS, HIST_BUCKETS = HIST_SUB * 60 };

struct histogram {
    uint64_t n;
    uint64_t max;
    uint64_t count[HIST_BUCKETS];
};

static inline uint32_t histogram_bucket(uint64_t ns)
{
    if (ns < HIST_SUB)
        return (uint32_t)ns;
    uint32_t power = 63 - (uint32_t)__builtin_clzll(ns);
    uint32_t shift = power - HIST_SUB_BITS;
    return (shift + 1) * HIST_SUB + (uint32_t)((ns >> shift) & (HIST_SUB - 1));
}

/* The middle of a bucket. */
static inline uint64_t histogram_value(uint32_t bucket)
{
    if (bucket < HIST_SUB)
        return bucket;
    uint32_t shift = bucket / HIST_SUB - 1;
    uint64_t low = (uint64_t)(HIST_SUB + bucket % HIST_SUB) << shift;
    return low + ((1ull << shift) >> 1);
}

static inline void histogram_add(struct histogram *h, uint64_t ns)
{
    h->n++;
    h->max = ns > h->max ? ns : h->max;
    h->count[histogram_bucket(ns)]++;
}

static inline void histogram_merge(struct histogram *into, const struct histogram *from)
{
    into->n += from->n;
    into->max = from->max > into->max ? from->max : into->max;
    for (uint32_t i = 0; i < HIST_BUCKETS; i++)
        into->count[i] += from->count[i];
}

static inline uint64_t histogram_at(const struct histogram *h, double quantile)
{
    uint64_t rank = (uint64_t)(quantile * (double)h->n);
    uint64_t seen = 0;
    for (uint32_t i = 0; i < HIST_BUCKETS; i++) {
        seen += h->count[i];
        if (seen > rank)
            return histogram_value(i) < h->max ? histogram_value(i) : h->max;
    }
    return h->max;
}

#endif
