/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transfer: parts from the store into the cache, by several threads at once.
 *
 * Every chunk is checked as it arrives, and read again from the store when it is bad. What has
 * arrived stays when a transfer fails or is stopped, and the next one goes on from there.
 *
 * Threads: one transfer at a time a cache; it starts and ends threads of its own. `stop` is asked by
 * the caller's thread. Memory: a chunk for each thread.
 * Errors: the first one of any thread: -EBADMSG naming part, chunk, expected and found; -ECANCELED
 * and so on from stop; those of the store and the disk.
 */
#ifndef FKV_NODE_TRANSFER_H
#define FKV_NODE_TRANSFER_H

#include "format/version.h"
#include "node/cache.h"
#include "node/limiter.h"
#include "node/progress.h"
#include "store/store.h"

struct transfer_job {
    struct store *store;
    const struct cache *cache;
    const char *dir;                      /* of the parts in the store */
    const struct part_desc *const *parts; /* no two of one digest */
    size_t n_parts;
    struct limiter *limiter; /* NULL: none */
    const struct stop *stop;
    struct progress *progress;
    _Atomic uint64_t *fetched_bytes; /* counts bytes that came from the store */
    _Atomic uint64_t *bad_chunks;    /* counts chunks that came wrong */
};

int transfer_run(const struct transfer_job *job, struct err *err);

#endif
