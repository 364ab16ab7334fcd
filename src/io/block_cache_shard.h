/* SPDX-License-Identifier: Apache-2.0 */
/*
 * block_cache_shard: one shard of a block cache: its table, its two queues and its ghosts.
 *
 * Invariants, whenever the lock is free: a block is in the table exactly when it is in one queue;
 * bytes of the queues are the sum of their blocks' charges; both together are at most cap.
 *
 * A ghost is the fingerprint of a block that left the small queue, with the count of pages that had
 * left it by then: it is believed while fewer pages than the main queue holds have left since.
 *
 * Threads: all but init, release and the hints want the shard's lock held by the caller.
 * Memory: blocks handed back through `struct cache_list` are the caller's to free, without the lock.
 */
#ifndef FKV_IO_BLOCK_CACHE_SHARD_H
#define FKV_IO_BLOCK_CACHE_SHARD_H

#include "io/block_cache.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

enum { CACHE_FREQ_MAX = 3, GHOST_WAYS = 4 };

struct cache_block {
    struct cached_block pub; /* first: a block is found again by it */
    struct cache_block *next_in_bucket;
    struct cache_block *next; /* towards the tail, which leaves first; also links a block_list */
    struct cache_block *prev;
    uint64_t file;
    uint64_t page;
    atomic_uint n_refs; /* holders, and one for the cache */
    uint8_t freq;       /* times found, at most CACHE_FREQ_MAX */
    bool is_main;
};

struct cache_queue {
    struct cache_block *head;
    struct cache_block *tail;
    uint64_t bytes;
};

struct cache_list {
    struct cache_block *first;
};

struct ghost {
    uint32_t fingerprint; /* 0: none */
    uint32_t when;        /* pages that had left the small queue; wraps */
};

struct cache_shard {
    _Alignas(64) pthread_mutex_t lock;
    struct cache_block **buckets;
    uint64_t n_buckets; /* a power of two */
    struct ghost *ghosts;
    uint64_t n_ghost_sets; /* a power of two, of GHOST_WAYS each */
    struct cache_queue small;
    struct cache_queue main;
    uint64_t cap; /* bytes of both queues */
    uint64_t small_cap;
    uint32_t n_pages_left; /* the ghosts' clock */
    uint64_t n_blocks;
    uint64_t n_hits;
    uint64_t n_misses;
    uint64_t n_inserted;
    uint64_t n_evicted;
    uint64_t n_refused;
};

/* What a block of n pages is charged: its pages, their header, and what malloc() may add. */
uint64_t cache_block_charge(uint32_t n_pages);

/* Bytes of the tables of a shard whose queues may hold cap bytes. */
uint64_t cache_shard_fixed_len(uint64_t cap);
/* -ENOMEM; release is fine after it. The shard is zeroed. */
int cache_shard_init(struct cache_shard *shard, uint64_t cap);
void cache_shard_release(struct cache_shard *shard);

/* The block, with a reference more, or NULL; counted. */
struct cache_block *cache_shard_find(struct cache_shard *shard, uint64_t hash, uint64_t file,
                                     uint64_t page);
/* Hints for cache_shard_find(), without the lock: the bucket; then the first block in it, its head
 * and the hashes behind. */
void cache_shard_expect(const struct cache_shard *shard, uint64_t hash);
void cache_shard_expect_data(const struct cache_shard *shard, uint64_t hash);
/* Takes block (one reference, the cache's) or, when there is such a one, hands it back in *out;
 * blocks that had to go are put there too. */
void cache_shard_insert(struct cache_shard *shard, uint64_t hash, struct cache_block *block,
                        struct cache_list *out);
/* Takes a block out, if it is there. */
void cache_shard_drop(struct cache_shard *shard, uint64_t hash, uint64_t file, uint64_t page,
                      struct cache_list *out);
/* Takes a file's blocks out of buckets [first, end). */
void cache_shard_drop_file(struct cache_shard *shard, uint64_t file, uint64_t first, uint64_t end,
                           struct cache_list *out);

/* The hash of a name: its low bits choose the bucket, the high ones are the caller's to choose the
 * shard by. */
uint64_t cache_block_hash(uint64_t file, uint64_t page);

#endif
