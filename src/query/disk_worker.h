/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disk_worker: what one thread needs to answer from disk: a reader, buffers, scratch of a batch.
 *
 * Threads: one at a time. Memory: some 3 MiB, more while long values are read; disk_worker_free().
 * Errors: -ENOMEM; a kernel without io_uring is none: reads are plain then.
 */
#ifndef FKV_QUERY_DISK_WORKER_H
#define FKV_QUERY_DISK_WORKER_H

#include "base/err.h"

struct disk_worker;

/* depth: reads in flight, 1 to READER_DEPTH_MAX; 0: 128. */
int disk_worker_new(unsigned depth, struct disk_worker **out, struct err *err);
/* Cancels what is in flight. NULL is fine. */
void disk_worker_free(struct disk_worker *worker);

/*
 * After a batch was left in its middle (a page of the arena could not be had): lets go of what it held.
 * Reads that are under way stay so: they fill memory of the worker alone.
 */
void disk_worker_leave(struct disk_worker *worker);

/*
 * Takes back what a batch that was left, or that ran out of time, still has under way. It waits for
 * what the disk has begun, however long that takes: so not before the batch is replied to. The next
 * batch does it too.
 */
void disk_worker_reset(struct disk_worker *worker);

/* Lets go of files when some are no longer served. Batches do so too: this is for a worker that has
 * had nothing to do for a while, in the life of the last batch's disk_shared. One that reads plainly
 * because a descriptor or memory was short asks for io_uring again. */
void disk_worker_trim(struct disk_worker *worker);

/* "uring" or "plain". */
const char *disk_worker_reader(const struct disk_worker *worker);

#endif
