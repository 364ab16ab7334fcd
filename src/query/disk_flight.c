/* SPDX-License-Identifier: Apache-2.0 */
#include "query/disk_flight.h"

#include <stdlib.h>

enum { MERGED_MIN = 32 }; /* reads in order: so many, and neighbours are read as one */

static bool is_pooled(const struct disk_worker *worker, const struct disk_read *read)
{
    return read->n_pages <= worker->slot_pages && worker->n_free_slots;
}

bool disk_flight_has_room(const struct disk_worker *worker, const struct disk_read *read)
{
    if (worker->n_flights == worker->depth)
        return false;
    if (is_pooled(worker, read))
        return true;
    /* Merged reads wait for a buffer of the pool, rather than go on one by one. */
    if (read->n_pages <= worker->slot_pages && worker->slot_pages > DISK_SLOT_PAGES)
        return false;
    return worker->own_bytes == 0 || worker->own_bytes + disk_read_len(read) <= DISK_OWN_MAX;
}

struct disk_flight *disk_flight_begin(struct disk_worker *worker, const struct disk_read *read,
                                      uint32_t n_reads)
{
    const struct disk_read *last = read + n_reads - 1;
    uint32_t number = worker->free_flights[worker->depth - worker->n_flights - 1];
    struct disk_flight *flight = &worker->flights[number];
    flight->n_pages = last->page + last->n_pages - read->page;
    if (is_pooled(worker, read)) {
        uint32_t page = worker->free_slots[--worker->n_free_slots];
        flight->buf = worker->pool + (size_t)page * READER_PAGE;
    } else {
        flight->buf = aligned_alloc(READER_PAGE, disk_flight_len(flight));
        if (!flight->buf)
            return NULL;
        flight->is_own = true;
        worker->own_bytes += disk_flight_len(flight);
    }
    flight->read = (uint32_t)(read - worker->plan->reads);
    flight->n_reads = n_reads;
    worker->n_flights++;
    return flight;
}

void disk_flight_end(struct disk_worker *worker, struct disk_flight *flight)
{
    if (flight->is_own) {
        free(flight->buf);
        worker->own_bytes -= disk_flight_len(flight);
    } else {
        worker->free_slots[worker->n_free_slots++] =
            (uint32_t)((size_t)(flight->buf - worker->pool) / READER_PAGE);
    }
    *flight = (struct disk_flight){0};
    worker->n_flights--;
    worker->free_flights[worker->depth - worker->n_flights - 1] =
        (uint32_t)(flight - worker->flights);
}

/* How many of the reads from this one on, up to the n-th, are one run on the disk that fits a buffer of
 * the pool. */
uint32_t disk_flight_n_reads(const struct disk_worker *worker, const struct disk_read *read,
                             uint32_t n)
{
    uint32_t n_reads = 1;
    uint32_t n_pages = read->n_pages;
    if (!is_pooled(worker, read))
        return 1;
    while (n_reads < n && read[n_reads].part == read->part &&
           read[n_reads].page == read->page + n_pages &&
           n_pages + read[n_reads].n_pages <= worker->slot_pages)
        n_pages += read[n_reads++].n_pages;
    return n_reads;
}

/* Buffers of the pool as wide as most blocks: few long ones have buffers of their own. */
void disk_flight_prepare(struct disk_worker *worker, bool is_in_order)
{
    const struct disk_plan *plan = worker->plan;
    uint64_t n_pages = 0;
    uint32_t each = 1;
    for (uint32_t i = 0; i < plan->n_reads; i++)
        n_pages += plan->reads[i].n_pages;
    while (each < DISK_SLOT_PAGES && (uint64_t)each * plan->n_reads < n_pages)
        each *= 2;
    if (is_in_order && plan->n_reads >= MERGED_MIN && worker->pool_pages >= DISK_MERGED_PAGES)
        each = DISK_MERGED_PAGES;
    disk_worker_set_slots(worker, each);
}
