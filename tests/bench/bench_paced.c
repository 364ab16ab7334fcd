/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_paced: lookups at a fixed rate, and how long each took since it was due.
 *
 * Each client has a timetable. A batch that starts late because the one before it took long is still counted from the moment it was due, so a
 * stall is seen by all the batches it delayed (no coordinated omission).
 *
 * Standard input says what is going on: a line "PHASE ROUND", PHASE a number below PHASES_MAX; "end" or the end of input ends the program. A batch
 * belongs to the phase in which it was due. Each value is compared with its key and with the version that the reply names.
 * Prints one JSON object: latencies by phase, by phase and round, and a timeline marked with the phase.
 */
#include "bench_keys.h"
#include "timeline.h"

#include "client/fkv.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

enum { CLIENTS_MAX = 16, PHASES_MAX = 5, ROUNDS_MAX = 16 };

struct shared {
    const char *table_dir;
    uint64_t n_keys;
    uint32_t batch;
    uint64_t period_ns; /* of one client */
    uint64_t start_ns;
    atomic_bool stop;
    _Atomic uint32_t phase; /* phase * ROUNDS_MAX + round */
};

struct client {
    struct shared *shared;
    uint64_t first_ns; /* when its first batch is due */
    struct draw draw;
    uint64_t n_batches, n_failed, n_mixed;
    struct histogram latency[PHASES_MAX * ROUNDS_MAX];
    struct timeline timeline;
};

static bool is_mixed(const fkv_result *result, const uint64_t *keys)
{
    bool mixed = false;
    for (uint32_t i = 0; i < result->n_keys; i++) {
        uint64_t words[2] = {0};
        const void *value = fkv_value(result, i, NULL);
        if (value)
            memcpy(words, value, sizeof words);
        mixed |= words[0] != keys[i] || words[1] != result->version;
    }
    return mixed;
}

static void sleep_until(uint64_t at_ns)
{
    struct timespec at = {.tv_sec = (time_t)(at_ns / 1000000000),
                          .tv_nsec = (long)(at_ns % 1000000000)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
        ;
}

static void one_batch(struct client *client, fkv_batch *batch, uint64_t due_ns)
{
    fkv_result result;
    struct shared *shared = client->shared;
    uint64_t *keys = fkv_keys_u64(batch, shared->batch);
    BENCH_MUST(keys);
    for (uint32_t i = 0; i < shared->batch; i++)
        keys[i] = draw_key(&client->draw);
    sleep_until(due_ns);
    uint32_t phase = atomic_load_explicit(&shared->phase, memory_order_relaxed);
    int r = fkv_get_u64(batch, keys, shared->batch, NULL, &result);
    uint64_t now_ns = bench_now_ns();
    client->n_batches++;
    if (r) {
        fprintf(stderr, "bench_paced: %s\n", fkv_last_error());
        client->n_failed++;
        return;
    }
    histogram_add(&client->latency[phase], now_ns - due_ns);
    timeline_add(&client->timeline, now_ns - shared->start_ns, phase / ROUNDS_MAX, now_ns - due_ns);
    client->n_mixed += is_mixed(&result, keys);
}

static void *read_on(void *arg)
{
    struct client *client = arg;
    struct shared *shared = client->shared;
    fkv_table *table = NULL;
    fkv_batch *batch = NULL;
    BENCH_MUST(!fkv_open(shared->table_dir, NULL, &table));
    BENCH_MUST(!fkv_batch_new(table, &batch));
    for (uint64_t due_ns = client->first_ns;
         !atomic_load_explicit(&shared->stop, memory_order_relaxed); due_ns += shared->period_ns)
        one_batch(client, batch, due_ns);
    fkv_batch_free(batch);
    fkv_close(table);
    return NULL;
}

static void take_orders(struct shared *shared)
{
    char line[64];
    while (fgets(line, sizeof line, stdin)) {
        uint32_t phase = 0, round = 0;
        if (sscanf(line, "%u %u", &phase, &round) != 2)
            break;
        BENCH_MUST(phase < PHASES_MAX && round < ROUNDS_MAX);
        atomic_store(&shared->phase, phase * ROUNDS_MAX + round);
    }
    atomic_store(&shared->stop, true);
}

static void print_latency(const struct histogram *h)
{
    printf("{\"batches\": %llu, \"p50_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f, "
           "\"max_us\": %.1f}",
           (unsigned long long)h->n, (double)histogram_at(h, 0.5) / 1e3,
           (double)histogram_at(h, 0.99) / 1e3, (double)histogram_at(h, 0.999) / 1e3,
           (double)h->max / 1e3);
}

static void print_phase(const struct client *clients, int n, int phase)
{
    static struct histogram all, round;
    memset(&all, 0, sizeof all);
    printf("%s\n  {\"rounds\": [", phase ? "," : "");
    for (int r = 0; r < ROUNDS_MAX; r++) {
        memset(&round, 0, sizeof round);
        for (int i = 0; i < n; i++)
            histogram_merge(&round, &clients[i].latency[phase * ROUNDS_MAX + r]);
        histogram_merge(&all, &round);
        printf("%s", r ? ", " : "");
        print_latency(&round);
    }
    printf("], \"all\": ");
    print_latency(&all);
    printf("}");
}

static void print(const struct client *clients, int n)
{
    const struct timeline *timelines[CLIENTS_MAX];
    uint64_t batches = 0, failed = 0, mixed = 0;
    for (int i = 0; i < n; i++) {
        timelines[i] = &clients[i].timeline;
        batches += clients[i].n_batches;
        failed += clients[i].n_failed;
        mixed += clients[i].n_mixed;
    }
    printf("{\"batches\": %llu, \"failed\": %llu, \"mixed\": %llu, \"phases\": [",
           (unsigned long long)batches, (unsigned long long)failed, (unsigned long long)mixed);
    for (int p = 0; p < PHASES_MAX; p++)
        print_phase(clients, n, p);
    printf("], \"timeline\": ");
    timelines_print(timelines, n, "phase");
    printf("}\n");
}

int main(int argc, char **argv)
{
    pthread_t threads[CLIENTS_MAX];
    if (argc != 6) {
        fprintf(stderr, "usage: bench_paced TABLE_DIR N_KEYS BATCH CLIENTS BATCHES_PER_SECOND\n");
        return 2;
    }
    int n = atoi(argv[4]);
    double rate = strtod(argv[5], NULL);
    struct client *clients = calloc(CLIENTS_MAX, sizeof *clients);
    BENCH_MUST(clients && n >= 1 && n <= CLIENTS_MAX && rate > 0);
    struct shared shared = {.table_dir = argv[1],
                            .n_keys = strtoull(argv[2], NULL, 10),
                            .batch = (uint32_t)atoi(argv[3]),
                            .period_ns = (uint64_t)(1e9 * n / rate),
                            .start_ns = bench_now_ns()};
    for (int i = 0; i < n; i++) {
        clients[i].shared = &shared;
        clients[i].first_ns =
            shared.start_ns + 100000000 + shared.period_ns * (uint64_t)i / (uint64_t)n;
        clients[i].draw = (struct draw){.state = 77 + (uint64_t)i, .n = shared.n_keys};
        BENCH_MUST(!pthread_create(&threads[i], NULL, read_on, &clients[i]));
    }
    take_orders(&shared);
    for (int i = 0; i < n; i++)
        pthread_join(threads[i], NULL);
    print(clients, n);
    free(clients);
    return 0;
}
