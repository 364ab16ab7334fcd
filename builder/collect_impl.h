/* SPDX-License-Identifier: Apache-2.0 */
/*
 * collect_impl: what the two halves of gc share: collect.c goes by the manifest, collect_sweep.c by age.
 *
 * Threads, memory, errors: as in collect.h.
 */
#ifndef FKV_BUILDER_COLLECT_IMPL_H
#define FKV_BUILDER_COLLECT_IMPL_H

#include "builder/collect.h"
#include "builder/layout.h"

struct collecting {
    struct store *store;
    struct manifest *manifest;
    const struct collect_options *options;
    struct collect_result *result;
    int64_t now_ns; /* by the store's clock, as file times and heartbeats */
    bool is_guess;  /* what nodes use is not known of all of them: nothing is forgotten */
};

/* Passes one line on; a dry run says "would …" itself through collect_verb(). */
void collect_say(const struct collecting *c, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* "remove" or, in a dry run, "would remove". */
const char *collect_verb(const struct collecting *c);

/* Heartbeats of nodes that are gone for good. */
int collect_nodes(struct collecting *c, const struct heartbeat_list *nodes, struct err *err);
/* Orphans, builds and temporary files of every table, and temporary files beside them. */
int collect_sweep(struct collecting *c, struct err *err);
/* Tasks that nobody touched for long. */
int collect_tasks(struct collecting *c, struct err *err);

/* Was nothing at path, in it, or one level below touched for so long? False when it is gone. */
bool collect_is_stale(const struct collecting *c, const char *path, int64_t age_ns);
/* Is a directory of staging/, by its name, that of a task which can go on? */
bool collect_is_wanted(const struct collecting *c, const char *dir_name);

#endif
