/* SPDX-License-Identifier: Apache-2.0 */
#include "io/block_cache.h"

#include "base/scope.h"
#include "io/block_cache_shard.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    SHARDS_MAX = 64,
    SHARD_MIN = 4 << 20, /* no more shards than leave each this much */
    DROP_BUCKETS = 256,  /* looked through at once under the lock */
    DATA_OFF = (sizeof(struct cache_block) + 63) / 64 * 64,
};

struct block_cache {
    struct cache_shard *shards;
    unsigned shard_bits;
    uint64_t max_bytes;
    uint64_t fixed_len;
    _Alignas(64) atomic_uint_fast64_t bytes_held;
};

static unsigned n_shards_of(const struct block_cache *cache)
{
    return 1U << cache->shard_bits;
}

/* The most the queues of a shard may hold so that they and their tables fit len. */
static uint64_t shard_cap(uint64_t len)
{
    uint64_t fixed = cache_shard_fixed_len(len);
    return len - fixed;
}

int block_cache_new(uint64_t max_bytes, struct block_cache **out, struct err *err)
{
    if (max_bytes < BLOCK_CACHE_MIN || max_bytes > INT64_MAX)
        return err_set(err, -EINVAL, "a block cache takes %d bytes at least, not %llu",
                       BLOCK_CACHE_MIN, (unsigned long long)max_bytes);
    struct block_cache *cache = aligned_alloc(64, (sizeof *cache + 63) / 64 * 64);
    if (!cache)
        return err_set(err, -ENOMEM, "no memory for a block cache");
    memset(cache, 0, sizeof *cache);
    cache->max_bytes = max_bytes;
    while (n_shards_of(cache) < SHARDS_MAX && (max_bytes >> cache->shard_bits) / 2 >= SHARD_MIN)
        cache->shard_bits++;
    unsigned n = n_shards_of(cache);
    uint64_t cap = shard_cap((max_bytes - sizeof *cache) / n);
    int ret = -ENOMEM;
    cache->shards = aligned_alloc(64, n * sizeof(struct cache_shard));
    if (cache->shards) {
        memset(cache->shards, 0, n * sizeof(struct cache_shard));
        ret = 0;
    }
    for (unsigned i = 0; i < n && cache->shards; i++) {
        if (cache_shard_init(&cache->shards[i], cap))
            ret = -ENOMEM;
    }
    if (ret) {
        block_cache_free(cache);
        return err_set(err, ret, "no memory for the tables of a block cache of %llu bytes",
                       (unsigned long long)max_bytes);
    }
    cache->fixed_len = sizeof *cache + n * cache_shard_fixed_len(cap);
    *out = cache;
    return 0;
}

void block_cache_free(struct block_cache *cache)
{
    if (!cache)
        return;
    for (unsigned i = 0; i < n_shards_of(cache) && cache->shards; i++)
        cache_shard_release(&cache->shards[i]);
    free(cache->shards);
    free(cache);
}

static struct cache_shard *shard_of(const struct block_cache *cache, uint64_t hash)
{
    return &cache->shards[cache->shard_bits ? hash >> (64 - cache->shard_bits) : 0];
}

/* The releasing holder's reads of the data come before the free: release, then acquire. */
static bool drop_ref(struct cache_block *block)
{
    return atomic_fetch_sub_explicit(&block->n_refs, 1, memory_order_acq_rel) == 1;
}

/*
 * Blocks that are in the cache no more. Each is counted as held before the cache's reference goes:
 * whoever drops the last one, here or a holder, uncounts and frees.
 */
static void let_go(struct block_cache *cache, struct cache_list *list)
{
    while (list->first) {
        struct cache_block *block = list->first;
        list->first = block->next;
        uint64_t charge = cache_block_charge(block->pub.n_pages);
        atomic_fetch_add_explicit(&cache->bytes_held, charge, memory_order_relaxed);
        block_cache_release(cache, &block->pub);
    }
}

const struct cached_block *block_cache_find(struct block_cache *cache, uint64_t file, uint64_t page)
{
    uint64_t hash = cache_block_hash(file, page);
    struct cache_shard *shard = shard_of(cache, hash);
    scope_lock(&shard->lock);
    struct cache_block *block = cache_shard_find(shard, hash, file, page);
    return block ? &block->pub : NULL;
}

void block_cache_expect(const struct block_cache *cache, uint64_t file, uint64_t page)
{
    uint64_t hash = cache_block_hash(file, page);
    cache_shard_expect(shard_of(cache, hash), hash);
}

void block_cache_expect_data(const struct block_cache *cache, uint64_t file, uint64_t page)
{
    uint64_t hash = cache_block_hash(file, page);
    cache_shard_expect_data(shard_of(cache, hash), hash);
}

void block_cache_release(struct block_cache *cache, const struct cached_block *held)
{
    struct cache_block *block = (struct cache_block *)held;
    uint64_t charge = cache_block_charge(block->pub.n_pages);
    if (!drop_ref(block))
        return;
    free(block);
    atomic_fetch_sub_explicit(&cache->bytes_held, charge, memory_order_relaxed);
}

static struct cache_block *block_new(uint64_t file, uint64_t page, const void *data,
                                     uint32_t n_pages)
{
    size_t len = (size_t)n_pages * BLOCK_CACHE_PAGE;
    struct cache_block *block = aligned_alloc(64, DATA_OFF + len);
    if (!block)
        return NULL;
    uint8_t *copy = (uint8_t *)block + DATA_OFF;
    memcpy(copy, data, len);
    *block = (struct cache_block){.file = file, .page = page};
    block->pub = (struct cached_block){.data = copy, .n_pages = n_pages};
    atomic_init(&block->n_refs, 1);
    return block;
}

int block_cache_insert(struct block_cache *cache, uint64_t file, uint64_t page, const void *data,
                       uint32_t n_pages)
{
    if (n_pages == 0)
        return -EINVAL;
    uint64_t hash = cache_block_hash(file, page);
    struct cache_shard *shard = shard_of(cache, hash);
    if (cache_block_charge(n_pages) > shard->small_cap) {
        scope_lock(&shard->lock);
        shard->n_refused++;
        return 0;
    }
    struct cache_block *block = block_new(file, page, data, n_pages);
    if (!block)
        return -ENOMEM;
    struct cache_list out = {0};
    {
        scope_lock(&shard->lock);
        cache_shard_insert(shard, hash, block, &out);
    }
    let_go(cache, &out);
    return 0;
}

void block_cache_drop(struct block_cache *cache, uint64_t file, uint64_t page)
{
    uint64_t hash = cache_block_hash(file, page);
    struct cache_shard *shard = shard_of(cache, hash);
    struct cache_list out = {0};
    {
        scope_lock(&shard->lock);
        cache_shard_drop(shard, hash, file, page, &out);
    }
    let_go(cache, &out);
}

void block_cache_drop_file(struct block_cache *cache, uint64_t file)
{
    for (unsigned i = 0; i < n_shards_of(cache); i++) {
        struct cache_shard *shard = &cache->shards[i];
        for (uint64_t first = 0; first < shard->n_buckets; first += DROP_BUCKETS) {
            struct cache_list out = {0};
            {
                scope_lock(&shard->lock);
                cache_shard_drop_file(shard, file, first, first + DROP_BUCKETS, &out);
            }
            let_go(cache, &out);
        }
    }
}

void block_cache_stats(struct block_cache *cache, struct block_cache_stats *out)
{
    struct block_cache_stats stats = {.max_bytes = cache->max_bytes, .bytes = cache->fixed_len};
    for (unsigned i = 0; i < n_shards_of(cache); i++) {
        struct cache_shard *shard = &cache->shards[i];
        scope_lock(&shard->lock);
        stats.bytes += shard->small.bytes + shard->main.bytes;
        stats.n_blocks += shard->n_blocks;
        stats.n_hits += shard->n_hits;
        stats.n_misses += shard->n_misses;
        stats.n_inserted += shard->n_inserted;
        stats.n_evicted += shard->n_evicted;
        stats.n_refused += shard->n_refused;
    }
    stats.bytes_held = atomic_load_explicit(&cache->bytes_held, memory_order_relaxed);
    *out = stats;
}
