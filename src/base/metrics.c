/* SPDX-License-Identifier: Apache-2.0 */
#include "base/metrics.h"

enum { SUB = 1 << HISTOGRAM_SUB_BITS };

/*
 * Bucket 0 is [0, 2^LOW). Above it, a sample whose highest bit is b falls into octave b - LOW, and
 * there into the part that its next SUB_BITS bits name. From 2^HIGH on, all fall into the last
 * bucket.
 */
uint32_t histogram_bucket(uint64_t ns)
{
    if (ns < 1ull << HISTOGRAM_LOW_BITS)
        return 0;
    if (ns >= 1ull << HISTOGRAM_HIGH_BITS)
        return HISTOGRAM_BUCKETS - 1;
    uint32_t high = 63 - (uint32_t)__builtin_clzll(ns);
    uint32_t part = (uint32_t)(ns >> (high - HISTOGRAM_SUB_BITS)) & (SUB - 1);
    return 1 + ((high - HISTOGRAM_LOW_BITS) << HISTOGRAM_SUB_BITS) + part;
}

uint64_t histogram_bucket_end_ns(uint32_t bucket)
{
    if (bucket >= HISTOGRAM_BUCKETS - 1)
        return UINT64_MAX;
    if (bucket == 0)
        return 1ull << HISTOGRAM_LOW_BITS;
    uint32_t octave = (bucket - 1) >> HISTOGRAM_SUB_BITS;
    uint64_t part = (bucket - 1) & (SUB - 1);
    return (SUB + part + 1) << (octave + HISTOGRAM_LOW_BITS - HISTOGRAM_SUB_BITS);
}

void histogram_add(struct histogram *histogram, uint64_t ns)
{
    metric_add(&histogram->counts[histogram_bucket(ns)], 1);
    metric_add(&histogram->sum_ns, ns);
}

uint64_t histogram_count(const struct histogram *histogram)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        n += metric_get(&histogram->counts[i]);
    return n;
}

uint64_t histogram_quantile_ns(const struct histogram *histogram, double share)
{
    uint64_t n = histogram_count(histogram);
    if (n == 0)
        return 0;
    double rank = share * (double)n;
    uint64_t below = 0;
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS - 1; i++) {
        below += metric_get(&histogram->counts[i]);
        if (below > 0 && (double)below >= rank)
            return histogram_bucket_end_ns(i);
    }
    return 1ull << HISTOGRAM_HIGH_BITS;
}

int metrics_head(struct buf *out, const char *name, const char *type, const char *help)
{
    return buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* The braces around labels, left out when there are none. */
static const char *open_brace(const char *labels)
{
    return labels[0] ? "{" : "";
}
static const char *close_brace(const char *labels)
{
    return labels[0] ? "}" : "";
}

int metrics_value(struct buf *out, const char *name, const char *labels, uint64_t value)
{
    return buf_printf(out, "%s%s%s%s %llu\n", name, open_brace(labels), labels, close_brace(labels),
                      (unsigned long long)value);
}

int metrics_seconds(struct buf *out, const char *name, const char *labels, double seconds)
{
    return buf_printf(out, "%s%s%s%s %.9g\n", name, open_brace(labels), labels, close_brace(labels),
                      seconds);
}

int metrics_histogram(struct buf *out, const char *name, const char *labels,
                      const struct histogram *histogram)
{
    const char *comma = labels[0] ? "," : "";
    uint64_t below = 0;
    int ret = 0;
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS - 1 && !ret; i++) {
        below += metric_get(&histogram->counts[i]);
        if (i % 2 == 0)
            ret = buf_printf(out, "%s_bucket{%s%sle=\"%.9g\"} %llu\n", name, labels, comma,
                             (double)histogram_bucket_end_ns(i) / 1e9, (unsigned long long)below);
    }
    below += metric_get(&histogram->counts[HISTOGRAM_BUCKETS - 1]);
    if (!ret)
        ret = buf_printf(out, "%s_bucket{%s%sle=\"+Inf\"} %llu\n", name, labels, comma,
                         (unsigned long long)below);
    if (!ret)
        ret = buf_printf(out, "%s_sum%s%s%s %.9g\n", name, open_brace(labels), labels,
                         close_brace(labels), (double)metric_get(&histogram->sum_ns) / 1e9);
    if (!ret)
        ret = buf_printf(out, "%s_count%s%s%s %llu\n", name, open_brace(labels), labels,
                         close_brace(labels), (unsigned long long)below);
    return ret;
}
