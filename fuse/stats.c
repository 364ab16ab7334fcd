/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/stats.h"

#include "fuse/tree.h"

#include <errno.h>
#include <stdlib.h>

int stats_new(struct stats **out)
{
    struct stats *stats = calloc(1, sizeof *stats);
    if (!stats)
        return -ENOMEM;
    stats->tables = calloc(TREE_TABLES_MAX, sizeof *stats->tables);
    if (!stats->tables) {
        free(stats);
        return -ENOMEM;
    }
    *out = stats;
    return 0;
}

void stats_free(struct stats *stats)
{
    if (!stats)
        return;
    for (size_t i = 0; i < TREE_TABLES_MAX; i++)
        free(atomic_load_explicit(&stats->tables[i], memory_order_relaxed));
    free(stats->tables);
    free(stats);
}

const struct table_stats *stats_find(const struct stats *stats, uint32_t table)
{
    return atomic_load_explicit(&stats->tables[table], memory_order_acquire);
}

struct table_stats *stats_table(struct stats *stats, uint32_t table)
{
    struct table_stats *found = atomic_load_explicit(&stats->tables[table], memory_order_acquire);
    if (found)
        return found;
    struct table_stats *made = calloc(1, sizeof *made);
    if (!made)
        return NULL;
    if (atomic_compare_exchange_strong(&stats->tables[table], &found, made))
        return made;
    free(made); /* another thread was first */
    return found;
}

void table_stats_add(struct table_stats *stats, const struct batch_stats *batch)
{
    metric_add(&stats->batches, 1);
    histogram_add(&stats->latency, batch->ns);
    if (batch->error) {
        metric_add(&stats->errors, 1);
        return;
    }
    metric_add(&stats->keys, batch->n_keys);
    metric_add(&stats->hits, batch->n_found);
    metric_add(&stats->misses, batch->n_keys - batch->n_found - batch->n_failed);
    metric_add(&stats->failed, batch->n_failed);
    metric_add(&stats->disk_batches, batch->is_on_disk);
    metric_add(&stats->bytes, batch->bytes);
}
