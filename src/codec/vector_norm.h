/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vector_norm: how long a stored vector is.
 *
 * Threads: pure functions. Memory: none; the vector may have any alignment.
 */
#ifndef FKV_CODEC_VECTOR_NORM_H
#define FKV_CODEC_VECTOR_NORM_H

#include "base/elem.h"

/*
 * The square of the L2 norm of dim stored elements at src (elem_vector_len() bytes). NaN or Inf if and only if an element (of an
 * i8 vector: the scale) is: no sum of squares of finite floats leaves the range of a double. 0 for ELEM_NONE.
 * Right within a few 2^-24, and always added up in the same order, whatever the processor.
 */
double vector_square_sum(enum elem elem, const void *src, uint32_t dim);

#endif
