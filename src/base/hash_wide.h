/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hash_wide: XXH3-64 with wider registers than distributions build libxxhash for. The values are the
 * same; a block of 4 KiB takes a quarter (AVX-512) or half (AVX2) of the time, and every block that is
 * read from a disk is hashed.
 *
 * Threads: pure functions. Call one only where the processor has its instructions.
 */
#ifndef FKV_BASE_HASH_WIDE_H
#define FKV_BASE_HASH_WIDE_H

#include <stddef.h>
#include <stdint.h>

uint64_t hash_wide_avx2(const void *data, size_t len, uint64_t seed);
uint64_t hash_wide_avx512(const void *data, size_t len, uint64_t seed);

#endif
