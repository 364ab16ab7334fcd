/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disk_plan: which blocks the keys of a slice want. Internal to query.
 *
 * `blk`: of the levels that may have a key, the newest is asked; when its block says that the key is
 * not there, the key is planned again for the older ones. `idx`: all levels are searched in memory, so
 * that one plan is the end of it.
 *
 * Threads: as its worker. Memory: the worker's.
 */
#ifndef FKV_QUERY_DISK_PLAN_H
#define FKV_QUERY_DISK_PLAN_H

#include "query/disk_worker_impl.h"

/* How a key's way ends that needs no read. */
struct disk_sayer {
    void (*say)(void *context, uint32_t key, bool is_corrupt);
    void *context;
};

/* All n keys are to be looked for, in all levels. Bytes keys of no length are left out. */
void disk_plan_begin(struct disk_plan *plan, const struct disk_table *table,
                     const struct disk_keys *keys, uint32_t n, const struct disk_sayer *sayer);

/* Plans todo's keys, and empties it. */
void disk_plan_blk(struct disk_plan *plan, const struct disk_table *table,
                   const struct disk_keys *keys, const struct disk_sayer *sayer);
void disk_plan_idx(struct disk_plan *plan, const struct disk_table *table,
                   const struct disk_keys *keys, const struct disk_sayer *sayer);

/* Adds a want. */
static inline void disk_plan_want(struct disk_plan *plan, uint32_t part, struct block_place place,
                                  uint32_t key)
{
    plan->wants[plan->n_wants++] =
        (struct disk_want){(uint64_t)part << 32 | place.page, key, place.n_pages};
}

/* Sorts the wants by place and makes a read of those that want the same block. */
void disk_plan_reads(struct disk_plan *plan);

#endif
