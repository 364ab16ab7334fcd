/* SPDX-License-Identifier: Apache-2.0 */
/*
 * switcher: the node-local switch that root asks for with a link, in a thread of its own for each.
 *
 * A switch may have to load a version first, which takes a while; the workers go on
 * answering meanwhile. The caller's rename (or unlink) is replied to when the switch has happened,
 * or has failed.
 *
 * Threads: any. Memory: switcher_free() after switcher_stop() returned 0. Errors: negative errno
 * when no thread could be started; the caller then still owns the request.
 */
#ifndef FKV_FUSE_SWITCHER_H
#define FKV_FUSE_SWITCHER_H

#include "fuse/lowlevel.h"
#include "fuse/view.h"

struct switcher;

int switcher_new(struct switcher **out);
/* Waits for switches under way, a moment: -ETIMEDOUT when one hangs in the cache. */
int switcher_stop(struct switcher *switcher);
void switcher_free(struct switcher *switcher);

/* Switches to version (0: takes the pin off), replies to req, and forgets the temporary link of
 * that name, if any. */
int switcher_start(struct switcher *switcher, struct view *view, fuse_req_t req, uint32_t table,
                   uint64_t version, const char *link_name);

#endif
