/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_fold STORE_URL ROUNDS POLLS: what reading the manifest costs: opening a log, and looking for news when there are none.
 *
 * Prints one JSON object: for each opening its milliseconds and requests, and for the polls their requests, microseconds
 * and how many there were.
 */
#include "bench_util.h"

#include "manifest/manifest.h"

#include <stdbool.h>

static void must(int r, const struct err *err)
{
    if (!r)
        return;
    fprintf(stderr, "bench_fold: %s\n", err_text(err, r));
    exit(1);
}

/* A new connection each time, as a daemon that starts has it. */
static void open_once(const char *url, bool is_first)
{
    struct err err = {0};
    struct store *store = NULL;
    struct manifest *manifest = NULL;
    uint64_t begin_ns = bench_now_ns();
    must(store_open(url, &store, &err), &err);
    uint64_t opened_ns = bench_now_ns();
    uint64_t opened_requests = store_n_requests(store);
    must(manifest_open(store, &manifest, &err), &err);
    uint64_t end_ns = bench_now_ns();
    const struct state *state = manifest_state(manifest);
    printf("%s\n  {\"connect_ms\": %.3f, \"fold_ms\": %.3f, \"requests\": %llu, \"seq\": %llu, "
           "\"tables\": %zu}",
           is_first ? "" : ",", (double)(opened_ns - begin_ns) / 1e6,
           (double)(end_ns - opened_ns) / 1e6,
           (unsigned long long)(store_n_requests(store) - opened_requests),
           (unsigned long long)state->seq, state->n_tables);
    manifest_close(manifest);
    store_close(store);
}

static void poll_often(const char *url, int n_polls)
{
    struct err err = {0};
    struct store *store = NULL;
    struct manifest *manifest = NULL;
    must(store_open(url, &store, &err), &err);
    must(manifest_open(store, &manifest, &err), &err);
    must(manifest_refresh(manifest, NULL, &err), &err);
    uint64_t requests = store_n_requests(store);
    uint64_t begin_ns = bench_now_ns();
    for (int i = 0; i < n_polls; i++) {
        size_t n_new = 0;
        must(manifest_refresh(manifest, &n_new, &err), &err);
        BENCH_MUST(n_new == 0);
    }
    printf(", \"polls\": {\"n\": %d, \"requests\": %llu, \"us\": %.2f}", n_polls,
           (unsigned long long)(store_n_requests(store) - requests),
           n_polls ? (double)(bench_now_ns() - begin_ns) / 1e3 / n_polls : 0.0);
    manifest_close(manifest);
    store_close(store);
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: bench_fold STORE_URL ROUNDS POLLS\n");
        return 2;
    }
    int n_rounds = atoi(argv[2]);
    printf("{\"opens\": [");
    for (int i = 0; i < n_rounds; i++)
        open_once(argv[1], i == 0);
    printf("]");
    poll_often(argv[1], atoi(argv[3]));
    printf("}\n");
    return 0;
}
