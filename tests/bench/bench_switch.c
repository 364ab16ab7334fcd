/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_switch: readers at full load while versions are published and switched.
 *
 * Each value carries the stamp of its version (bench_keys.h; stamp and version number are the
 * same). A batch is mixed when its values' stamps differ from the version the reply names. Every
 * batch is timed; those that overlap the time around a change of version go into the "switch"
 * histogram, those while PHASE_FILE exists (a publish is at work) into "prepare", all others into
 * "steady".
 *
 * Reads until STOP_FILE exists; prints one JSON object, with a timeline of ticks of 100 ms.
 */
#include "bench_keys.h"
#include "bench_util.h"
#include "timeline.h"

#include "client/fkv.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <unistd.h>

enum { CLIENTS_MAX = 16, WINDOW_MS = 250, RECENT = 1 << 16 };
enum phase { STEADY, PREPARE, SWITCH, N_PHASES };

static const char *const phase_names[] = {"steady", "prepare", "switch"};

struct shared {
    const char *table_dir;
    uint64_t n_keys;
    uint32_t batch;
    uint64_t start_ns;
    atomic_bool stop;
    atomic_bool preparing;
};

/* The last batches of a client, not yet counted: a switch reaches back in time. */
struct recent {
    uint64_t end_ns;
    uint64_t ns;
    bool preparing;
};

struct client {
    struct shared *shared;
    struct draw draw;
    struct histogram latency[N_PHASES];
    uint64_t n_batches, n_failed, n_mixed, n_switches;
    uint64_t last_version;
    uint64_t switch_ns; /* when the version last changed */
    struct recent recent[RECENT];
    uint64_t first, next;     /* of recent, modulo RECENT */
    struct timeline timeline; /* marked with the version */
};

static void count(struct client *client, const struct recent *batch)
{
    uint64_t window = (uint64_t)WINDOW_MS * 1000000;
    uint64_t begin = batch->end_ns - batch->ns;
    bool near = client->switch_ns && begin < client->switch_ns + window &&
                batch->end_ns + window > client->switch_ns;
    histogram_add(&client->latency[near ? SWITCH : batch->preparing ? PREPARE : STEADY], batch->ns);
}

/* Counts batches that no switch to come can reach any more. */
static void settle(struct client *client, uint64_t now)
{
    uint64_t window = (uint64_t)WINDOW_MS * 1000000;
    while (client->first < client->next) {
        const struct recent *batch = &client->recent[client->first % RECENT];
        bool is_full = client->next - client->first == RECENT;
        if (!is_full && batch->end_ns + window > now)
            return;
        count(client, batch);
        client->first++;
    }
}

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

static void one_batch(struct client *client, fkv_batch *batch)
{
    fkv_result result;
    uint32_t n = client->shared->batch;
    uint64_t *keys = fkv_keys_u64(batch, n);
    BENCH_MUST(keys);
    for (uint32_t i = 0; i < n; i++)
        keys[i] = draw_key(&client->draw);
    bool preparing = atomic_load_explicit(&client->shared->preparing, memory_order_relaxed);
    uint64_t before = bench_now_ns();
    int r = fkv_get_u64(batch, keys, n, NULL, &result);
    uint64_t now = bench_now_ns();
    client->n_batches++;
    if (r) {
        fprintf(stderr, "bench_switch: %s\n", fkv_last_error());
        client->n_failed++;
        return;
    }
    client->n_mixed += is_mixed(&result, keys);
    if (client->last_version && result.version != client->last_version) {
        client->n_switches++;
        settle(client, before);
        client->switch_ns = before;
    }
    client->last_version = result.version;
    client->recent[client->next++ % RECENT] = (struct recent){now, now - before, preparing};
    timeline_add(&client->timeline, now - client->shared->start_ns, result.version, now - before);
    settle(client, now);
}

static void *read_on(void *arg)
{
    struct client *client = arg;
    fkv_table *table = NULL;
    fkv_batch *batch = NULL;
    BENCH_MUST(!fkv_open(client->shared->table_dir, NULL, &table));
    BENCH_MUST(!fkv_batch_new(table, &batch));
    while (!atomic_load_explicit(&client->shared->stop, memory_order_relaxed))
        one_batch(client, batch);
    settle(client, UINT64_MAX);
    fkv_batch_free(batch);
    fkv_close(table);
    return NULL;
}

static void print(const struct client *clients, int n)
{
    static struct histogram all[N_PHASES];
    const struct timeline *timelines[CLIENTS_MAX];
    uint64_t batches = 0, failed = 0, mixed = 0;
    for (int i = 0; i < n; i++) {
        timelines[i] = &clients[i].timeline;
        batches += clients[i].n_batches;
        failed += clients[i].n_failed;
        mixed += clients[i].n_mixed;
        for (int p = 0; p < N_PHASES; p++)
            histogram_merge(&all[p], &clients[i].latency[p]);
    }
    printf("{\"batches\": %llu, \"failed\": %llu, \"mixed\": %llu, \"switches\": %llu",
           (unsigned long long)batches, (unsigned long long)failed, (unsigned long long)mixed,
           (unsigned long long)clients[0].n_switches);
    for (int p = 0; p < N_PHASES; p++)
        printf(
            ", \"%s\": {\"batches\": %llu, \"p50_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f, "
            "\"max_us\": %.1f}",
            phase_names[p], (unsigned long long)all[p].n, (double)histogram_at(&all[p], 0.5) / 1e3,
            (double)histogram_at(&all[p], 0.99) / 1e3, (double)histogram_at(&all[p], 0.999) / 1e3,
            (double)all[p].max / 1e3);
    printf(", \"timeline\": ");
    timelines_print(timelines, n, "version");
    printf("}\n");
}

int main(int argc, char **argv)
{
    static struct client clients[CLIENTS_MAX];
    pthread_t threads[CLIENTS_MAX];
    if (argc != 7) {
        fprintf(stderr,
                "usage: bench_switch TABLE_DIR N_KEYS BATCH CLIENTS PHASE_FILE STOP_FILE\n");
        return 2;
    }
    struct shared shared = {.table_dir = argv[1],
                            .n_keys = strtoull(argv[2], NULL, 10),
                            .batch = (uint32_t)atoi(argv[3]),
                            .start_ns = bench_now_ns()};
    int n = atoi(argv[4]);
    BENCH_MUST(n >= 1 && n <= CLIENTS_MAX);
    for (int i = 0; i < n; i++) {
        clients[i].shared = &shared;
        clients[i].draw = (struct draw){.state = 77 + (uint64_t)i, .n = shared.n_keys};
        BENCH_MUST(!pthread_create(&threads[i], NULL, read_on, &clients[i]));
    }
    while (access(argv[6], F_OK)) {
        struct timespec nap = {0, 2000000};
        nanosleep(&nap, NULL);
        atomic_store(&shared.preparing, !access(argv[5], F_OK));
    }
    atomic_store(&shared.stop, true);
    for (int i = 0; i < n; i++)
        pthread_join(threads[i], NULL);
    print(clients, n);
    return 0;
}
