/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stats: what the daemon counts, per table and as a whole.
 *
 * Threads: any. Adding is a few relaxed atomics a batch. Memory: a table's block is made when its
 * first lookup file is opened and lives until stats_free(). Errors: NULL or -ENOMEM without memory.
 */
#ifndef FKV_FUSE_STATS_H
#define FKV_FUSE_STATS_H

#include "base/metrics.h"

#include <stdbool.h>

struct table_stats {
    metric_count batches; /* answered, errors included */
    metric_count keys;
    metric_count hits;
    metric_count misses;       /* absent */
    metric_count failed;       /* their values could not be read */
    metric_count bytes;        /* of reply bodies */
    metric_count errors;       /* batches answered with an error */
    metric_count disk_batches; /* of all, those answered from disk */
    struct histogram latency;
};

struct stats {
    metric_count sessions;      /* open lookup files */
    metric_count leases;        /* open files and directories that pin a version */
    metric_count message_bytes; /* held by written requests and by replies that wait to be read */
    metric_count malformed;     /* requests refused before they could be answered */
    struct table_stats *_Atomic *tables;
};

int stats_new(struct stats **out);
void stats_free(struct stats *stats);

/* The block of a table, made when there is none yet. Lives as long as stats. */
struct table_stats *stats_table(struct stats *stats, uint32_t table);
/* The same, or NULL when nobody made it yet. */
const struct table_stats *stats_find(const struct stats *stats, uint32_t table);

/* What one batch came to. */
struct batch_stats {
    uint32_t n_keys;
    uint32_t n_found;
    uint32_t n_failed;
    bool is_on_disk;
    uint64_t bytes;
    uint64_t ns;
    int error;
};
void table_stats_add(struct table_stats *stats, const struct batch_stats *batch);

#endif
