/* SPDX-License-Identifier: Apache-2.0 */
/*
 * map: the first stage. Workers take blocks of rows, decode them into their arenas, sort an arena when it is full and spill
 * it as a run. What is left at the end stays in memory when all of it fits, so a small build never touches the disk.
 *
 * Runs have the order that the kind of the table is written in, and of the rows of one key the one that wins comes first.
 *
 * Threads: map_run() runs its workers on the engine; its output is immutable. Memory: n_workers * (arena + block + parser).
 * Errors: -EBADMSG for too many bad rows (the first by piece and line is named), those of inputs and scratch files.
 */
#ifndef FKV_BUILDER_MAP_H
#define FKV_BUILDER_MAP_H

#include "builder/engine.h"
#include "builder/feed.h"
#include "builder/job.h"
#include "builder/meter.h"
#include "builder/run.h"
#include "builder/scratch.h"
#include "builder/shard_writer.h"
#include "builder/spill.h"
#include "builder/value_sample.h"

struct map_params {
    const struct job *job;
    const struct input_piece *pieces; /* of the job's inputs, in their order */
    size_t n_pieces;
    uint32_t
        first_piece; /* the number of pieces[0] among all of the job: runs have places of all */
    const struct schema *schema; /* the shape; n_shards is not used */
    struct run_order order;
    bool has_sample; /* values are wanted to try compression on */
    uint32_t n_workers;
    size_t arena_len;
    size_t block_len;
    struct spill_writer *
        spill; /* all runs go there, n_workers being 1; NULL: to scratch files, or they stay in memory */
};

struct map_output {
    struct run *runs;
    size_t n_runs;
    struct arena *arenas;      /* n_workers, some empty */
    struct scratch *scratches; /* n_workers, some not open */
    uint32_t n_workers;
    uint64_t rows;
    uint64_t bad_rows;
    struct level_totals totals; /* of good rows */
    struct value_sample sample; /* while has_sample */
    uint64_t input_bytes;       /* after decompression */
    struct piece_seen *seen;    /* one a piece */
};

int map_run(struct engine *engine, const struct map_params *params, struct meter *meter,
            struct map_output *out, struct err *err);
void map_output_release(struct map_output *output);

#endif
