/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows are converted 16 (AVX-512) or 8 (AVX2 with F16C) elements at a time. The last, incomplete
 * step is masked in AVX-512; in AVX2 it runs on a small copy, so that nothing beyond the row is
 * touched.
 */
#include "codec/vector_simd.h"

#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>

#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl")))
#define AVX2   __attribute__((target("avx2,f16c")))

AVX512 static void decode_f16_avx512(const void *src, uint32_t dim, void *dst)
{
    const uint8_t *in = src;
    float *out = dst;
    uint32_t i = 0;
    for (; i + 16 <= dim; i += 16)
        _mm512_storeu_ps(out + i, _mm512_cvtph_ps(_mm256_loadu_si256((const void *)(in + 2 * i))));
    if (i < dim) {
        __mmask16 mask = (__mmask16)((1U << (dim - i)) - 1);
        __m256i half = _mm256_maskz_loadu_epi16(mask, in + 2 * i);
        _mm512_mask_storeu_ps(out + i, mask, _mm512_cvtph_ps(half));
    }
}

AVX512 static inline __m512 widen_bf16(__m256i half)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
}

AVX512 static void decode_bf16_avx512(const void *src, uint32_t dim, void *dst)
{
    const uint8_t *in = src;
    float *out = dst;
    uint32_t i = 0;
    for (; i + 16 <= dim; i += 16)
        _mm512_storeu_ps(out + i, widen_bf16(_mm256_loadu_si256((const void *)(in + 2 * i))));
    if (i < dim) {
        __mmask16 mask = (__mmask16)((1U << (dim - i)) - 1);
        _mm512_mask_storeu_ps(out + i, mask,
                              widen_bf16(_mm256_maskz_loadu_epi16(mask, in + 2 * i)));
    }
}

AVX512 static void decode_i8_avx512(const void *src, uint32_t dim, void *dst)
{
    float scale;
    memcpy(&scale, src, sizeof scale);
    __m512 scales = _mm512_set1_ps(scale);
    const uint8_t *in = (const uint8_t *)src + sizeof scale;
    float *out = dst;
    uint32_t i = 0;
    for (; i + 16 <= dim; i += 16) {
        __m512i wide = _mm512_cvtepi8_epi32(_mm_loadu_si128((const void *)(in + i)));
        _mm512_storeu_ps(out + i, _mm512_mul_ps(scales, _mm512_cvtepi32_ps(wide)));
    }
    if (i < dim) {
        __mmask16 mask = (__mmask16)((1U << (dim - i)) - 1);
        __m512i wide = _mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(mask, in + i));
        _mm512_mask_storeu_ps(out + i, mask, _mm512_mul_ps(scales, _mm512_cvtepi32_ps(wide)));
    }
}

AVX2 static void decode_f16_avx2(const void *src, uint32_t dim, void *dst)
{
    const uint8_t *in = src;
    float *out = dst;
    uint32_t i = 0;
    for (; i + 8 <= dim; i += 8)
        _mm256_storeu_ps(out + i, _mm256_cvtph_ps(_mm_loadu_si128((const void *)(in + 2 * i))));
    if (i < dim) {
        uint16_t half[8] = {0};
        float row[8];
        memcpy(half, in + 2 * i, 2 * (dim - i));
        _mm256_storeu_ps(row, _mm256_cvtph_ps(_mm_loadu_si128((const void *)half)));
        memcpy(out + i, row, 4 * (dim - i));
    }
}

AVX2 static inline __m256 widen_bf16_avx2(const void *half)
{
    __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(half));
    return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}

AVX2 static void decode_bf16_avx2(const void *src, uint32_t dim, void *dst)
{
    const uint8_t *in = src;
    float *out = dst;
    uint32_t i = 0;
    for (; i + 8 <= dim; i += 8)
        _mm256_storeu_ps(out + i, widen_bf16_avx2(in + 2 * i));
    if (i < dim) {
        uint16_t half[8] = {0};
        float row[8];
        memcpy(half, in + 2 * i, 2 * (dim - i));
        _mm256_storeu_ps(row, widen_bf16_avx2(half));
        memcpy(out + i, row, 4 * (dim - i));
    }
}

AVX2 static inline __m256 scale_i8_avx2(const void *bytes, __m256 scales)
{
    __m256i wide = _mm256_cvtepi8_epi32(_mm_loadl_epi64(bytes));
    return _mm256_mul_ps(scales, _mm256_cvtepi32_ps(wide));
}

AVX2 static void decode_i8_avx2(const void *src, uint32_t dim, void *dst)
{
    float scale;
    memcpy(&scale, src, sizeof scale);
    __m256 scales = _mm256_set1_ps(scale);
    const uint8_t *in = (const uint8_t *)src + sizeof scale;
    float *out = dst;
    uint32_t i = 0;
    for (; i + 8 <= dim; i += 8)
        _mm256_storeu_ps(out + i, scale_i8_avx2(in + i, scales));
    if (i < dim) {
        uint8_t bytes[8] = {0};
        float row[8];
        memcpy(bytes, in + i, dim - i);
        _mm256_storeu_ps(row, scale_i8_avx2(bytes, scales));
        memcpy(out + i, row, 4 * (dim - i));
    }
}

AVX2 static void encode_f16_avx2(const void *src, uint32_t dim, void *dst)
{
    const float *in = src;
    uint8_t *out = dst;
    uint32_t i = 0;
    for (; i + 8 <= dim; i += 8)
        _mm_storeu_si128((void *)(out + 2 * i),
                         _mm256_cvtps_ph(_mm256_loadu_ps(in + i), _MM_FROUND_TO_NEAREST_INT));
    if (i < dim) {
        float row[8] = {0};
        uint16_t half[8];
        memcpy(row, in + i, 4 * (dim - i));
        _mm_storeu_si128((void *)half,
                         _mm256_cvtps_ph(_mm256_loadu_ps(row), _MM_FROUND_TO_NEAREST_INT));
        memcpy(out + 2 * i, half, 2 * (dim - i));
    }
}

static bool has_avx512(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl");
}

/* Clang has no name for F16C here; FMA came after it in every line of processors. */
static bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

vector_decode_fn *vector_simd_decoder(enum elem elem, int bits)
{
    static vector_decode_fn *const wide[] = {[ELEM_F16] = decode_f16_avx512,
                                             [ELEM_BF16] = decode_bf16_avx512,
                                             [ELEM_I8] = decode_i8_avx512};
    static vector_decode_fn *const narrow[] = {
        [ELEM_F16] = decode_f16_avx2, [ELEM_BF16] = decode_bf16_avx2, [ELEM_I8] = decode_i8_avx2};
    if ((unsigned)elem >= sizeof wide / sizeof wide[0])
        return NULL;
    if (bits == 512)
        return has_avx512() ? wide[elem] : NULL;
    return has_avx2() ? narrow[elem] : NULL;
}

bool vector_simd_encode_f16(const void *src, uint32_t dim, void *dst)
{
    if (!has_avx2())
        return false;
    encode_f16_avx2(src, dim, dst);
    return true;
}

#else

vector_decode_fn *vector_simd_decoder(enum elem elem, int bits)
{
    return NULL;
}

bool vector_simd_encode_f16(const void *src, uint32_t dim, void *dst)
{
    return false;
}

#endif
