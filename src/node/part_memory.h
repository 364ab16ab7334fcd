/* SPDX-License-Identifier: Apache-2.0 */
/*
 * part_memory: the parts in memory (of those on disk: their tails), by digest, shared by all
 * versions that hold them: a delta costs its own parts only.
 *
 * A part leaves memory when the last version that holds it is freed. Versions die in whatever
 * thread drops the last pin, often one that answers lookups; returning gigabytes to the kernel
 * there would make that lookup wait. So a dead version is only put on a list here
 * (part_memory_bury), and the loader empties it (part_memory_reap).
 *
 * Threads: everything from any thread, but add and reap from loaders only, one at a time.
 * Memory: a loaded part lives while it is held. Errors: -ENOMEM.
 */
#ifndef FKV_NODE_PART_MEMORY_H
#define FKV_NODE_PART_MEMORY_H

#include "base/err.h"
#include "base/hash.h"
#include "format/part.h"
#include "io/load.h"
#include "node/disk_part.h"

struct part_memory;

/* What is known of a disk part's file (repair.h), under the node's lock. */
struct part_health {
    char *damage;    /* what is wrong; NULL: nothing is known */
    bool is_waiting; /* to be looked at, from retry_ns on */
    bool is_told;    /* that a block failed although the file is good */
    uint32_t chunk;  /* to begin with, when has_chunk */
    bool has_chunk;
    int64_t retry_ns; /* CLOCK_MONOTONIC */
};

struct loaded_part {
    struct digest digest;
    struct memory memory;   /* of a disk part: its tail */
    struct part *view;      /* of `mem`; else NULL */
    struct disk_part *disk; /* of `blk` and `idx`; else NULL */
    uint64_t n_holders;     /* under the registry's lock */
    struct part_health health;
    uint64_t planned; /* scratch of room.c, under the node's lock */
    struct loaded_part *next;
};

/* Something dead that waits for the reaper; embed it. */
struct grave {
    struct grave *next;
    void (*free)(struct grave *grave);
};

/* block_cache: bytes of memory to cache parts on disk in, beside what parts take; 0: none.
 * values_percent: as disk_parts_new(). */
int part_memory_new(uint64_t block_cache, unsigned values_percent, struct part_memory **out,
                    struct err *err);
/* Every part must have been released. */
void part_memory_free(struct part_memory *registry);

struct disk_parts *part_memory_disk(struct part_memory *registry);

/* Bytes of memory held by parts. */
uint64_t part_memory_used(struct part_memory *registry);

/* The part of that digest without holding it, or NULL: good while the caller knows of a holder. */
struct loaded_part *part_memory_peek(struct part_memory *registry, const struct digest *digest);

/* The part of that digest, held once more; NULL when it is not in memory. */
struct loaded_part *part_memory_hold(struct part_memory *registry, const struct digest *digest);

/* Puts a part in, held once. Takes what made has over on success. */
int part_memory_add(struct part_memory *registry, const struct loaded_part *made,
                    struct loaded_part **out, struct err *err);
/* Frees what a part has that is not in a registry. */
void loaded_part_release(struct loaded_part *part);

/* Drops one hold; the last one frees the memory. NULL is fine. */
void part_memory_release(struct part_memory *registry, struct loaded_part *part);

/* Leaves something to the reaper: one atomic exchange. */
void part_memory_bury(struct part_memory *registry, struct grave *grave);
void part_memory_reap(struct part_memory *registry);

#endif
