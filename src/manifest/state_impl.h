/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state_impl: what the state_*.c files share.
 *
 * Threads: as state.h. Memory: as state.h. Errors: -ENOMEM from the copy.
 */
#ifndef FKV_MANIFEST_STATE_IMPL_H
#define FKV_MANIFEST_STATE_IMPL_H

#include "manifest/state.h"

void table_state_release(struct table_state *table);
/* The copy's arrays have room for one entry more than they hold. */
int table_state_copy(const struct table_state *table, struct table_state *out);

/* One operation, checked by op_check(), onto a staged table (state_op.c). `previous` is not kept up. */
int table_state_apply(struct table_state *table, const struct op *op, int64_t time_ns,
                      struct err *err);

/* Retired or forgotten: it can never be served again. */
bool version_is_gone(const struct version_entry *version);
/* Pinned or tagged. */
bool table_state_is_held(const struct table_state *table, uint64_t version);
/* What `previous` must be: the good former version that was current last; 0: none. */
uint64_t table_state_pick_previous(const struct table_state *table);

const struct pin_entry *table_state_find_pin(const struct table_state *table, const char *name);
const struct tag_entry *table_state_find_tag(const struct table_state *table, const char *name);

/* -EBADMSG when a table breaks an invariant of the fold (state_audit.c). */
int state_audit(const struct state *state, struct err *err);

#endif
