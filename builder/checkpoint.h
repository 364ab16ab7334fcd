/* SPDX-License-Identifier: Apache-2.0 */
/*
 * checkpoint: a chain of deltas merged into a full version with the same content.
 *
 *   survey (how values are stored, a sample) -> write every shard from its shard_stream -> verify -> version.json
 *
 * Same schema, shards and hash seed; stored as the chain's oldest level is: compressed or not, with a filter or not, in blocks as
 * long. The content digest of what was read from the chain must be that of what was read back from the new parts, shard by shard,
 * or nothing is sealed. The parts depend on the chain alone, never on threads or memory; those of a `mem` table are the very bytes
 * that a full build of the same rows gives.
 *
 * A checkpoint lies on no base, so version.json says what it was made of (checkpoint_of), and publishing it is refused when the
 * table has moved on: it would undo the versions in between.
 *
 * Threads: checkpoint_run() makes its own; hooks are called from any of them. Memory: at most params->memory.
 * Errors: -ENOENT for a version that is not there, -ESTALE for one that is not the newest, -EBADMSG for a damaged chain or unequal
 * digests, -E2BIG when a shard cannot be written within the memory, -EEXIST, -ENOSPC, -ECANCELED, store errors.
 */
#ifndef FKV_BUILDER_CHECKPOINT_H
#define FKV_BUILDER_CHECKPOINT_H

#include "builder/build.h"

struct checkpoint_params {
    const char *table;
    uint64_t version;    /* 0: the newest that a delta may lie on; another one is refused */
    uint64_t memory;     /* bytes, at least JOB_MEMORY_MIN */
    uint32_t n_threads;  /* 0: one a CPU */
    const char *scratch; /* directory of unnamed files; NULL: $TMPDIR or /var/tmp */
    const char *task;    /* NULL: made from time and pid */
    const char *author;  /* NULL: user@host */
    int compress_level;  /* 1 to 19, where values are compressed; 0: ZSTD_VALUE_LEVEL */
};

/* result->is_full_already: the version has one level, and nothing was made. */
int checkpoint_run(struct store *store, const struct state *state,
                   const struct checkpoint_params *params, const struct build_hooks *hooks,
                   struct build_result *result, struct err *err);

#endif
