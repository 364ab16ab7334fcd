/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shard_stream: the live entries of one shard of a version, all its levels folded: each key once, the newest level wins, tombstones
 * leave keys out. They come in the order that the kind of the table is written in (any_order.h), so the stream can be merged with
 * rows sorted for a build, and written as a part.
 *
 * The levels are read whole and compared with their digests first; then they are merged by a heap of their next keys, which costs
 * two comparisons a level halved. What is not as it must be (an order, a hash, a shard) ends the stream.
 *
 * Threads: one at a time. Memory: `memory` for what sorts and for parts kept in memory, of which the longest that do not fit lie in
 * unnamed files below scratch_dir, mapped; shard_stream_memory_min() beside it.
 * Errors: -EBADMSG with the part's name, store errors, -ENOMEM.
 */
#ifndef FKV_BUILDER_SHARD_STREAM_H
#define FKV_BUILDER_SHARD_STREAM_H

#include "builder/part_file.h"

struct shard_stream;

struct shard_stream_params {
    struct store *store;
    const char *dir;                 /* of the version; borrowed */
    const struct version_desc *desc; /* borrowed */
    uint32_t shard;
    uint64_t memory;
    const char *scratch_dir;
};

int shard_stream_open(const struct shard_stream_params *params, struct shard_stream **out,
                      struct err *err);
void shard_stream_close(struct shard_stream *stream);

/* 1 with the next live key, which lives until the next call, 0 at the end. Its value is as stored until shard_stream_value(). */
int shard_stream_next(struct shard_stream *stream, struct part_entry *entry, struct err *err);
/* Makes the value of the entry that shard_stream_next() gave the one that went in; it lives as long as the entry. */
int shard_stream_value(struct shard_stream *stream, struct part_entry *entry, struct err *err);

/* The part of a level, for what it says of itself. */
const struct any_part *shard_stream_part(const struct shard_stream *stream, uint32_t level);

/* What a stream of so many levels takes at least, values of value_max bytes included. */
uint64_t shard_stream_memory_min(uint32_t n_levels, uint64_t value_max);

#endif
