/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shard_copy: one shard of a chain written again as the part of a full version, its content added up on the way. A step by itself:
 * shards know nothing of each other.
 *
 * Threads: one at a time. Memory: the stream's, and a shard_writer. Errors: those of both; nothing is left when it fails.
 */
#ifndef FKV_BUILDER_SHARD_COPY_H
#define FKV_BUILDER_SHARD_COPY_H

#include "builder/content_digest.h"
#include "builder/meter.h"
#include "builder/shard_stream.h"
#include "builder/shard_writer.h"

struct shard_copy_params {
    struct shard_stream_params from; /* and which shard */
    const struct level_params *to;   /* level 0 */
    const char *dir;                 /* staging */
    double bytes_an_entry;           /* for the meter */
};

/* *part is released with its version_desc; *info says what was written, *content what was read. */
int shard_copy(const struct shard_copy_params *params, struct meter *meter, struct part_desc *part,
               struct shard_info *info, struct content_digest *content, struct err *err);

#endif
