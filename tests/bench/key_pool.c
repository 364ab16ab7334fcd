/* SPDX-License-Identifier: Apache-2.0 */
#include "key_pool.h"

#include "bench_keys.h"
#include "bench_util.h"

#include <math.h>

#define ZIPF_EXPONENT 0.99

bool draw_kind_from_name(const char *name, enum draw_kind *out)
{
    static const char *const names[] = {"uniform", "zipf", "absent"};
    for (int i = 0; i < 3; i++)
        if (!strcmp(name, names[i])) {
            *out = (enum draw_kind)i;
            return true;
        }
    return false;
}

static double uniform(uint64_t *state)
{
    *state += 0x9E3779B97F4A7C15ull;
    return (double)(hash_u64(*state, 11) >> 11) * 0x1p-53;
}

/*
 * Zipf by rejection-inversion (Hörmann and Derflinger, 1996): the area under x^-s is inverted, and
 * what the steps of the true distribution leave out is drawn again.
 */
struct zipf {
    double n, first, last, shortcut;
};

static double area(double x)
{
    return pow(x, 1 - ZIPF_EXPONENT) / (1 - ZIPF_EXPONENT);
}

static double area_inverse(double y)
{
    return pow(y * (1 - ZIPF_EXPONENT), 1 / (1 - ZIPF_EXPONENT));
}

static void zipf_init(struct zipf *zipf, uint64_t n)
{
    zipf->n = (double)n;
    zipf->first = area(1.5) - 1;
    zipf->last = area((double)n + 0.5);
    zipf->shortcut = 2 - area_inverse(area(2.5) - pow(2, -ZIPF_EXPONENT));
}

/* A rank from 1 to n. */
static uint64_t zipf_draw(const struct zipf *zipf, uint64_t *state)
{
    for (;;) {
        double y = zipf->last + uniform(state) * (zipf->first - zipf->last);
        double x = area_inverse(y);
        double k = floor(x + 0.5);
        k = k < 1 ? 1 : k > zipf->n ? zipf->n : k;
        if (k - x <= zipf->shortcut || y >= area(k + 0.5) - pow(k, -ZIPF_EXPONENT))
            return (uint64_t)k;
    }
}

void key_pool_fill(struct key_pool *pool, enum draw_kind kind, uint64_t n_table, uint64_t seed,
                   uint64_t n)
{
    uint64_t state = hash_u64(seed, 7);
    struct zipf zipf;
    zipf_init(&zipf, n_table);
    *pool = (struct key_pool){.keys = huge_alloc(n * sizeof *pool->keys), .n = n};
    for (uint64_t i = 0; i < n; i++) {
        uint64_t number = kind == DRAW_ZIPF ? zipf_draw(&zipf, &state) - 1
                                            : (uint64_t)(uniform(&state) * (double)n_table);
        pool->keys[i] = bench_key(kind == DRAW_ABSENT ? n_table + number : number);
    }
}

void key_pool_release(struct key_pool *pool)
{
    huge_free(pool->keys, pool->n * sizeof *pool->keys);
}

const uint64_t *key_pool_take(struct key_pool *pool, uint32_t n)
{
    BENCH_MUST(n <= pool->n);
    if (pool->at + n > pool->n)
        pool->at = 0;
    pool->at += n;
    return pool->keys + pool->at - n;
}
