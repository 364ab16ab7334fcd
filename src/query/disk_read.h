/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disk_read: blocks from cache and disk, verified, each handed to whoever wants it as it comes.
 * Internal to query.
 *
 * What is in the cache is handed over at once; for the rest, reads are kept in flight up to the
 * worker's depth. A block that cannot be read, fails its checksum, or has entries its taker cannot
 * make sense of, is read once more, alone, when all others have come; then it is counted, node is
 * told, and it is given up.
 *
 * Threads: as its worker. Memory: the worker's. Errors: -ETIMEDOUT, and what the taker returns, with
 * reads that may be under way until disk_worker_reset(); -ENOMEM and the reader's when there is no reader left to read with.
 */
#ifndef FKV_QUERY_DISK_READ_H
#define FKV_QUERY_DISK_READ_H

#include "query/disk_worker_impl.h"

struct disk_taker {
    /* Takes what read's wants ask of the block. Returns how many of them are not served, since the
     * block is not what it should be, and has moved those to the front of the read's wants; or -errno,
     * which ends all. */
    int (*take)(void *context, const struct disk_read *read, const struct block *block);
    /* No block for these. */
    void (*give_up)(void *context, const struct disk_read *read);
    void *context;
    /* Most blocks lie one behind the other: neighbours are read as one, without a look at the cache
     * for each. */
    bool is_in_order;
};

/* Runs the n reads of the worker's plan. deadline_ns: CLOCK_MONOTONIC; 0: none. */
int disk_read_all(const struct disk_table *table, struct disk_worker *worker,
                  const struct disk_taker *taker, uint64_t deadline_ns);

bool disk_is_late(uint64_t deadline_ns);

#endif
