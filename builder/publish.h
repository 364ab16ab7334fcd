/* SPDX-License-Identifier: Apache-2.0 */
/*
 * publish: a sealed build becomes a numbered version, after its validators agreed.
 *
 *   validate -> number -> version.json with the number -> rename staging/<task> to v/<id> -> append the record
 *
 * Killed between rename and record, the directory is an orphan: the next publisher steps over its number, gc removes it.
 *
 * Threads: one at a time. Errors: -EPERM when a validator refuses (err says which figure and limit), -ESTALE when a delta's
 * base is no longer the newest, -ENOENT, store errors.
 */
#ifndef FKV_BUILDER_PUBLISH_H
#define FKV_BUILDER_PUBLISH_H

#include "builder/validate.h"
#include "manifest/manifest.h"

struct publish_item {
    const char *table;
    const char *task; /* NULL: the last sealed one */
};

struct publish_version {
    char table[TABLE_NAME_MAX + 1];
    uint64_t version;
    uint64_t base;
    uint64_t n_keys;
    uint64_t len;
    struct validate_report report;
};

/* Publishes several sealed builds in one record. versions has room for n_items. */
int publish_run(struct store *store, struct manifest *manifest, const struct publish_item *items,
                size_t n_items, const struct validate_limits *limits, const char *reason,
                struct publish_version *versions, struct err *err);

#endif
