/* SPDX-License-Identifier: Apache-2.0 */
/* hash_wide.h: compiled once for each set of instructions, which meson names. */
#define XXH_INLINE_ALL
#include "base/hash_wide.h"

#include <xxhash.h>

uint64_t HASH_WIDE(const void *data, size_t len, uint64_t seed)
{
    return XXH3_64bits_withSeed(data, len, seed);
}
