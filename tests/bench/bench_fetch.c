/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_fetch STORE_URL CACHE_DIR TABLE VERSION: one version from the store into an empty cache, by the daemon's own code.
 *
 * The clock runs from opening the store, connection included, until the version is in the cache: every chunk and every part
 * checked, written and synced. Reading the manifest, which names the version's digest, is not counted: a daemon has
 * read it long before. Prints one JSON object.
 */
#include "bench_util.h"

#include "manifest/manifest.h"
#include "node/fetch.h"

#include <sys/resource.h>

struct counts {
    struct progress progress;
    _Atomic uint64_t fetched_bytes;
    _Atomic uint64_t bad_chunks;
};

static void must(int r, const struct err *err)
{
    if (!r)
        return;
    fprintf(stderr, "bench_fetch: %s\n", err_text(err, r));
    exit(1);
}

/* The caller sees to the disk. */
static int make_room(void *context, uint64_t need, struct err *err)
{
    return 0;
}

static struct digest version_digest(const char *url, const char *table, uint64_t id)
{
    struct err err = {0};
    struct store *store = NULL;
    struct manifest *manifest = NULL;
    must(store_open(url, &store, &err), &err);
    must(manifest_open(store, &manifest, &err), &err);
    const struct table_state *found = state_find_table(manifest_state(manifest), table);
    const struct version_entry *version = found ? table_state_find(found, id) : NULL;
    BENCH_MUST(version);
    struct digest digest = version->digest;
    manifest_close(manifest);
    store_close(store);
    return digest;
}

static double cpu_seconds(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

int main(int argc, char **argv)
{
    struct err err = {0};
    struct store *store = NULL;
    struct cache *cache = NULL;
    struct counts counts = {0};
    if (argc != 5) {
        fprintf(stderr, "usage: bench_fetch STORE_URL CACHE_DIR TABLE VERSION\n");
        return 2;
    }
    struct fetch_job job = {
        .table = argv[3],
        .id = strtoull(argv[4], NULL, 10),
        .make_room = make_room,
        .progress = &counts.progress,
        .fetched_bytes = &counts.fetched_bytes,
        .bad_chunks = &counts.bad_chunks,
    };
    job.digest = version_digest(argv[1], job.table, job.id);
    must(cache_open(argv[2], &cache, &err), &err);
    job.cache = cache;
    double cpu = cpu_seconds();
    uint64_t begin_ns = bench_now_ns();
    must(store_open(argv[1], &store, &err), &err);
    job.store = store;
    must(fetch_version(&job, &err), &err);
    uint64_t end_ns = bench_now_ns();
    printf("{\"seconds\": %.6f, \"cpu_seconds\": %.3f, \"bytes\": %llu, \"bad_chunks\": %llu, "
           "\"requests\": %llu}\n",
           (double)(end_ns - begin_ns) / 1e9, cpu_seconds() - cpu,
           (unsigned long long)counts.fetched_bytes, (unsigned long long)counts.bad_chunks,
           (unsigned long long)store_n_requests(store));
    store_close(store);
    cache_close(cache);
    return 0;
}
