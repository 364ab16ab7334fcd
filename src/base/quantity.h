/* SPDX-License-Identifier: Apache-2.0 */
/*
 * quantity: sizes and times as people write them.
 *
 * A whole number is taken exactly; one with a fraction ("1.5G") as near as a double is.
 *
 * Threads: pure functions. Memory: none. Errors: -EINVAL for other text, and for what is above INT64_MAX.
 */
#ifndef FKV_BASE_QUANTITY_H
#define FKV_BASE_QUANTITY_H

#include <stdint.h>

/* Bytes: a number, then perhaps K, M, G or T (powers of 1024): "512M", "1.5G", "64KiB". */
int quantity_size(const char *text, uint64_t *out);
/* A time: seconds, or with ns, ms, s, m, h or d. */
int quantity_duration_ns(const char *text, int64_t *out);

#endif
