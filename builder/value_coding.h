/* SPDX-License-Identifier: Apache-2.0 */
/*
 * value_coding: how a build stores its values: as they are, or compressed, and with which dictionary. Decided once for a level,
 * by a sample; the same for all its shards, but that a shard of a computed delta may leave it out (shard_delta.h).
 *
 * Threads: choosing, one; then immutable and shared. Memory: the dictionary; while choosing, VALUE_CODING_MEMORY.
 * Errors: -ENOMEM.
 */
#ifndef FKV_BUILDER_VALUE_CODING_H
#define FKV_BUILDER_VALUE_CODING_H

#include "base/buf.h"
#include "builder/job.h"
#include "builder/value_sample.h"
#include "format/paged.h"

enum {
    DICTIONARY_LEN_MAX = 16 << 10,
    COMPRESS_MIN_PCT = 10,         /* what COMPRESS_AUTO must save */
    VALUE_CODING_MEMORY = 24 << 20 /* training keeps tables of some MiB */
};

struct value_coding {
    enum compression compression;
    int level;             /* of COMPRESSION_ZSTD */
    struct buf dictionary; /* may be empty */
    bool was_sampled;      /* something was tried */
    double ratio;       /* length after : before, by the sample; 1 when values stay as they are */
    double ratio_tried; /* the best that was tried */
};

/* All the values of the level: what the sample stands for. */
struct value_totals {
    uint64_t n_values;
    uint64_t len;
    uint32_t n_shards;
};

/* The sample is put in order. *out is released by the caller. */
int value_coding_choose(const struct job *job, const struct schema *schema,
                        struct value_sample *sample, const struct value_totals *totals,
                        struct value_coding *out, struct err *err);
void value_coding_release(struct value_coding *coding);

/* Does this build compress, if it is worth it? */
bool value_coding_wants_sample(const struct job *job, enum table_kind kind);

#endif
