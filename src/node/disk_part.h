/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disk_part: the parts of `blk` and `idx` tables that are open, and what they share.
 *
 * Of a part in the cache only the tail is read, however long the part is: the footer, checked
 * against version.json, then the rest, which has a digest of its own in the footer. Blocks are
 * verified when they are read.
 *
 * Threads: everything from any thread, but open from loaders only, one at a time.
 * Memory: disk_part_close(), before disk_parts_free(). The tail's memory is the caller's, and
 * outlives the part.
 * Errors: -EUCLEAN when the cached file is gone, cut or damaged in its tail; -EBADMSG when it is
 * what was published and yet no good part; -ECANCELED, -ETIMEDOUT from stop; -EMFILE, -ENOMEM, -EIO.
 */
#ifndef FKV_NODE_DISK_PART_H
#define FKV_NODE_DISK_PART_H

#include "format/version.h"
#include "io/load.h"
#include "node/cache.h"
#include "node/disk_table.h"
#include "node/progress.h"

struct disk_parts;

/*
 * block_cache: bytes of memory for blocks and single values; less than BLOCK_CACHE_MIN: none.
 * values_percent of them are for values, from 16 MiB on.
 */
int disk_parts_new(uint64_t block_cache, unsigned values_percent, struct disk_parts **out,
                   struct err *err);
void disk_parts_free(struct disk_parts *parts);

struct disk_shared *disk_parts_shared(struct disk_parts *parts);
/* Descriptors that open parts have. */
uint64_t disk_parts_n_open(struct disk_parts *parts);

struct disk_part_job {
    const struct cache *cache;
    const struct schema *schema;
    const struct part_desc *part;
    const struct stop *stop;
    struct progress *progress;
};

int disk_part_open(struct disk_parts *parts, const struct disk_part_job *job, struct memory *tail,
                   struct disk_part **out, struct err *err);
/* Closes the file, and forgets its cached blocks: not for the path of a lookup. NULL is fine. */
void disk_part_close(struct disk_part *part);

#endif
