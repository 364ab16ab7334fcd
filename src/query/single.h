/* SPDX-License-Identifier: Apache-2.0 */
/*
 * single: one key's value where it lies, without copying it: for values that become files.
 *
 * Threads: any number on one table. Memory: a value lives as long as its table; what
 * single_bytes() makes is the caller's. Errors: -ENOENT for an absent key, -EINVAL for one of the
 * wrong type, -EBADMSG when the table is corrupt there.
 */
#ifndef FKV_QUERY_SINGLE_H
#define FKV_QUERY_SINGLE_H

#include "codec/vector.h"
#include "format/mem_table.h"

struct single {
    const uint8_t *stored;
    size_t len; /* bytes as stored, or of vectors as f32 */
    uint32_t dim;
    vector_decode_fn *decode; /* NULL: the bytes are the stored ones */
};

/* key: 8 little-endian bytes of a u64 key, or the bytes of a byte key. */
int single_find(const struct mem_table *table, const void *key, size_t key_len, struct single *out);

/* The value's bytes: the stored ones, or vectors converted to f32 in *made, which the caller frees;
 * NULL without memory. */
const uint8_t *single_bytes(const struct single *single, uint8_t **made);

#endif
