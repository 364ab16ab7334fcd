/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/cli/validation_show.h"

#include "base/scope.h"
#include "builder/cli/release_report.h"
#include "builder/cli/text.h"
#include "builder/validation.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct counts {
    size_t by_verdict[VALIDATE_FAILED + 1];
};

static struct counts count(const struct validate_report *report)
{
    struct counts counts = {0};
    for (size_t i = 0; i < report->n_findings; i++)
        counts.by_verdict[report->findings[i].verdict]++;
    return counts;
}

static void counts_text(const struct counts *counts, char out[VALIDATION_WORD_MAX])
{
    size_t n_failed = counts->by_verdict[VALIDATE_FAILED];
    size_t n_skipped = counts->by_verdict[VALIDATE_SKIPPED];
    size_t len =
        (size_t)snprintf(out, VALIDATION_WORD_MAX, "%zu ok", counts->by_verdict[VALIDATE_PASSED]);
    if (n_skipped)
        len += (size_t)snprintf(out + len, VALIDATION_WORD_MAX - len, ", %zu skipped", n_skipped);
    if (n_failed)
        snprintf(out + len, VALIDATION_WORD_MAX - len, ", %zu FAILED", n_failed);
}

/* NULL without one; *rc says why. */
static struct validation *read_one(struct store *store, const char *dir, int *rc, struct err *err)
{
    scope_free struct validation *one = calloc(1, sizeof *one);
    *rc = one ? validation_read(store, dir, one, err) : -ENOMEM;
    return *rc ? NULL : scope_take(one);
}

void validation_word(struct store *store, const char *dir, char out[VALIDATION_WORD_MAX])
{
    int rc = 0;
    scope_free struct validation *one = read_one(store, dir, &rc, NULL);
    if (!one) {
        snprintf(out, VALIDATION_WORD_MAX, "%s", rc == -ENOENT ? "-" : "unreadable");
        return;
    }
    struct counts counts = count(&one->report);
    counts_text(&counts, out);
}

static void print_norms(const struct norm_figures *norm)
{
    if (!norm->count)
        return;
    printf("  norms       mean %.4g, deviation %.3g, from %.4g to %.4g; 1, 50, 99 %% are not above "
           "%.4g, %.4g, %.4g\n",
           norm->mean, norm_deviation(norm), norm->min, norm->max, norm_quantile(norm, 0.01),
           norm_quantile(norm, 0.5), norm_quantile(norm, 0.99));
}

void validation_print(struct store *store, const char *dir)
{
    int rc = 0;
    struct err err = {0};
    char time[TEXT_MAX];
    scope_free struct validation *one = read_one(store, dir, &rc, &err);
    if (!one && rc == -ENOENT)
        printf("\nvalidators: nothing is kept of them\n");
    else if (!one)
        printf("\nvalidators: %s\n", err_text(&err, rc));
    if (!one)
        return;
    text_time(one->time_ns, time);
    printf("\nvalidators, %s by %s: %s\n", time, one->author,
           one->report.passed ? "passed" : "REFUSED");
    report_print(&one->report);
    if (one->report.has_figures)
        print_norms(&one->report.figures.norm);
}

json_t *validation_json(struct store *store, const char *dir)
{
    int rc = 0;
    scope_free struct validation *one = read_one(store, dir, &rc, NULL);
    return one ? validation_encode(one) : json_null();
}

json_t *validation_counts_json(struct store *store, const char *dir)
{
    int rc = 0;
    scope_free struct validation *one = read_one(store, dir, &rc, NULL);
    if (!one)
        return json_null();
    struct counts counts = count(&one->report);
    json_t *out = json_object();
    for (int i = VALIDATE_PASSED; i <= VALIDATE_FAILED; i++)
        json_put_u64(out, validate_verdict_name((enum validate_verdict)i), counts.by_verdict[i]);
    return out;
}
