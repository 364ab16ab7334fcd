/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fleet_show: how a wait for nodes gets on, for people: a line for each node that is not there yet.
 *
 * Threads: one. Memory: fleet_show_free(). A NULL one (no memory) shows nothing.
 */
#ifndef FKV_CLI_FLEET_SHOW_H
#define FKV_CLI_FLEET_SHOW_H

#include "base/buf.h"
#include "builder/cli/fleet_look.h"

struct fleet_show;

struct fleet_show *fleet_show_new(bool quiet);
void fleet_show_free(struct fleet_show *show);

/* trouble (may be NULL): why the store cannot be asked just now. */
void fleet_show_update(struct fleet_show *show, const struct fleet_look *look, enum fleet_goal goal,
                       const char *trouble, int64_t elapsed_ns);

/* "fetching 62 %, 110.0 MiB/s, 14 s left", "failed: no memory", "not seen yet"; appended. heard_ns: the time of the heartbeat. */
void node_version_text(const struct node_version *version, int64_t heard_ns, struct buf *out);
/* "n7: ads 44 fetching 62 %, …"; appended. */
void fleet_mark_text(const struct fleet_mark *mark, struct buf *out);
/* "the store was away until 12 s ago: 3 silent nodes are given 18 s more to speak"; appended, nothing when none is. */
void fleet_awaited_text(const struct fleet_look *look, struct buf *out);
/* "n1, n2, n3 and 5 more"; appended. */
enum { FLEET_NAMES_MAX = 8 };
void fleet_names_text(const struct heartbeat *const *nodes, size_t n, struct buf *out);

#endif
