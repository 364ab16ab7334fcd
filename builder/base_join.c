/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/base_join.h"

#include "format/any_order.h"

#include <errno.h>
#include <string.h>

static int base_next(struct base_join *join, struct err *err)
{
    int got = shard_stream_next(join->params.base, &join->next, err);
    if (got < 0)
        return got;
    join->has_next = got;
    return 0;
}

int base_join_init(struct base_join *join, const struct base_join_params *params, struct err *err)
{
    *join = (struct base_join){.params = *params};
    if (params->min_distance > 0) {
        int ret = distance_init(&join->distance, params->schema);
        if (ret)
            return err_sys(err, ret, "comparing vectors of %u elements", params->schema->dim);
    }
    return base_next(join, err);
}

void base_join_release(struct base_join *join)
{
    distance_release(&join->distance);
}

static int emit(struct base_join *join, const struct part_entry *entry, uint64_t *count,
                struct err *err)
{
    ++*count;
    return join->params.emit(join->params.context, entry, err);
}

/* A key that the rows do not have. */
static int base_only(struct base_join *join, struct err *err)
{
    struct part_entry gone = join->next;
    gone.tombstone = true;
    gone.value = NULL;
    gone.value_len = 0;
    int ret = join->params.is_whole ? emit(join, &gone, &join->totals.n_removed, err) : 0;
    return ret ? ret : base_next(join, err);
}

/* A row with a value whose key the base has too. */
static int in_both(struct base_join *join, const struct part_entry *row, struct err *err)
{
    struct part_entry *was = &join->next;
    int ret = shard_stream_value(join->params.base, was, err);
    if (ret)
        return ret;
    bool is_same_len = was->value_len == row->value_len;
    if (is_same_len && (!row->value_len || memcmp(was->value, row->value, row->value_len) == 0)) {
        join->totals.n_unchanged++;
        return 0;
    }
    if (join->distance.rows && is_same_len &&
        distance_is_within(&join->distance, was->value, row->value, join->params.min_distance)) {
        join->totals.n_within++;
        return 0;
    }
    return emit(join, row, &join->totals.n_changed, err);
}

int base_join_add(struct base_join *join, const struct part_entry *row, struct err *err)
{
    enum table_kind kind = join->params.schema->kind;
    int order = 1;
    while (join->has_next && (order = any_order_compare(kind, &join->next, row)) < 0) {
        int ret = base_only(join, err);
        if (ret)
            return ret;
    }
    bool has = join->has_next && order == 0;
    int ret = 0;
    if (row->tombstone)
        ret = emit(join, row, &join->totals.n_removed, err);
    else if (has)
        ret = in_both(join, row, err);
    else
        ret = emit(join, row, &join->totals.n_added, err);
    return ret || !has ? ret : base_next(join, err);
}

int base_join_finish(struct base_join *join, struct err *err)
{
    while (join->params.is_whole && join->has_next) {
        int ret = base_only(join, err);
        if (ret)
            return ret;
    }
    return 0;
}
