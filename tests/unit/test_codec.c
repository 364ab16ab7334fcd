/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "base/hash.h"
#include "codec/vector.h"
#include "codec/vector_simd.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_ROW = 4096 };

static float float_of(uint32_t bits)
{
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

static uint32_t bits_of(float v)
{
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    return bits;
}

static float f16_to_float(uint16_t half)
{
    float out;
    vector_decoder_portable(ELEM_F16)(&half, 1, &out);
    return out;
}

static uint16_t float_to_f16(float v)
{
    uint16_t half;
    assert_int_equal(vector_encode_portable(ELEM_F16, &v, 1, &half), 0);
    return half;
}

static void vector__every_f16_survives_the_round_trip(void **state)
{
    for (uint32_t half = 0; half < 65536; half++) {
        uint32_t magnitude = half & 0x7FFF;
        uint16_t back = float_to_f16(f16_to_float((uint16_t)half));
        if (magnitude > 0x7C00)
            assert_int_equal(back, half | 0x200); /* NaN, made quiet */
        else
            assert_int_equal(back, half);
    }
}

static void vector__f16_rounds_to_nearest_ties_to_even(void **state)
{
    assert_int_equal(float_to_f16(1.0f), 0x3C00);
    assert_int_equal(float_to_f16(-2.0f), 0xC000);
    assert_int_equal(float_to_f16(65504.0f), 0x7BFF);
    assert_int_equal(float_to_f16(65519.996f), 0x7BFF);
    assert_int_equal(float_to_f16(65520.0f), 0x7C00);
    assert_int_equal(float_to_f16(INFINITY), 0x7C00);
    assert_int_equal(float_to_f16(-INFINITY), 0xFC00);
    assert_int_equal(float_to_f16(0x1p-24f), 1);
    assert_int_equal(float_to_f16(0x1p-25f), 0); /* a tie: to even */
    assert_int_equal(float_to_f16(0x1.000002p-25f), 1);
    assert_int_equal(float_to_f16(0x1.8p-24f), 2); /* a tie: to even */
    assert_int_equal(float_to_f16(1.0f + 0x1p-11f), 0x3C00);
    assert_int_equal(float_to_f16(1.0f + 0x1.8p-10f), 0x3C02);
    assert_int_equal(float_to_f16(-0.0f), 0x8000);
    for (uint32_t half = 0; half < 0x7BFF; half++) {
        float low = f16_to_float((uint16_t)half);
        float high = f16_to_float((uint16_t)(half + 1));
        float middle = low + (high - low) / 2;
        assert_int_equal(float_to_f16(middle), half % 2 ? half + 1 : half);
        assert_int_equal(float_to_f16(nextafterf(middle, 0)), half);
        assert_int_equal(float_to_f16(nextafterf(middle, INFINITY)), half + 1);
    }
}

static void vector__errors_keep_their_documented_bounds(void **state)
{
    for (uint32_t i = 0; i < 200000; i++) {
        float x = float_of((uint32_t)hash_u64(i, 5));
        if (!isfinite(x))
            continue;
        uint16_t half = float_to_f16(x);
        double error = fabs((double)f16_to_float(half) - (double)x);
        if (fabsf(x) <= 65504 && fabsf(x) >= 0x1p-14f)
            assert_true(error <= fabs((double)x) * 0x1p-11);
        else if (fabsf(x) < 0x1p-14f)
            assert_true(error <= 0x1p-25);
        float back;
        assert_int_equal(vector_encode_portable(ELEM_BF16, &x, 1, &half), 0);
        vector_decoder_portable(ELEM_BF16)(&half, 1, &back);
        if (fabsf(x) < 0x1.FEp127f && fabsf(x) >= 0x1p-126f)
            assert_true(fabs((double)back - (double)x) <= fabs((double)x) * 0x1p-8);
    }
}

static void vector__i8_errs_by_half_a_scale_at_most(void **state)
{
    for (uint32_t row = 0; row < 270; row++) {
        float in[97], out[97], scale, max = 0;
        uint8_t stored[4 + 97];
        float unit = ldexpf(1, (int)row - 150);
        for (uint32_t i = 0; i < 97; i++) {
            in[i] = unit * ((float)(hash_u64(i, row) >> 40) / 0x1p23f - 1);
            max = fmaxf(max, fabsf(in[i]));
        }
        assert_int_equal(vector_encode(ELEM_I8, in, 97, stored), 0);
        vector_decoder(ELEM_I8)(stored, 97, out);
        memcpy(&scale, stored, sizeof scale);
        assert_true(bits_of(scale) == bits_of(max / 127.0f));
        for (uint32_t i = 0; i < 97 && scale >= 0x1p-126f; i++)
            assert_true(fabs((double)out[i] - (double)in[i]) <= (double)scale / 2 * (1 + 0x1p-16));
    }
}

static void vector__i8_of_zeros_and_of_tiny_numbers_stays_finite(void **state)
{
    float zeros[5] = {0, -0.0f, 0, 0, 0};
    float tiny[3] = {0x1p-149f, -0x1p-149f, 0};
    uint8_t stored[16];
    float out[5];
    assert_int_equal(vector_encode(ELEM_I8, zeros, 5, stored), 0);
    vector_decoder(ELEM_I8)(stored, 5, out);
    for (int i = 0; i < 5; i++)
        assert_true(out[i] == 0);
    assert_int_equal(vector_encode(ELEM_I8, tiny, 3, stored), 0);
    vector_decoder(ELEM_I8)(stored, 3, out);
    for (int i = 0; i < 3; i++)
        assert_true(fabsf(out[i]) <= 0x1p-140f);
}

static void vector__i8_refuses_nan_and_inf(void **state)
{
    float row[3] = {1, NAN, 2};
    uint8_t stored[16];
    assert_int_equal(vector_encode(ELEM_I8, row, 3, stored), -EDOM);
    assert_false(vector_is_finite(row, 3));
    row[1] = -INFINITY;
    assert_int_equal(vector_encode(ELEM_I8, row, 3, stored), -EDOM);
    assert_false(vector_is_finite(row, 3));
    row[1] = 0;
    assert_true(vector_is_finite(row, 3));
    assert_int_equal(vector_encode(ELEM_NONE, row, 3, stored), -EINVAL);
}

static void vector__nan_and_inf_stay_what_they_are(void **state)
{
    static const uint32_t odd[] = {0x7F800000, 0xFF800000, 0x7FC00000, 0x7F800001, 0xFFFFFFFF};
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        for (int e = ELEM_F32; e <= ELEM_BF16; e++) {
            float in = float_of(odd[i]);
            float out;
            uint8_t stored[4];
            assert_int_equal(vector_encode((enum elem)e, &in, 1, stored), 0);
            vector_decoder((enum elem)e)(stored, 1, &out);
            assert_int_equal(isnan(out), isnan(in));
            assert_int_equal(signbit(out) != 0, signbit(in) != 0);
        }
    }
}

/* Every decoder of the machine gives the same bits as the portable one and touches nothing else. */
static void check_decoder(enum elem elem, vector_decode_fn *decode)
{
    static const uint32_t dims[] = {1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 96, 100, N_ROW};
    for (size_t d = 0; d < sizeof dims / sizeof dims[0]; d++) {
        uint32_t dim = dims[d];
        size_t len = elem_vector_len(elem, dim);
        /* One byte off alignment, and of exactly this size for the sanitizer. */
        uint8_t *stored = malloc(len + 1);
        uint8_t *expected = malloc(4 * (size_t)dim);
        uint8_t *got = malloc(4 * (size_t)dim + 1);
        for (size_t i = 0; i < len; i++)
            stored[1 + i] = (uint8_t)(hash_u64(i, d) >> 24);
        if (elem == ELEM_I8)
            memcpy(stored + 1, &(float){0.037f}, 4);
        vector_decoder_portable(elem)(stored + 1, dim, expected);
        decode(stored + 1, dim, got + 1);
        assert_memory_equal(expected, got + 1, 4 * (size_t)dim);
        free(stored);
        free(expected);
        free(got);
    }
}

static void vector__simd_decoders_agree_bit_for_bit(void **state)
{
    for (int e = ELEM_F32; e <= ELEM_I8; e++) {
        check_decoder((enum elem)e, vector_decoder((enum elem)e));
        for (int bits = 256; bits <= 512; bits += 256) {
            vector_decode_fn *decode = vector_simd_decoder((enum elem)e, bits);
            if (decode)
                check_decoder((enum elem)e, decode);
            else
                printf("no %d-bit decoder for %s here\n", bits, elem_name((enum elem)e));
        }
    }
    assert_null(vector_decoder(ELEM_NONE));
}

static void vector__all_f16_decode_alike_everywhere(void **state)
{
    static uint16_t stored[65536];
    static uint32_t expected[65536], got[65536];
    for (uint32_t i = 0; i < 65536; i++)
        stored[i] = (uint16_t)i;
    vector_decoder_portable(ELEM_F16)(stored, 65536, expected);
    vector_decoder(ELEM_F16)(stored, 65536, got);
    assert_memory_equal(expected, got, sizeof got);
}

static void vector__encoders_agree_bit_for_bit(void **state)
{
    static uint32_t row[N_ROW];
    static uint8_t expected[4 * N_ROW], got[4 * N_ROW];
    for (uint32_t round = 0; round < 100; round++) {
        uint32_t dim = round < 40 ? 1 + round : N_ROW;
        for (uint32_t i = 0; i < dim; i++)
            row[i] = (uint32_t)hash_u64(i, round) & (round % 2 ? 0xBFFFFFFF : 0xFFFFFFFF);
        for (int e = ELEM_F32; e <= ELEM_I8; e++) {
            int ret = vector_encode_portable((enum elem)e, row, dim, expected);
            assert_int_equal(vector_encode((enum elem)e, row, dim, got), ret);
            if (!ret)
                assert_memory_equal(expected, got, elem_vector_len((enum elem)e, dim));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vector__every_f16_survives_the_round_trip),
        cmocka_unit_test(vector__f16_rounds_to_nearest_ties_to_even),
        cmocka_unit_test(vector__errors_keep_their_documented_bounds),
        cmocka_unit_test(vector__i8_errs_by_half_a_scale_at_most),
        cmocka_unit_test(vector__i8_of_zeros_and_of_tiny_numbers_stays_finite),
        cmocka_unit_test(vector__i8_refuses_nan_and_inf),
        cmocka_unit_test(vector__nan_and_inf_stay_what_they_are),
        cmocka_unit_test(vector__simd_decoders_agree_bit_for_bit),
        cmocka_unit_test(vector__all_f16_decode_alike_everywhere),
        cmocka_unit_test(vector__encoders_agree_bit_for_bit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
