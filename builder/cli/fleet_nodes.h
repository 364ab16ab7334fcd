/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fleet_nodes: the fleet's heartbeats as they were last read, read again with few requests.
 *
 * Who waits for nodes reads all heartbeats now and then, and in between only those of the nodes that he waits for. How often
 * goes by what a read costs, so that a thousand nodes on a slow store are not asked for more than it can give.
 *
 * Threads: one. Memory: fleet_nodes_release(). Pointers to heartbeats live until the next fleet_nodes_list(); what is read again
 * stays where it is, with new content.
 * Errors: those of the store.
 */
#ifndef FKV_CLI_FLEET_NODES_H
#define FKV_CLI_FLEET_NODES_H

#include "manifest/heartbeat.h"

struct fleet_nodes {
    struct store *store;
    struct heartbeat_list list;
    int64_t listed_ns; /* CLOCK_MONOTONIC; 0: never */
    int64_t list_took_ns;
};

void fleet_nodes_init(struct fleet_nodes *nodes, struct store *store);
void fleet_nodes_release(struct fleet_nodes *nodes);

/* Reads all, when it was long ago or never. *did tells. now_ns by CLOCK_MONOTONIC. */
int fleet_nodes_list(struct fleet_nodes *nodes, int64_t now_ns, bool *did, struct err *err);
/* Reads one of the list again; what cannot be decoded, or is gone, stays as it was. */
int fleet_nodes_reread(struct fleet_nodes *nodes, const struct heartbeat *node, struct err *err);

#endif
