/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blk_writer: turns one shard's sorted entries into a `blk` part.
 *
 * Entries come in ascending order of hash (entries of equal hash, possible for bytes keys only, in
 * ascending key order), as a `mem` part's do. Values are given as they shall be stored: whoever
 * builds compresses them (codec/zstd_value.h) and passes the dictionary. The writer appends to a sink
 * strictly front to back and needs memory for one block and one partition of the filter, 2.2 bytes
 * a page and, with a filter, 1.2 bytes a key. The bytes depend on the entries and the parameters
 * only.
 *
 * Threads: one at a time. Errors: -EINVAL for entries out of order or of a wrong size, -EEXIST
 * for a key given twice, -E2BIG when keys are so skewed that a block would have more than
 * BLOCK_PAGES_MAX pages (another hash seed helps), -ENOMEM, and whatever the sink returns.
 */
#ifndef FKV_FORMAT_BLK_WRITER_H
#define FKV_FORMAT_BLK_WRITER_H

#include "format/paged_writer.h"

struct blk_writer;

int blk_writer_new(const struct paged_params *params, struct part_sink sink,
                   struct blk_writer **out, struct err *err);

/* Adds an entry, as part_writer_add() does. */
int blk_writer_add(struct blk_writer *writer, const struct part_entry *entry, struct err *err);

/* Writes what is left, the tail and the footer. *info may be NULL. */
int blk_writer_finish(struct blk_writer *writer, struct paged_info *info, struct err *err);
void blk_writer_free(struct blk_writer *writer);

#endif
