/* SPDX-License-Identifier: Apache-2.0 */
/*
 * idx_writer: turns one shard's entries, sorted by key, into an `idx` part.
 *
 * Entries come in ascending order of key (u64 by value, bytes by memcmp(), a prefix first), with
 * their placement hash, of which the shard is checked. Values are given as they shall be stored,
 * as to blk_writer. The writer appends to a sink strictly front to back and needs memory for one
 * block and for all keys as they will stand in the part: for random u64 keys 46.4 bits less the
 * logarithm (to base 2) of their millions, for bytes keys what front coding leaves; and for the filter,
 * which only bytes keys may have, 8 bytes a key until it is made. The bytes depend on the entries and
 * the parameters only; n_bytes plays no role, nor do n_entries and has_filter for u64 keys.
 *
 * Threads: one at a time. Errors: as blk_writer's; -E2BIG only for more than 2^32 pages.
 */
#ifndef FKV_FORMAT_IDX_WRITER_H
#define FKV_FORMAT_IDX_WRITER_H

#include "format/paged_writer.h"

struct idx_writer;

int idx_writer_new(const struct paged_params *params, struct part_sink sink,
                   struct idx_writer **out, struct err *err);
int idx_writer_add(struct idx_writer *writer, const struct part_entry *entry, struct err *err);
/* Writes what is left, the tail and the footer. *info may be NULL. */
int idx_writer_finish(struct idx_writer *writer, struct paged_info *info, struct err *err);
void idx_writer_free(struct idx_writer *writer);

#endif
