/* SPDX-License-Identifier: Apache-2.0 */
/*
 * watch: keeps the node going (one thread follows the manifest, one fetches and loads, one switches
 * at the instants that were agreed on), and turns what happens there into log lines and
 * invalidations of what the kernel caches.
 *
 * Threads: watch_event() is called by the node from its threads. Memory: watch_free() after
 * watch_stop().
 * Errors: negative errno from starting.
 */
#ifndef FKV_FUSE_WATCH_H
#define FKV_FUSE_WATCH_H

#include "fuse/invalidate.h"
#include "node/node.h"

struct watch;

/* poll_ns: the longest pause between two looks at the manifest. */
int watch_new(struct invalidate *invalidate, int64_t poll_ns, struct watch **out);
void watch_free(struct watch *watch);

/* For node_open(); context is the watch. */
void watch_event(void *context, enum node_event_kind kind, struct table *table, uint64_t version,
                 const char *text);

int watch_start(struct watch *watch, struct node *node);
/* Waits until the manifest was read once and nothing is left to fetch or load, but no longer than
 * max_ns. */
void watch_settle(struct watch *watch, int64_t max_ns);
/* Cancels what is under way and ends the threads. -ETIMEDOUT when one hangs in the store or on a
 * disk: it goes on then, so neither the watch nor the node may be freed. */
int watch_stop(struct watch *watch);

#endif
