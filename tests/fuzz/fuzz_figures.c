/* SPDX-License-Identifier: Apache-2.0 */
/* figures.json from any bytes: what decodes holds together, can be encoded, and decodes to the same again. */
#include "builder/figures_json.h"
#include "sealed.h"

#include <math.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct build_figures figures, again, sum;
    struct buf text = {0};
    struct err err = {0};
    memset(&figures, 0, sizeof figures);
    int ret = figures_parse(data, len, "figures.json", &figures, &err);
    if (ret) {
        expect(err.code == ret && err.text[0]);
        return 0;
    }
    expect(figures_text(&figures, &text, NULL) == 0 && text.len <= FIGURES_JSON_MAX);
    expect(figures_parse(text.data, text.len, "again", &again, NULL) == 0);
    expect(memcmp(&figures, &again, sizeof figures) == 0);
    buf_release(&text);
    /* What is done with them stays within reason. */
    const struct norm_figures *norm = &figures.norm;
    for (double share = 0; share <= 1; share += 0.25) {
        double quantile = norm_quantile(norm, share);
        expect(!norm->count || (quantile >= norm->min && quantile <= norm->max));
    }
    expect(norm_distance(norm, &again.norm) == 0);
    sum = figures;
    figures_merge(&sum, &again);
    expect(sum.keys <= FIGURES_MAX && sum.norm.count <= FIGURES_MAX);
    double distance = norm_distance(norm, &sum.norm);
    expect(distance >= 0 && distance <= 1);
    expect(!isnan(norm_deviation(norm)));
    return 0;
}
