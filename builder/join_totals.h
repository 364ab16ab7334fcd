/* SPDX-License-Identifier: Apache-2.0 */
/*
 * join_totals: what became of the keys of rows that were compared with a delta's base (base_join.h). They add up over shards.
 *
 * Threads, Memory: plain data. Errors: NULL without memory; -EBADMSG for a document that is none.
 */
#ifndef FKV_BUILDER_JOIN_TOTALS_H
#define FKV_BUILDER_JOIN_TOTALS_H

#include "base/json.h"

struct join_totals {
    uint64_t n_unchanged; /* left out */
    uint64_t n_within;    /* left out: a vector that has not moved far */
    uint64_t n_changed;
    uint64_t n_added;
    uint64_t n_removed;
};

static inline void join_totals_add(struct join_totals *totals, const struct join_totals *more)
{
    totals->n_unchanged += more->n_unchanged;
    totals->n_within += more->n_within;
    totals->n_changed += more->n_changed;
    totals->n_added += more->n_added;
    totals->n_removed += more->n_removed;
}

/* {"unchanged": …, "within_distance": …, "changed": …, "added": …, "removed": …}; NULL without memory. */
json_t *join_totals_encode(const struct join_totals *totals);
int join_totals_decode(struct json_at at, struct join_totals *out, struct err *err);

#endif
