/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/vector.h"

#include "codec/vector_simd.h"

#include <errno.h>
#include <math.h>
#include <string.h>

static inline uint32_t load_u32(const void *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline float float_of_bits(uint32_t bits)
{
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

static inline uint32_t bits_of_float(float v)
{
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    return bits;
}

/* ---- one element ---- */

static uint32_t f32_bits_of_f16(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000) << 16;
    uint32_t exponent = half >> 10 & 31;
    uint32_t fraction = half & 0x3FF;
    if (exponent == 31) /* Inf, or a NaN made quiet as the hardware does */
        return sign | 0x7F800000 | fraction << 13 | (fraction ? 0x400000 : 0);
    if (exponent)
        return sign | (exponent + 112) << 23 | fraction << 13;
    /* Subnormal: fraction * 2^-24 is exact in f32. */
    return sign | bits_of_float((float)fraction * 0x1p-24f);
}

static uint16_t f16_of_f32_bits(uint32_t bits)
{
    uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    uint32_t magnitude = bits & 0x7FFFFFFF;
    if (magnitude > 0x7F800000) /* NaN: quiet, with the top of its payload */
        return (uint16_t)(sign | 0x7E00 | (magnitude >> 13 & 0x3FF));
    if (magnitude >= 0x477FF000) /* 65520 and above rounds to Inf */
        return sign | 0x7C00;
    if (magnitude >= 0x38800000) { /* normal: round the 13 low bits away, half to even */
        uint32_t rebased = magnitude - 0x38000000;
        return (uint16_t)(sign | (rebased + 0xFFF + (rebased >> 13 & 1)) >> 13);
    }
    /* Subnormal: adding 2^23 * 2^-24 = 0.5 aligns the unit in the last place; the FPU rounds to
     * even. */
    float aligned = float_of_bits(magnitude) + 0.5f;
    return (uint16_t)(sign | (bits_of_float(aligned) - 0x3F000000));
}

static uint16_t bf16_of_f32_bits(uint32_t bits)
{
    if ((bits & 0x7FFFFFFF) > 0x7F800000)
        return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

/* ---- rows, portable ---- */

static void decode_f32(const void *src, uint32_t dim, void *dst)
{
    memcpy(dst, src, 4 * (size_t)dim);
}

static void decode_f16(const void *src, uint32_t dim, void *dst)
{
    for (uint32_t i = 0; i < dim; i++) {
        uint16_t half;
        memcpy(&half, (const uint8_t *)src + 2 * (size_t)i, sizeof half);
        uint32_t bits = f32_bits_of_f16(half);
        memcpy((uint8_t *)dst + 4 * (size_t)i, &bits, sizeof bits);
    }
}

static void decode_bf16(const void *src, uint32_t dim, void *dst)
{
    for (uint32_t i = 0; i < dim; i++) {
        uint16_t half;
        memcpy(&half, (const uint8_t *)src + 2 * (size_t)i, sizeof half);
        uint32_t bits = (uint32_t)half << 16;
        memcpy((uint8_t *)dst + 4 * (size_t)i, &bits, sizeof bits);
    }
}

static void decode_i8(const void *src, uint32_t dim, void *dst)
{
    float scale = float_of_bits(load_u32(src));
    const uint8_t *bytes = (const uint8_t *)src + sizeof scale;
    for (uint32_t i = 0; i < dim; i++) {
        float value = scale * (float)(int8_t)bytes[i];
        memcpy((uint8_t *)dst + 4 * (size_t)i, &value, sizeof value);
    }
}

vector_decode_fn *vector_decoder_portable(enum elem elem)
{
    switch (elem) {
    case ELEM_F32:
        return decode_f32;
    case ELEM_F16:
        return decode_f16;
    case ELEM_BF16:
        return decode_bf16;
    case ELEM_I8:
        return decode_i8;
    case ELEM_NONE:
        break;
    }
    return NULL;
}

bool vector_is_finite(const void *src, uint32_t dim)
{
    uint32_t n_bad = 0;
    for (uint32_t i = 0; i < dim; i++)
        n_bad += (load_u32((const uint8_t *)src + 4 * (size_t)i) & 0x7F800000) == 0x7F800000;
    return n_bad == 0;
}

static void encode_f16(const void *src, uint32_t dim, void *dst)
{
    for (uint32_t i = 0; i < dim; i++) {
        uint16_t half = f16_of_f32_bits(load_u32((const uint8_t *)src + 4 * (size_t)i));
        memcpy((uint8_t *)dst + 2 * (size_t)i, &half, sizeof half);
    }
}

static void encode_bf16(const void *src, uint32_t dim, void *dst)
{
    for (uint32_t i = 0; i < dim; i++) {
        uint16_t half = bf16_of_f32_bits(load_u32((const uint8_t *)src + 4 * (size_t)i));
        memcpy((uint8_t *)dst + 2 * (size_t)i, &half, sizeof half);
    }
}

/*
 * Divides instead of multiplying by an inverse, which would overflow for tiny scales. The clamp
 * matters only when scale is subnormal and so inexact. A product of scale and byte is rounded
 * again on decoding, hence the 2^-16 in the bound.
 */
static int encode_i8(const void *src, uint32_t dim, void *dst)
{
    uint32_t max = 0;
    for (uint32_t i = 0; i < dim; i++) {
        uint32_t magnitude = load_u32((const uint8_t *)src + 4 * (size_t)i) & 0x7FFFFFFF;
        max = magnitude > max ? magnitude : max;
    }
    if (max >= 0x7F800000)
        return -EDOM;
    float scale = float_of_bits(max) / 127.0f;
    int8_t *bytes = (int8_t *)dst + sizeof scale;
    memcpy(dst, &scale, sizeof scale);
    for (uint32_t i = 0; i < dim; i++) {
        float value = float_of_bits(load_u32((const uint8_t *)src + 4 * (size_t)i));
        float ratio = scale > 0 ? rintf(value / scale) : 0;
        ratio = ratio > 127 ? 127 : ratio < -127 ? -127 : ratio;
        bytes[i] = (int8_t)ratio;
    }
    return 0;
}

int vector_encode_portable(enum elem elem, const void *src, uint32_t dim, void *dst)
{
    switch (elem) {
    case ELEM_F32:
        memcpy(dst, src, 4 * (size_t)dim);
        return 0;
    case ELEM_F16:
        encode_f16(src, dim, dst);
        return 0;
    case ELEM_BF16:
        encode_bf16(src, dim, dst);
        return 0;
    case ELEM_I8:
        return encode_i8(src, dim, dst);
    case ELEM_NONE:
        break;
    }
    return -EINVAL;
}

/* ---- the fastest ---- */

vector_decode_fn *vector_decoder(enum elem elem)
{
    vector_decode_fn *fast = vector_simd_decoder(elem, 512);
    if (!fast)
        fast = vector_simd_decoder(elem, 256);
    return fast ? fast : vector_decoder_portable(elem);
}

int vector_encode(enum elem elem, const void *src, uint32_t dim, void *dst)
{
    if (elem == ELEM_F16 && vector_simd_encode_f16(src, dim, dst))
        return 0;
    return vector_encode_portable(elem, src, dim, dst);
}
