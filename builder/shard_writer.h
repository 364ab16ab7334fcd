/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shard_writer: one shard of one level, of whatever kind the table is: part_writer, blk_writer or idx_writer, and the compression
 * of values before them. Entries come in the order of the kind, with plain values.
 *
 * Threads: one at a time. Memory: shard_writer_memory(). Errors: those of the writers; -ENOMEM.
 */
#ifndef FKV_BUILDER_SHARD_WRITER_H
#define FKV_BUILDER_SHARD_WRITER_H

#include "builder/value_coding.h"
#include "format/part_writer.h"

/* What is written in all, over all shards, rows of repeated keys included: of the input alone. Shards are equal but for chance, and
 * what a part's bytes depend on must not be found out on the way. */
struct level_totals {
    uint64_t n_entries;
    uint64_t key_len;   /* bytes of their keys */
    uint64_t value_len; /* bytes of their values, before compression */
    uint32_t value_max; /* of the longest */
};

static inline void level_totals_add(struct level_totals *totals, const struct level_totals *more)
{
    totals->n_entries += more->n_entries;
    totals->key_len += more->key_len;
    totals->value_len += more->value_len;
    if (more->value_max > totals->value_max)
        totals->value_max = more->value_max;
}

struct level_params {
    const struct job *job;
    const struct schema *schema;
    uint32_t level;
    struct level_totals totals;
    const struct value_coding *coding;
};

/* A finished shard. */
struct shard_info {
    struct part_info part;
    bool is_paged;              /* not all of it belongs in memory */
    uint64_t body_len;          /* bytes before what does */
    uint64_t values_len;        /* of live keys, before compression */
    uint64_t values_stored_len; /* and after */
};

struct shard_writer;

int shard_writer_new(const struct level_params *params, uint32_t shard, struct part_sink sink,
                     struct shard_writer **out, struct err *err);
int shard_writer_add(struct shard_writer *writer, const struct part_entry *entry, struct err *err);
int shard_writer_finish(struct shard_writer *writer, struct shard_info *info, struct err *err);
void shard_writer_free(struct shard_writer *writer);

/* About what one needs, its file's buffers included. */
uint64_t shard_writer_memory(const struct job *job, const struct schema *schema,
                             const struct level_totals *totals, uint32_t n_shards);

#endif
