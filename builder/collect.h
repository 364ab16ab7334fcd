/* SPDX-License-Identifier: Apache-2.0 */
/*
 * collect: gc. Removes what no record, pin, tag, keep rule or live heartbeat still names: retired versions, versions
 * beyond the keep rule (retired first, by a record), orphan version directories, stale staging and temporary files.
 *
 * Order: record `retire`, wait until no live node names it, record `forget`, remove the files: killed anywhere, the next run goes on.
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
        staging_age_ns; /* unsealed builds and temporary files older than this go; default one day */
    void (*say)(void *context, const char *line); /* one line an action */
    void *context;
};

struct collect_result {
    uint32_t n_versions;
    uint32_t n_orphans;
    uint32_t n_staging;
    uint32_t n_temporary;
    uint64_t bytes;
};

int collect_run(struct store *store, struct manifest *manifest,
                const struct collect_options *options, struct collect_result *result,
                struct err *err);

#endif
