/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_ssd: lookups in a table on disk, through a mount (--table DIR) or in process (--files DIR,
 * the version's directory, without a cache).
 *
 * Keys are drawn beforehand; each value is compared with its key, in the first batch of each client
 * wholly. Says "ready", then reads lines "SECONDS BATCH CLIENTS RATE" (RATE in batches a second of
 * all clients; 0: as fast as they can), runs each, and answers with one JSON object in a line: keys,
 * batches, seconds, CPU seconds of this process, and its latencies as [ns, count] pairs.
 *
 * --describe prints what the parts of --files are made of, and ends.
 */
#include "bench_util.h"
#include "ssd_client.h"

#include <getopt.h>
#include <pthread.h>
#include <sys/resource.h>

enum { CLIENTS_MAX = 16, START_NS = 2000000 };

static double cpu_seconds(void)
{
    struct rusage usage;
    BENCH_MUST(!getrusage(RUSAGE_SELF, &usage));
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void print_latency(const struct histogram *h)
{
    const char *comma = "";
    printf("\"latency\": [");
    for (uint32_t i = 0; i < HIST_BUCKETS; i++) {
        if (!h->count[i])
            continue;
        uint64_t ns = histogram_value(i) < h->max ? histogram_value(i) : h->max;
        printf("%s[%llu, %llu]", comma, (unsigned long long)ns, (unsigned long long)h->count[i]);
        comma = ", ";
    }
    printf("]");
}

static void *run_thread(void *arg)
{
    ssd_client_run(arg);
    return NULL;
}

struct order {
    double seconds, rate;
    uint32_t batch;
    int n_clients;
};

static void run_order(struct ssd_client *clients, const struct order *order)
{
    static struct ssd_run runs[CLIENTS_MAX];
    static struct histogram latency;
    pthread_t threads[CLIENTS_MAX];
    int n = order->n_clients;
    uint64_t period_ns = order->rate > 0 ? (uint64_t)(1e9 * n / order->rate) : 0;
    uint64_t begin_ns = bench_now_ns() + (period_ns ? START_NS : 0);
    uint64_t end_ns = begin_ns + (uint64_t)(order->seconds * 1e9);
    uint64_t n_batches = 0;
    uint64_t last_ns = begin_ns;
    double cpu = cpu_seconds();
    memset(&latency, 0, sizeof latency);
    for (int i = 0; i < n; i++) {
        runs[i] = (struct ssd_run){.client = &clients[i], .batch = order->batch};
        runs[i].period_ns = period_ns;
        runs[i].begin_ns = begin_ns + period_ns * (uint64_t)i / (uint64_t)n;
        runs[i].end_ns = end_ns;
        BENCH_MUST(!pthread_create(&threads[i], NULL, run_thread, &runs[i]));
    }
    for (int i = 0; i < n; i++) {
        pthread_join(threads[i], NULL);
        n_batches += runs[i].n_batches;
        last_ns = runs[i].last_ns > last_ns ? runs[i].last_ns : last_ns;
        histogram_merge(&latency, &runs[i].latency);
    }
    cpu = cpu_seconds() - cpu;
    printf("{\"keys\": %llu, \"batches\": %llu, \"seconds\": %.6f, \"cpu_s\": %.6f, ",
           (unsigned long long)n_batches * order->batch, (unsigned long long)n_batches,
           (double)(last_ns - begin_ns) / 1e9, cpu);
    print_latency(&latency);
    printf("}\n");
    fflush(stdout);
}

static void take_orders(struct ssd_client *clients, int n_clients)
{
    char line[256];
    printf("ready\n");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        struct order o;
        if (sscanf(line, "%lf %u %d %lf", &o.seconds, &o.batch, &o.n_clients, &o.rate) != 4 ||
            o.batch < 1 || o.batch > SSD_BATCH_MAX || o.n_clients < 1 || o.n_clients > n_clients) {
            fprintf(stderr, "bench_ssd: not an order: %s", line);
            exit(2);
        }
        run_order(clients, &o);
    }
}

static void usage(void)
{
    fprintf(stderr, "usage: bench_ssd --table DIR | --files DIR [--describe]  --keys N [--draw "
                    "uniform|zipf|absent] "
                    "[--clients N] [--value-len N] [--text-keys] [--depth N] [--seed N] "
                    "[--draws N]\n");
    exit(2);
}

struct settings {
    struct ssd_options o;
    const char *files_dir;
    bool is_description;
    int n_clients;
};

static void options_parse(int argc, char **argv, struct settings *s)
{
    static const struct option longs[] = {
        {"table", 1, NULL, 't'}, {"files", 1, NULL, 'f'},     {"keys", 1, NULL, 'n'},
        {"draw", 1, NULL, 'd'},  {"clients", 1, NULL, 'c'},   {"value-len", 1, NULL, 'v'},
        {"depth", 1, NULL, 'q'}, {"text-keys", 0, NULL, 'x'}, {"seed", 1, NULL, 's'},
        {"draws", 1, NULL, 'p'}, {"describe", 0, NULL, 'i'},  {NULL, 0, NULL, 0},
    };
    int c = 0;
    bool is_known = true;
    *s = (struct settings){.n_clients = 1, .o = {.value_len = 100, .n_draws = 4000000}};
    while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        switch (c) {
        case 't':
            s->o.table_dir = optarg;
            break;
        case 'f':
            s->files_dir = optarg;
            break;
        case 'n':
            s->o.n_keys = strtoull(optarg, NULL, 10);
            break;
        case 'd':
            is_known = draw_kind_from_name(optarg, &s->o.draw);
            break;
        case 'c':
            s->n_clients = atoi(optarg);
            break;
        case 'v':
            s->o.value_len = (uint32_t)atoi(optarg);
            break;
        case 'q':
            s->o.depth = (unsigned)atoi(optarg);
            break;
        case 'x':
            s->o.has_text_keys = true;
            break;
        case 's':
            s->o.seed = strtoull(optarg, NULL, 10);
            break;
        case 'p':
            s->o.n_draws = strtoull(optarg, NULL, 10);
            break;
        case 'i':
            s->is_description = true;
            break;
        default:
            usage();
        }
    }
    if (!s->o.table_dir == !s->files_dir || !is_known || (s->is_description && !s->files_dir) ||
        (!s->is_description && !s->o.n_keys) || s->n_clients < 1 || s->n_clients > CLIENTS_MAX ||
        s->o.n_draws < SSD_BATCH_MAX)
        usage();
}

int main(int argc, char **argv)
{
    static struct ssd_client clients[CLIENTS_MAX];
    static struct ssd_files files;
    struct settings s;
    options_parse(argc, argv, &s);
    if (s.files_dir)
        ssd_files_open(&files, s.files_dir);
    if (s.is_description) {
        ssd_files_print(&files);
        return 0;
    }
    s.o.files = &files;
    for (int i = 0; i < s.n_clients; i++) {
        ssd_client_init(&clients[i], &s.o, (uint64_t)i);
        ssd_client_verify(&clients[i], 3900);
    }
    take_orders(clients, s.n_clients);
    for (int i = 0; i < s.n_clients; i++)
        ssd_client_release(&clients[i]);
    return 0;
}
