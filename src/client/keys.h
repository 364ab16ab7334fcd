/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keys: the keys of one call as the caller holds them, and as the protocol carries them.
 *
 * On the wire u64 keys are 8 bytes each; byte keys are le32 ends[n] (the running end of each key),
 * then the key bytes (docs/PROTOCOL.md).
 *
 * Threads: pure functions. Memory: borrows the caller's arrays.
 */
#ifndef FKV_CLIENT_KEYS_H
#define FKV_CLIENT_KEYS_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct keys {
    uint32_t n;               /* of a scan: most records wanted */
    const uint64_t *u64;      /* u64 keys; NULL when they are bytes */
    const void *const *bytes; /* byte keys: key i is lens[i] bytes at bytes[i] */
    const uint8_t *lens;
    /* of a scan instead: its two bounds as the protocol carries them */
    const uint8_t *bounds;
    size_t bounds_len;
    uint32_t bounds_type; /* FKV_KEY_* */
};

/* The protocol's FKV_KEY_* of these keys. */
uint32_t keys_type(const struct keys *keys);

/* -EINVAL for a byte key that is empty or has no address, -E2BIG for more keys than a batch
 * holds. */
int keys_check(const struct keys *keys, struct err *err);

/* Bytes that keys [from, from + n) take on the wire. */
size_t keys_len(const struct keys *keys, uint32_t from, uint32_t n);

/* Writes keys [from, from + n) to out, which has keys_len() bytes. */
void keys_write(const struct keys *keys, uint32_t from, uint32_t n, uint8_t *out);

/* How many keys from `from` on fit into space bytes of wire: at most max, and at least 1 if
 * there is one. */
uint32_t keys_fit(const struct keys *keys, uint32_t from, uint32_t max, size_t space);

#endif
