/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keys: the keys of a request, read from memory that its owner may change at any time.
 *
 * A group of keys is copied into private memory in one go, each byte read once; what is hashed, compared and
 * counted afterwards is the copy.
 *
 * Threads: a reader belongs to one batch. Memory: none. Internal to query.
 */
#ifndef FKV_QUERY_KEYS_H
#define FKV_QUERY_KEYS_H

#include "base/bytes.h"
#include "base/hash.h"
#include "format/schema.h"
#include "query/batch.h"

#include <errno.h>

enum { GROUP_KEYS = 32 };

/* The private copy of a group of bytes keys. */
struct key_group {
    uint32_t n;
    uint64_t hash[GROUP_KEYS];
    uint32_t len[GROUP_KEYS]; /* 0: a key that no table can hold */
    uint8_t bytes[GROUP_KEYS][KEY_BYTES_MAX + 1];
};

struct key_reader {
    const uint8_t *ends;  /* le32 each */
    const uint8_t *bytes; /* the keys, one after the other */
    uint64_t bytes_len;
    uint32_t i;
    uint32_t n;
    uint32_t end; /* of the key before */
    uint64_t seed;
};

/* -EPROTO when the request's lengths cannot be. */
static inline int key_reader_init(struct key_reader *reader, const struct schema *schema,
                                  const struct batch_request *request)
{
    uint64_t ends_len = 4 * (uint64_t)request->n_keys;
    if (request->keys_len < ends_len)
        return -EPROTO;
    *reader = (struct key_reader){
        .ends = request->keys,
        .bytes = request->keys + ends_len,
        .bytes_len = request->keys_len - ends_len,
        .n = request->n_keys,
        .seed = schema->hash_seed,
    };
    return 0;
}

/* Copies and hashes the next keys, at most GROUP_KEYS. -EPROTO when ends are not in order. */
static inline int key_reader_next(struct key_reader *reader, struct key_group *group)
{
    uint32_t n = reader->n - reader->i < GROUP_KEYS ? reader->n - reader->i : GROUP_KEYS;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t end = load_le32(reader->ends + 4 * (size_t)(reader->i + i));
        uint32_t len = end - reader->end;
        if (end < reader->end || end > reader->bytes_len)
            return -EPROTO;
        group->len[i] = len <= KEY_BYTES_MAX ? len : 0;
        memcpy(group->bytes[i], reader->bytes + reader->end, group->len[i]);
        group->hash[i] = hash_bytes(group->bytes[i], group->len[i], reader->seed);
        reader->end = end;
    }
    reader->i += n;
    group->n = n;
    return 0;
}

#endif
