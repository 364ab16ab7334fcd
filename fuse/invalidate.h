/* SPDX-License-Identifier: Apache-2.0 */
/*
 * invalidate: tells the kernel to forget what it cached of names and attributes, from a thread of
 * its own.
 *
 * The kernel takes a directory's lock to drop a name, and a request under way may hold it, so a
 * request must never wait for an invalidation. Requests and the node's threads only add to a queue.
 *
 * Threads: adding from any. Memory: invalidate_free() after invalidate_stop().
 * Errors: adding fails silently when the queue is full or without memory: attributes time out
 * within a second by themselves, and a name that lingers leads to ENOENT.
 */
#ifndef FKV_FUSE_INVALIDATE_H
#define FKV_FUSE_INVALIDATE_H

#include <stdint.h>

struct fuse_session;
struct invalidate;

int invalidate_new(struct invalidate **out);
void invalidate_free(struct invalidate *invalidate);

/* Starts the thread once the session is mounted; what was added before is dropped, for the kernel
 * has cached nothing. */
int invalidate_start(struct invalidate *invalidate, struct fuse_session *session);
void invalidate_stop(struct invalidate *invalidate);

void invalidate_entry(struct invalidate *invalidate, uint64_t parent, const char *name);
void invalidate_attr(struct invalidate *invalidate, uint64_t ino);

#endif
