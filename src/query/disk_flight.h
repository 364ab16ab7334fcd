/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disk_flight: a read under way, and the buffer it has: of the worker's pool while there are any and
 * its blocks are short, else of its own. Internal to query.
 *
 * Threads: as its worker. Memory: the worker's; buffers outside the pool take DISK_OWN_MAX at most, but
 * one is always allowed.
 */
#ifndef FKV_QUERY_DISK_FLIGHT_H
#define FKV_QUERY_DISK_FLIGHT_H

#include "query/disk_worker_impl.h"

static inline size_t disk_read_len(const struct disk_read *read)
{
    return (size_t)read->n_pages * BLOCK_PAGE;
}
static inline size_t disk_flight_len(const struct disk_flight *flight)
{
    return (size_t)flight->n_pages * BLOCK_PAGE;
}

/* Makes the pool's buffers fit the plan's reads; none is under way. is_in_order: neighbours shall be
 * read as one. */
void disk_flight_prepare(struct disk_worker *worker, bool is_in_order);

/* Whether a read can begin now. One always can when none is under way. */
bool disk_flight_has_room(const struct disk_worker *worker, const struct disk_read *read);

/* How many of the reads from this one on, up to the n-th, are one run on the disk that fits a buffer of
 * the pool. */
uint32_t disk_flight_n_reads(const struct disk_worker *worker, const struct disk_read *read,
                             uint32_t n);

/* A flight for n_reads reads, from this one on, whose blocks lie one behind the other. NULL without
 * memory. */
struct disk_flight *disk_flight_begin(struct disk_worker *worker, const struct disk_read *read,
                                      uint32_t n_reads);
void disk_flight_end(struct disk_worker *worker, struct disk_flight *flight);

#endif
