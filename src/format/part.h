/* SPDX-License-Identifier: Apache-2.0 */
/*
 * part: one shard of one level of a `mem` table, as a file and as memory. docs/FORMAT.md is
 * normative.
 *
 * A part is written front to back (part_writer.h) and ends in a 4096-byte footer that says where
 * everything is. The same bytes, read into memory, are what lookups probe: nothing is rebuilt.
 *
 * part_open() checks the footer, every section's bounds and every partition once; a slot's
 * reference into the heap is checked when it is followed, which costs nothing and spares loading
 * a walk over all slots. So a view is total: no lookup can leave the memory, whatever the bytes
 * say.
 *
 * Threads: a view is immutable and may be shared. Memory: the view points into the caller's memory.
 * Errors: -EBADMSG with the part's name and what is wrong, -ENOTSUP for a newer format.
 */
#ifndef FKV_FORMAT_PART_H
#define FKV_FORMAT_PART_H

#include "base/err.h"
#include "format/schema.h"

#include <stddef.h>
#include <stdint.h>

enum {
    PART_FOOTER_LEN = 4096,
    PART_ALIGN = 4096,        /* a part's length is a multiple of this, for direct I/O */
    PART_CHUNK_LEN = 4 << 20, /* the unit of checksums in version.json */
};

/* What the footer says of the whole part. */
struct part_info {
    enum key_type key_type;
    uint32_t value_len; /* 0: values vary */
    uint32_t shard;
    uint32_t n_shards;
    uint32_t level;
    uint64_t hash_seed;
    uint64_t n_keys;       /* live keys in this part */
    uint64_t n_tombstones; /* deleted keys in this part */
    uint32_t n_partitions;
};

struct part; /* a checked view */

/*
 * Checks memory[0, len) as a part and makes a view of it. name is used in error texts only. The
 * memory must be 64-byte aligned and outlive the view. The checksums of the content are the
 * caller's business (version.json has them); part_open() makes no assumption that they were right.
 */
int part_open(const void *memory, size_t len, const char *name, struct part **out, struct err *err);
void part_free(struct part *part);

const struct part_info *part_info(const struct part *part);

/* One stored key, as the iterator gives it. Pointers live as long as the part's memory. */
struct part_entry {
    uint64_t hash;
    uint64_t key;             /* KEY_U64 */
    const uint8_t *key_bytes; /* KEY_BYTES */
    uint8_t key_len;
    bool tombstone;
    const uint8_t *value; /* NULL for a tombstone */
    uint32_t value_len;
};

/*
 * Walks every key and tombstone, in slot order (no meaning to people; the same on every machine).
 * Zero-initialise *cursor; returns 1 with an entry, 0 at the end, -EBADMSG at a record outside
 * the part or of a wrong length (the call after it goes on behind that record).
 */
int part_next(const struct part *part, uint64_t *cursor, struct part_entry *entry);

/* Looks a key up in this part alone, for tools that hold one shard at a time. wanted has hash and
 * key. Returns 1 with *found (which may be a tombstone), 0 when the part has no such key,
 * -EBADMSG when it is corrupt there. */
int part_find(const struct part *part, const struct part_entry *wanted, struct part_entry *found);

#endif
