/* SPDX-License-Identifier: Apache-2.0 */
/*
 * part_writer: turns one shard's sorted entries into a part.
 *
 * Entries come in ascending order of hash (entries of equal hash, possible for bytes keys only, in
 * ascending key order); the writer appends to a sink strictly front to back and needs memory for
 * one partition (at most about PART_PARTITION_BYTES) plus 0.4 bytes a key (1.6 in a delta).
 * The bytes depend on the entries and the parameters only.
 *
 * Threads: one at a time. Errors: -EINVAL for entries out of order or of a wrong size, -EEXIST
 * for a key given twice, -E2BIG when keys are so skewed that a partition cannot be built (another
 * hash seed helps), -ENOMEM, and whatever the sink returns.
 */
#ifndef FKV_FORMAT_PART_WRITER_H
#define FKV_FORMAT_PART_WRITER_H

#include "base/err.h"
#include "format/part.h"

struct part_writer;

/* Where the bytes go: append len bytes; 0 or -errno. */
struct part_sink {
    int (*append)(void *context, const void *data, size_t len, struct err *err);
    void *context;
};

struct part_params {
    const struct schema *schema; /* copied */
    uint32_t shard;
    uint32_t level;        /* 0: base; above: delta, gets fingerprints and may hold tombstones */
    uint32_t n_partitions; /* the same for all shards of one level; see part_partitions() */
};

/* The partitions a shard should have so that a level of n_entries over all its shards builds within
 * bounded memory: a function of the entries' count and the schema only. At least 1. */
uint32_t part_partitions(const struct schema *schema, uint64_t n_entries);

int part_writer_new(const struct part_params *params, struct part_sink sink,
                    struct part_writer **out, struct err *err);

/* Adds an entry; fields as in part_entry, `hash` must be the schema's hash of the key (a test may
 * pass another one to force collisions of bytes keys). */
int part_writer_add(struct part_writer *writer, const struct part_entry *entry, struct err *err);

/* Writes what is left and the footer. *info may be NULL. */
int part_writer_finish(struct part_writer *writer, struct part_info *info, struct err *err);
void part_writer_free(struct part_writer *writer);

#endif
