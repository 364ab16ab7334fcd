/* SPDX-License-Identifier: Apache-2.0 */
/*
 * evict: makes room on the disk for what is to be fetched.
 *
 * Threads: the work thread only, in a fetch. Memory: none.
 * Errors: -ENOSPC with the figures, and nothing was removed but what was over anyway.
 */
#ifndef FKV_NODE_EVICT_H
#define FKV_NODE_EVICT_H

#include "base/err.h"

#include <stdint.h>

struct node;

/* Room for need bytes more, within the limit of the cache and what the disk holds. */
int evict_for(struct node *node, uint64_t need, struct err *err);

#endif
