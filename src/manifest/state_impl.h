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

/* One operation, checked by op_check(), onto a staged table (state_op.c). `previous` and canary pins are not kept up. */
int table_state_apply(struct table_state *table, const struct op *op, int64_t time_ns,
                      struct err *err);

/* Removes the canary pins that are over at the time of a record (state_pin.c). */
void table_state_end_canaries(struct table_state *table, int64_t time_ns);
/* The operations on pins (state_pin.c). */
int table_state_pin(struct table_state *table, const struct op *op, struct err *err);
int table_state_unpin(struct table_state *table, const struct op *op);

/* Room for one more entry: `*entries` is a malloc'd array of n. -ENOMEM. */
int array_grow(void *entries, size_t n, size_t size, struct err *err);
/* The version, which must not be gone: -ENOENT, -EPERM. */
int find_living(const struct table_state *table, uint64_t version, struct version_entry **out,
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
