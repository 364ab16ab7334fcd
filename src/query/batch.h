/* SPDX-License-Identifier: Apache-2.0 */
/*
 * batch: answers many keys from one version of a table.
 *
 * Keys may lie in memory that another process changes while we read: each is read once. Output
 * goes to memory the caller owns; nothing is written outside [out, out + out_cap).
 *
 * The output region of a batch of n keys ("reply body", docs/PROTOCOL.md), offsets from its start:
 *   status  u8[n]                    FOUND 0, ABSENT 1, FAILED 2
 *   locs    {u32 off8, u32 len}[n]   only when values vary; at align8(n); off8 in units of 8 bytes
 *                                    from values
 *   values                           at the next multiple of 64; value i at i * stride when fixed
 * The stride is 4 * dim for BATCH_AS_F32 (rows of a matrix), else value_len rounded up to 8; the
 * bytes between value and stride, and all bytes of an absent key's value when values are fixed,
 * are zero. Varying values are each padded to 8; an absent key has length 0. All padding is zero:
 * no byte of the body is left as it was. A bytes key of 0 or more than 255 bytes is absent.
 *
 * Threads: any number of batches may run on one table. Memory: none allocated.
 * Errors: -EPROTO malformed keys, -ENOSPC with result->len set to the bytes needed when out_cap
 * is too small (for varying values and less than batch_body_min() bytes, that minimum), -ENOTSUP
 * for a conversion the table cannot give, -ETIMEDOUT past the deadline (checked every 1,024
 * keys).
 */
#ifndef FKV_QUERY_BATCH_H
#define FKV_QUERY_BATCH_H

#include "format/mem_table.h"

#include <stddef.h>
#include <stdint.h>

enum batch_form {
    BATCH_AS_STORED = 0,
    BATCH_AS_F32 = 1, /* vectors converted to f32[dim]; -ENOTSUP for bytes values */
};

enum {
    BATCH_FOUND = 0,
    BATCH_ABSENT = 1,
    BATCH_FAILED = 2,
};

enum { BATCH_KEYS_MAX = 1 << 20 };

struct batch_request {
    uint32_t n_keys;
    const uint8_t *keys; /* u64: n_keys * 8 bytes, little-endian, any alignment.
                            bytes: le32 ends[n_keys], then the key bytes one after the other */
    size_t keys_len;
    enum batch_form form;
    uint64_t deadline_ns; /* CLOCK_MONOTONIC; 0: none */
};

struct batch_result {
    uint32_t n_found;
    uint32_t stride;   /* bytes from one value to the next when fixed, else 0 */
    uint64_t locs_off; /* 0 when fixed */
    uint64_t values_off;
    uint64_t len; /* bytes of the whole body; on -ENOSPC the bytes needed */
    uint32_t n_failed;
};

int batch_run(const struct mem_table *table, const struct batch_request *request, void *out,
              size_t out_cap, struct batch_result *result);

/* The bytes a body certainly needs for n keys when values are fixed; for varying values, without
 * them. */
uint64_t batch_body_min(const struct schema *schema, enum batch_form form, uint32_t n_keys);

#endif
