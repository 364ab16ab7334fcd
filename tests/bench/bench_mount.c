/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_mount: the same batches through a mount and in process, alternating in one run.
 *
 * Each client draws random keys, writes them where the lookup reads them, looks up, and reads every
 * value back, comparing its first word with the key. The rate counts all of that; the latency is
 * that of the lookup call alone. Every value of one pass is compared whole before anything is
 * timed.
 *
 * Prints one JSON object: a list of cells, each a way (mount, process), a batch size and a number
 * of clients.
 */
#include "bench_keys.h"
#include "bench_util.h"
#include "histogram.h"
#include "table_files.h"

#include "client/fkv.h"
#include "query/batch.h"

#include <getopt.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>

enum { CLIENTS_MAX = 16, SIZES_MAX = 16, VERIFY_KEYS = 200000, BATCH_MAX = 1 << 20 };
enum way { WAY_PROCESS, WAY_MOUNT, N_WAYS };

struct options {
    const char *table_dir; /* in the mount */
    const char *files_dir; /* the version's directory on the store */
    uint64_t n_keys;
    uint64_t stamp;
    uint32_t sizes[SIZES_MAX];
    int n_sizes;
    int n_clients;
    int n_rounds;
    int cpu; /* of all clients; -1: the scheduler's choice */
    double seconds;
    enum fkv_transport transport;
};

struct bench {
    struct options o;
    struct table_files files;
    fkv_table *table;
};

/* One client: its own batch, its own buffers. */
struct client {
    struct bench *bench;
    struct draw draw;
    fkv_batch *batch;
    uint64_t *keys; /* of lookups in process */
    uint8_t *out;
    size_t out_cap;
};

/* What one client does in one timed run. */
struct run {
    struct client *client;
    enum way way;
    uint32_t size;
    atomic_bool *stop;
    pthread_barrier_t *start;
    uint64_t n_keys;
    uint64_t n_wrong;
    uint64_t sum;
    uint64_t begin_ns;
    uint64_t end_ns;
    struct histogram latency;
};

struct cell {
    struct figure rate;
    struct histogram latency;
};
static struct cell cells[N_WAYS][SIZES_MAX];

static void fail(const char *what)
{
    fprintf(stderr, "bench_mount: %s\n", what);
    exit(1);
}

static void pin(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)cpu, &set);
    BENCH_MUST(!sched_setaffinity(0, sizeof set, &set));
}

static uint64_t *keys_room(struct client *client, enum way way, uint32_t n)
{
    return way == WAY_MOUNT ? fkv_keys_u64(client->batch, n) : client->keys;
}

static void lookup_process(struct client *client, const uint64_t *keys, uint32_t n, fkv_result *out)
{
    struct batch_request request = {
        .n_keys = n, .keys = (const uint8_t *)keys, .keys_len = 8 * (size_t)n};
    struct batch_result result = {0};
    BENCH_MUST(
        !batch_run(client->bench->files.table, &request, client->out, client->out_cap, &result));
    *out = (fkv_result){.n_keys = n,
                        .n_found = result.n_found,
                        .status = client->out,
                        .values = client->out + result.values_off,
                        .values_len = result.len - result.values_off,
                        .stride = result.stride,
                        .value_len = VALUE_LEN};
}

static void lookup(struct client *client, enum way way, const uint64_t *keys, uint32_t n,
                   fkv_result *out)
{
    if (way == WAY_PROCESS)
        lookup_process(client, keys, n, out);
    else if (fkv_get_u64(client->batch, keys, n, NULL, out))
        fail(fkv_last_error());
}

/* Reads every answer; counts those that are not the key's. */
static uint64_t read_answers(const fkv_result *result, const uint64_t *keys, uint64_t *sum)
{
    uint64_t n_wrong = 0;
    uint64_t stamps = 0;
    for (uint32_t i = 0; i < result->n_keys; i++) {
        uint64_t words[2];
        const void *value = fkv_value(result, i, NULL);
        if (!value) {
            n_wrong++;
            continue;
        }
        memcpy(words, value, sizeof words);
        n_wrong += words[0] != keys[i];
        stamps += words[1];
    }
    *sum += stamps;
    return n_wrong;
}

static void *run_client(void *arg)
{
    struct run *run = arg;
    struct client *client = run->client;
    if (client->bench->o.cpu >= 0)
        pin(client->bench->o.cpu);
    pthread_barrier_wait(run->start);
    run->begin_ns = bench_now_ns();
    while (!atomic_load_explicit(run->stop, memory_order_relaxed)) {
        fkv_result result;
        uint64_t *keys = keys_room(client, run->way, run->size);
        for (uint32_t i = 0; i < run->size; i++)
            keys[i] = draw_key(&client->draw);
        uint64_t before = bench_now_ns();
        lookup(client, run->way, keys, run->size, &result);
        histogram_add(&run->latency, bench_now_ns() - before);
        run->n_wrong += read_answers(&result, keys, &run->sum);
        run->n_keys += run->size;
    }
    run->end_ns = bench_now_ns();
    return NULL;
}

/* All clients for a while; adds rate and latencies to the cell. */
static void run_cell(struct client *clients, int n_clients, enum way way, uint32_t size,
                     double seconds, struct cell *cell)
{
    static struct run runs[CLIENTS_MAX];
    pthread_t threads[CLIENTS_MAX];
    pthread_barrier_t start;
    atomic_bool stop = false;
    double rate = 0;
    pthread_barrier_init(&start, NULL, (unsigned)n_clients + 1);
    for (int i = 0; i < n_clients; i++) {
        runs[i] = (struct run){.client = &clients[i], .way = way, .size = size};
        runs[i].stop = &stop;
        runs[i].start = &start;
        BENCH_MUST(!pthread_create(&threads[i], NULL, run_client, &runs[i]));
    }
    pthread_barrier_wait(&start);
    struct timespec nap = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
    nanosleep(&nap, NULL);
    atomic_store(&stop, true);
    for (int i = 0; i < n_clients; i++) {
        pthread_join(threads[i], NULL);
        rate += (double)runs[i].n_keys * 1e3 / (double)(runs[i].end_ns - runs[i].begin_ns);
        histogram_merge(&cell->latency, &runs[i].latency);
        if (runs[i].n_wrong)
            fail("values are not those of their keys");
    }
    pthread_barrier_destroy(&start);
    figure_add(&cell->rate, rate);
}

static void verify(struct client *client, enum way way)
{
    uint8_t expected[VALUE_LEN];
    fkv_result result;
    for (uint32_t done = 0; done < VERIFY_KEYS; done += 10000) {
        uint64_t *keys = keys_room(client, way, 10000);
        for (uint32_t i = 0; i < 10000; i++)
            keys[i] = draw_key(&client->draw);
        lookup(client, way, keys, 10000, &result);
        for (uint32_t i = 0; i < 10000; i++) {
            uint32_t len = 0;
            const void *value = fkv_value(&result, i, &len);
            bench_value(keys[i], client->bench->o.stamp, expected);
            if (!value || len != VALUE_LEN || memcmp(value, expected, VALUE_LEN) != 0)
                fail("a value differs from what was built");
        }
    }
}

static void client_init(struct client *client, struct bench *bench, int number)
{
    *client = (struct client){.bench = bench};
    client->draw =
        (struct draw){.state = 0x1234567 + 7919u * (uint64_t)number, .n = bench->o.n_keys};
    client->out_cap = (size_t)BATCH_MAX / 16 * (VALUE_LEN + 1) + 4096;
    client->out = huge_alloc(client->out_cap);
    client->keys = huge_alloc(BATCH_MAX / 16 * sizeof *client->keys);
    memset(client->out, 0, client->out_cap);
    if (fkv_batch_new(bench->table, &client->batch))
        fail(fkv_last_error());
    verify(client, WAY_PROCESS);
    verify(client, WAY_MOUNT);
}

static void print_cell(const struct options *o, enum way way, int size, bool is_first)
{
    struct cell *cell = &cells[way][size];
    printf("%s\n  {\"way\": \"%s\", \"batch\": %u, \"clients\": %d, ", is_first ? "" : ",",
           way == WAY_MOUNT ? "mount" : "process", o->sizes[size], o->n_clients);
    figure_json(stdout, "rate", "M keys/s", &cell->rate);
    printf(", \"rounds\": [");
    for (int i = 0; i < cell->rate.n; i++)
        printf("%s%.4f", i ? ", " : "", cell->rate.value[i]);
    printf("], \"batches\": %llu, \"p50_us\": %.2f, \"p99_us\": %.2f, \"p999_us\": %.2f, "
           "\"max_us\": %.2f}",
           (unsigned long long)cell->latency.n, (double)histogram_at(&cell->latency, 0.5) / 1e3,
           (double)histogram_at(&cell->latency, 0.99) / 1e3,
           (double)histogram_at(&cell->latency, 0.999) / 1e3, (double)cell->latency.max / 1e3);
}

static void parse_sizes(struct options *o, char *text)
{
    for (char *word = strtok(text, ","); word && o->n_sizes < SIZES_MAX; word = strtok(NULL, ","))
        o->sizes[o->n_sizes++] = (uint32_t)strtoul(word, NULL, 10);
}

static void options_parse(int argc, char **argv, struct options *o)
{
    static const struct option longs[] = {
        {"table", 1, NULL, 't'},   {"files", 1, NULL, 'f'}, {"keys", 1, NULL, 'n'},
        {"stamp", 1, NULL, 's'},   {"sizes", 1, NULL, 'b'}, {"clients", 1, NULL, 'c'},
        {"rounds", 1, NULL, 'r'},  {"cpu", 1, NULL, 'p'},   {"seconds", 1, NULL, 'S'},
        {"message", 0, NULL, 'm'}, {NULL, 0, NULL, 0},
    };
    static char sizes[] = "1,100,1000,3900,16384";
    int c = 0;
    *o = (struct options){.n_clients = 1,
                          .n_rounds = 5,
                          .cpu = -1,
                          .seconds = 0.3,
                          .stamp = 1,
                          .transport = FKV_SHARED};
    while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        switch (c) {
        case 't':
            o->table_dir = optarg;
            break;
        case 'f':
            o->files_dir = optarg;
            break;
        case 'n':
            o->n_keys = strtoull(optarg, NULL, 10);
            break;
        case 's':
            o->stamp = strtoull(optarg, NULL, 10);
            break;
        case 'b':
            parse_sizes(o, optarg);
            break;
        case 'c':
            o->n_clients = atoi(optarg);
            break;
        case 'r':
            o->n_rounds = atoi(optarg);
            break;
        case 'p':
            o->cpu = atoi(optarg);
            break;
        case 'S':
            o->seconds = atof(optarg);
            break;
        case 'm':
            o->transport = FKV_MESSAGE;
            break;
        default:
            exit(2);
        }
    }
    if (!o->n_sizes)
        parse_sizes(o, sizes);
    if (!o->table_dir || !o->files_dir || !o->n_keys || o->n_clients < 1 ||
        o->n_clients > CLIENTS_MAX || o->n_rounds < 1 || o->n_rounds > BENCH_ROUNDS_MAX) {
        fprintf(stderr, "usage: bench_mount --table DIR --files DIR --keys N [--sizes A,B,…] "
                        "[--clients N] [--cpu N] [--rounds N] [--seconds S] [--message]\n");
        exit(2);
    }
}

int main(int argc, char **argv)
{
    static struct bench bench;
    static struct client clients[CLIENTS_MAX];
    struct options *o = &bench.o;
    options_parse(argc, argv, o);
    fkv_options options = {.transport = o->transport};
    table_files_open(&bench.files, o->files_dir);
    if (fkv_open(o->table_dir, &options, &bench.table))
        fail(fkv_last_error());
    for (int i = 0; i < o->n_clients; i++)
        client_init(&clients[i], &bench, i);
    for (int round = 0; round < o->n_rounds; round++)
        for (int size = 0; size < o->n_sizes; size++)
            for (int way = 0; way < N_WAYS; way++)
                run_cell(clients, o->n_clients, (enum way)way, o->sizes[size], o->seconds,
                         &cells[way][size]);
    printf("{\"cells\": [");
    for (int size = 0; size < o->n_sizes; size++)
        for (int way = 0; way < N_WAYS; way++)
            print_cell(o, (enum way)way, size, size == 0 && way == 0);
    printf("]}\n");
    for (int i = 0; i < o->n_clients; i++)
        fkv_batch_free(clients[i].batch);
    fkv_close(bench.table);
    table_files_close(&bench.files);
    return 0;
}
