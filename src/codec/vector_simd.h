/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vector_simd: the forms of vector.h that need instructions not every processor has. Internal to
 * codec. On other architectures every function says that it has none.
 *
 * Threads: pure functions. Memory: none.
 */
#ifndef FKV_CODEC_VECTOR_SIMD_H
#define FKV_CODEC_VECTOR_SIMD_H

#include "codec/vector.h"

/* The decoder for registers of that many bits, 512 or 256; NULL when there is none or the
 * processor cannot. */
vector_decode_fn *vector_simd_decoder(enum elem elem, int bits);

/* False, and nothing done, when the processor cannot. */
bool vector_simd_encode_f16(const void *src, uint32_t dim, void *dst);

#endif
