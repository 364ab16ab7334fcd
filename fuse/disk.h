/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disk: jobs that wait for a disk, in threads of their own: a disk must not keep a FUSE worker from
 * answering from memory.
 *
 * First come, first served; but while others wait, one user has at most half of the threads. (Users
 * are told apart by their numbers modulo 64.)
 *
 * Threads are started as they are needed, up to a number. Each has a worker for lookups in tables
 * on disk, made when it is first wanted.
 *
 * Threads: adding from any. Memory: a job is the caller's, from disk_add() until its function ends
 * (which may free it). Errors: negative errno.
 */
#ifndef FKV_FUSE_DISK_H
#define FKV_FUSE_DISK_H

#include "base/err.h"
#include "base/metrics.h"

#include <stddef.h>
#include <sys/types.h>

struct disk;
struct disk_thread;
struct disk_worker;

/* What a function returns that would have to wait for a disk where it must not: nothing was done, and
 * it is to be called again in one of these threads. No errno. */
enum { DISK_NEEDED = -(1 << 16) };

/* thread: NULL when the job is refused, as all end. */
typedef void (*disk_fn)(struct disk_thread *thread, void *context);

struct disk_job {
    struct disk_job *next;
    disk_fn run;
    void *context;
    uid_t uid;
    uint64_t number;   /* counts all that were added */
    uint64_t since_ns; /* when it was added, CLOCK_MONOTONIC */
};

enum { DISK_THREADS_MAX = 256 };

int disk_new(size_t n_threads, struct disk **out);

/* Runs run(thread, context) in one of the threads. uid: whose it is. It fails only when there is no thread and none
 * can be started. */
int disk_add(struct disk *disk, uid_t uid, struct disk_job *job, disk_fn run, void *context);

/* The calling thread's own worker, or NULL. */
struct disk_worker *disk_thread_worker(struct disk_thread *thread, struct err *err);

struct disk_stats {
    size_t n_queued;
    size_t n_running;
    const char *reader; /* "uring" or "plain"; NULL: none was needed yet */
};
void disk_stats(struct disk *disk, struct disk_stats *out);
/* How long jobs waited for a thread; lives as long as disk. */
const struct histogram *disk_waits(const struct disk *disk);

/* Refuses what waits for a thread, here, and ends the threads; a moment is waited for what runs:
 * -ETIMEDOUT when a disk hangs. Nothing may be added any more. NULL is fine. */
int disk_stop(struct disk *disk);
/* After disk_stop() returned 0, or before anything was added. NULL is fine. */
void disk_free(struct disk *disk);

#endif
