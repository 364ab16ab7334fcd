/* SPDX-License-Identifier: Apache-2.0 */
/*
 * version_content: the content digest of any version, read shard by shard as a checkpoint reads it.
 *
 * Threads: shards are tasks on the engine. Memory: n_at_once shard_streams. Errors: those of shard_stream; -EBADMSG when the live
 * keys are not as many as version.json says.
 */
#ifndef FKV_BUILDER_VERSION_CONTENT_H
#define FKV_BUILDER_VERSION_CONTENT_H

#include "builder/content_digest.h"
#include "builder/engine.h"
#include "builder/shard_stream.h"

/* stream: all but the shard; its memory is that of each task. */
int version_content_run(struct engine *engine, const struct shard_stream_params *stream,
                        uint32_t n_at_once, struct content_digest *out, struct err *err);

#endif
