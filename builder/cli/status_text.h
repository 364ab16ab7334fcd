/* SPDX-License-Identifier: Apache-2.0 */
/*
 * status_text: the fleet's state for people: a line a table, then what is not as it should be.
 *
 * Threads: one. Memory: none is kept. Errors: without memory lines are left out.
 */
#ifndef FKV_CLI_STATUS_TEXT_H
#define FKV_CLI_STATUS_TEXT_H

#include "builder/cli/status.h"

#include <stdio.h>

struct status_layout {
    size_t max_issues; /* lines of them; the others are counted */
    bool all;          /* every node and table, not only issues */
};

/* Tables, nodes, issues. */
void status_show(const struct status *status, const struct status_layout *layout, FILE *file);
/* "43 for 2 h, …": the versions of one table that matter, one a line. */
void status_show_table(const struct status *status, const struct status_table *table, FILE *file);
/* Everything that one node says. */
void status_show_node(const struct status *status, const struct heartbeat *node, FILE *file);

/* "all 8 serve 43; 44: 7 ready, 1 fetching (62 %, 14 s left)"; appended. */
void status_nodes_text(const struct status_table *table, struct buf *out);

#endif
