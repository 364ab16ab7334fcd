/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cache_state: state.json of the cache, what a daemon must know to serve on after a restart without
 * its store.
 *
 *   {"format":1,"store_id":"…","seq":7,"contact_ns":…,"tables":[
 *    {"name":"ads","serving":43,"previous":42,"local_pin":0,"pin_seq":0,"switched_ns":…,
 *     "versions":[{"version":42,"digest":"<32 hex>"},…]},…]}
 *
 * With a local pin there is "pin_ns" too. The digests make version.json of a cached version
 * believable, and through it every chunk of its parts.
 *
 * Threads: plain data. Memory: cache_state_release(). Errors: -EBADMSG with member, expected,
 * found; -ENOTSUP for a newer format.
 */
#ifndef FKV_NODE_CACHE_STATE_H
#define FKV_NODE_CACHE_STATE_H

#include "base/buf.h"
#include "base/err.h"
#include "base/hash.h"
#include "manifest/name.h"

#include <stddef.h>
#include <stdint.h>

enum { CACHE_STATE_FORMAT = 1, STORE_ID_MAX = 127 };

struct cached_version {
    uint64_t id;
    struct digest digest; /* of its version.json */
};

struct cached_table {
    char name[TABLE_NAME_MAX + 1];
    uint64_t serving;    /* 0: none */
    uint64_t previous;   /* 0: none */
    uint64_t local_pin;  /* 0: none */
    uint64_t pin_seq;    /* last manifest record looked at for an unpin */
    int64_t pin_ns;      /* of local_pin, by the store's clock; not written without one */
    int64_t switched_ns; /* by the store's clock */
    struct cached_version *versions;
    size_t n_versions;
};

struct cache_state {
    char store_id[STORE_ID_MAX + 1]; /* empty: never met a store */
    uint64_t seq;                    /* last record folded */
    int64_t contact_ns;              /* CLOCK_REALTIME of the last contact; 0: never */
    struct cached_table *tables;
    size_t n_tables;
};

int cache_state_encode(const struct cache_state *state, struct buf *out);
int cache_state_decode(const void *text, size_t len, const char *name, struct cache_state *out,
                       struct err *err);
void cache_state_release(struct cache_state *state);

#endif
