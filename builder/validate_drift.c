/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/validate_drift.h"

#include "base/scope.h"
#include "builder/figures_json.h"
#include "builder/layout.h"
#include "builder/validate_impl.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* Of a version and all that it lies on. -ENOENT when one of them has none; *at is the version that was come to. */
static int chain_figures(struct store *store, const struct table_state *table,
                         const struct version_entry *version, struct build_figures *sum,
                         uint64_t *at, struct err *err)
{
    scope_free struct build_figures *one = calloc(1, sizeof *one);
    if (!one)
        return err_sys(err, -ENOMEM, "comparing norms");
    for (int level = 0; version && level < LEVELS_MAX; level++) {
        char dir[LAYOUT_PATH_MAX];
        *at = version->version;
        layout_version_dir(table->name, version->version, dir);
        int rc = figures_read(store, dir, one, err);
        if (rc)
            return rc;
        figures_merge(sum, one);
        if (!version->base)
            return 0;
        version = table_state_find(table, version->base);
    }
    return err_set(err, -ENOENT, "the version that it lies on is not known any more");
}

static void judge(const struct norm_figures *is, const struct norm_figures *was, uint64_t version,
                  double max, struct validate_finding *finding)
{
    if (is->count < VALIDATE_NORMS_MIN || was->count < VALIDATE_NORMS_MIN) {
        finding_skip(finding,
                     "norm drift: %" PRIu64 " and, in version %" PRIu64 ", %" PRIu64
                     " vectors are too few to compare (at least %d)",
                     is->count, version, was->count, VALIDATE_NORMS_MIN);
        return;
    }
    double distance = norm_distance(is, was);
    char limit[32] = "no limit";
    finding_figure(finding, distance);
    finding_limit(finding, max);
    if (max >= 0)
        snprintf(limit, sizeof limit, "limit %g", max);
    finding_judge(finding, max < 0 || distance <= max,
                  "norm drift: %.4f since version %" PRIu64
                  " (%s); median %.4g, was %.4g; mean %.4g, was %.4g",
                  distance, version, limit, norm_quantile(is, 0.5), norm_quantile(was, 0.5),
                  is->mean, was->mean);
}

int validate_drift(struct store *store, const struct validate_input *input,
                   const struct build_figures *figures, const struct version_entry *last,
                   const struct validate_limits *limits, struct validate_finding *finding,
                   struct err *err)
{
    if (input->desc->schema.elem == ELEM_NONE)
        return finding_skip(finding, "norm drift: values are not vectors"), 0;
    if (!figures)
        return finding_skip(finding, "norm drift: the build has no figures"), 0;
    if (!last)
        return finding_skip(finding, "norm drift: no version to compare with"), 0;
    struct err why = {0};
    uint64_t at = last->version;
    scope_free struct build_figures *was = calloc(1, sizeof *was);
    if (!was)
        return err_sys(err, -ENOMEM, "comparing norms");
    int rc = chain_figures(store, input->state, last, was, &at, &why);
    bool is_damaged = rc == -EBADMSG || rc == -ENOTSUP;
    if (rc == -ENOENT || (is_damaged && limits->max_norm_drift < 0))
        return finding_skip(finding, "norm drift: version %" PRIu64 " has no figures%s", at,
                            is_damaged ? " that can be read" : ""),
               0;
    if (rc)
        return err_set(err, rc, "comparing norms with version %" PRIu64 ": %s", last->version,
                       err_text(&why, rc));
    if (!was->has_vectors)
        return finding_skip(finding, "norm drift: version %" PRIu64 " has no vectors",
                            last->version),
               0;
    judge(&figures->norm, &was->norm, last->version, limits->max_norm_drift, finding);
    return 0;
}
