/* SPDX-License-Identifier: Apache-2.0 */
/*
 * serve: from a running node to a mounted, answering tree, and back.
 *
 * Threads: one. Memory: serve_stop() frees. Errors: negative errno with a sentence.
 */
#ifndef FKV_FUSE_SERVE_H
#define FKV_FUSE_SERVE_H

#include "fuse/options.h"
#include "fuse/watch.h"

struct serve;

/* What exists before the node does: watch_event() needs it. */
int serve_new(const struct options *options, struct serve **out, struct err *err);
struct watch *serve_watch(struct serve *serve);

/* Follows the manifest, mounts and answers. ended is called from a worker when the mount goes
 * without serve_stop(). */
int serve_start(struct serve *serve, struct node *node, void (*ended)(void), struct err *err);

/* Unmounts and ends all threads; half-started is fine. -ETIMEDOUT when the node's hang in I/O:
 * nothing may be freed then, only the process ended. */
int serve_stop(struct serve *serve);
void serve_free(struct serve *serve);

#endif
