/* SPDX-License-Identifier: Apache-2.0 */
/*
 * build: from a job to a sealed build under tables/<table>/staging/<task>/ on the store.
 *
 *   plan -> map (parse, hash, spill sorted runs) -> reduce per shard (merge, resolve duplicates, compress, write the part)
 *   -> seal (version.json, links to the base's parts) -> verify (read every part back, look every key up)
 *
 * The result depends on the inputs and the job's schema only, never on threads or memory.
 * A build that fails or is killed leaves nothing visible: its staging directory has no version.json until it
 * is sealed, and gc collects it.
 *
 * Threads: build_run() makes its own; progress and cancel are called from any of them.
 * Memory: at most job->memory (plus the program itself).
 * Errors: -EBADMSG for bad rows (file:line, what was expected and found), -EEXIST for duplicate keys (both places), -ESTALE for a base that
 * cannot carry a delta, -ENOSPC, -ECANCELED, …
 */
#ifndef FKV_BUILDER_BUILD_H
#define FKV_BUILDER_BUILD_H

#include "base/hash.h"
#include "builder/job.h"
#include "builder/join_totals.h"
#include "manifest/manifest.h"
#include "store/store.h"
#include <stdatomic.h>

enum build_stage { BUILD_MAP, BUILD_REDUCE, BUILD_SEAL, BUILD_VERIFY };

struct build_progress {
    enum build_stage stage;
    uint64_t rows;        /* rows parsed so far */
    uint64_t bytes_done;  /* of this stage */
    uint64_t bytes_total; /* of this stage; 0: unknown */
    double seconds;       /* since the build began */
};

struct build_hooks {
    void (*progress)(void *context, const struct build_progress *progress); /* may be NULL */
    void (*bad_row)(void *context, const char *place_and_reason);           /* may be NULL */
    const atomic_bool *cancel;                                              /* may be NULL */
    void *context;
};

struct build_result {
    char task[TASK_NAME_MAX + 1];
    uint64_t base;
    uint64_t checkpoint_of;           /* of a checkpoint */
    bool is_full_already;             /* and that version has one level: nothing was made */
    char content[DIGEST_HEX_LEN + 1]; /* of a checkpoint: content_digest_text() */
    uint64_t rows;
    uint64_t bad_rows;
    uint64_t duplicates; /* rows dropped by the policy */
    uint64_t n_keys;     /* live keys in what was written */
    uint64_t n_tombstones;
    uint64_t len;         /* bytes of the parts written */
    uint64_t input_bytes; /* after decompression */
    uint32_t n_shards;
    double seconds[4];       /* of each stage */
    bool was_compared;       /* with the base, row by row: */
    struct join_totals join; /* what became of them */
    /* Of tables on disk. */
    enum table_kind kind;
    bool was_sampled;   /* compression was tried on a sample; it would leave: */
    double ratio_tried; /* of the values' bytes, 1 for all */
    int level;          /* zstd's; 0: values are stored as they are */
    uint32_t dictionary_len;
    uint64_t values_len;        /* before compression */
    uint64_t values_stored_len; /* and after */
};

int build_run(struct store *store, const struct state *state, const struct job *job,
              const struct build_hooks *hooks, struct build_result *result, struct err *err);

#endif
