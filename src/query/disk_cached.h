/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disk_cached: single values that are in memory already (io/value_cache.h), and which blocks are worth
 * keeping beside them. Internal to query.
 *
 * Keys are looked for here after the tails in memory have said where they would be: absent ones need
 * neither.
 *
 * Threads: as its worker. Memory: the worker's.
 */
#ifndef FKV_QUERY_DISK_CACHED_H
#define FKV_QUERY_DISK_CACHED_H

#include "query/disk_worker_impl.h"

struct disk_finder {
    /* The value of a key of the slice; value is private and lives until the return. */
    void (*found)(void *context, uint32_t key, const uint8_t *value, uint32_t len);
    void *context;
};

/* Hands over the values that are cached, and takes their keys out of the plan's wants. */
void disk_cached_find(struct disk_plan *plan, const struct disk_table *table,
                      const struct disk_keys *keys, const struct disk_finder *finder);

/* Offers the value of a key that was read. */
void disk_cached_offer(const struct disk_table *table, const struct disk_keys *keys, uint32_t key,
                       const uint8_t *value, uint32_t len);

#endif
