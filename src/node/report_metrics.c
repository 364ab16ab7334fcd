/* SPDX-License-Identifier: Apache-2.0 */
/* Prometheus text, exposition format 0.0.4. Table names need no escaping: their alphabet has
 * nothing to escape. */
#include "node/node_impl.h"

#include "base/scope.h"

static int head(struct buf *out, const char *name, const char *type, const char *help)
{
    return buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static int single(struct buf *out, const char *name, const char *type, const char *help,
                  uint64_t value)
{
    int ret = head(out, name, type, help);
    return ret ? ret : buf_printf(out, "%s %llu\n", name, (unsigned long long)value);
}

enum table_gauge { GAUGE_SERVING, GAUGE_WANTED, GAUGE_LOCAL_PIN, GAUGE_SWITCHED };

static uint64_t table_value(const struct table *table, enum table_gauge gauge)
{
    switch (gauge) {
    case GAUGE_SERVING:
        return table->serving;
    case GAUGE_WANTED:
        return table->wanted;
    case GAUGE_LOCAL_PIN:
        return table->local_pin;
    case GAUGE_SWITCHED:
        return (uint64_t)(table->switched_ns / 1000000000);
    }
    return 0;
}

static int per_table(struct node *node, struct buf *out, const char *name, const char *help,
                     enum table_gauge gauge)
{
    int ret = head(out, name, "gauge", help);
    size_t n_tables = atomic_load(&node->n_tables);
    scope_lock(&node->lock);
    for (size_t i = 0; i < n_tables && !ret; i++)
        ret = buf_printf(out, "%s{table=\"%s\"} %llu\n", name, node->tables[i]->name,
                         (unsigned long long)table_value(node->tables[i], gauge));
    return ret;
}

static int per_version(struct node *node, struct buf *out)
{
    int ret = head(out, "fkv_version_loaded_bytes", "gauge",
                   "Memory of a loaded version; parts shared with others are counted in each.");
    size_t n_tables = atomic_load(&node->n_tables);
    scope_lock(&node->lock);
    for (size_t t = 0; t < n_tables && !ret; t++) {
        const struct table *table = node->tables[t];
        for (size_t s = 0; s < table->n_slots && !ret; s++)
            if (table->slots[s]->loaded)
                ret = buf_printf(out,
                                 "fkv_version_loaded_bytes{table=\"%s\",version=\"%llu\"} %llu\n",
                                 table->name, (unsigned long long)table->slots[s]->id,
                                 (unsigned long long)version_memory(table->slots[s]->loaded));
    }
    return ret;
}

static int seconds(struct buf *out, const char *name, const char *help, double value)
{
    int ret = head(out, name, "gauge", help);
    return ret ? ret : buf_printf(out, "%s %.6f\n", name, value);
}

static int store_contact(struct node *node, struct buf *out)
{
    pthread_mutex_lock(&node->lock);
    bool is_reachable = node_is_in_contact(node);
    bool has_clock = node->clock_is_stores;
    double age = node_contact_age(node);
    uint64_t seq = node->seq;
    pthread_mutex_unlock(&node->lock);
    int ret = single(out, "fkv_manifest_seq", "gauge", "Last manifest record folded.", seq);
    if (!ret)
        ret =
            single(out, "fkv_store_reachable", "gauge", "1 while the store answers.", is_reachable);
    /* What is not known has no sample. */
    if (!ret && age >= 0)
        ret = seconds(out, "fkv_store_last_contact_seconds",
                      "Seconds since the store answered last.", age);
    if (!ret && has_clock)
        ret = seconds(out, "fkv_clock_ahead_seconds", "This host's clock less the store's.",
                      (double)node_clock_ahead_ns(node) / 1e9);
    return ret;
}

struct counter {
    const char *name;
    const char *type;
    const char *help;
    uint64_t value;
};

static int singles(struct node *node, struct buf *out)
{
    pthread_mutex_lock(&node->lock);
    bool has_namesake = node_has_namesake(node);
    pthread_mutex_unlock(&node->lock);
    const struct counter counters[] = {
        {"fkv_memory_budget_bytes", "gauge", "Memory that loaded parts may take.",
         node->memory_budget},
        {"fkv_memory_used_bytes", "gauge", "Memory that loaded parts take.",
         part_memory_used(node->memory)},
        {"fkv_cache_limit_bytes", "gauge", "Disk that parts may take.",
         cache_capacity(node->cache, node->cache_limit)},
        {"fkv_cache_used_bytes", "gauge", "Disk that parts take.", cache_used(node->cache)},
        {"fkv_cache_evictions_total", "counter", "Versions that went to make room for others.",
         atomic_load(&node->n_evictions)},
        {"fkv_fetch_limit_bytes", "gauge", "Bytes a second that may be fetched; 0: no limit.",
         node->limiter.rate},
        {"fkv_fetch_bytes_total", "counter", "Bytes fetched from the store.",
         atomic_load(&node->n_fetched_bytes)},
        {"fkv_fetch_bad_chunks_total", "counter",
         "Chunks that came from the store with a wrong digest.", atomic_load(&node->n_bad_chunks)},
        {"fkv_version_failed_total", "counter", "Times a version could not be fetched or loaded.",
         atomic_load(&node->n_failures)},
        {"fkv_version_switches_total", "counter", "Times a table switched to another version.",
         atomic_load(&node->n_switches)},
        {"fkv_store_losses_total", "counter", "Times the store was lost.",
         atomic_load(&node->n_losses)},
        {"fkv_store_requests_total", "counter", "Requests sent to the store over the network.",
         atomic_load(&node->n_requests)},
        {"fkv_name_conflict", "gauge", "1 while another daemon uses this node's name.",
         has_namesake},
    };
    int ret = 0;
    for (size_t i = 0; i < sizeof counters / sizeof *counters && !ret; i++)
        ret = single(out, counters[i].name, counters[i].type, counters[i].help, counters[i].value);
    return ret;
}

/* Of tables on disk. */
static int disk(struct node *node, struct buf *out)
{
    struct disk_parts *parts = part_memory_disk(node->memory);
    struct disk_shared *shared = disk_parts_shared(parts);
    struct block_cache_stats stats = {0};
    if (shared->cache)
        block_cache_stats(shared->cache, &stats);
    struct value_cache_stats of_values = {0};
    if (shared->values)
        value_cache_stats(shared->values, &of_values);
    const struct counter counters[] = {
        {"fkv_block_cache_max_bytes", "gauge", "Memory that cached blocks may take.",
         stats.max_bytes},
        {"fkv_block_cache_bytes", "gauge", "Memory that cached blocks take.",
         stats.bytes + stats.bytes_held},
        {"fkv_block_cache_hits_total", "counter", "Blocks found in the cache.", stats.n_hits},
        {"fkv_block_cache_misses_total", "counter", "Blocks not found in the cache.",
         stats.n_misses},
        {"fkv_block_cache_evictions_total", "counter", "Blocks that went to make room for others.",
         stats.n_evicted},
        {"fkv_block_cache_refused_total", "counter", "Blocks too large to be cached.",
         stats.n_refused},
        {"fkv_value_cache_max_bytes", "gauge", "Memory that cached values may take.",
         of_values.max_bytes},
        {"fkv_value_cache_values", "gauge", "Values in the cache of values.", of_values.n_values},
        {"fkv_value_cache_hits_total", "counter", "Keys answered from the cache of values.",
         of_values.n_hits},
        {"fkv_value_cache_misses_total", "counter", "Keys not found in the cache of values.",
         of_values.n_misses},
        {"fkv_value_cache_evictions_total", "counter", "Values that went to make room for others.",
         of_values.n_evicted},
        {"fkv_disk_open_parts", "gauge", "Parts of tables on disk that are open.",
         disk_parts_n_open(parts)},
        {"fkv_disk_bad_blocks_total", "counter", "Blocks whose checksum failed, twice each.",
         atomic_load(&shared->n_bad_blocks)},
        {"fkv_disk_read_errors_total", "counter", "Blocks that could not be read, twice each.",
         atomic_load(&shared->n_read_errors)},
        {"fkv_disk_repairs_total", "counter",
         "Parts that were damaged on this machine's disk and are repaired.",
         atomic_load(&node->n_repairs)},
    };
    int ret = 0;
    for (size_t i = 0; i < sizeof counters / sizeof *counters && !ret; i++)
        ret = single(out, counters[i].name, counters[i].type, counters[i].help, counters[i].value);
    return ret;
}

int node_metrics(struct node *node, struct buf *out)
{
    int ret = singles(node, out);
    if (!ret)
        ret = disk(node, out);
    if (!ret)
        ret = store_contact(node, out);
    if (!ret)
        ret = per_table(node, out, "fkv_version_serving", "The version that answers; 0: none.",
                        GAUGE_SERVING);
    if (!ret)
        ret = per_table(node, out, "fkv_version_wanted", "The version that should answer; 0: none.",
                        GAUGE_WANTED);
    if (!ret)
        ret =
            per_table(node, out, "fkv_local_pin",
                      "The version this machine was pinned to by hand; 0: none.", GAUGE_LOCAL_PIN);
    if (!ret)
        ret = per_table(node, out, "fkv_version_switched_timestamp_seconds",
                        "When the table switched last; 0: never.", GAUGE_SWITCHED);
    return ret ? ret : per_version(node, out);
}
