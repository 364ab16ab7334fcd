/* SPDX-License-Identifier: Apache-2.0 */
/*
 * release_report: what publishing did, as text and as JSON.
 *
 * Threads: one. Memory: new references. Errors: without memory a document is NULL.
 */
#ifndef FKV_CLI_RELEASE_REPORT_H
#define FKV_CLI_RELEASE_REPORT_H

#include "base/json.h"
#include "builder/publish.h"

/* A line a validator. */
void report_print(const struct validate_report *report);
/* What validators found. */
void release_show_reports(const struct publish_version *versions, size_t n);
/* "published ads version 44: …; record 12" */
void release_show_published(const struct publish_version *versions, size_t n, uint64_t seq);
/* An array. rollout goes into each of its members; NULL: there was none. Takes it over. */
json_t *release_json(const struct publish_version *versions, size_t n, bool activated,
                     json_t *rollout);

#endif
