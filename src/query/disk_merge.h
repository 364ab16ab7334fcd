/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disk_merge: all shards and levels of an `idx` table as one run of keys in order. Internal to query.
 *
 * A heap of cursors, one a part. Of equal keys the newest level's counts; a key it deletes is passed
 * over. No part is read: keys are in memory.
 *
 * Threads: one at a time. Memory: some 350 bytes a part. Errors: -EBADMSG when a part's keys do not
 * hold together, -ENOMEM.
 */
#ifndef FKV_QUERY_DISK_MERGE_H
#define FKV_QUERY_DISK_MERGE_H

#include "node/disk_table.h"

struct disk_merge {
    const struct disk_table *table;
    struct idx_cursor *cursors; /* by part */
    uint32_t *heap;             /* parts; the first has the least key, or the newest of the least */
    uint32_t n_heap;

    /* The key that disk_merge_next() came to. */
    uint32_t part;
    uint64_t rank;
    uint64_t key;
    uint8_t key_len; /* bytes keys */
    uint8_t key_bytes[KEY_BYTES_MAX];
};

/* Where to begin: the first key that is not below. */
struct disk_bound {
    uint64_t key;
    const uint8_t *bytes;
    size_t len; /* bytes keys; 0: from the first of all */
};

/* *bad_part is set with -EBADMSG. */
int disk_merge_new(const struct disk_table *table, const struct disk_bound *from,
                   struct disk_merge **out, uint32_t *bad_part);
void disk_merge_free(struct disk_merge *merge);

/* 1 with a key that is alive, 0 at the end, -EAGAIN after many keys that are not: call it again;
 * -EBADMSG with the part in merge->part. */
int disk_merge_next(struct disk_merge *merge);

#endif
