/* SPDX-License-Identifier: Apache-2.0 */
/*
 * validate: may this build be published? Each rule reports its figure.
 *
 * Threads: one at a time. Memory: the report is plain data. Errors: of reading; a refusal is in the report, not an error.
 */
#ifndef FKV_BUILDER_VALIDATE_H
#define FKV_BUILDER_VALIDATE_H

#include "builder/version_reader.h"
#include "manifest/state.h"

struct validate_limits {
    double
        max_change_pct; /* of the live keys against the version now current; 0: no limit. Default 20 */
    uint64_t min_rows;       /* default 1 */
    uint64_t max_not_finite; /* vectors with NaN or Inf; default 0 */
    bool allow_schema_change;
    uint64_t memory;     /* to read the build into; 0: up to half the host's */
    const char *scratch; /* where the rest lies; NULL: $TMPDIR or /var/tmp */
};

enum validate_rule {
    RULE_READ_BACK, /* every part checksummed, every key looked up and found once */
    RULE_MIN_ROWS,
    RULE_ROW_CHANGE,
    RULE_DUPLICATES,
    RULE_NOT_FINITE,
    RULE_SCHEMA,
    RULE_COUNT,
};

struct validate_finding {
    bool passed;
    bool skipped;   /* nothing to compare with */
    char text[160]; /* "row change: +3.2 % (limit 20 %)" */
};

struct validate_report {
    bool passed;
    struct validate_finding findings[RULE_COUNT];
};

void validate_limits_default(struct validate_limits *limits);

int validate_run(struct store *store, const struct version_reader *build,
                 const struct table_state *table, const struct validate_limits *limits,
                 struct validate_report *report, struct err *err);

#endif
