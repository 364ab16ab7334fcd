/* SPDX-License-Identifier: Apache-2.0 */
/*
 * collect: gc. Removes what no record, pin, tag, keep rule or live heartbeat still names: retired versions, versions
 * beyond the keep rule (retired first, by a record), orphan version directories, stale staging and temporary files, old tasks, and the
 * heartbeats of nodes that are gone for good (heartbeat_is_abandoned()).
 *
 * Order: record `retire`; wait until every live node has read that record and names the version no more; record `forget`; remove
 * the files. Killed anywhere, the next run goes on; what a node still holds is left to a later run.
 *
 * Threads: one at a time; two at once are harmless. Errors: store errors; what could not be removed stays for the next run.
 */
#ifndef FKV_BUILDER_COLLECT_H
#define FKV_BUILDER_COLLECT_H

#include "manifest/heartbeat.h"
#include "manifest/manifest.h"

struct collect_options {
    bool dry_run;
    int64_t
        staging_age_ns; /* unsealed builds, orphans and temporary files untouched for so long go */
    int64_t
        sealed_age_ns; /* sealed builds that nobody published, tasks, and builds of tasks that can go on */
    int64_t wait_ns; /* how long to wait for live nodes to let go of retired versions */
    void (*say)(void *context, const char *line); /* one line an action; may be NULL */
    void *context;
};

struct collect_result {
    uint32_t n_versions;
    uint32_t n_held; /* retired, but a live node still names them */
    uint32_t n_orphans;
    uint32_t n_staging;
    uint32_t n_tasks;
    uint32_t n_temporary;
    uint32_t n_nodes; /* heartbeats */
    uint64_t bytes;   /* freed; a part that another version links does not count */
};

/* One day, one week, ten seconds. */
void collect_options_default(struct collect_options *options);

int collect_run(struct store *store, struct manifest *manifest,
                const struct collect_options *options, struct collect_result *result,
                struct err *err);

#endif
