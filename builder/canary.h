/* SPDX-License-Identifier: Apache-2.0 */
/*
 * canary: may a version of a table be tried out on some nodes?
 *
 * Threads: pure functions. Memory: none. Errors: -EPERM says what is in the way, and what to do.
 */
#ifndef FKV_BUILDER_CANARY_H
#define FKV_BUILDER_CANARY_H

#include "manifest/state.h"

/* May a new version of the table be pinned for canary under these names ("n1", "label:x")? table may be NULL: a new one. */
int canary_check(const struct table_state *table, const char *const *names, size_t n_names,
                 struct err *err);

#endif
