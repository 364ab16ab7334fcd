/* SPDX-License-Identifier: Apache-2.0 */
#include "base/hash.h"

#include "base/hash_wide.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

enum { WIDE_MIN = 512 }; /* below, a call more is not worth it */

uint64_t hash_bytes(const void *key, size_t len, uint64_t seed)
{
#if defined(__x86_64__)
    if (len >= WIDE_MIN && __builtin_cpu_supports("avx512f"))
        return hash_wide_avx512(key, len, seed);
    if (len >= WIDE_MIN && __builtin_cpu_supports("avx2"))
        return hash_wide_avx2(key, len, seed);
#endif
    return XXH3_64bits_withSeed(key, len, seed);
}

uint64_t hash_checksum(const void *data, size_t len)
{
    return XXH3_64bits(data, len);
}

static void digest_store(XXH128_hash_t hash, struct digest *out)
{
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, hash);
    memcpy(out->b, canonical.digest, DIGEST_LEN);
}

void digest_of(const void *data, size_t len, struct digest *out)
{
    digest_store(XXH3_128bits(data, len), out);
}

bool digest_equal(const struct digest *a, const struct digest *b)
{
    return memcmp(a->b, b->b, DIGEST_LEN) == 0;
}

void digest_to_hex(const struct digest *digest, char out[DIGEST_HEX_LEN + 1])
{
    for (int i = 0; i < DIGEST_LEN; i++)
        snprintf(out + 2 * i, 3, "%02x", digest->b[i]);
}

static int nibble(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

int digest_from_hex(const char *hex, struct digest *out)
{
    if (strnlen(hex, DIGEST_HEX_LEN + 1) != DIGEST_HEX_LEN)
        return -EINVAL;
    struct digest digest;
    for (int i = 0; i < DIGEST_LEN; i++) {
        int hi = nibble(hex[2 * i]);
        int lo = nibble(hex[2 * i + 1]);
        if (hi < 0 || lo < 0)
            return -EINVAL;
        digest.b[i] = (uint8_t)(hi << 4 | lo);
    }
    *out = digest;
    return 0;
}

struct digest_state *digest_state_new(void)
{
    XXH3_state_t *state = XXH3_createState();
    if (state)
        XXH3_128bits_reset(state);
    return (struct digest_state *)state;
}

void digest_state_reset(struct digest_state *state)
{
    XXH3_128bits_reset((XXH3_state_t *)state);
}

void digest_state_update(struct digest_state *state, const void *data, size_t len)
{
    XXH3_128bits_update((XXH3_state_t *)state, data, len);
}

void digest_state_finish(const struct digest_state *state, struct digest *out)
{
    digest_store(XXH3_128bits_digest((const XXH3_state_t *)state), out);
}

void digest_state_free(struct digest_state *state)
{
    XXH3_freeState((XXH3_state_t *)state);
}
