/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/vector_norm.h"

#include "base/bytes.h"
#include "codec/vector.h"

#include <string.h>

/* LANES sums side by side, so that the compiler may use vector registers without changing the order of any. BLOCK floats at a
 * time are decoded. */
enum { LANES = 8, BLOCK = 256 };

static void add_squares(double sums[LANES], const float *floats, uint32_t n)
{
    uint32_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        for (uint32_t lane = 0; lane < LANES; lane++) {
            double x = floats[i + lane];
            sums[lane] += x * x;
        }
    }
    for (uint32_t lane = 0; i < n; i++, lane++)
        sums[lane] += (double)floats[i] * floats[i];
}

static double floats_square_sum(enum elem elem, const uint8_t *src, uint32_t dim)
{
    vector_decode_fn *decode = vector_decoder(elem);
    float floats[BLOCK];
    double sums[LANES] = {0};
    for (uint32_t done = 0; done < dim; done += BLOCK) {
        uint32_t n = dim - done < BLOCK ? dim - done : BLOCK;
        decode(src + elem_vector_len(elem, done), n, floats);
        add_squares(sums, floats, n);
    }
    double sum = 0;
    for (uint32_t lane = 0; lane < LANES; lane++)
        sum += sums[lane];
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
    case ELEM_F16:
    case ELEM_BF16:
        return floats_square_sum(elem, src, dim);
    case ELEM_I8:
        return bytes_square_sum(src, dim);
    case ELEM_NONE:
        break;
    }
    return 0;
}
