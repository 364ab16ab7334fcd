/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hash: the two hashes fkv uses, and no other place calls xxHash.
 *
 * Key hashes place a key (shard, partition, bucket, slot): `hash_u64` is a bijection for each seed,
 * so two u64 keys never share a hash; `hash_bytes` is XXH3-64. Digests (XXH3-128) name and check
 * content.
 *
 * Threads: pure functions; a struct digest_state belongs to one thread.
 * Memory: digest_state is a heap object of about 600 bytes.
 */
#ifndef FKV_BASE_HASH_H
#define FKV_BASE_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Bijective mix of a u64 key: the "Moremur" constants (Pelle Evensen, 2019), a finaliser of the
 * murmur3 family. The seed is added first, which keeps it a bijection.
 */
static inline uint64_t hash_u64(uint64_t key, uint64_t seed)
{
    uint64_t x = key + seed;
    x ^= x >> 27;
    x *= 0x3C79AC492BA7B653ULL;
    x ^= x >> 33;
    x *= 0x1C69B3F74AC4AE35ULL;
    x ^= x >> 27;
    return x;
}

/* The key that hash_u64() turned into this hash: its steps undone, with the multipliers' inverses. */
static inline uint64_t hash_u64_inverse(uint64_t hash, uint64_t seed)
{
    uint64_t x = hash;
    x ^= (x >> 27) ^ (x >> 54);
    x *= 0xC47C8F6B6BAFB41DULL;
    x ^= x >> 33;
    x *= 0xC09C5FE5BD6DFDDBULL;
    x ^= (x >> 27) ^ (x >> 54);
    return x - seed;
}

/* XXH3-64 of a key of len bytes with a seed. Different keys may share a hash. */
uint64_t hash_bytes(const void *key, size_t len, uint64_t seed);

/* XXH3-64 with no seed, for header checksums. */
uint64_t hash_checksum(const void *data, size_t len);

enum { DIGEST_LEN = 16, DIGEST_HEX_LEN = 32 };

/* An XXH3-128 digest in canonical (big-endian) byte order, as xxh128sum prints it. */
struct digest {
    uint8_t b[DIGEST_LEN];
};

void digest_of(const void *data, size_t len, struct digest *out);
bool digest_equal(const struct digest *a, const struct digest *b);

/* Writes 32 lower-case hex digits and a NUL. */
void digest_to_hex(const struct digest *digest, char out[DIGEST_HEX_LEN + 1]);

/* Reads 32 hex digits; returns 0, or -EINVAL when the text is anything else. */
int digest_from_hex(const char *hex, struct digest *out);

/* A digest taken in pieces: new, update …, finish, free. new returns NULL without memory. */
struct digest_state;
struct digest_state *digest_state_new(void);
void digest_state_reset(struct digest_state *state);
void digest_state_update(struct digest_state *state, const void *data, size_t len);
void digest_state_finish(const struct digest_state *state, struct digest *out);
void digest_state_free(struct digest_state *state);

#endif
