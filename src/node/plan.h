/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plan: what should be on this machine, and what should be served: a pure decision.
 *
 * From what the manifest says of a table, what this machine has, its pins and the time follows, for
 * every version: should it be in memory, on disk, or gone; how much does it matter; and which one
 * should answer.
 *
 * Threads: pure functions. Memory: plan_release(). Errors: -ENOMEM.
 */
#ifndef FKV_NODE_PLAN_H
#define FKV_NODE_PLAN_H

#include "manifest/state.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PLAN_CANDIDATES_MAX = 2 };

enum keep_place {
    PLACE_GONE,   /* may be removed from disk */
    PLACE_CACHED, /* may stay on disk; not in memory */
    PLACE_LOADED, /* in memory (and so on disk) */
};

/* Why a version should be in memory; the smaller the more it matters. Memory is taken from larger
 * ranks for smaller ones. */
enum rank {
    RANK_SERVE,     /* should answer now */
    RANK_NEXT,      /* will answer at a known time */
    RANK_CANDIDATE, /* the newest published one, being prepared */
    RANK_STANDBY,   /* an older candidate, or what a rollback or an unpin would return to */
    RANK_NONE,
};

struct plan_have {
    uint64_t id;
    bool is_cached;
    bool is_loaded;
};

struct plan_input {
    const struct table_state *fleet; /* what the manifest says; NULL: not known */
    const char *node;
    const char *const *labels;
    size_t n_labels;
    int64_t now_ns;     /* by the store's clock */
    uint64_t local_pin; /* 0: none */
    uint64_t serving;   /* 0: none */
    uint64_t previous;  /* what was served before; 0: none */
    uint32_t keep_cached;
    const struct plan_have *have; /* ascending by id */
    size_t n_have;
};

struct plan_item {
    uint64_t id;
    enum keep_place place;
    enum rank rank;
};

struct plan {
    uint64_t wanted;   /* should answer; 0: nothing known */
    uint64_t unpinned; /* as wanted, were there no local pin */
    uint64_t previous; /* what the link of that name should say once wanted answers; 0: none */
    uint64_t next;     /* `unpinned` from next_ns on */
    int64_t next_ns;   /* when the plan changes by itself; 0: never */
    struct plan_item *items; /* ascending by id: all of have, and what is to be fetched */
    size_t n_items;
};

int plan_make(const struct plan_input *input, struct plan *out);
void plan_release(struct plan *plan);

#endif
