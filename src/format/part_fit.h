/* SPDX-License-Identifier: Apache-2.0 */
/*
 * part_fit: whether a part is the one that belongs at its place in a version. Parts are found by
 * name, so one of another table, another build or another shard may stand there in its stead.
 *
 * Threads: pure functions. Memory: none. Errors: -EBADMSG with the place and what is wrong.
 */
#ifndef FKV_FORMAT_PART_FIT_H
#define FKV_FORMAT_PART_FIT_H

#include "format/part.h"

/* That info is of a part of `shard` and `level` of a version of `schema`, for every kind: what the
 * kinds do not share (partitions of a level's `mem` parts) their tables check. */
int part_fit(const struct schema *schema, const struct part_info *info, uint32_t level,
             uint32_t shard, struct err *err);

#endif
