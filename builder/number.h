/* SPDX-License-Identifier: Apache-2.0 */
/*
 * number: text to numbers, correctly rounded, without locale and without allocating.
 *
 * Threads: pure functions. Memory: none; text need not end in NUL.
 * Errors: -EBADMSG with the element, what was expected and found; outputs are written only as far as they were right.
 */
#ifndef FKV_BUILDER_NUMBER_H
#define FKV_BUILDER_NUMBER_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

/* Decimal digits only (no sign, no space): 0, -EINVAL for other text, -ERANGE when it exceeds UINT64_MAX. */
int number_u64(const char *text, size_t len, uint64_t *out);

/*
 * One f32 at the start of text: decimal, with or without exponent, or nan, inf, infinity in any case, with a sign.
 * Returns the bytes it takes, or 0 when there is none or it is beyond the largest f32. Rounded to nearest, ties to even.
 */
size_t number_f32(const char *text, size_t len, float *out);

/*
 * A vector of exactly dim elements: separated by commas, by spaces or by both, with or without [ ] around.
 */
int number_vector(const char *text, size_t len, uint32_t dim, float *out, struct err *err);

#endif
