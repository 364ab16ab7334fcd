/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_gen STORE_URL TABLE N_KEYS STAMP [N_SHARDS]: a sealed build of the benchmark table
 * (bench_keys.h), for `fkv publish`.
 *
 * It goes straight to the part writer: parsing 50 million rows of text would only measure the
 * builder, which has a benchmark of its own.
 */
#include "bench_keys.h"
#include "bench_util.h"

#include "builder/layout.h"
#include "builder/part_file.h"
#include "builder/seal.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

enum { N_THREADS = 2, RADIX_BITS = 11, RADIX = 1 << RADIX_BITS };

struct gen {
    struct store *store;
    struct schema schema;
    struct version_desc desc;
    char dir[LAYOUT_PATH_MAX];
    uint64_t *hashes; /* ascending */
    uint64_t n_keys;
    uint64_t stamp;
    atomic_uint next_shard;
};

static void must(int r, const struct err *err)
{
    if (!r)
        return;
    fprintf(stderr, "bench_gen: %s\n", err_text(err, r));
    exit(1);
}

static uint64_t *sorted(uint64_t *a, uint64_t *b, uint64_t n)
{
    for (int shift = 0; shift < 64; shift += RADIX_BITS) {
        uint64_t start[RADIX + 1] = {0};
        for (uint64_t i = 0; i < n; i++)
            start[((a[i] >> shift) & (RADIX - 1)) + 1]++;
        for (int i = 0; i < RADIX; i++)
            start[i + 1] += start[i];
        for (uint64_t i = 0; i < n; i++)
            b[start[(a[i] >> shift) & (RADIX - 1)]++] = a[i];
        uint64_t *other = a;
        a = b;
        b = other;
    }
    return a;
}

/* The first hash of a shard, by bisection: shards are ranges of hashes. */
static uint64_t first_of(const struct gen *gen, uint32_t shard)
{
    uint64_t low = 0;
    uint64_t high = gen->n_keys;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (schema_shard(&gen->schema, gen->hashes[middle]) < shard)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void write_shard(struct gen *gen, uint32_t shard)
{
    struct err err = {0};
    struct part_file file;
    struct part_writer *writer = NULL;
    struct part_info info;
    uint8_t value[VALUE_LEN];
    struct part_params params = {.schema = &gen->schema,
                                 .shard = shard,
                                 .n_partitions = part_partitions(&gen->schema, gen->n_keys)};
    must(part_file_create(&file, gen->store, gen->dir, 0, shard, &err), &err);
    must(part_writer_new(&params, part_file_sink(&file), &writer, &err), &err);
    uint64_t end = first_of(gen, shard + 1);
    for (uint64_t i = first_of(gen, shard); i < end; i++) {
        uint64_t key = hash_u64_inverse(gen->hashes[i], gen->schema.hash_seed);
        struct part_entry entry = {
            .hash = gen->hashes[i], .key = key, .value = value, .value_len = VALUE_LEN};
        bench_value(key, gen->stamp, value);
        must(part_writer_add(writer, &entry, &err), &err);
    }
    must(part_writer_finish(writer, &info, &err), &err);
    must(part_file_commit(&file, &info, &gen->desc.parts[shard], &err), &err);
    part_writer_free(writer);
    part_file_release(&file);
}

static void *write_shards(void *arg)
{
    struct gen *gen = arg;
    uint32_t shard;
    while ((shard = atomic_fetch_add(&gen->next_shard, 1)) < gen->schema.n_shards)
        write_shard(gen, shard);
    return NULL;
}

static void hash_keys(struct gen *gen)
{
    uint64_t *a = huge_alloc(gen->n_keys * sizeof *a);
    uint64_t *b = huge_alloc(gen->n_keys * sizeof *b);
    for (uint64_t i = 0; i < gen->n_keys; i++)
        a[i] = schema_hash_u64(&gen->schema, bench_key(i));
    gen->hashes = sorted(a, b, gen->n_keys);
    huge_free(gen->hashes == a ? b : a, gen->n_keys * sizeof *a);
}

static void write_parts(struct gen *gen)
{
    pthread_t threads[N_THREADS];
    gen->desc.n_parts = gen->schema.n_shards;
    gen->desc.parts = calloc(gen->desc.n_parts, sizeof *gen->desc.parts);
    BENCH_MUST(gen->desc.parts);
    for (int i = 0; i < N_THREADS; i++)
        BENCH_MUST(!pthread_create(&threads[i], NULL, write_shards, gen));
    for (int i = 0; i < N_THREADS; i++)
        pthread_join(threads[i], NULL);
}

int main(int argc, char **argv)
{
    struct err err = {0};
    char task[64];
    char path[LAYOUT_PATH_MAX + 16];
    if (argc < 5) {
        fprintf(stderr, "usage: bench_gen STORE_URL TABLE N_KEYS STAMP [N_SHARDS]\n");
        return 2;
    }
    struct gen gen = {.n_keys = strtoull(argv[3], NULL, 10), .stamp = strtoull(argv[4], NULL, 10)};
    gen.schema = (struct schema){.kind = KIND_MEM,
                                 .key_type = KEY_U64,
                                 .n_shards = argc > 5 ? (uint32_t)atoi(argv[5]) : 4,
                                 .hash_seed = 1,
                                 .mode = 0444};
    must(schema_set_value(&gen.schema, "bytes[64]", &err), &err);
    must(schema_check(&gen.schema, &err), &err);
    must(store_open(argv[1], &gen.store, &err), &err);
    snprintf(task, sizeof task, "gen-%08llu", (unsigned long long)gen.stamp);
    layout_staging_dir(argv[2], task, gen.dir);
    snprintf(path, sizeof path, "%s/parts", gen.dir);
    must(store_mkdir(gen.store, path, &err), &err);
    hash_keys(&gen);
    write_parts(&gen);
    gen.desc.schema = gen.schema;
    gen.desc.n_levels = 1;
    gen.desc.n_keys = gen.desc.n_entries = gen.n_keys;
    gen.desc.task = strdup(task);
    gen.desc.builder = strdup("bench_gen");
    gen.desc.author = strdup("bench@localhost");
    gen.desc.created = strdup("2026-01-01T00:00:00Z");
    gen.desc.source = strdup("generated");
    must(seal_finish(gen.store, gen.dir, &gen.desc, &err), &err);
    version_desc_release(&gen.desc);
    store_close(gen.store);
    huge_free(gen.hashes, gen.n_keys * sizeof *gen.hashes);
    return 0;
}
