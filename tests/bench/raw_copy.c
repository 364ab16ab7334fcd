/* SPDX-License-Identifier: Apache-2.0 */
#include "raw_copy.h"

#include "bench_util.h"

#include <stdbool.h>

typedef uint8_t v16 __attribute__((vector_size(16)));

void raw_copy_init(struct raw_copy *raw, uint64_t n_records, uint32_t record_len)
{
    *raw = (struct raw_copy){.n_records = n_records, .record_len = record_len};
    raw->stride = record_len <= 128 ? (record_len + 63) / 64 * 64 : (record_len + 15) / 16 * 16;
    raw->table = huge_alloc(n_records * raw->stride);
    for (uint64_t i = 0; i < n_records * raw->stride; i += 8)
        memcpy(raw->table + i, &i, sizeof i);
}

void raw_copy_release(struct raw_copy *raw)
{
    huge_free(raw->table, raw->n_records * raw->stride);
}

static inline __attribute__((always_inline)) void prefetch(const uint8_t *p, uint32_t len)
{
    for (uint32_t i = 0; i < len; i += 64)
        __builtin_prefetch(p + i);
    if (len > 64)
        __builtin_prefetch(p + len - 1);
}

static inline __attribute__((always_inline)) void copy(uint8_t *out, const uint8_t *p, uint32_t len)
{
    uint32_t i = 0;
    v16 a, b, c, d;
    for (; i + 64 <= len; i += 64) {
        memcpy(&a, p + i, 16);
        memcpy(&b, p + i + 16, 16);
        memcpy(&c, p + i + 32, 16);
        memcpy(&d, p + i + 48, 16);
        memcpy(out + i, &a, 16);
        memcpy(out + i + 16, &b, 16);
        memcpy(out + i + 32, &c, 16);
        memcpy(out + i + 48, &d, 16);
    }
    for (; i + 16 <= len; i += 16) {
        memcpy(&a, p + i, 16);
        memcpy(out + i, &a, 16);
    }
    for (; i < len; i += 8)
        memcpy(out + i, p + i, 8);
}

/* A window of `ahead` prefetches that rolls in front of the copies. */
static inline __attribute__((always_inline)) void rolling(const struct raw_copy *raw,
                                                          const uint64_t *index, uint32_t n,
                                                          uint8_t *out, uint32_t len,
                                                          uint32_t ahead)
{
    for (uint32_t i = 0; i < n && i < ahead; i++)
        prefetch(raw->table + index[i] * raw->stride, len);
    for (uint32_t i = 0; i < n; i++) {
        if (i + ahead < n)
            prefetch(raw->table + index[i + ahead] * raw->stride, len);
        copy(out + (size_t)i * len, raw->table + index[i] * raw->stride, len);
    }
}

/* Whole groups: prefetch group k + lead, then copy group k. */
static inline __attribute__((always_inline)) void grouped(const struct raw_copy *raw,
                                                          const uint64_t *index, uint32_t n,
                                                          uint8_t *out, uint32_t len,
                                                          uint32_t group, uint32_t lead)
{
    uint32_t n_groups = (n + group - 1) / group;
    for (uint32_t g = 0; g < n_groups + lead; g++) {
        uint32_t end = (g + 1) * group < n ? (g + 1) * group : n;
        for (uint32_t i = g * group; i < end; i++)
            prefetch(raw->table + index[i] * raw->stride, len);
        if (g < lead)
            continue;
        uint32_t first = (g - lead) * group;
        end = first + group < n ? first + group : n;
        for (uint32_t i = first; i < end; i++)
            copy(out + (size_t)i * len, raw->table + index[i] * raw->stride, len);
    }
}

static const struct way {
    const char *name;
    uint32_t ahead; /* rolling, when not 0 */
    uint32_t group;
    uint32_t lead;
} ways[] = {
    {"rolling window of 12", 12, 0, 0},  {"rolling window of 24", 24, 0, 0},
    {"rolling window of 48", 48, 0, 0},  {"rolling window of 96", 96, 0, 0},
    {"groups of 16, 1 ahead", 0, 16, 1}, {"groups of 16, 2 ahead", 0, 16, 2},
    {"groups of 32, 1 ahead", 0, 32, 1}, {"groups of 32, 2 ahead", 0, 32, 2},
    {"groups of 64, 1 ahead", 0, 64, 1}, {"no prefetch: out of order execution alone", 1, 0, 0},
};

static inline __attribute__((always_inline)) void
run_len(const struct raw_copy *raw, const uint64_t *index, uint32_t n, uint8_t *out, uint32_t len)
{
    const struct way *way = &ways[raw->way];
    if (way->ahead)
        rolling(raw, index, n, out, len, way->ahead);
    else
        grouped(raw, index, n, out, len, way->group, way->lead);
}

void raw_copy_run(const struct raw_copy *raw, const uint64_t *index, uint32_t n, uint8_t *out)
{
    if (raw->record_len == 64)
        run_len(raw, index, n, out, 64);
    else if (raw->record_len == 400)
        run_len(raw, index, n, out, 400);
    else
        run_len(raw, index, n, out, raw->record_len);
}

const char *raw_copy_calibrate(struct raw_copy *raw, const uint64_t *index, uint32_t batch,
                               uint32_t n_batches, uint8_t *out)
{
    uint64_t best_ns = UINT64_MAX;
    int best = 0;
    for (int repeat = 0; repeat < 3; repeat++) {
        for (raw->way = 0; raw->way < (int)(sizeof ways / sizeof ways[0]); raw->way++) {
            uint64_t start = bench_now_ns();
            for (uint32_t i = 0; i < n_batches; i++)
                raw_copy_run(raw, index + (size_t)i * batch, batch, out);
            uint64_t ns = bench_now_ns() - start;
            if (getenv("BENCH_WAYS"))
                fprintf(stderr, "    %-44s %7.2f M/s\n", ways[raw->way].name,
                        (double)batch * n_batches * 1e3 / (double)ns);
            if (ns < best_ns) {
                best_ns = ns;
                best = raw->way;
            }
        }
    }
    raw->way = best;
    return ways[best].name;
}
