/* SPDX-License-Identifier: Apache-2.0 */
#include "io/block_cache_shard.h"

#include "base/hash.h"

#include <errno.h>
#include <stdlib.h>

enum {
    MALLOC_EXTRA = 80, /* alignment to 64 and the allocator's own words */
    EXPECT_LINES = 7,  /* of 64 bytes: a head, and the hashes of a block of small values */
};

uint64_t cache_block_charge(uint32_t n_pages)
{
    return (uint64_t)n_pages * BLOCK_CACHE_PAGE + sizeof(struct cache_block) + MALLOC_EXTRA;
}

uint64_t cache_block_hash(uint64_t file, uint64_t page)
{
    return hash_u64(page, hash_u64(file, 0));
}

static uint64_t power_of_two(uint64_t n)
{
    uint64_t power = 1;
    while (power < n)
        power *= 2;
    return power;
}

static uint64_t n_buckets_of(uint64_t cap)
{
    return power_of_two(cap / BLOCK_CACHE_PAGE);
}

static uint64_t n_ghost_sets_of(uint64_t cap)
{
    return power_of_two(cap / BLOCK_CACHE_PAGE / GHOST_WAYS);
}

uint64_t cache_shard_fixed_len(uint64_t cap)
{
    return sizeof(struct cache_shard) + n_buckets_of(cap) * sizeof(struct cache_block *) +
           n_ghost_sets_of(cap) * GHOST_WAYS * sizeof(struct ghost);
}

int cache_shard_init(struct cache_shard *shard, uint64_t cap)
{
    pthread_mutex_init(&shard->lock, NULL);
    shard->cap = cap;
    shard->small_cap = cap / 10;
    shard->n_buckets = n_buckets_of(cap);
    shard->n_ghost_sets = n_ghost_sets_of(cap);
    shard->buckets = calloc(shard->n_buckets, sizeof(struct cache_block *));
    shard->ghosts = calloc(shard->n_ghost_sets * GHOST_WAYS, sizeof *shard->ghosts);
    return shard->buckets && shard->ghosts ? 0 : -ENOMEM;
}

static void free_all(struct cache_queue *queue)
{
    while (queue->head) {
        struct cache_block *block = queue->head;
        queue->head = block->next;
        free(block);
    }
}

void cache_shard_release(struct cache_shard *shard)
{
    free_all(&shard->small);
    free_all(&shard->main);
    free(shard->buckets);
    free(shard->ghosts);
    pthread_mutex_destroy(&shard->lock);
}

static void queue_push(struct cache_queue *queue, struct cache_block *block)
{
    block->prev = NULL;
    block->next = queue->head;
    if (queue->head)
        queue->head->prev = block;
    else
        queue->tail = block;
    queue->head = block;
    queue->bytes += cache_block_charge(block->pub.n_pages);
}

static void queue_remove(struct cache_queue *queue, struct cache_block *block)
{
    if (block->prev)
        block->prev->next = block->next;
    else
        queue->head = block->next;
    if (block->next)
        block->next->prev = block->prev;
    else
        queue->tail = block->prev;
    queue->bytes -= cache_block_charge(block->pub.n_pages);
}

static void push_main(struct cache_shard *shard, struct cache_block *block)
{
    block->is_main = true;
    queue_push(&shard->main, block);
}

/* Where the pointer to the block is, or the NULL at the end of its bucket. */
static struct cache_block **find_link(struct cache_shard *shard, uint64_t hash, uint64_t file,
                                      uint64_t page)
{
    struct cache_block **link = &shard->buckets[hash & (shard->n_buckets - 1)];
    while (*link && ((*link)->page != page || (*link)->file != file))
        link = &(*link)->next_in_bucket;
    return link;
}

static struct ghost *ghost_set(struct cache_shard *shard, uint64_t hash)
{
    return shard->ghosts + (hash & (shard->n_ghost_sets - 1)) * GHOST_WAYS;
}

/* Bits that chose neither the set nor, in caches of any size, the shard. */
static uint32_t fingerprint_of(uint64_t hash)
{
    return (uint32_t)(hash >> 24) | 1;
}

static void ghost_add(struct cache_shard *shard, uint64_t hash)
{
    struct ghost *set = ghost_set(shard, hash);
    struct ghost *oldest = set;
    for (int i = 0; i < GHOST_WAYS && oldest->fingerprint; i++) {
        uint32_t age = shard->n_pages_left - set[i].when;
        if (!set[i].fingerprint || age > shard->n_pages_left - oldest->when)
            oldest = &set[i];
    }
    *oldest = (struct ghost){.fingerprint = fingerprint_of(hash), .when = shard->n_pages_left};
}

/* True, and it is gone, when the block left the small queue not long ago. */
static bool ghost_take(struct cache_shard *shard, uint64_t hash)
{
    struct ghost *set = ghost_set(shard, hash);
    uint64_t window = (shard->cap - shard->small_cap) / BLOCK_CACHE_PAGE;
    for (int i = 0; i < GHOST_WAYS; i++) {
        if (set[i].fingerprint == fingerprint_of(hash)) {
            set[i].fingerprint = 0;
            return shard->n_pages_left - set[i].when <= window;
        }
    }
    return false;
}

static void evict(struct cache_shard *shard, struct cache_block *block, struct cache_list *out)
{
    uint64_t hash = cache_block_hash(block->file, block->page);
    struct cache_block **link = find_link(shard, hash, block->file, block->page);
    *link = block->next_in_bucket;
    shard->n_blocks--;
    block->next = out->first;
    out->first = block;
}

/* Takes the oldest block of the small queue: to the main queue if it was wanted, else out. */
static void shrink_small(struct cache_shard *shard, struct cache_list *out)
{
    struct cache_block *block = shard->small.tail;
    queue_remove(&shard->small, block);
    if (block->freq > 1) {
        block->freq = 0;
        push_main(shard, block);
        return;
    }
    shard->n_pages_left += block->pub.n_pages;
    ghost_add(shard, cache_block_hash(block->file, block->page));
    shard->n_evicted++;
    evict(shard, block, out);
}

/* Each turn of a block at the end of the queue was paid for by a look-up that found it. */
static void shrink_main(struct cache_shard *shard, struct cache_list *out)
{
    struct cache_block *block = shard->main.tail;
    queue_remove(&shard->main, block);
    if (block->freq) {
        block->freq--;
        queue_push(&shard->main, block);
        return;
    }
    shard->n_evicted++;
    evict(shard, block, out);
}

struct cache_block *cache_shard_find(struct cache_shard *shard, uint64_t hash, uint64_t file,
                                     uint64_t page)
{
    struct cache_block *block = *find_link(shard, hash, file, page);
    if (!block) {
        shard->n_misses++;
        return NULL;
    }
    shard->n_hits++;
    if (block->freq < CACHE_FREQ_MAX)
        block->freq++;
    /* The cache's own reference keeps it while the lock is held. */
    atomic_fetch_add_explicit(&block->n_refs, 1, memory_order_relaxed);
    return block;
}

void cache_shard_expect(const struct cache_shard *shard, uint64_t hash)
{
    __builtin_prefetch(&shard->buckets[hash & (shard->n_buckets - 1)]);
}

/* The pointer may be about to change, or to dangle: nothing is read through it. */
__attribute__((no_sanitize("thread"))) void cache_shard_expect_data(const struct cache_shard *shard,
                                                                    uint64_t hash)
{
    const struct cache_block *block =
        __atomic_load_n(&shard->buckets[hash & (shard->n_buckets - 1)], __ATOMIC_RELAXED);
    for (unsigned line = 0; block && line < EXPECT_LINES; line++)
        __builtin_prefetch((const char *)block + 64 * line);
}

void cache_shard_insert(struct cache_shard *shard, uint64_t hash, struct cache_block *block,
                        struct cache_list *out)
{
    if (*find_link(shard, hash, block->file, block->page)) {
        block->next = out->first;
        out->first = block;
        return;
    }
    uint64_t charge = cache_block_charge(block->pub.n_pages);
    while (shard->small.bytes + shard->main.bytes + charge > shard->cap) {
        if (shard->small.bytes > shard->small_cap || !shard->main.tail)
            shrink_small(shard, out);
        else
            shrink_main(shard, out);
    }
    struct cache_block **bucket = &shard->buckets[hash & (shard->n_buckets - 1)];
    block->next_in_bucket = *bucket;
    *bucket = block;
    if (ghost_take(shard, hash))
        push_main(shard, block);
    else
        queue_push(&shard->small, block);
    shard->n_blocks++;
    shard->n_inserted++;
}

static void drop(struct cache_shard *shard, struct cache_block *block, struct cache_list *out)
{
    queue_remove(block->is_main ? &shard->main : &shard->small, block);
    evict(shard, block, out);
}

void cache_shard_drop(struct cache_shard *shard, uint64_t hash, uint64_t file, uint64_t page,
                      struct cache_list *out)
{
    struct cache_block *block = *find_link(shard, hash, file, page);
    if (block)
        drop(shard, block, out);
}

void cache_shard_drop_file(struct cache_shard *shard, uint64_t file, uint64_t first, uint64_t end,
                           struct cache_list *out)
{
    for (uint64_t i = first; i < end && i < shard->n_buckets; i++) {
        struct cache_block *block = shard->buckets[i];
        while (block) {
            struct cache_block *next = block->next_in_bucket;
            if (block->file == file)
                drop(shard, block, out);
            block = next;
        }
    }
}
