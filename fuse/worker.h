/* SPDX-License-Identifier: Apache-2.0 */
/*
 * worker: the threads that take requests from the kernel and answer them.
 *
 * Each has a descriptor of its own on the FUSE device (FUSE_DEV_IOC_CLONE), so that they do not share a processing queue. How a thread waits
 * for the next request is one function, wait_request() in worker.c.
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

/* The calling thread's descriptor, and how another thread takes it on to send a reply: the kernel accepts it only where
 * the request was read. -1: the session's own. */
int worker_device(void);
void worker_use_device(int device);

#endif
