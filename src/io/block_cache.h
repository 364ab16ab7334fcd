/* SPDX-License-Identifier: Apache-2.0 */
/*
 * block_cache: verified blocks of files, in bounded memory, that a scan cannot flush.
 *
 * A block is n whole pages of a file, named by (file, first page). file is a number the caller gives
 * once and never again: a new version's files never meet blocks of an old one.
 *
 * What is kept follows S3-FIFO (Yang et al., SOSP 2023): a block begins in a small queue of a tenth
 * of the memory; it moves to the main queue when it was found again more than once there, or soon
 * after it had left; the main queue lets those go first that were not found since they last came to
 * its end. Blocks read once, however many, only pass through the small queue.
 *
 * Threads: any thread may call anything but new and free. Each shard has a mutex, held for a few
 * dozen instructions, never while memory is allocated or freed. No lock-free look-up: giving out
 * references while others evict needs hazard pointers or epochs, to save some 20 ns of the 300 and
 * more that a found block takes. No spinning either: a holder that lost its core would be waited for
 * by spinning on the core it needs.
 * Memory: block_cache_stats.bytes <= max_bytes always; a block evicted while held is freed by its
 * last holder and counted in bytes_held until then. While a thread inserts, the new block and those
 * that go for it may be in neither count.
 * Errors: -ENOMEM, -EINVAL.
 */
#ifndef FKV_IO_BLOCK_CACHE_H
#define FKV_IO_BLOCK_CACHE_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

enum { BLOCK_CACHE_PAGE = 4096, BLOCK_CACHE_MIN = 1 << 20 };

/* A block that is held: data may be read until it is released, whatever the cache does. */
struct cached_block {
    const uint8_t *data; /* n_pages * BLOCK_CACHE_PAGE bytes, aligned to 64 */
    uint32_t n_pages;
};

struct block_cache;

/* max_bytes, all included, is at least BLOCK_CACHE_MIN. */
int block_cache_new(uint64_t max_bytes, struct block_cache **out, struct err *err);
/* No block may be held. */
void block_cache_free(struct block_cache *cache);

/* The block, held by the caller, or NULL. */
const struct cached_block *block_cache_find(struct block_cache *cache, uint64_t file,
                                            uint64_t page);
void block_cache_release(struct block_cache *cache, const struct cached_block *block);

/*
 * Brings what block_cache_find() will look at nearer to the processor, in two steps with other work
 * between them: the place in the table, then the block itself. No more than a hint, and no promise
 * that the block is there.
 */
void block_cache_expect(const struct block_cache *cache, uint64_t file, uint64_t page);
void block_cache_expect_data(const struct block_cache *cache, uint64_t file, uint64_t page);

/*
 * Copies a block in. One that is there already stays as it is. One too large to be worth what it
 * would displace (more than a tenth of a shard) is left out and counted as refused. -ENOMEM: nothing
 * changed, and nothing is lost but speed.
 */
int block_cache_insert(struct block_cache *cache, uint64_t file, uint64_t page, const void *data,
                       uint32_t n_pages);

/* Forgets a block that turned out to be of no use; it is not counted as evicted. */
void block_cache_drop(struct block_cache *cache, uint64_t file, uint64_t page);

/* Forgets all blocks of a file whose version is gone; they are not counted as evicted. What a batch
 * still under way inserts afterwards goes as all do that nobody asks for. */
void block_cache_drop_file(struct block_cache *cache, uint64_t file);

struct block_cache_stats {
    uint64_t max_bytes;
    uint64_t bytes;      /* all the cache takes but bytes_held */
    uint64_t bytes_held; /* of blocks that are in the cache no more, and still held */
    uint64_t n_blocks;
    uint64_t n_hits;
    uint64_t n_misses;
    uint64_t n_inserted;
    uint64_t n_evicted;
    uint64_t n_refused;
};
/* Each shard's numbers are of one moment, the sum is not. */
void block_cache_stats(struct block_cache *cache, struct block_cache_stats *out);

#endif
