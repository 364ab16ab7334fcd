/* SPDX-License-Identifier: Apache-2.0 */
/*
 * publish: sealed builds become numbered versions, after their validators agreed, all in one record.
 *
 *   validate -> number -> rename staging/<task> to v/<id> -> validation.json, version.json with the number -> append the record
 *
 * The rename is the claim: of two publishers of one build, one gets it. Only what lies in v/<id> is written after that, and
 * everybody who may write there writes the same version.json. Once claimed, a directory is nobody's to take away: another publisher
 * may have adopted it.
 *
 * Killed between rename and record, v/<id> is an orphan that nobody sees: publishing the same build again adopts it where it
 * lies (under a new number if that one has been passed), and gc removes it in the end.
 *
 * Threads: one at a time; any number of processes at once. Memory: that of a version_reader.
 * Errors: -EPERM when a validator refuses (err says which figure and limit), -ESTALE when a delta's base is no longer the
 * newest, -ECANCELED when *cancel was set while a command ran, -EEXIST when another publisher was faster with the same
 * build, -ENOENT, store errors.
 */
#ifndef FKV_BUILDER_PUBLISH_H
#define FKV_BUILDER_PUBLISH_H

#include "builder/validate.h"
#include "manifest/manifest.h"

enum { PUBLISH_ITEMS_MAX = 256 };

struct publish_item {
    const char *table;
    const char *task; /* NULL: the one sealed last */
    /* The caller has just read back and looked up all that the build wrote: it is not read again, and judged by these figures, or
     * when they are NULL by the build's figures.json. Together with task only. */
    bool is_read_back;
    const struct build_figures *figures;
};

struct publish_version {
    char table[TABLE_NAME_MAX + 1];
    char task[TASK_NAME_MAX + 1];
    uint64_t version;
    uint64_t base;
    uint64_t n_keys;
    uint64_t len;
    bool validated; /* report is filled */
    struct validate_report report;
};

struct publish_request {
    const struct publish_item *items;
    size_t n_items;
    const struct validate_limits *limits;
    const char *reason;
    const char *const *
        canaries; /* names of pins ("n1", "label:x") that try the versions out; in the same record */
    size_t n_canaries;
    const atomic_bool *cancel; /* ends commands that validate; may be NULL */
};

/*
 * Publishes several sealed builds in one record. versions has room for n_items, and is filled as far as things went also when the
 * call fails, so that the reports can be shown. Builds that the validators refuse stay in staging, with the report; one that is overtaken after its
 * claim stays in v/<id>, an orphan that may be published or collected. *seq is the record's number.
 */
int publish_run(struct store *store, struct manifest *manifest,
                const struct publish_request *request, struct publish_version *versions,
                uint64_t *seq, struct err *err);

#endif
