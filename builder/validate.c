/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Figures come from one of two places: the build counted them and its parts were just read back; or the build is walked here
 * (validate_walk.h), which counts what was written anew, and only what the input was is taken from its figures.json. Then each
 * validator of the list judges, and knows nothing of where figures came from.
 */
#include "builder/validate.h"

#include "base/bytes.h"
#include "base/scope.h"
#include "builder/layout.h"
#include "builder/validate_command.h"
#include "builder/validate_drift.h"
#include "builder/validate_impl.h"
#include "builder/validate_walk.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND_NS 1000000000LL

/* What validators judge by. */
struct judging {
    struct store *store;
    const struct validate_input *input;
    const struct validate_limits *limits;
    const struct validate_walk *walk;    /* NULL: the caller has read the build back */
    const struct build_figures *figures; /* NULL: there are none */
    const struct version_entry *last;    /* what to compare with, or NULL */
    uint64_t n_keys;                     /* live, of the whole version */
};

void validate_limits_default(struct validate_limits *limits)
{
    *limits = (struct validate_limits){.min_rows = 1,
                                       .max_change_pct = 20,
                                       .max_duplicates_pct = -1,
                                       .max_not_finite_pct = -1,
                                       .max_empty_pct = -1,
                                       .max_bad_rows_pct = -1,
                                       .max_norm_drift = -1,
                                       .command_timeout_ns = 600 * SECOND_NS};
}

const char *validate_verdict_name(enum validate_verdict verdict)
{
    switch (verdict) {
    case VALIDATE_PASSED:
        return "passed";
    case VALIDATE_SKIPPED:
        return "skipped";
    case VALIDATE_FAILED:
        break;
    }
    return "failed";
}

void finding_judge(struct validate_finding *finding, bool passes, const char *fmt, ...)
{
    va_list args;
    finding->verdict = passes ? VALIDATE_PASSED : VALIDATE_FAILED;
    va_start(args, fmt);
    vsnprintf(finding->text, sizeof finding->text, fmt, args);
    va_end(args);
}

void finding_skip(struct validate_finding *finding, const char *fmt, ...)
{
    va_list args;
    finding->verdict = VALIDATE_SKIPPED;
    va_start(args, fmt);
    vsnprintf(finding->text, sizeof finding->text, fmt, args);
    va_end(args);
}

/* ---- the validators ---- */

static int judge_read_back(const struct judging *j, struct validate_finding *finding,
                           struct err *err)
{
    const struct validate_walk *walk = j->walk;
    const struct version_desc *desc = j->input->desc;
    if (!walk) {
        finding_judge(finding, true, "read-back: done when it was built, %u part%s",
                      desc->schema.n_shards, desc->schema.n_shards == 1 ? "" : "s");
        return 0;
    }
    finding_figure(finding, (double)(walk->n_lost + walk->n_undead));
    finding_limit(finding, 0);
    finding_judge(finding, !walk->n_lost && !walk->n_undead && walk->n_live == desc->n_keys,
                  "read-back: %" PRIu64 " of %" PRIu64 " keys found in %zu parts, %" PRIu64
                  " lost, %" PRIu64 " deleted but found",
                  walk->n_live - walk->n_lost, desc->n_keys, desc->n_parts, walk->n_lost,
                  walk->n_undead);
    return 0;
}

static int judge_rows_min(const struct judging *j, struct validate_finding *finding,
                          struct err *err)
{
    finding_figure(finding, (double)j->n_keys);
    finding_limit(finding, (double)j->limits->min_rows);
    finding_judge(finding, j->n_keys >= j->limits->min_rows,
                  "rows: %" PRIu64 " (at least %" PRIu64 ")", j->n_keys, j->limits->min_rows);
    return 0;
}

static int judge_rows_change(const struct judging *j, struct validate_finding *finding,
                             struct err *err)
{
    const struct version_entry *last = j->last;
    double max = j->limits->max_change_pct;
    if (!last) {
        finding_skip(finding, "row change: no version to compare with");
        return 0;
    }
    double change = last->n_keys
                        ? 100.0 * ((double)j->n_keys - (double)last->n_keys) / (double)last->n_keys
                    : j->n_keys ? 100.0
                                : 0.0;
    finding_figure(finding, change);
    finding_limit(finding, max > 0 ? max : -1);
    if (max <= 0)
        finding_judge(finding, true, "row change: %+.1f %% since version %" PRIu64 " (no limit)",
                      change, last->version);
    else
        finding_judge(finding, fabs(change) <= max,
                      "row change: %+.1f %% since version %" PRIu64 " with %" PRIu64
                      " rows (limit %g %%)",
                      change, last->version, last->n_keys, max);
    return 0;
}

/* "limit 5 %", or that there is none. */
static const char *percent_text(double max, char out[32])
{
    if (max < 0)
        return "no limit";
    snprintf(out, 32, "limit %g %%", max);
    return out;
}

static double share_pct(uint64_t part, uint64_t whole)
{
    return whole ? 100.0 * (double)part / (double)whole : 0;
}

/* A share of something; sets figure and limit, and tells whether it passes. */
static bool share_judge(struct validate_finding *finding, double pct, double max)
{
    finding_figure(finding, pct);
    finding_limit(finding, max);
    return max < 0 || pct <= max;
}

/* Builds by older programs do not tell what they read. */
static bool knows_rows(const struct judging *j)
{
    return j->figures && (j->figures->rows || !(j->figures->keys + j->figures->tombstones));
}

static int judge_duplicates(const struct judging *j, struct validate_finding *finding,
                            struct err *err)
{
    uint64_t n_double = j->walk ? j->walk->n_double : 0;
    double max = j->limits->max_duplicates_pct;
    char limit[32];
    if (!knows_rows(j)) {
        finding_judge(finding, !n_double,
                      "duplicate keys: %" PRIu64
                      " stored twice (limit 0); how many rows were dropped is not known",
                      n_double);
        return 0;
    }
    const struct build_figures *figures = j->figures;
    double pct = share_pct(figures->duplicates, figures->rows);
    bool passes = share_judge(finding, pct, max);
    finding_judge(finding, passes && !n_double,
                  "duplicate keys: %" PRIu64 " stored twice (limit 0); %" PRIu64 " of %" PRIu64
                  " rows dropped, %.2f %% (%s)",
                  n_double, figures->duplicates, figures->rows, pct, percent_text(max, limit));
    return 0;
}

static int judge_not_finite(const struct judging *j, struct validate_finding *finding,
                            struct err *err)
{
    const struct build_figures *figures = j->figures;
    uint64_t max = j->limits->max_not_finite;
    double max_pct = j->limits->max_not_finite_pct;
    if (j->input->desc->schema.elem == ELEM_NONE) {
        finding_skip(finding, "NaN or Inf: values are not vectors");
        return 0;
    }
    if (!figures) {
        finding_skip(finding, "NaN or Inf: the build has no figures");
        return 0;
    }
    uint64_t n = figures->not_finite;
    double pct = share_pct(n, figures->keys);
    finding_figure(finding, (double)n);
    finding_limit(finding, (double)max);
    if (max_pct < 0)
        finding_judge(finding, n <= max,
                      "NaN or Inf: %" PRIu64 " vectors (limit %" PRIu64 "), %.2f %%", n, max, pct);
    else
        finding_judge(finding, n <= max || pct <= max_pct,
                      "NaN or Inf: %" PRIu64 " vectors, %.2f %% (limit %" PRIu64 " or %g %%)", n,
                      pct, max, max_pct);
    return 0;
}

static int judge_empty_values(const struct judging *j, struct validate_finding *finding,
                              struct err *err)
{
    const struct build_figures *figures = j->figures;
    double max = j->limits->max_empty_pct;
    char limit[32];
    if (!figures) {
        finding_skip(finding, "empty values: the build has no figures");
        return 0;
    }
    double pct = share_pct(figures->empty_values, figures->keys);
    bool passes = share_judge(finding, pct, max);
    finding_judge(finding, passes, "empty values: %" PRIu64 " of %" PRIu64 ", %.2f %% (%s)",
                  figures->empty_values, figures->keys, pct, percent_text(max, limit));
    return 0;
}

static int judge_bad_rows(const struct judging *j, struct validate_finding *finding,
                          struct err *err)
{
    const struct build_figures *figures = j->figures;
    double max = j->limits->max_bad_rows_pct;
    char limit[32];
    if (!knows_rows(j)) {
        finding_skip(finding, "bad rows: the build does not tell");
        return 0;
    }
    double pct = share_pct(figures->bad_rows, figures->rows);
    bool passes = share_judge(finding, pct, max);
    finding_judge(finding, passes, "bad rows: %" PRIu64 " of %" PRIu64 ", %.2f %% (%s)",
                  figures->bad_rows, figures->rows, pct, percent_text(max, limit));
    return 0;
}

static int judge_norm_drift(const struct judging *j, struct validate_finding *finding,
                            struct err *err)
{
    return validate_drift(j->store, j->input, j->figures, j->last, j->limits, finding, err);
}

static int judge_schema_change(const struct judging *j, struct validate_finding *finding,
                               struct err *err)
{
    const struct version_entry *last = j->last;
    const struct schema *schema = &j->input->desc->schema;
    bool is_allowed = j->limits->allow_schema_change;
    char dir[LAYOUT_PATH_MAX], was[VALUE_TEXT_MAX], is[VALUE_TEXT_MAX];
    struct version_desc desc = {0};
    if (!last) {
        finding_skip(finding, "schema: no version to compare with");
        return 0;
    }
    layout_version_dir(j->input->table, last->version, dir);
    int rc = version_desc_read(j->store, dir, &last->digest, &desc, err);
    if (rc)
        return err_wrap(err, rc, "comparing schemas with version %" PRIu64, last->version);
    bool same = desc.schema.kind == schema->kind && desc.schema.key_type == schema->key_type &&
                desc.schema.elem == schema->elem && desc.schema.dim == schema->dim &&
                desc.schema.value_len == schema->value_len;
    schema_value_text(&desc.schema, was);
    schema_value_text(schema, is);
    if (same)
        finding_judge(finding, true, "schema: %s -> %s, as in version %" PRIu64,
                      key_type_name(schema->key_type), is, last->version);
    else
        finding_judge(finding, is_allowed,
                      "schema: %s %s -> %s, but %s %s -> %s in version %" PRIu64 " (%s)",
                      table_kind_name(schema->kind), key_type_name(schema->key_type), is,
                      table_kind_name(desc.schema.kind), key_type_name(desc.schema.key_type), was,
                      last->version, is_allowed ? "allowed" : "a change is not allowed");
    version_desc_release(&desc);
    return 0;
}

static const struct validator {
    const char *name;
    int (*judge)(const struct judging *j, struct validate_finding *finding, struct err *err);
} validators[] = {
    {"read_back", judge_read_back},         {"rows_min", judge_rows_min},
    {"rows_change", judge_rows_change},     {"duplicates", judge_duplicates},
    {"not_finite", judge_not_finite},       {"empty_values", judge_empty_values},
    {"bad_rows", judge_bad_rows},           {"norm_drift", judge_norm_drift},
    {"schema_change", judge_schema_change},
};

enum { N_VALIDATORS = sizeof validators / sizeof *validators };
_Static_assert(N_VALIDATORS + VALIDATE_COMMANDS_MAX == VALIDATE_FINDINGS_MAX,
               "a report has room for every validator");

/* ---- all of them ---- */

/* What a build is compared with: the version now current, else the newest. */
static const struct version_entry *last_version(const struct table_state *table)
{
    if (!table)
        return NULL;
    return table_state_find(table, table->current ? table->current : table_state_newest(table));
}

/* Figures are believed when they count what version.json counts. */
static int figures_check(const struct validate_input *input, struct err *err)
{
    const struct version_desc *desc = input->desc;
    const struct build_figures *figures = input->figures;
    uint64_t n_keys = 0;
    for (size_t i = desc->n_parts - desc->schema.n_shards; i < desc->n_parts; i++)
        n_keys += desc->parts[i].n_keys;
    if (figures->keys == n_keys && figures->tombstones == desc->n_entries - n_keys &&
        figures->has_vectors == (desc->schema.elem != ELEM_NONE))
        return 0;
    return err_set(err, -EBADMSG,
                   "%s: expected figures of %" PRIu64 " keys and %" PRIu64
                   " tombstones as in version.json, found %" PRIu64 " and %" PRIu64,
                   input->dir, n_keys, desc->n_entries - n_keys, figures->keys,
                   figures->tombstones);
}

/* Counts anew what was written; what was read only the build itself knows. */
static int walk_build(const struct validate_input *input, struct validate_walk *walk,
                      struct err *err)
{
    int rc = validate_walk_run(input->build, walk, err);
    if (rc || !input->figures)
        return rc;
    walk->figures.rows = input->figures->rows;
    walk->figures.bad_rows = input->figures->bad_rows;
    walk->figures.duplicates = input->figures->duplicates;
    return 0;
}

static int judge_all(const struct judging *j, struct validate_report *report, struct err *err)
{
    int rc = 0;
    report->passed = true;
    for (size_t i = 0; !rc && i < N_VALIDATORS; i++) {
        struct validate_finding *finding = &report->findings[report->n_findings++];
        snprintf(finding->name, sizeof finding->name, "%s", validators[i].name);
        rc = validators[i].judge(j, finding, err);
        report->passed = report->passed && finding->verdict != VALIDATE_FAILED;
    }
    struct validate_finding *commands = &report->findings[report->n_findings];
    if (!rc)
        rc = validate_commands(j->store, j->input, j->figures, j->limits, report->passed, commands,
                               err);
    for (size_t i = 0; !rc && i < j->limits->n_commands; i++) {
        snprintf(commands[i].name, sizeof commands[i].name, "command");
        report->passed = report->passed && commands[i].verdict != VALIDATE_FAILED;
        report->n_findings++;
    }
    return rc;
}

int validate_run(struct store *store, const struct validate_input *input,
                 const struct validate_limits *limits, struct validate_report *report,
                 struct err *err)
{
    scope_free struct validate_walk *walk = calloc(1, sizeof *walk);
    scope_free struct validate_report *made = calloc(1, sizeof *made);
    struct judging j = {.store = store,
                        .input = input,
                        .limits = limits,
                        .figures = input->figures,
                        .last = last_version(input->state),
                        .n_keys = input->desc->n_keys};
    if (!walk || !made)
        return err_sys(err, -ENOMEM, "validating");
    int rc = input->figures ? figures_check(input, err) : 0;
    if (!rc && !input->is_read_back) {
        rc = walk_build(input, walk, err);
        j.walk = walk;
        j.figures = &walk->figures;
        j.n_keys = walk->n_live;
    }
    if (!rc)
        rc = judge_all(&j, made, err);
    if (rc)
        return rc;
    made->has_figures = j.figures != NULL;
    if (j.figures)
        made->figures = *j.figures;
    *report = *made;
    return 0;
}
