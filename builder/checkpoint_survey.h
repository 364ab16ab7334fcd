/* SPDX-License-Identifier: Apache-2.0 */
/*
 * checkpoint_survey: what must be known of a chain's content before the first part of its checkpoint is written: how much it is
 * about, how values are stored, and a sample of them to train a dictionary on.
 *
 * What version.json does not say is told from the first shards: the sample is the values of the lowest hashes, as in a build, and
 * shards are ranges of hashes in order. The same chain gives the same answers.
 *
 * Threads: one. Memory: params->stream.memory and a value_sample. Errors: those of shard_stream.
 */
#ifndef FKV_BUILDER_CHECKPOINT_SURVEY_H
#define FKV_BUILDER_CHECKPOINT_SURVEY_H

#include "builder/job.h"
#include "builder/shard_stream.h"
#include "builder/shard_writer.h"
#include "builder/value_sample.h"

struct checkpoint_survey {
    /* n_entries is exact, the others where the schema tells them; value_max is a bound, of compressed values a guess */
    struct level_totals totals;
    /* At most value_max: without the guess, a bound of what is stored of a value. */
    uint32_t value_stored_max;
    struct value_sample sample;
};

/* Fills in job's compress, no_filter and block_pages too, as the chain's oldest level has them. stream: all but the shard. */
int checkpoint_survey_run(const struct shard_stream_params *stream, struct job *job,
                          struct checkpoint_survey *out, struct err *err);
void checkpoint_survey_release(struct checkpoint_survey *survey);

#endif
