/* SPDX-License-Identifier: Apache-2.0 */
/*
 * summary: what a switch achieved, in one sentence and as JSON. It claims only what heartbeats say.
 *
 * Threads: pure functions. Memory: the caller's buffer; a new reference. Errors: without memory a text is cut short.
 */
#ifndef FKV_CLI_SUMMARY_H
#define FKV_CLI_SUMMARY_H

#include "base/json.h"
#include "builder/cli/fleet_look.h"
#include "builder/cli/switch.h"

/* "serving on 8 of 8 live nodes after 3.2 s: 2.1 s fetching and loading, 0.4 s to the switch; switched within 12 ms of each other" */
void summary_text(const struct fleet_look *look, const struct switch_result *result, bool prepared,
                  struct buf *out);
json_t *summary_json(const struct fleet_look *look, const struct switch_result *result);

#endif
