/* SPDX-License-Identifier: Apache-2.0 */
#include "io/value_cache.h"

#include "io/load.h"
#include "io/value_set.h"

#include <errno.h>
#include <stdlib.h>

enum { CACHE_LINE = 64, KEY_LEN_MAX = 255 };

struct value_cache {
    struct memory memory;
    struct value_set *sets;
    uint64_t n_sets;
    uint64_t max_bytes;
    _Atomic uint64_t n_hits;
    _Atomic uint64_t n_misses;
    _Atomic uint64_t n_inserted;
    _Atomic uint64_t n_evicted;
};

int value_cache_new(uint64_t max_bytes, struct value_cache **out, struct err *err)
{
    if (max_bytes < VALUE_CACHE_MIN)
        return err_set(err, -EINVAL, "value cache: expected at least %d bytes, found %llu",
                       VALUE_CACHE_MIN, (unsigned long long)max_bytes);
    struct value_cache *cache = calloc(1, sizeof *cache);
    if (!cache)
        return err_sys(err, -ENOMEM, "value cache");
    /* A set index has 32 bits. */
    uint64_t len = max_bytes < (uint64_t)SET_LEN << 32 ? max_bytes : (uint64_t)SET_LEN << 32;
    len = (len - sizeof *cache) / SET_LEN * SET_LEN;
    /* Keys are spread over all of it, so each of the first ones touches another place: of huge pages,
     * a first batch of 1,000 keys would wait for 2 GiB of zeros. */
    int ret = memory_alloc_sparse(len, &cache->memory, err);
    if (ret) {
        free(cache);
        return ret;
    }
    cache->sets = (struct value_set *)cache->memory.data;
    cache->n_sets = len / SET_LEN;
    cache->max_bytes = max_bytes;
    *out = cache;
    return 0;
}

void value_cache_free(struct value_cache *cache)
{
    if (!cache)
        return;
    memory_release(&cache->memory);
    free(cache);
}

static struct value_set *set_of(const struct value_cache *cache, uint64_t mix)
{
    return cache->sets + ((mix >> 32) * cache->n_sets >> 32);
}

static bool key_is_kept(const struct value_key *key)
{
    return key->owner != 0 && key->owner <= UINT32_MAX && key->len <= KEY_LEN_MAX;
}

void value_cache_prefetch(const struct value_cache *cache, const struct value_key *key)
{
    const char *set = (const char *)set_of(cache, value_key_mix(key));
    __builtin_prefetch(set);
    __builtin_prefetch(set + CACHE_LINE);
    __builtin_prefetch(set + 2 * CACHE_LINE);
}

void value_cache_prefetch_value(const struct value_cache *cache, const struct value_key *key)
{
    struct set_key wanted = {key, value_key_mix(key)};
    set_prefetch(set_of(cache, wanted.mix), &wanted);
}

bool value_cache_find(struct value_cache *cache, const struct value_key *key,
                      uint8_t out[VALUE_CACHE_LEN_MAX], uint32_t *len)
{
    struct set_key wanted = {key, value_key_mix(key)};
    return key_is_kept(key) && set_find(set_of(cache, wanted.mix), &wanted, out, len);
}

void value_cache_insert(struct value_cache *cache, const struct value_key *key,
                        const uint8_t *value, uint32_t len)
{
    struct set_key wanted = {key, value_key_mix(key)};
    struct set_change change = {0};
    if (!key_is_kept(key) || len > VALUE_CACHE_LEN_MAX)
        return;
    set_insert(set_of(cache, wanted.mix), &wanted, value, len, &change);
    if (change.n_inserted)
        atomic_fetch_add_explicit(&cache->n_inserted, change.n_inserted, memory_order_relaxed);
    if (change.n_evicted)
        atomic_fetch_add_explicit(&cache->n_evicted, change.n_evicted, memory_order_relaxed);
}

void value_cache_count(struct value_cache *cache, uint64_t n_hits, uint64_t n_misses)
{
    atomic_fetch_add_explicit(&cache->n_hits, n_hits, memory_order_relaxed);
    atomic_fetch_add_explicit(&cache->n_misses, n_misses, memory_order_relaxed);
}

void value_cache_stats(const struct value_cache *cache, struct value_cache_stats *out)
{
    uint64_t n_evicted = atomic_load_explicit(&cache->n_evicted, memory_order_relaxed);
    uint64_t n_inserted = atomic_load_explicit(&cache->n_inserted, memory_order_relaxed);
    *out = (struct value_cache_stats){
        .max_bytes = cache->max_bytes,
        .n_values = n_inserted > n_evicted ? n_inserted - n_evicted : 0,
        .n_hits = atomic_load_explicit(&cache->n_hits, memory_order_relaxed),
        .n_misses = atomic_load_explicit(&cache->n_misses, memory_order_relaxed),
        .n_inserted = n_inserted,
        .n_evicted = n_evicted,
    };
}
