/* SPDX-License-Identifier: Apache-2.0 */
#include "query/disk_read.h"

#include "base/hash.h"
#include "query/disk_flight.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

enum {
    WAIT_EACH = 20,    /* results to wait for: an enter of the kernel is shared by so many */
    LOOK_AHEAD = 16,   /* reads whose blocks in the cache are on their way from memory */
    LOOK_EACH = 64,    /* found blocks until what is queued is handed to the kernel */
    OFFERS_EACH = 256, /* blocks until the cache is asked again whether it is full */
};

/* With no deadline: a disk that does nothing at all for so long is not waited for. */
#define STUCK_NS 60000000000LL

struct run {
    const struct disk_table *table;
    struct disk_worker *worker;
    struct disk_plan *plan;
    const struct disk_taker *taker;
    uint64_t deadline_ns;
    bool is_second; /* what is in the plan's `again` is read, and what fails is given up */
    uint32_t part;  /* the last one that was read, */
    uint32_t file;  /* and its file's index; UINT32_MAX: none */
};

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

bool disk_is_late(uint64_t deadline_ns)
{
    return deadline_ns && (uint64_t)now_ns() > deadline_ns;
}

static struct disk_part *part_of(const struct run *run, const struct disk_read *read)
{
    return run->table->parts[read->part];
}

/* ---- one block ---- */

/* What take() says. */
static int hand_over(struct run *run, struct disk_read *read, const struct block *block)
{
    int n_left = run->taker->take(run->taker->context, read, block);
    if (n_left > 0)
        read->n = (uint32_t)n_left;
    return n_left;
}

static void failed(struct run *run, const struct disk_read *read, bool is_corrupt)
{
    struct disk_plan *plan = run->plan;
    if (!run->is_second) {
        plan->again[plan->n_again++] = (uint32_t)(read - plan->reads);
        return;
    }
    disk_part_report(run->table, part_of(run, read), read->page, is_corrupt);
    disk_fence();
    run->taker->give_up(run->taker->context, read);
}

/* 1 when the cache had the block, 0 when it is to be read. */
static int take_cached(struct run *run, struct disk_read *read)
{
    struct disk_worker *worker = run->worker;
    struct block_cache *cache = run->table->shared->cache;
    struct disk_part *part = part_of(run, read);
    struct block block;
    if (!cache)
        return 0;
    worker->held_in = cache;
    worker->held = block_cache_find(cache, part->serial, read->page);
    if (!worker->held)
        return 0;
    disk_fence();
    int ret = 0;
    if (worker->held->n_pages == read->n_pages &&
        !block_view(worker->held->data, disk_read_len(read), &disk_part_info(part)->shape,
                    &block)) {
        ret = hand_over(run, read, &block);
        if (ret > 0) {
            block_cache_drop(cache, part->serial, read->page);
            failed(run, read, true);
        }
        ret = ret < 0 ? ret : 1;
    }
    block_cache_release(cache, worker->held);
    worker->held = NULL;
    return ret;
}

static int queue(struct run *run, const struct disk_read *read, uint32_t n_reads)
{
    struct disk_worker *worker = run->worker;
    if (run->file == UINT32_MAX || run->part != read->part) {
        run->file = UINT32_MAX;
        int ret = disk_files_find(&worker->files, worker->reader, part_of(run, read), &run->file);
        if (ret)
            return ret;
        run->part = read->part;
    }
    struct disk_flight *flight = disk_flight_begin(worker, read, n_reads);
    if (!flight)
        return -ENOMEM;
    const struct reader_read ask = {.file = run->file,
                                    .len = (uint32_t)disk_flight_len(flight),
                                    .off = (uint64_t)read->page * BLOCK_PAGE,
                                    .buf = flight->buf,
                                    .tag = (uint64_t)(flight - worker->flights)};
    int ret = reader_queue(worker->reader, &ask);
    if (ret)
        disk_flight_end(worker, flight);
    return ret;
}

/* Whether the block was read not long ago; from now on it was. */
static bool was_seen(struct disk_worker *worker, const struct disk_part *part, uint32_t page)
{
    uint64_t hash = hash_u64(page, hash_u64(part->serial, 0));
    uint32_t *seen = &worker->seen[hash % DISK_SEEN];
    uint32_t mark = (uint32_t)(hash >> 32) | 1;
    bool was = *seen == mark;
    *seen = mark;
    return was;
}

static bool is_nearly_full(struct block_cache *cache)
{
    struct block_cache_stats stats;
    block_cache_stats(cache, &stats);
    return stats.bytes > stats.max_bytes / 8 * 7;
}

/* A cache with room takes every block; a full one those that are read for the second time, for most
 * of a large table's blocks never are, and copying them in costs more than it brings. */
static void offer(struct run *run, const struct disk_read *read, const struct disk_part *part,
                  const uint8_t *data)
{
    struct disk_worker *worker = run->worker;
    struct block_cache *cache = run->table->shared->cache;
    if (!cache)
        return;
    if (worker->n_offers++ % OFFERS_EACH == 0)
        worker->is_cache_full = is_nearly_full(cache);
    if (was_seen(worker, part, read->page) || !worker->is_cache_full)
        block_cache_insert(cache, part->serial, read->page, data, read->n_pages);
}

/* What a read brought, at data. 0, -EIO or -EBADMSG when its wants are not all served, else what ends all in
 * *fatal. */
static int arrived(struct run *run, struct disk_read *read, const uint8_t *data, int result,
                   int *fatal)
{
    struct disk_part *part = part_of(run, read);
    const struct paged_info *info = disk_part_info(part);
    struct block block;
    if (result)
        return -EIO;
    if (block_open(data, disk_read_len(read), &info->shape, info->salt, read->page, &block, NULL))
        return -EBADMSG;
    disk_fence();
    int n_left = hand_over(run, read, &block);
    if (n_left < 0)
        *fatal = n_left;
    else if (n_left == 0)
        offer(run, read, part, data);
    return n_left > 0 ? -EBADMSG : 0;
}

/* ---- waiting ---- */

static int64_t wait_until(const struct run *run)
{
    if (run->deadline_ns)
        return run->deadline_ns > INT64_MAX ? INT64_MAX : (int64_t)run->deadline_ns;
    return now_ns() + STUCK_NS;
}

/* The reader itself has failed: what was under way is asked of another one, alone. */
static int renew(struct run *run)
{
    struct disk_worker *worker = run->worker;
    for (unsigned i = 0; i < worker->depth; i++)
        for (uint32_t j = 0; j < worker->flights[i].n_reads; j++)
            failed(run, &run->plan->reads[worker->flights[i].read + j], false);
    run->file = UINT32_MAX;
    int ret = disk_worker_renew_reader(worker);
    if (!ret)
        disk_flight_prepare(worker, run->taker->is_in_order);
    return ret;
}

/* All that a flight brought. */
static int land(struct run *run, const struct disk_flight *flight, int result)
{
    struct disk_read *first = &run->plan->reads[flight->read];
    int fatal = 0;
    for (uint32_t i = 0; i < flight->n_reads && !fatal; i++) {
        const uint8_t *data = flight->buf + (size_t)(first[i].page - first->page) * BLOCK_PAGE;
        int ret = arrived(run, &first[i], data, result, &fatal);
        if (ret)
            failed(run, &first[i], ret == -EBADMSG);
    }
    return fatal;
}

static int wait_some(struct run *run)
{
    struct disk_worker *worker = run->worker;
    unsigned n_min = worker->n_flights < WAIT_EACH ? worker->n_flights : WAIT_EACH;
    unsigned n = 0;
    if (reader_wait(worker->reader, n_min, wait_until(run), worker->done, worker->depth, &n))
        return renew(run);
    for (unsigned i = 0; i < n; i++) {
        struct disk_flight *flight = &worker->flights[worker->done[i].tag];
        int ret = land(run, flight, worker->done[i].result);
        if (ret)
            return ret;
        disk_flight_end(worker, flight);
    }
    return n < n_min ? -ETIMEDOUT : 0;
}

/* ---- all ---- */

/* Asks the memory for what the cache may have of reads to come. */
static void expect_cached(const struct run *run, uint32_t next)
{
    const struct disk_plan *plan = run->plan;
    const struct block_cache *cache = run->table->shared->cache;
    if (!cache)
        return;
    if (next + LOOK_AHEAD < plan->n_reads) {
        const struct disk_read *read = &plan->reads[next + LOOK_AHEAD];
        block_cache_expect(cache, part_of(run, read)->serial, read->page);
    }
    if (next + LOOK_AHEAD / 2 < plan->n_reads) {
        const struct disk_read *read = &plan->reads[next + LOOK_AHEAD / 2];
        block_cache_expect_data(cache, part_of(run, read)->serial, read->page);
    }
}

/* Reads a block that the cache does not have, and perhaps those behind it: *next is moved on. */
static int begin(struct run *run, struct disk_read *read, uint32_t *next)
{
    uint32_t n_reads = 1;
    if (run->taker->is_in_order && !run->is_second)
        n_reads = disk_flight_n_reads(run->worker, read, 1 + run->plan->n_reads - *next);
    int ret = queue(run, read, n_reads);
    *next += n_reads - 1;
    for (uint32_t i = 0; i < n_reads && ret && ret != -ENOMEM; i++)
        failed(run, &read[i], false);
    return ret == -ENOMEM ? ret : 0;
}

/* Begins reads until there is no room, or none is left. */
static int begin_some(struct run *run, uint32_t *next)
{
    struct disk_plan *plan = run->plan;
    uint32_t n_found = 0;
    while (*next < plan->n_reads && disk_flight_has_room(run->worker, &plan->reads[*next])) {
        expect_cached(run, *next);
        struct disk_read *read = &plan->reads[(*next)++];
        int ret = take_cached(run, read);
        if (ret < 0)
            return ret;
        if (ret == 0) {
            if ((ret = begin(run, read, next)))
                return ret;
        } else if (++n_found % LOOK_EACH == 0) {
            if (disk_is_late(run->deadline_ns))
                return -ETIMEDOUT;
            reader_submit(run->worker->reader);
        }
    }
    return 0;
}

/* The same for those that failed. */
static int begin_again(struct run *run, uint32_t *next)
{
    struct disk_plan *plan = run->plan;
    while (*next < plan->n_again &&
           disk_flight_has_room(run->worker, &plan->reads[plan->again[*next]])) {
        struct disk_read *read = &plan->reads[plan->again[(*next)++]];
        int ret = begin(run, read, next);
        if (ret)
            return ret;
    }
    return 0;
}

static int read_each(struct run *run)
{
    const uint32_t *n = run->is_second ? &run->plan->n_again : &run->plan->n_reads;
    uint32_t next = 0;
    int ret = 0;
    while (!ret && (next < *n || run->worker->n_flights)) {
        ret = run->is_second ? begin_again(run, &next) : begin_some(run, &next);
        if (!ret && run->worker->n_flights)
            ret = wait_some(run);
        /* Reads that fail at once are never waited for. */
        if (!ret && next < *n && disk_is_late(run->deadline_ns))
            ret = -ETIMEDOUT;
    }
    return ret;
}

int disk_read_all(const struct disk_table *table, struct disk_worker *worker,
                  const struct disk_taker *taker, uint64_t deadline_ns)
{
    struct run run = {.table = table,
                      .worker = worker,
                      .plan = worker->plan,
                      .taker = taker,
                      .deadline_ns = deadline_ns,
                      .file = UINT32_MAX};
    disk_flight_prepare(worker, taker->is_in_order);
    run.plan->n_again = 0;
    int ret = read_each(&run);
    run.is_second = true;
    return ret ? ret : read_each(&run);
}
