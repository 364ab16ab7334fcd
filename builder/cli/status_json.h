/* SPDX-License-Identifier: Apache-2.0 */
/*
 * status_json: the fleet's state for programs; fkv-status(1) names every member.
 *
 * Threads: one. Memory: a new reference. Errors: NULL without memory.
 */
#ifndef FKV_CLI_STATUS_JSON_H
#define FKV_CLI_STATUS_JSON_H

#include "base/json.h"
#include "builder/cli/status.h"

/* only_node: NULL, or the one node to list. */
json_t *status_json(const struct status *status, const char *store_url, const char *only_node);

#endif
