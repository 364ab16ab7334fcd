/* SPDX-License-Identifier: Apache-2.0 */
/*
 * version_reader: a whole version in memory, read from the store and checked, for verify, validators, diff and dump.
 *
 * Of any kind; values are given as they went in, whatever they are stored as.
 *
 * Threads: one opens; afterwards it is immutable and shared, while a value_room and a cursor belong to one thread. Memory: all
 * parts' bytes; close it. A version of more than half the host's memory lies in unnamed files below $TMPDIR or /var/tmp
 * instead, mapped.
 * Errors: -EBADMSG naming part and chunk, -ENOENT, -ENOMEM, store errors.
 */
#ifndef FKV_BUILDER_VERSION_READER_H
#define FKV_BUILDER_VERSION_READER_H

#include "builder/value_room.h"
#include "format/version.h"
#include "store/store.h"

struct version_reader;

/* dir is tables/<table>/v/<id> or …/staging/<task>. digest, when not NULL, must be version.json's. */
int version_reader_open(struct store *store, const char *dir, const struct digest *digest,
                        struct version_reader **out, struct err *err);
/* The same in at most about `memory` bytes: a longer version lies in unnamed files below scratch_dir (NULL: as above). 0: no limit. */
int version_reader_open_within(struct store *store, const char *dir, const struct digest *digest,
                               uint64_t memory, const char *scratch_dir,
                               struct version_reader **out, struct err *err);
void version_reader_close(struct version_reader *reader);
const struct version_desc *version_reader_desc(const struct version_reader *reader);
const struct any_part *version_reader_part(const struct version_reader *reader, uint32_t level,
                                           uint32_t shard);

/*
 * Looks a key up as a reader would: wanted has key, or key_bytes and key_len. 1 with *found, whose value lives until the next call
 * with this room; 0 when there is no such key, or a tombstone; -EBADMSG.
 */
int version_reader_find(const struct version_reader *reader, const struct part_entry *wanted,
                        struct value_room *room, struct part_entry *found);
/* The same without unpacking: *found is as it lies in memory. */
int version_reader_find_stored(const struct version_reader *reader, const struct part_entry *wanted,
                               struct part_entry *found);

/*
 * Walks the live entries of the folded version, shard by shard: each key once, newest level wins, tombstones left out.
 * Zero-initialise the cursor, and release it; 1 with an entry, which lives until the next call, 0 at the end.
 */
struct version_cursor {
    uint32_t shard;
    uint32_t level;
    struct any_cursor at;
    struct part_entry stored; /* the entry as it lies in memory */
    struct value_room room;
};
int version_reader_next(const struct version_reader *reader, struct version_cursor *cursor,
                        struct part_entry *entry);
void version_cursor_release(struct version_cursor *cursor);

/* version.json alone. *out is released by the caller. */
int version_desc_read(struct store *store, const char *dir, const struct digest *digest,
                      struct version_desc *out, struct err *err);

#endif
