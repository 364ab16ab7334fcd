/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_peers: fkv through its mount beside RocksDB, LMDB and Redis: same keys, values and batches,
 * one run, alternating.
 *
 * Every peer does the same: random keys are drawn, looked up in one batch, and every value is read
 * and its first word compared with the key. Before that, values of one pass are compared whole.
 * Prints one JSON object.
 */
#include "bench_keys.h"
#include "bench_util.h"
#include "histogram.h"
#include "peer.h"

#include <getopt.h>
#include <stdbool.h>
#include <sys/stat.h>

enum { VERIFY_BATCHES = 20 };

static struct peer *const peers[] = {&peer_fkv, &peer_rocksdb_cuckoo, &peer_rocksdb_block,
                                     &peer_lmdb, &peer_redis};
enum { N_PEERS = sizeof peers / sizeof *peers };

struct options {
    const char *table_dir;
    const char *scratch;
    uint64_t n_keys;
    uint32_t batch;
    int n_rounds;
    double seconds;
};

struct outcome {
    struct figure rate;
    struct histogram latency;
    double load_seconds;
};
static struct outcome outcomes[N_PEERS];

void peer_fail(const struct peer *peer, const char *what)
{
    fprintf(stderr, "bench_peers: %s: %s\n", peer->name, what);
    exit(1);
}

static int entry_order(const void *a, const void *b)
{
    uint64_t x = ((const struct peer_entry *)a)->key;
    uint64_t y = ((const struct peer_entry *)b)->key;
    return (x > y) - (x < y);
}

static struct peer_entry *make_entries(uint64_t n)
{
    struct peer_entry *entries = huge_alloc(n * sizeof *entries);
    for (uint64_t i = 0; i < n; i++)
        entries[i] = (struct peer_entry){bench_key(i), __builtin_bswap64(bench_key(i))};
    qsort(entries, n, sizeof *entries, entry_order);
    return entries;
}

static void draw_keys(struct draw *draw, uint64_t *keys, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        keys[i] = draw_key(draw);
}

static uint64_t *keys_of(struct peer *peer, uint32_t n)
{
    static uint64_t own[PEER_BATCH_MAX];
    return peer->keys ? peer->keys(peer, n) : own;
}

static void verify(struct peer *peer, const struct options *o, struct draw *draw)
{
    static const void *values[PEER_BATCH_MAX];
    uint8_t expected[VALUE_LEN];
    for (int i = 0; i < VERIFY_BATCHES; i++) {
        uint64_t *keys = keys_of(peer, o->batch);
        draw_keys(draw, keys, o->batch);
        peer->get(peer, keys, o->batch, values);
        for (uint32_t k = 0; k < o->batch; k++) {
            bench_value(keys[k], 1, expected);
            if (!values[k] || memcmp(values[k], expected, VALUE_LEN) != 0)
                peer_fail(peer, "a value differs from what was stored");
        }
    }
}

static void measure(struct peer *peer, const struct options *o, struct draw *draw,
                    struct outcome *out)
{
    static const void *values[PEER_BATCH_MAX];
    uint64_t start = bench_now_ns();
    uint64_t end = start + (uint64_t)(o->seconds * 1e9);
    uint64_t n_keys = 0;
    uint64_t now = start;
    for (; now < end; now = bench_now_ns()) {
        uint64_t *keys = keys_of(peer, o->batch);
        draw_keys(draw, keys, o->batch);
        uint64_t before = bench_now_ns();
        peer->get(peer, keys, o->batch, values);
        histogram_add(&out->latency, bench_now_ns() - before);
        for (uint32_t k = 0; k < o->batch; k++) {
            uint64_t first = 0;
            if (values[k])
                memcpy(&first, values[k], sizeof first);
            if (first != keys[k])
                peer_fail(peer, "a value is not its key's");
        }
        n_keys += o->batch;
    }
    figure_add(&out->rate, (double)n_keys * 1e3 / (double)(now - start));
}

static void print_outcome(const struct peer *peer, const struct outcome *out, bool is_first)
{
    printf("%s\n  {\"name\": \"%s\", \"version\": \"%s\", \"settings\": \"%s\", \"load_s\": %.1f, ",
           is_first ? "" : ",", peer->name, peer->version, peer->settings, out->load_seconds);
    figure_json(stdout, "rate", "M keys/s", &out->rate);
    printf(", \"rounds\": [");
    for (int i = 0; i < out->rate.n; i++)
        printf("%s%.4f", i ? ", " : "", out->rate.value[i]);
    printf("], \"p50_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f}",
           (double)histogram_at(&out->latency, 0.5) / 1e3,
           (double)histogram_at(&out->latency, 0.99) / 1e3,
           (double)histogram_at(&out->latency, 0.999) / 1e3);
}

static void options_parse(int argc, char **argv, struct options *o)
{
    static const struct option longs[] = {
        {"table", 1, NULL, 't'}, {"scratch", 1, NULL, 'd'}, {"keys", 1, NULL, 'n'},
        {"batch", 1, NULL, 'b'}, {"rounds", 1, NULL, 'r'},  {"seconds", 1, NULL, 'S'},
        {NULL, 0, NULL, 0},
    };
    int c = 0;
    *o = (struct options){.batch = 3900, .n_rounds = 5, .seconds = 0.5};
    while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        switch (c) {
        case 't':
            o->table_dir = optarg;
            break;
        case 'd':
            o->scratch = optarg;
            break;
        case 'n':
            o->n_keys = strtoull(optarg, NULL, 10);
            break;
        case 'b':
            o->batch = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 'r':
            o->n_rounds = atoi(optarg);
            break;
        case 'S':
            o->seconds = atof(optarg);
            break;
        default:
            exit(2);
        }
    }
    if (!o->table_dir || !o->scratch || !o->n_keys || !o->batch || o->batch > PEER_BATCH_MAX ||
        o->n_rounds < 1 || o->n_rounds > BENCH_ROUNDS_MAX) {
        fprintf(stderr, "usage: bench_peers --table DIR --scratch DIR --keys N [--batch N] "
                        "[--rounds N] [--seconds S]\n");
        exit(2);
    }
}

int main(int argc, char **argv)
{
    struct options o;
    char dir[4096];
    options_parse(argc, argv, &o);
    struct draw draw = {.state = 0xABCDEF, .n = o.n_keys};
    struct peer_entry *entries = make_entries(o.n_keys);
    for (int i = 0; i < N_PEERS; i++) {
        uint64_t start = bench_now_ns();
        snprintf(dir, sizeof dir, "%s/peer-%d", o.scratch, i);
        mkdir(dir, 0700);
        peers[i]->load(peers[i], peers[i] == &peer_fkv ? o.table_dir : dir, entries, o.n_keys);
        outcomes[i].load_seconds = (double)(bench_now_ns() - start) / 1e9;
        verify(peers[i], &o, &draw);
        fprintf(stderr, "  %s: loaded in %.1f s\n", peers[i]->name, outcomes[i].load_seconds);
    }
    huge_free(entries, o.n_keys * sizeof *entries);
    for (int round = 0; round < o.n_rounds; round++)
        for (int i = 0; i < N_PEERS; i++)
            measure(peers[i], &o, &draw, &outcomes[i]);
    printf("{\"batch\": %u, \"keys\": %llu, \"peers\": [", o.batch, (unsigned long long)o.n_keys);
    for (int i = 0; i < N_PEERS; i++)
        print_outcome(peers[i], &outcomes[i], i == 0);
    printf("]}\n");
    for (int i = 0; i < N_PEERS; i++)
        peers[i]->close(peers[i]);
    return 0;
}
