/* SPDX-License-Identifier: Apache-2.0 */
/*
 * content_digest: what a version says, in 128 bits, whatever the kind, shards, levels and compression it is stored with: equal
 * for two versions with the same live keys and values.
 *
 * XXH3-128 of (key length in a byte, key, value) of each entry, u64 keys as 8 bytes little-endian, added up as two u64 lanes without
 * carry between them: so it does not depend on the order, and shards can be added up. Values are those that went in, as the table's
 * value type stores them (f16 vectors as f16). It tells mistakes, not forgers: who can choose values can make two sums equal.
 *
 * Threads: one at a time. Memory: plain data, to be zero-initialised; the room keeps the longest entry. Errors: -ENOMEM.
 */
#ifndef FKV_BUILDER_CONTENT_DIGEST_H
#define FKV_BUILDER_CONTENT_DIGEST_H

#include "base/buf.h"
#include "base/hash.h"
#include "format/part.h"

struct content_digest {
    uint64_t lanes[2];
    uint64_t n; /* entries */
};

/* room: kept by the caller from one call to the next. entry has its plain value. */
int content_digest_add(struct content_digest *digest, const struct part_entry *entry,
                       struct buf *room);
void content_digest_merge(struct content_digest *digest, const struct content_digest *more);
bool content_digest_equal(const struct content_digest *a, const struct content_digest *b);

/* 32 hex digits of the lanes. */
void content_digest_text(const struct content_digest *digest, char out[DIGEST_HEX_LEN + 1]);

#endif
