/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/status.h"

#include "base/json.h"
#include "base/scope.h"
#include "fuse/disk.h"

#include <errno.h>
#include <time.h>

static int put_daemon(struct view *view, json_t *root)
{
    char started[32];
    struct tm tm;
    json_t *daemon = json_object();
    gmtime_r(&view->started.tv_sec, &tm);
    strftime(started, sizeof started, "%Y-%m-%dT%H:%M:%SZ", &tm);
    int ret = json_put(root, "daemon", daemon);
    if (ret)
        return ret;
    bool failed = json_put_string(daemon, "version", FKV_VERSION) ||
                  json_put_u64(daemon, "pid", (uint64_t)getpid()) ||
                  json_put_string(daemon, "started", started) ||
                  json_put_string(daemon, "mount", view->mount) ||
                  json_put_u64(daemon, "sessions", metric_get(&view->stats->sessions)) ||
                  json_put_u64(daemon, "leases", metric_get(&view->stats->leases)) ||
                  json_put_u64(daemon, "key_files", keyfiles_count(view->keyfiles)) ||
                  json_put_u64(daemon, "malformed", metric_get(&view->stats->malformed));
    return failed ? -ENOMEM : 0;
}

static double quantile_us(const struct table_stats *stats, double share)
{
    return (double)histogram_quantile_ns(&stats->latency, share) / 1e3;
}

static int put_counts(json_t *object, const struct table_stats *stats)
{
    bool failed = json_put_u64(object, "batches", metric_get(&stats->batches)) ||
                  json_put_u64(object, "keys", metric_get(&stats->keys)) ||
                  json_put_u64(object, "hits", metric_get(&stats->hits)) ||
                  json_put_u64(object, "misses", metric_get(&stats->misses)) ||
                  json_put_u64(object, "bytes", metric_get(&stats->bytes)) ||
                  json_put_u64(object, "failed", metric_get(&stats->failed)) ||
                  json_put_u64(object, "errors", metric_get(&stats->errors)) ||
                  json_put_double(object, "p50_us", quantile_us(stats, 0.5)) ||
                  json_put_double(object, "p99_us", quantile_us(stats, 0.99)) ||
                  json_put_double(object, "p999_us", quantile_us(stats, 0.999));
    return failed ? -ENOMEM : 0;
}

static int put_tables(struct view *view, json_t *root)
{
    json_t *tables = json_object();
    int ret = json_put(root, "lookups", tables);
    size_t n_tables = node_n_tables(view->node);
    for (size_t i = 0; i < n_tables && !ret; i++) {
        const struct table_stats *stats = stats_find(view->stats, (uint32_t)i);
        if (!stats)
            continue;
        json_t *object = json_object();
        ret = json_put(tables, table_name(node_table_at(view->node, i)), object);
        if (!ret)
            ret = put_counts(object, stats);
    }
    return ret;
}

static int put_node(struct view *view, json_t *root)
{
    struct buf text = {0};
    json_t *node = NULL;
    int ret = node_status(view->node, &text, NULL);
    if (!ret)
        ret = json_parse(text.data, text.len, "node status", &node, NULL);
    if (!ret)
        ret = json_put(root, "node", node);
    buf_release(&text);
    return ret;
}

int status_json(struct view *view, struct buf *out)
{
    scope_json json_t *root = json_object();
    if (!root)
        return -ENOMEM;
    int ret = put_daemon(view, root);
    if (!ret)
        ret = put_tables(view, root);
    if (!ret)
        ret = put_node(view, root);
    return ret ? ret : json_write(root, true, out);
}

struct table_metric {
    const char *name;
    const char *help;
    size_t offset; /* of a metric_count in struct table_stats */
};

static const struct table_metric table_metrics[] = {
    {"fkv_batches_total", "Batches answered, errors included.",
     offsetof(struct table_stats, batches)},
    {"fkv_keys_total", "Keys looked up.", offsetof(struct table_stats, keys)},
    {"fkv_hits_total", "Keys found.", offsetof(struct table_stats, hits)},
    {"fkv_misses_total", "Keys absent.", offsetof(struct table_stats, misses)},
    {"fkv_failed_keys_total", "Keys whose values could not be read.",
     offsetof(struct table_stats, failed)},
    {"fkv_disk_batches_total", "Batches answered from disk, of all.",
     offsetof(struct table_stats, disk_batches)},
    {"fkv_reply_bytes_total", "Bytes of reply bodies.", offsetof(struct table_stats, bytes)},
    {"fkv_errors_total", "Batches answered with an error.", offsetof(struct table_stats, errors)},
};

typedef int (*sample_fn)(struct buf *out, const char *labels, const struct table_stats *stats,
                         const struct table_metric *metric);

static int sample_count(struct buf *out, const char *labels, const struct table_stats *stats,
                        const struct table_metric *metric)
{
    const void *count = (const char *)stats + metric->offset;
    return metrics_value(out, metric->name, labels, metric_get(count));
}

static int sample_latency(struct buf *out, const char *labels, const struct table_stats *stats,
                          const struct table_metric *metric)
{
    return metrics_histogram(out, metric->name, labels, &stats->latency);
}

static int each_table(struct view *view, struct buf *out, sample_fn sample,
                      const struct table_metric *metric)
{
    size_t n_tables = node_n_tables(view->node);
    int ret = 0;
    for (size_t i = 0; i < n_tables && !ret; i++) {
        char labels[96];
        const struct table_stats *stats = stats_find(view->stats, (uint32_t)i);
        if (!stats)
            continue; /* nobody ever opened its lookup file */
        snprintf(labels, sizeof labels, "table=\"%s\"", table_name(node_table_at(view->node, i)));
        ret = sample(out, labels, stats, metric);
    }
    return ret;
}

static int write_tables(struct view *view, struct buf *out)
{
    static const struct table_metric latency = {"fkv_batch_seconds",
                                                "Time to answer a batch, in the daemon.", 0};
    int ret = 0;
    for (size_t i = 0; i < sizeof table_metrics / sizeof *table_metrics && !ret; i++) {
        const struct table_metric *metric = &table_metrics[i];
        ret = metrics_head(out, metric->name, "counter", metric->help);
        if (!ret)
            ret = each_table(view, out, sample_count, metric);
    }
    if (!ret)
        ret = metrics_head(out, latency.name, "histogram", latency.help);
    return ret ? ret : each_table(view, out, sample_latency, &latency);
}

static int write_gauge(struct buf *out, const char *name, const char *help, uint64_t value)
{
    int ret = metrics_head(out, name, "gauge", help);
    return ret ? ret : metrics_value(out, name, "", value);
}

/* How lookups in tables on disk fare as a whole. */
static int write_disk(struct view *view, struct buf *out)
{
    struct disk_stats stats;
    char label[32];
    disk_stats(view->lookups, &stats);
    int ret = 0;
    if (stats.reader) {
        snprintf(label, sizeof label, "reader=\"%s\"", stats.reader);
        ret = metrics_head(out, "fkv_disk_reader_info", "gauge",
                           "Always 1; the label says how tables on disk are read.");
        if (!ret)
            ret = metrics_value(out, "fkv_disk_reader_info", label, 1);
    }
    if (!ret)
        ret = write_gauge(out, "fkv_disk_jobs_queued", "Lookups on disk that wait for a thread.",
                          stats.n_queued);
    if (!ret)
        ret = write_gauge(out, "fkv_disk_jobs_running", "Lookups on disk under way.",
                          stats.n_running);
    if (!ret)
        ret = metrics_head(out, "fkv_disk_wait_seconds", "histogram",
                           "Time that lookups on disk waited for a thread.");
    return ret ? ret
               : metrics_histogram(out, "fkv_disk_wait_seconds", "", disk_waits(view->lookups));
}

int status_metrics(struct view *view, struct buf *out)
{
    struct stats *stats = view->stats;
    bool failed =
        metrics_head(out, "fkv_daemon_info", "gauge", "Always 1; the labels say what runs.") ||
        metrics_value(out, "fkv_daemon_info", "version=\"" FKV_VERSION "\"", 1) ||
        write_gauge(out, "fkv_daemon_start_time_seconds", "When the daemon started, Unix time.",
                    (uint64_t)view->started.tv_sec) ||
        write_gauge(out, "fkv_sessions", "Open lookup files.", metric_get(&stats->sessions)) ||
        write_gauge(out, "fkv_leases", "Open files and directories that hold a version.",
                    metric_get(&stats->leases)) ||
        write_gauge(out, "fkv_message_bytes", "Memory of replies that wait to be read.",
                    metric_get(&stats->message_bytes)) ||
        write_gauge(out, "fkv_key_files", "Key files the kernel knows.",
                    keyfiles_count(view->keyfiles)) ||
        metrics_head(out, "fkv_malformed_total", "counter", "Requests refused as malformed.") ||
        metrics_value(out, "fkv_malformed_total", "", metric_get(&stats->malformed));
    int ret = failed ? -ENOMEM : write_tables(view, out);
    if (!ret)
        ret = write_disk(view, out);
    return ret ? ret : node_metrics(view->node, out);
}
