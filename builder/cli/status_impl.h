/* SPDX-License-Identifier: Apache-2.0 */
/*
 * status_impl: what status.c and status_issue.c share.
 *
 * Threads, Memory, Errors: as status.h.
 */
#ifndef FKV_CLI_STATUS_IMPL_H
#define FKV_CLI_STATUS_IMPL_H

#include "builder/cli/status.h"

/* Adds what there is to say of the fleet's heartbeats, of one node, and of one table on a live node. -ENOMEM. */
int status_fleet_issues(struct status *status, const struct status_input *input);
int status_node_issues(struct status *status, const struct status_input *input,
                       const struct heartbeat *node);
int status_cell_issues(struct status *status, const struct heartbeat *node,
                       const struct table_state *table, const struct status_cell *cell);

#endif
