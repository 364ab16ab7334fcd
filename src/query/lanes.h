/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lanes: a group of keys on its way through the passes. Internal to query.
 *
 * Each pass does one thing for all lanes of a group, in a straight line: the misses of a group
 * overlap, and the passes of the groups behind it cover their latency. What a pass leaves for the
 * next stands here.
 *
 * Bytes keys are copied from the request once, with their ends, into private memory: the
 * request's owner may change it at any time, and what is hashed must be what is compared. A u64
 * key is read once, into its hash.
 *
 * Threads: lanes belong to one batch. Memory: about 1 KB, and 8 KB a group for bytes keys.
 */
#ifndef FKV_QUERY_LANES_H
#define FKV_QUERY_LANES_H

#include "base/hash.h"
#include "format/mem_table_view.h"
#include "query/batch.h"

enum { LANES_MAX = 32 };

struct lanes {
    uint32_t n;
    uint32_t first; /* the key's number in the batch of lane 0 */
    uint64_t hash[LANES_MAX];
    const uint8_t *at[LANES_MAX];     /* pilot, then slot */
    const uint8_t *record[LANES_MAX]; /* heap layout: what the slot refers to; NULL: see probe */
    uint32_t record_len[LANES_MAX];
    uint32_t place[LANES_MAX]; /* index in the level's arrays */
    uint8_t level[LANES_MAX];  /* where `at` is */
};

/* The private copy of a group of bytes keys. */
struct lane_keys {
    uint32_t len[LANES_MAX]; /* 0: a key that no table can hold */
    uint32_t off[LANES_MAX]; /* into bytes */
    uint8_t bytes[LANES_MAX * KEY_BYTES_MAX];
};

/* The rest of a request's bytes keys. */
struct key_cursor {
    const uint8_t *ends;  /* le32 of the next key */
    const uint8_t *bytes; /* of all keys */
    uint64_t bytes_len;
    uint32_t start; /* of the next key */
};

int key_cursor_init(struct key_cursor *cursor, const struct batch_request *request);

/* Copies and hashes the next lanes->n keys. -EPROTO when their ends are not in order or out of
 * range. */
int lanes_read_bytes(struct lanes *lanes, struct lane_keys *keys, struct key_cursor *cursor,
                     uint64_t seed);

/* Hashes n keys of 8 bytes. In line, since with a constant n it becomes a few vector
 * instructions. */
static inline void lanes_read_u64(struct lanes *lanes, const uint8_t *keys, uint32_t n,
                                  uint64_t seed)
{
    for (uint32_t i = 0; i < n; i++)
        lanes->hash[i] = hash_u64(load_le64(keys + 8 * (size_t)i), seed);
}

#endif
