/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disk_files: under which index a worker's reader knows a part's file. Internal to query.
 *
 * A file is added when it is first read. All of them are let go of when some part was closed
 * anywhere: a registered file holds its disk space.
 *
 * Threads: as its worker. Memory: 16 bytes a file, twice. Errors: -ENOMEM, and the reader's.
 */
#ifndef FKV_QUERY_DISK_FILES_H
#define FKV_QUERY_DISK_FILES_H

#include "node/disk_table.h"

struct disk_files_entry {
    uint64_t serial;
    uint32_t index;
    bool is_used;
};

struct disk_files {
    struct disk_files_entry *table; /* open addressing; cap is a power of two, half used at most */
    uint32_t cap;
    uint32_t n;
    const struct disk_shared *shared; /* of the last batch */
    uint64_t n_closed;
};

void disk_files_release(struct disk_files *files);

/* Removes all from the reader; no read is under way. */
void disk_files_clear(struct disk_files *files, struct reader *reader);
/* The reader they were added to is no more. */
void disk_files_forget(struct disk_files *files);

/* At the start of a batch: clears when a part was closed since. */
void disk_files_begin(struct disk_files *files, struct reader *reader,
                      const struct disk_shared *shared);

/* The part's index, added when it has none. */
int disk_files_find(struct disk_files *files, struct reader *reader, const struct disk_part *part,
                    uint32_t *index);

#endif
