/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A block of floats is added up in floats, in LANES sums side by side: the compiler may use vector registers without changing the
 * order of any addition. Blocks are added up in doubles. Where squares of floats leave their range, which shows in the sum, the
 * block is added up again in doubles; so the result is right within a few 2^-24 for every vector there is.
 */
#include "codec/vector_norm.h"

#include "base/bytes.h"
#include "codec/vector.h"

#include <string.h>

enum { LANES = 16, BLOCK = 256 };

/* Sums between these lost nothing to overflow, and to underflow nothing that counts. */
#define SUM_MIN 1e-25F
#define SUM_MAX 1e38F

static double slow_square_sum(const uint8_t *floats, uint32_t n)
{
    double sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        float x;
        memcpy(&x, floats + 4 * (size_t)i, sizeof x);
        sum += (double)x * x;
    }
    return sum;
}

/* Named registers: sums in an array of LANES the compiler stores, and loads again, in each step. */
typedef float quad __attribute__((vector_size(16)));

struct lanes {
    quad a, b, c, d;
};

static inline quad quad_square(const uint8_t *floats)
{
    quad x;
    memcpy(&x, floats, sizeof x);
    return x * x;
}

/* LANES floats of any alignment. */
static inline void lanes_add(struct lanes *sums, const uint8_t *floats)
{
    sums->a += quad_square(floats);
    sums->b += quad_square(floats + 16);
    sums->c += quad_square(floats + 32);
    sums->d += quad_square(floats + 48);
}

/* Of at most BLOCK floats, of any alignment. */
static double block_square_sum(const uint8_t *floats, uint32_t n)
{
    struct lanes sums = {0};
    uint32_t i = 0;
    for (; i + LANES <= n; i += LANES)
        lanes_add(&sums, floats + 4 * (size_t)i);
    /* Zeros in the lanes that are left add nothing. */
    if (i < n) {
        uint8_t rest[4 * LANES] = {0};
        memcpy(rest, floats + 4 * (size_t)i, 4 * (size_t)(n - i));
        lanes_add(&sums, rest);
    }
    quad four = (sums.a + sums.c) + (sums.b + sums.d);
    float sum = (four[0] + four[2]) + (four[1] + four[3]);
    return sum >= SUM_MIN && sum <= SUM_MAX ? (double)sum : slow_square_sum(floats, n);
}

static double halves_square_sum(enum elem elem, const uint8_t *src, uint32_t dim)
{
    vector_decode_fn *decode = vector_decoder(elem);
    uint8_t floats[4 * BLOCK];
    double sum = 0;
    for (uint32_t done = 0; done < dim; done += BLOCK) {
        uint32_t n = dim - done < BLOCK ? dim - done : BLOCK;
        decode(src + 2 * (size_t)done, n, floats);
        sum += block_square_sum(floats, n);
    }
    return sum;
}

static double floats_square_sum(const uint8_t *src, uint32_t dim)
{
    double sum = 0;
    for (uint32_t done = 0; done < dim; done += BLOCK) {
        uint32_t n = dim - done < BLOCK ? dim - done : BLOCK;
        sum += block_square_sum(src + 4 * (size_t)done, n);
    }
    return sum;
}

/* 65,536 squares of 128 fit 32 bits, so the sum is exact. */
static double bytes_square_sum(const uint8_t *src, uint32_t dim)
{
    const int8_t *bytes = (const int8_t *)(src + 4);
    uint32_t bits = load_le32(src);
    float scale;
    uint32_t sum = 0;
    memcpy(&scale, &bits, sizeof scale);
    for (uint32_t i = 0; i < dim; i++)
        sum += (uint32_t)(bytes[i] * bytes[i]);
    return (double)scale * scale * sum;
}

double vector_square_sum(enum elem elem, const void *src, uint32_t dim)
{
    switch (elem) {
    case ELEM_F32:
        return floats_square_sum(src, dim);
    case ELEM_F16:
    case ELEM_BF16:
        return halves_square_sum(elem, src, dim);
    case ELEM_I8:
        return bytes_square_sum(src, dim);
    case ELEM_NONE:
        break;
    }
    return 0;
}
