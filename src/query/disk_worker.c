/* SPDX-License-Identifier: Apache-2.0 */
#include "query/disk_worker.h"

#include "query/disk_worker_impl.h"

#include <errno.h>
#include <stdlib.h>

enum {
    DEPTH = 128,
    POOL_EACH = 2,        /* pages of the pool for each read in flight */
    KEPT_MAX = 256 << 10, /* bytes of a growing buffer that stay after a batch */
};

static int reader_make(struct disk_worker *worker, struct err *err)
{
    const struct reader_params params = {.depth = worker->depth,
                                         .pool = worker->pool,
                                         .pool_len = (size_t)worker->pool_pages * READER_PAGE};
    int ret = reader_uring_new(&params, &worker->reader, NULL);
    worker->is_makeshift = ret && ret != -ENOTSUP;
    return ret ? reader_new(&params, &worker->reader, err) : 0;
}

void disk_worker_set_slots(struct disk_worker *worker, uint32_t n_pages)
{
    uint32_t n = worker->pool_pages / n_pages;
    worker->slot_pages = n_pages;
    worker->n_free_slots = n;
    for (uint32_t i = 0; i < n; i++)
        worker->free_slots[i] = (n - 1 - i) * n_pages;
}

/* As if nothing had ever been under way. */
static void flights_clear(struct disk_worker *worker)
{
    for (unsigned i = 0; i < worker->depth; i++) {
        if (worker->flights[i].is_own)
            free(worker->flights[i].buf);
        worker->flights[i] = (struct disk_flight){0};
        worker->free_flights[i] = worker->depth - 1 - i;
    }
    worker->n_flights = 0;
    worker->own_bytes = 0;
    disk_worker_set_slots(worker, 1);
}

static int worker_init(struct disk_worker *worker, struct err *err)
{
    worker->pool_pages = POOL_EACH * worker->depth;
    worker->pool = aligned_alloc(READER_PAGE, (size_t)worker->pool_pages * READER_PAGE);
    worker->flights = calloc(worker->depth, sizeof *worker->flights);
    worker->free_flights = calloc(worker->depth, sizeof *worker->free_flights);
    worker->done = calloc(worker->depth, sizeof *worker->done);
    worker->free_slots = calloc(worker->pool_pages, sizeof *worker->free_slots);
    worker->keys = calloc(1, sizeof *worker->keys);
    worker->plan = calloc(1, sizeof *worker->plan);
    worker->seen = calloc(DISK_SEEN, sizeof *worker->seen);
    if (!worker->pool || !worker->flights || !worker->free_flights || !worker->done ||
        !worker->free_slots || !worker->keys || !worker->plan || !worker->seen)
        return err_set(err, -ENOMEM, "no memory for a disk worker");
    flights_clear(worker);
    return reader_make(worker, err);
}

int disk_worker_new(unsigned depth, struct disk_worker **out, struct err *err)
{
    if (depth > READER_DEPTH_MAX)
        return err_set(err, -EINVAL, "a worker's depth is at most %d, not %u", READER_DEPTH_MAX,
                       depth);
    struct disk_worker *worker = calloc(1, sizeof *worker);
    if (!worker)
        return err_set(err, -ENOMEM, "no memory for a disk worker");
    worker->depth = depth ? depth : DEPTH;
    int ret = worker_init(worker, err);
    if (ret)
        disk_worker_free(worker);
    else
        *out = worker;
    return ret;
}

void disk_worker_free(struct disk_worker *worker)
{
    if (!worker)
        return;
    if (worker->reader) {
        disk_worker_reset(worker);
        reader_free(worker->reader);
    }
    disk_files_release(&worker->files);
    zstd_decoder_free(worker->decoder);
    buf_release(&worker->value);
    if (worker->keys)
        buf_release(&worker->keys->bytes);
    if (worker->kept)
        buf_release(&worker->kept->bytes);
    disk_merge_free(worker->merge);
    free(worker->kept);
    free(worker->keys);
    free(worker->plan);
    free(worker->seen);
    free(worker->flights);
    free(worker->free_flights);
    free(worker->done);
    free(worker->free_slots);
    free(worker->pool);
    free(worker);
}

static void trim_buf(struct buf *buf)
{
    if (buf->cap > KEPT_MAX)
        buf_release(buf);
}

void disk_worker_leave(struct disk_worker *worker)
{
    if (!reader_n_busy(worker->reader))
        flights_clear(worker);
    if (worker->held)
        block_cache_release(worker->held_in, worker->held);
    worker->held = NULL;
    trim_buf(&worker->value);
    trim_buf(&worker->keys->bytes);
    if (worker->kept)
        trim_buf(&worker->kept->bytes);
    disk_merge_free(worker->merge);
    worker->merge = NULL;
}

void disk_worker_reset(struct disk_worker *worker)
{
    if (reader_n_busy(worker->reader))
        reader_cancel(worker->reader);
    disk_worker_leave(worker);
}

void disk_worker_begin(struct disk_worker *worker, const struct disk_shared *shared)
{
    if (reader_n_busy(worker->reader))
        disk_worker_reset(worker);
    disk_files_begin(&worker->files, worker->reader, shared);
}

/* What io_uring lacked, a descriptor or memory, may be there by now. */
static void make_better_reader(struct disk_worker *worker)
{
    struct reader *makeshift = worker->reader;
    if (reader_make(worker, NULL)) {
        worker->reader = makeshift;
        return;
    }
    disk_files_forget(&worker->files);
    reader_free(makeshift);
}

void disk_worker_trim(struct disk_worker *worker)
{
    disk_worker_reset(worker);
    if (worker->is_makeshift)
        make_better_reader(worker);
    if (worker->files.shared)
        disk_files_begin(&worker->files, worker->reader, worker->files.shared);
}

const char *disk_worker_reader(const struct disk_worker *worker)
{
    return reader_name(worker->reader);
}

void disk_worker_set_reader(struct disk_worker *worker, struct reader *reader)
{
    disk_files_forget(&worker->files);
    reader_free(worker->reader);
    worker->reader = reader;
}

int disk_worker_renew_reader(struct disk_worker *worker)
{
    struct reader *broken = worker->reader;
    reader_cancel(broken);
    flights_clear(worker);
    disk_files_forget(&worker->files);
    int ret = reader_make(worker, NULL);
    if (!ret)
        reader_free(broken);
    return ret;
}
