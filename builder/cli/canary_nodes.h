/* SPDX-License-Identifier: Apache-2.0 */
/*
 * canary_nodes: which version is on canary, and which live nodes would try one out.
 *
 * Threads: pure functions. Memory: the caller's. Errors: -EPERM names the live nodes there are, and their labels.
 */
#ifndef FKV_CLI_CANARY_NODES_H
#define FKV_CLI_CANARY_NODES_H

#include "manifest/heartbeat.h"

/* The version on canary; -EPERM says that there is none, and what became of the last one. */
int canary_need(const struct table_state *table, uint64_t *version, struct err *err);
/* Its pins by name: "n1, label:eu"; appended. */
void canary_names_text(const struct table_state *table, uint64_t version, struct buf *out);

/* Would this node follow a canary pin of that name? Not when its host or a pin that goes before holds it. table may be NULL. */
bool canary_node_matches(const struct heartbeat *node, const char *name_of_table,
                         const struct table_state *table, const char *name);

/* Does each name match a live node, for the table? */
int canary_nodes_check(const struct heartbeat_list *nodes, const char *name_of_table,
                       const struct table_state *table, const char *const *names, size_t n_names,
                       int64_t now_ns, struct err *err);

#endif
