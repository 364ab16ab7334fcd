/* SPDX-License-Identifier: Apache-2.0 */
/*
 * value: one key's value as the content of a file: v/<id>/key/<key>.
 *
 * u64 keys are written in decimal, byte keys percent-escaped (base/percent.h). The content is the
 * value's bytes; vectors come as little-endian f32.
 *
 * A value may have megabytes and a client may open it thousands of times, so of a table in memory
 * nothing is copied: what is stored is read where it lies, and vectors are converted for each read.
 * Of a table on disk it is read for each read (a handle may keep it).
 *
 * Threads: any. Memory: a value points into its version, which must stay pinned. Errors: -ENOENT
 * for an absent key or text that is no key, -ESTALE when the version is not loaded, -EIO when the
 * value cannot be had, DISK_NEEDED.
 */
#ifndef FKV_FUSE_VALUE_H
#define FKV_FUSE_VALUE_H

#include "base/buf.h"
#include "node/version.h"
#include "query/single.h"

#include <stdbool.h>

struct disk_worker;

enum { VALUE_KEY_MAX = 255, VALUE_NAME_MAX = 3 * VALUE_KEY_MAX };

struct file_key {
    uint32_t len; /* 8 for a u64 key, whose bytes are little-endian */
    uint8_t bytes[VALUE_KEY_MAX];
};

int value_key_of(const struct version *version, const char *name, struct file_key *out);
/* The value's length. worker: NULL in threads that must not wait for a disk. */
int value_find_len(const struct version *version, const struct file_key *key,
                   struct disk_worker *worker, uint64_t *len);

bool value_is_on_disk(const struct version *version);
/* The value of a table in memory, and that of a table on disk. */
int value_find(const struct version *version, const struct file_key *key, struct single *out);
int value_read(const struct version *version, const struct file_key *key,
               struct disk_worker *worker, struct buf *out);

#endif
