/* SPDX-License-Identifier: Apache-2.0 */
/*
 * front_coded: ascending bytes keys, each without what it shares with the one before, searched
 * where they are.
 *
 * Every FC_GROUP-th key stands whole, so that a search halves over those and decodes one group.
 * Groups are gathered in chunks of FC_CHUNK keys with one 8-byte offset each, within which 4 bytes
 * say where a group begins.
 *
 *   places:  offset of the chunk, 8 bytes
 *   a chunk: le32 a group: where it begins, from the chunk | groups
 *   a group: length, key | for each further key: token, bytes more
 *   a token: 4 high bits: bytes shared, 4 low bits: bytes more; 15: and as many as the next byte says
 *
 * A key is checked as it is decoded, so a view is total; what does not hold together is -EBADMSG.
 *
 * Threads: a view is immutable, a builder belongs to one thread. Memory: a view points into the
 * caller's memory; a builder holds what it has built. Errors: -EBADMSG, -EINVAL, -ENOMEM.
 */
#ifndef FKV_FORMAT_FRONT_CODED_H
#define FKV_FORMAT_FRONT_CODED_H

#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"
#include "format/schema.h"

enum { FC_GROUP = 16, FC_CHUNK = 4096 };

struct front_coded {
    uint64_t n;
    const uint8_t *places; /* le64 a chunk */
    const uint8_t *bytes;
    uint64_t len;
};

/* Checks n keys: that each chunk and its groups' offsets lie in bytes[0, len). */
int fc_open(uint64_t n, const uint8_t *places, uint64_t places_len, const uint8_t *bytes,
            uint64_t len, const char *name, struct front_coded *out, struct err *err);

/* The first rank whose key is not below key[0, len), 1 <= len; *is_equal when it is that. */
int fc_lower_bound(const struct front_coded *fc, const void *key, size_t len, uint64_t *rank,
                   bool *is_equal);

/* The same for many keys: misses of memory overlap. The caller sets key and len of each. */
struct fc_search {
    const uint8_t *key;
    uint32_t len;
    bool is_equal;
    int ret; /* 0, or -EBADMSG: then there is no rank */
    uint64_t rank;
};
void fc_search(const struct front_coded *fc, struct fc_search *searches, uint32_t n);

/* Walks keys from a rank on; the key is in the cursor until the next call. */
struct fc_cursor {
    const struct front_coded *fc;
    uint64_t next; /* rank of the next key */
    uint64_t off;  /* where it stands; unless a group begins there */
    uint8_t key_len;
    uint8_t key[KEY_BYTES_MAX];
};
int fc_seek(const struct front_coded *fc, uint64_t rank, struct fc_cursor *cursor);
/* 1 with a key, 0 at the end, -EBADMSG. */
int fc_next(struct fc_cursor *cursor);

/* ---- building ---- */

struct fc_builder {
    uint64_t n;
    uint8_t last_len;
    uint8_t last[KEY_BYTES_MAX];
    struct buf places;
    struct buf bytes;  /* chunks that are done */
    struct buf groups; /* of the chunk under way: le32 each */
    struct buf keys;   /* and its groups */
};

void fc_builder_release(struct fc_builder *builder);
/* -EINVAL when the key is empty or not above the one before. */
int fc_builder_add(struct fc_builder *builder, const void *key, uint8_t len);
int fc_builder_finish(struct fc_builder *builder);

#endif
