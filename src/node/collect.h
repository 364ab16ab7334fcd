/* SPDX-License-Identifier: Apache-2.0 */
/*
 * collect: takes out of the cache what the plan calls gone and nobody has open.
 *
 * Threads: the work thread only. Errors: none; what cannot be removed is tried again after the next
 * removal or start.
 */
#ifndef FKV_NODE_COLLECT_H
#define FKV_NODE_COLLECT_H

#include <stdbool.h>

struct node;

/* Removes one version, or parts that belong to none. True when it did something. */
bool collect_one(struct node *node);

#endif
