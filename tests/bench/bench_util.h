/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_util: huge-page memory, time, rounds of figures and their JSON, for the benchmark programs.
 *
 * Threads: one. Memory: huge_alloc() memory is given back with huge_free(). Failures end the
 * program: a benchmark without its memory has nothing to say.
 */
#ifndef FKV_TESTS_BENCH_UTIL_H
#define FKV_TESTS_BENCH_UTIL_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum { BENCH_ROUNDS_MAX = 64 };

#define BENCH_MUST(what)                                                                           \
    do {                                                                                           \
        if (!(what)) {                                                                             \
            fprintf(stderr, "bench: %s:%d: %s failed\n", __FILE__, __LINE__, #what);               \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

static inline uint64_t bench_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000ULL + (uint64_t)now.tv_nsec;
}

static inline size_t huge_round(size_t len)
{
    return (len + (2 << 20) - 1) & ~(size_t)((2 << 20) - 1);
}

/* Anonymous memory, aligned to 2 MiB, backed by huge pages where it is touched. */
static inline void *huge_alloc(size_t len)
{
    size_t want = huge_round(len) + (2 << 20);
    uint8_t *p = (uint8_t *)mmap(NULL, want, PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    BENCH_MUST(p != MAP_FAILED);
    uint8_t *aligned = (uint8_t *)(((uintptr_t)p + (2 << 20) - 1) & ~(uintptr_t)((2 << 20) - 1));
    if (aligned > p)
        munmap(p, (size_t)(aligned - p));
    munmap(aligned + huge_round(len), (size_t)(p + want - (aligned + huge_round(len))));
    madvise(aligned, huge_round(len), MADV_HUGEPAGE);
    return aligned;
}

static inline void huge_free(void *p, size_t len)
{
    munmap(p, huge_round(len));
}

/* One figure measured in every round. */
struct figure {
    double value[BENCH_ROUNDS_MAX];
    int n;
};

static inline void figure_add(struct figure *figure, double value)
{
    BENCH_MUST(figure->n < BENCH_ROUNDS_MAX);
    figure->value[figure->n++] = value;
}

static inline int figure_order(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The value at a rank from 0 (smallest) to 1 (largest). */
static inline double figure_at(const struct figure *figure, double rank)
{
    double sorted[BENCH_ROUNDS_MAX];
    memcpy(sorted, figure->value, sizeof sorted);
    qsort(sorted, (size_t)figure->n, sizeof sorted[0], figure_order);
    return figure->n ? sorted[(int)(rank * (figure->n - 1) + 0.5)] : 0;
}

static inline void figure_print(FILE *out, const char *name, const char *unit,
                                const struct figure *figure)
{
    fprintf(out, "  %-28s %9.2f %-8s (%.2f to %.2f, %d rounds)\n", name, figure_at(figure, 0.5),
            unit, figure_at(figure, 0), figure_at(figure, 1), figure->n);
}

static inline void figure_json(FILE *out, const char *name, const char *unit,
                               const struct figure *figure)
{
    fprintf(out, "\"%s\": {\"unit\": \"%s\", \"min\": %.4f, \"median\": %.4f, \"max\": %.4f}", name,
            unit, figure_at(figure, 0), figure_at(figure, 0.5), figure_at(figure, 1));
}

#endif
