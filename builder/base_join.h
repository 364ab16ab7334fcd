/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base_join: one shard's rows beside the same shard of the base, both in order: what the delta needs to hold.
 *
 *   in both, the same value                    left out
 *   in both, a vector within min_distance      left out
 *   in both, another value                     the row
 *   in the rows only                           the row
 *   in the base only                           a tombstone, when the rows are the whole table
 *
 * Values are compared as they are stored before compression, so f16 rows that round to the same vector are the same.
 *
 * Threads: one at a time. Memory: that of the stream, and of a distance. Errors: of the stream and of emit.
 */
#ifndef FKV_BUILDER_BASE_JOIN_H
#define FKV_BUILDER_BASE_JOIN_H

#include "builder/distance.h"
#include "builder/join_totals.h"
#include "builder/shard_stream.h"

struct base_join_params {
    const struct schema *schema;
    struct shard_stream *base; /* borrowed */
    bool is_whole;             /* the rows are all of the table */
    double min_distance;       /* 0: none */
    int (*emit)(void *context, const struct part_entry *entry, struct err *err);
    void *context;
};

struct base_join {
    struct base_join_params params;
    struct distance distance;
    struct part_entry next; /* of the base */
    int has_next;           /* 1, or 0 at its end */
    struct join_totals totals;
};

int base_join_init(struct base_join *join, const struct base_join_params *params, struct err *err);
void base_join_release(struct base_join *join);

/* A row, above the one before it in the order of the kind. */
int base_join_add(struct base_join *join, const struct part_entry *row, struct err *err);
/* After the last row. */
int base_join_finish(struct base_join *join, struct err *err);

#endif
