/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fetch: one version from the store into the cache.
 *
 * Parts already cached are not fetched again; a half-fetched one is resumed after the last chunk
 * that is good. Every chunk is checked as it arrives, and read once more from the store when it is
 * bad. version.json is written last, so a version that is in the cache is there as a whole.
 *
 * Threads: one fetch at a time a cache. Memory: one chunk.
 * Errors: -EBADMSG naming part, chunk, expected and found; -ENOSPC with need, free and missing
 * bytes; -ECANCELED when told to stop (what is fetched stays); -ENOENT and other store errors.
 */
#ifndef FKV_NODE_FETCH_H
#define FKV_NODE_FETCH_H

#include "format/version.h"
#include "node/cache.h"
#include "node/progress.h"
#include "store/store.h"

struct fetch_job {
    struct store *store;
    struct cache *cache;
    const char *table;
    uint64_t id;
    struct digest digest; /* of version.json, from the manifest */
    struct stop stop;
    /* Called once version.json is known, before the first part; may be NULL. The digests live for
     * the call. */
    void (*expect)(void *context, const struct version_desc *desc);
    void *expect_context;
    struct progress *progress;       /* of the parts' bytes */
    _Atomic uint64_t *fetched_bytes; /* counts bytes that came from the store */
    _Atomic uint64_t *bad_chunks;    /* counts chunks that came wrong */
};

int fetch_version(const struct fetch_job *job, struct err *err);

#endif
