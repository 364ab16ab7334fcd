/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fetch: one version from the store into the cache.
 *
 * Parts already cached are not fetched again; of a half-fetched one the good chunks are kept
 * (transfer.h). version.json is written last, so a version that is in the cache is there as a whole.
 *
 * Threads: one fetch at a time a cache; callbacks come in the caller's thread. Memory: a few chunks.
 * Errors: -EBADMSG naming part, chunk, expected and found; what make_room says; -ECANCELED when told to stop (what is fetched stays); -ENOENT and other store errors.
 */
#ifndef FKV_NODE_FETCH_H
#define FKV_NODE_FETCH_H

#include "format/version.h"
#include "node/cache.h"
#include "node/limiter.h"
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
    /* Called before the first byte of a part with how many are to come: a refusal ends the fetch. */
    int (*make_room)(void *context, uint64_t need, struct err *err);
    void *context;                   /* of both */
    struct limiter *limiter;         /* NULL: none */
    struct progress *progress;       /* of the parts' bytes */
    _Atomic uint64_t *fetched_bytes; /* counts bytes that came from the store */
    _Atomic uint64_t *bad_chunks;    /* counts chunks that came wrong */
};

int fetch_version(const struct fetch_job *job, struct err *err);

#endif
