/* SPDX-License-Identifier: Apache-2.0 */
/*
 * answer: where a batch's answers go, and writing one. Internal to query.
 *
 * Threads: an answer belongs to one batch. Memory: the output is written and never read back,
 * since another process may change it.
 */
#ifndef FKV_QUERY_ANSWER_H
#define FKV_QUERY_ANSWER_H

#include "base/bytes.h"
#include "codec/vector.h"
#include "query/batch.h"

#include <string.h>

enum { LOC_LEN = 8 };

struct answer {
    uint8_t *status;
    uint8_t *locs; /* NULL when values are fixed */
    uint8_t *values;
    uint64_t values_cap; /* bytes that may be written at values */
    uint64_t values_len; /* varying: bytes wanted so far, written or not */
    uint32_t value_len;  /* fixed: bytes of a stored value */
    uint32_t stride;     /* fixed: bytes from value to value */
    uint32_t dim;
    uint32_t n_found;
    uint32_t n_failed;
    vector_decode_fn *decode; /* NULL: copy as stored */
};

typedef uint8_t answer_v16 __attribute__((vector_size(16)));

static inline void answer_copy_16(uint8_t *out, const uint8_t *p)
{
    answer_v16 v;
    memcpy(&v, p, sizeof v);
    memcpy(out, &v, sizeof v);
}

static inline void answer_copy_64(uint8_t *out, const uint8_t *p)
{
    answer_copy_16(out, p);
    answer_copy_16(out + 16, p + 16);
    answer_copy_16(out + 32, p + 32);
    answer_copy_16(out + 48, p + 48);
}

/* Copies len bytes, at least 1. In line: values of some tens or hundreds of bytes are copied
 * faster than a call to memcpy() finds out what to do; the last step overlaps the one before. */
static inline void answer_copy(uint8_t *out, const uint8_t *p, uint32_t len)
{
    uint32_t i = 0;
    if (len < 16 || len > 2048) {
        memcpy(out, p, len);
        return;
    }
    for (; i + 64 <= len; i += 64)
        answer_copy_64(out + i, p + i);
    for (; i + 16 <= len; i += 16)
        answer_copy_16(out + i, p + i);
    if (i < len)
        answer_copy_16(out + len - 16, p + len - 16);
}

static inline void answer_put_varying(struct answer *answer, uint32_t i, const uint8_t *data,
                                      uint32_t len)
{
    uint8_t *loc = answer->locs + LOC_LEN * (size_t)i;
    uint64_t off = answer->values_len;
    answer->values_len += align_up(len, 8);
    /* Out of room: go on without writing, to learn how much is needed. */
    if (answer->values_len > answer->values_cap)
        return;
    store_le32(loc, (uint32_t)(off / 8));
    store_le32(loc + 4, len);
    if (!len)
        return;
    /* The bytes up to the next value too are the reader's: nothing of ours may stay in them. */
    store_le64(answer->values + answer->values_len - 8, 0);
    answer_copy(answer->values + off, data, len);
}

/* len is the schema's when values are fixed: the caller has checked it. */
static inline void answer_found(struct answer *answer, uint32_t i, const uint8_t *data,
                                uint32_t len)
{
    answer->status[i] = BATCH_FOUND;
    answer->n_found++;
    if (answer->locs) {
        answer_put_varying(answer, i, data, len);
        return;
    }
    uint8_t *out = answer->values + (size_t)i * answer->stride;
    if (answer->decode) {
        answer->decode(data, answer->dim, out);
    } else if (answer->stride == 64 && len == 64) {
        answer_copy_64(out, data);
    } else {
        answer_copy(out, data, len);
        for (uint32_t pad = len; pad < answer->stride; pad++)
            out[pad] = 0;
    }
}

static inline void answer_none(struct answer *answer, uint32_t i, uint8_t status)
{
    answer->status[i] = status;
    answer->n_failed += status == BATCH_FAILED;
    if (answer->locs)
        answer_put_varying(answer, i, NULL, 0);
    else
        memset(answer->values + (size_t)i * answer->stride, 0, answer->stride);
}

#endif
