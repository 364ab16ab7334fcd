/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/join_totals.h"

json_t *join_totals_encode(const struct join_totals *totals)
{
    json_t *out = json_object();
    if (out && (json_put_u64(out, "unchanged", totals->n_unchanged) ||
                json_put_u64(out, "within_distance", totals->n_within) ||
                json_put_u64(out, "changed", totals->n_changed) ||
                json_put_u64(out, "added", totals->n_added) ||
                json_put_u64(out, "removed", totals->n_removed))) {
        json_decref(out);
        return NULL;
    }
    return out;
}

int join_totals_decode(struct json_at at, struct join_totals *out, struct err *err)
{
    struct join_totals totals = {0};
    int ret = 0;
    if ((ret = json_get_u64(at, "unchanged", INT64_MAX, &totals.n_unchanged, err)) ||
        (ret = json_get_u64(at, "within_distance", INT64_MAX, &totals.n_within, err)) ||
        (ret = json_get_u64(at, "changed", INT64_MAX, &totals.n_changed, err)) ||
        (ret = json_get_u64(at, "added", INT64_MAX, &totals.n_added, err)) ||
        (ret = json_get_u64(at, "removed", INT64_MAX, &totals.n_removed, err)))
        return ret;
    *out = totals;
    return 0;
}
