/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vector: stored vectors <-> rows of f32.
 *
 *           stored as         error of one element x after a round trip
 *   f32     the same bits     none
 *   f16     IEEE binary16     |e| <= 2^-11 |x| for 2^-14 <= |x| <= 65504; |e| <= 2^-25 below;
 *                             65520 and more becomes Inf
 *   bf16    upper half        |e| <= 2^-8 |x| (2^-9 for most); beyond the largest bf16, Inf
 *   i8      f32 scale, bytes  |e| <= scale / 2 (1 + 2^-16), with scale = max|x| / 127
 *
 * All roundings are to nearest, ties to even. NaN stays NaN (quiet) and Inf stays Inf in f32, f16
 * and bf16; i8 has neither, so encoding a vector that holds one fails with -EDOM. A vector of
 * zeros has scale 0.
 *
 * Every function has a portable form and, on x86-64, forms for F16C + AVX2 and AVX-512 chosen
 * once at run time; they give the same bits.
 *
 * Threads: pure functions. Memory: none; buffers may have any alignment and must not overlap.
 */
#ifndef FKV_CODEC_VECTOR_H
#define FKV_CODEC_VECTOR_H

#include "base/elem.h"

#include <stdbool.h>

/* Decodes dim elements at src (elem_vector_len() bytes) into dst, 4 * dim bytes. */
typedef void vector_decode_fn(const void *src, uint32_t dim, void *dst);

/* The fastest decoder this processor can run; NULL for ELEM_NONE. */
vector_decode_fn *vector_decoder(enum elem elem);
/* The portable one. */
vector_decode_fn *vector_decoder_portable(enum elem elem);

/*
 * Encodes dim floats at src (4 * dim bytes) into dst, elem_vector_len() bytes. -EDOM when elem is
 * i8 and a float is NaN or Inf, -EINVAL for ELEM_NONE.
 */
int vector_encode(enum elem elem, const void *src, uint32_t dim, void *dst);
/* The same without any special instructions. */
int vector_encode_portable(enum elem elem, const void *src, uint32_t dim, void *dst);

/* True when none of dim floats at src is NaN or Inf. */
bool vector_is_finite(const void *src, uint32_t dim);

#endif
