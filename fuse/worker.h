/* SPDX-License-Identifier: Apache-2.0 */
/*
 * worker: the threads that take requests from the kernel and answer them.
 *
 * They block in read() on the one FUSE descriptor, and the kernel wakes one a request, preferring
 * the client's CPU when it is idle otherwise. One a CPU is enough, because nothing they do waits:
 * what may (part files on disk, a local switch) has threads of its own. How a thread waits for its
 * next request is one function, wait_request() in worker.c.
 *
 * Threads: start and stop from one thread. Memory: workers_stop() joins and frees.
 * Errors: negative errno.
 */
#ifndef FKV_FUSE_WORKER_H
#define FKV_FUSE_WORKER_H

#include <stddef.h>

struct fuse_session;
struct workers;

enum { WORKERS_MAX = 256 };

/* Calls ended (from a worker) when the mount has gone without workers_stop(). */
int workers_start(struct fuse_session *session, size_t n_workers, void (*ended)(void),
                  struct workers **out);

/* Interrupts threads that wait; a request under way is finished first. NULL is fine. */
void workers_stop(struct workers *workers);

#endif
