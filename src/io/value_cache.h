/* SPDX-License-Identifier: Apache-2.0 */
/*
 * value_cache: single values that were asked for often, in bounded memory.
 *
 * In hash order a hot key shares its block with dozens of cold ones, so a cache of blocks spends most
 * of its memory on what nobody asks for. Of batches over 20 M keys of 100 bytes, Zipf(0.99), with
 * memory of a tenth of the table, 65 % of keys need no read with a cache of blocks and 82 % with
 * this one.
 *
 * A key's place is one set of 4 KiB, which holds as many values as fit. A set with room takes what
 * it is given; a full one takes a value only when it was given, and turned down, a short time ago,
 * and lets values go by CLOCK with counters of 2 bits. So what is asked for once, however much of
 * it, leaves the rest as it is.
 *
 * Threads: any thread may call anything but new and free. Look-ups take no lock and never wait: a
 * set that is being changed is as one that has nothing. Inserts leave out a set that is busy.
 * Memory: all of it is taken by value_cache_new(), from the system as it is touched. Values are
 * copied in and out. Errors: -EINVAL, -ENOMEM.
 */
#ifndef FKV_IO_VALUE_CACHE_H
#define FKV_IO_VALUE_CACHE_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    VALUE_CACHE_MIN = 1 << 20,
    VALUE_CACHE_LEN_MAX = 1024, /* longer values are not kept: blocks serve them as well */
};

/* A key: owner is a number that the caller gives to a version (or a part) once and never again, not
 * 0; what has one above UINT32_MAX is not kept. hash decides for keys without bytes; bytes are
 * compared whole. */
struct value_key {
    uint64_t owner;
    uint64_t hash;
    const uint8_t *bytes; /* NULL without */
    uint32_t len;         /* of bytes, at most 255 */
};

struct value_cache;

/* max_bytes, all included, is at least VALUE_CACHE_MIN. */
int value_cache_new(uint64_t max_bytes, struct value_cache **out, struct err *err);
void value_cache_free(struct value_cache *cache);

/*
 * For many keys, in groups of a few dozen: prefetch all, then prefetch_value all, then find all, so
 * that misses of memory overlap.
 */
void value_cache_prefetch(const struct value_cache *cache, const struct value_key *key);
void value_cache_prefetch_value(const struct value_cache *cache, const struct value_key *key);

/* Copies the value to out and says how long it is. When there is none, out may have been written to
 * all the same. */
bool value_cache_find(struct value_cache *cache, const struct value_key *key,
                      uint8_t out[VALUE_CACHE_LEN_MAX], uint32_t *len);

/* Gives the cache a value, to keep or not. One that it has stays as it is. Never waits. */
void value_cache_insert(struct value_cache *cache, const struct value_key *key,
                        const uint8_t *value, uint32_t len);

/* Who looks up counts, once for many keys. */
void value_cache_count(struct value_cache *cache, uint64_t n_hits, uint64_t n_misses);

struct value_cache_stats {
    uint64_t max_bytes;
    uint64_t n_values;
    uint64_t n_hits;
    uint64_t n_misses;
    uint64_t n_inserted;
    uint64_t n_evicted;
};
void value_cache_stats(const struct value_cache *cache, struct value_cache_stats *out);

#endif
