/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disk_worker_impl: what a disk_worker holds. Internal to query and its tests.
 *
 * A batch may be left in its middle by siglongjmp(), whenever it touches memory of a client. So
 * whatever must be let go of is written here before, with disk_fence() in between, and
 * disk_worker_leave() finds it. No address of a client's memory stays here after a batch.
 *
 * Threads: one at a time. Memory: the worker's.
 */
#ifndef FKV_QUERY_DISK_WORKER_IMPL_H
#define FKV_QUERY_DISK_WORKER_IMPL_H

#include "format/front_coded.h"
#include "node/disk_table.h"
#include "query/disk_files.h"
#include "query/disk_merge.h"
#include "query/disk_worker.h"

enum {
    DISK_SLICE = 16384,     /* keys planned, read and answered together */
    DISK_SLOT_PAGES = 4,    /* the largest a buffer of the pool may be, for single blocks; */
    DISK_MERGED_PAGES = 16, /* and for neighbours read as one */
    DISK_SEARCHES = 256,    /* bytes keys looked for together */
    DISK_SEEN = 1 << 16,
    DISK_OWN_MAX =
        64 << 20, /* bytes in flight in buffers outside the pool; one is always allowed */
};

/* A block that is wanted by some keys. */
struct disk_want {
    uint64_t place; /* part * 2^32 + page */
    uint32_t key;   /* its number in the slice */
    uint32_t n_pages;
};

/* A block to be read, and who wants it: n wants of the slice from first on. */
struct disk_read {
    uint32_t part;
    uint32_t page;
    uint32_t n_pages;
    uint32_t first;
    uint32_t n;
};

/* A read under way. */
struct disk_flight {
    uint8_t *buf;  /* NULL: none */
    uint32_t read; /* number in the worker's reads; n_reads from there */
    uint32_t n_reads;
    uint32_t n_pages;
    bool is_own; /* buf is not of the pool */
};

/* Keys of a slice: private copies, since their owner may change them. */
struct disk_keys {
    uint64_t hash[DISK_SLICE];
    uint64_t u64[DISK_SLICE];
    uint32_t off[DISK_SLICE]; /* bytes keys: in bytes */
    uint8_t len[DISK_SLICE];  /* 0: a key that no table can hold */
    struct buf bytes;
};

/* Where the keys of a slice are. Arrays by number of key unless they say otherwise. */
struct disk_plan {
    uint32_t n_todo;
    uint32_t todo[DISK_SLICE];  /* keys still to be looked for */
    uint8_t levels[DISK_SLICE]; /* levels that may still have the key: those below this number */
    uint32_t entry[DISK_SLICE]; /* `idx`: the entry in its block */

    uint32_t n_open; /* of todo, what a level is asked for: */
    uint32_t open[DISK_SLICE];
    uint64_t sought[DISK_SLICE]; /* hash or key of each */
    union {
        struct block_place places[DISK_SLICE]; /* `blk`: where each is */
        uint64_t ranks[DISK_SLICE];            /* `idx` */
    };
    struct fc_search searches[DISK_SEARCHES];
    uint32_t shard_begins[SHARDS_MAX + 1];

    uint32_t n_wants;
    struct disk_want wants[DISK_SLICE];
    struct disk_want spare[DISK_SLICE]; /* for sorting */
    uint32_t n_reads;
    struct disk_read reads[DISK_SLICE];
    uint32_t n_again;
    uint32_t again[DISK_SLICE]; /* reads to be tried once more */
};

/* Values of a scan, put aside until they can be written in order. */
struct disk_kept {
    uint64_t off[DISK_SLICE]; /* in bytes */
    uint32_t len[DISK_SLICE];
    uint8_t status[DISK_SLICE];
    struct buf bytes;
};

struct disk_worker {
    unsigned depth;
    struct reader *reader;
    bool is_makeshift; /* the reader is plain for want of something that may come again */
    uint8_t *pool;     /* pool_pages whole pages */
    uint32_t pool_pages;
    struct disk_files files;

    struct disk_flight *flights; /* depth */
    uint32_t *free_flights;      /* a stack of depth - n_flights */
    unsigned n_flights;
    struct reader_done *done; /* depth */
    uint32_t slot_pages;      /* of the pool's buffers now; changes while none is used */
    uint32_t *free_slots;     /* a stack of pages where a buffer begins */
    uint32_t n_free_slots;
    uint64_t own_bytes;

    struct block_cache *held_in; /* the block that is being answered from: */
    const struct cached_block *held;

    uint32_t *seen; /* DISK_SEEN marks of blocks that were read not long ago */
    uint32_t n_offers;
    bool is_cache_full;

    struct zstd_decoder *decoder; /* made at first need */
    struct buf value;             /* a decoded value */
    struct disk_keys *keys;
    struct disk_plan *plan;

    struct disk_merge *merge; /* of a scan under way */
    struct disk_kept *kept;   /* made at the first scan */
};

/* Before memory of a client is touched: what was written to the worker is written. */
static inline void disk_fence(void)
{
    __asm__ volatile("" ::: "memory");
}

/* At the start of a batch. */
void disk_worker_begin(struct disk_worker *worker, const struct disk_shared *shared);

/* For tests: takes over a reader instead of the worker's. */
void disk_worker_set_reader(struct disk_worker *worker, struct reader *reader);

/* After the reader failed as such: forgets what is under way, and makes another. */
int disk_worker_renew_reader(struct disk_worker *worker);

/* Makes buffers of n_pages each of the pool; no read is under way. */
void disk_worker_set_slots(struct disk_worker *worker, uint32_t n_pages);

#endif
