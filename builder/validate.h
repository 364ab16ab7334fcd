/* SPDX-License-Identifier: Apache-2.0 */
/*
 * validate: may this build be published? A list of validators, each with a limit; each reports its figure.
 *
 *   read_back      every key is found where a lookup looks, no deleted one is, and there are as many as version.json says
 *   rows_min       live keys there must be
 *   rows_change    of live keys, against the version now current
 *   duplicates     no key is stored twice; share of rows that the policy dropped
 *   not_finite     vectors with NaN or Inf
 *   empty_values   share of values of no bytes, or of vectors of zeros
 *   bad_rows       share of rows that were rejected
 *   norm_drift     distance between the distributions of the vectors' norms, of this build and of the version now current
 *   schema_change  key and value type, kind of table
 *   command        one each: a command of the user's own
 *
 * All of them judge, also when an earlier one has refused, but for commands: these run only for a build that the others pass.
 *
 * Threads: one at a time. Memory: reports are plain data. Errors: of reading; -EBADMSG when figures are not this build's;
 * -ECANCELED while a command ran. A refusal is in the report, not an error.
 */
#ifndef FKV_BUILDER_VALIDATE_H
#define FKV_BUILDER_VALIDATE_H

#include "builder/figures.h"
#include "builder/version_reader.h"
#include "manifest/state.h"

#include <stdatomic.h>

enum {
    VALIDATE_COMMANDS_MAX = 16,
    VALIDATE_NAME_MAX = 23,
    VALIDATE_TEXT_MAX = 400,
    VALIDATE_FINDINGS_MAX = 9 + VALIDATE_COMMANDS_MAX,
    /* Fewer norms tell no distribution: of n, chance alone makes a distance of about 1.4 / sqrt(n). */
    VALIDATE_NORMS_MIN = 1000,
};

/* What is allowed. Strings are borrowed. A negative percentage or distance allows any; validate_limits_default() goes first. */
struct validate_limits {
    uint64_t min_rows;         /* default 1 */
    double max_change_pct;     /* 0: any. Default 20 */
    double max_duplicates_pct; /* default any */
    /* What allows more counts. */
    uint64_t max_not_finite;   /* default 0 */
    double max_not_finite_pct; /* negative: not asked for, the default */
    double max_empty_pct;      /* default any */
    double max_bad_rows_pct;   /* default any */
    double max_norm_drift;     /* 0 to 1; default any */
    bool allow_schema_change;
    const char *commands[VALIDATE_COMMANDS_MAX]; /* for sh -c */
    size_t n_commands;
    int64_t command_timeout_ns; /* of each; default 10 minutes */
    /* Not what is allowed, but what reading may take. */
    uint64_t memory;     /* to read the build into; 0: up to half the host's */
    const char *scratch; /* where the rest lies; NULL: $TMPDIR or /var/tmp */
};

enum validate_verdict {
    VALIDATE_PASSED,
    VALIDATE_SKIPPED, /* nothing to judge by; counts as passed */
    VALIDATE_FAILED,
};

struct validate_finding {
    char name[VALIDATE_NAME_MAX + 1];
    enum validate_verdict verdict;
    bool has_figure;
    bool has_limit;
    double figure;
    double limit;
    char text
        [VALIDATE_TEXT_MAX]; /* "row change: +3.2 % since version 4 with 100 rows (limit 20 %)" */
};

struct validate_report {
    bool passed;
    size_t n_findings;
    struct validate_finding findings[VALIDATE_FINDINGS_MAX];
    bool has_figures;
    struct build_figures figures; /* what was judged by; rows is 0 when they are not known */
};

/* What is to be judged. Everything is borrowed. */
struct validate_input {
    const char *table;
    const char *task;
    const char *dir; /* of the build on the store */
    const struct version_desc *desc;
    /* The caller has just read back and looked up every entry that the build wrote, and all is judged from desc and figures.
     * Otherwise build is the opened build, and it is walked and counted anew. */
    bool is_read_back;
    const struct version_reader *build;
    const struct build_figures *figures; /* NULL: there are none */
    const struct table_state *state;     /* NULL: the table has no version yet */
    const atomic_bool *cancel;           /* ends commands; may be NULL */
};

void validate_limits_default(struct validate_limits *limits);

int validate_run(struct store *store, const struct validate_input *input,
                 const struct validate_limits *limits, struct validate_report *report,
                 struct err *err);

/* "passed", "skipped", "failed". */
const char *validate_verdict_name(enum validate_verdict verdict);

#endif
