/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_gen STORE_URL TABLE N_KEYS STAMP [OPTIONS]: a sealed build of the benchmark table
 * (bench_keys.h), for `fkv publish`.
 *
 *   --shards N      4 unless said
 *   --kind KIND     mem unless said
 *   --value-len N   64 unless said
 *   --text-keys     keys of bytes
 *   --no-filter     of a blk table
 *
 * It goes straight to the part writers: parsing 50 million rows of text would only measure the
 * builder, which has a benchmark of its own. Prints what disk parts are made of, as one JSON object.
 */
#include "bench_keys.h"
#include "bench_util.h"
#include "gen_keys.h"

#include "builder/layout.h"
#include "builder/part_file.h"
#include "builder/seal.h"
#include "format/blk_writer.h"
#include "format/idx_writer.h"

#include <getopt.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

enum { N_THREADS = 2, VALUE_LEN_TOP = 1 << 16 };

struct gen {
    struct store *store;
    struct schema schema;
    struct version_desc desc;
    struct paged_info *infos; /* of disk parts */
    char dir[LAYOUT_PATH_MAX];
    struct gen_keys keys;
    uint64_t stamp;
    bool has_filter;
    atomic_uint next_shard;
};

/* Whichever the table's kind asks for. */
struct writer {
    struct part_writer *mem;
    struct blk_writer *blk;
    struct idx_writer *idx;
};

static void must(int r, const struct err *err)
{
    if (!r)
        return;
    fprintf(stderr, "bench_gen: %s\n", err_text(err, r));
    exit(1);
}

static void writer_new(const struct gen *gen, uint32_t shard, struct part_sink sink,
                       struct writer *out)
{
    struct err err = {0};
    const struct schema *schema = &gen->schema;
    uint64_t n = gen->keys.starts[shard + 1] - gen->keys.starts[shard];
    uint64_t key_len = schema->key_type == KEY_U64 ? 8 : TEXT_KEY_LEN;
    struct part_params params = {
        .schema = schema, .shard = shard, .n_partitions = part_partitions(schema, gen->keys.n)};
    struct paged_params paged = {.schema = schema,
                                 .shard = shard,
                                 .n_entries = n,
                                 .n_bytes = n * (key_len + schema->value_len),
                                 .has_filter = gen->has_filter,
                                 .compression = COMPRESSION_NONE};
    *out = (struct writer){0};
    if (schema->kind == KIND_MEM)
        must(part_writer_new(&params, sink, &out->mem, &err), &err);
    else if (schema->kind == KIND_BLK)
        must(blk_writer_new(&paged, sink, &out->blk, &err), &err);
    else
        must(idx_writer_new(&paged, sink, &out->idx, &err), &err);
}

static void writer_add(struct writer *writer, const struct part_entry *entry)
{
    struct err err = {0};
    must(writer->mem   ? part_writer_add(writer->mem, entry, &err)
         : writer->blk ? blk_writer_add(writer->blk, entry, &err)
                       : idx_writer_add(writer->idx, entry, &err),
         &err);
}

static void writer_finish(struct writer *writer, struct paged_info *info)
{
    struct err err = {0};
    must(writer->mem   ? part_writer_finish(writer->mem, &info->part, &err)
         : writer->blk ? blk_writer_finish(writer->blk, info, &err)
                       : idx_writer_finish(writer->idx, info, &err),
         &err);
    part_writer_free(writer->mem);
    blk_writer_free(writer->blk);
    idx_writer_free(writer->idx);
}

static void write_entries(const struct gen *gen, uint32_t shard, struct writer *writer)
{
    uint8_t text[TEXT_KEY_LEN];
    uint8_t value[VALUE_LEN_TOP];
    bool is_text = gen->schema.key_type == KEY_BYTES;
    for (uint64_t i = gen->keys.starts[shard]; i < gen->keys.starts[shard + 1]; i++) {
        const struct gen_key *key = &gen->keys.all[i];
        struct part_entry entry = {.hash = key->hash,
                                   .key = is_text ? 0 : key->key,
                                   .value = value,
                                   .value_len = gen->schema.value_len};
        if (is_text) {
            bench_key_text(key->key, text);
            entry.key_bytes = text;
            entry.key_len = TEXT_KEY_LEN;
        }
        bench_fill(key->key, gen->stamp, value, gen->schema.value_len);
        writer_add(writer, &entry);
    }
}

static void write_shard(struct gen *gen, uint32_t shard)
{
    struct err err = {0};
    struct part_file file;
    struct writer writer;
    struct paged_info *info = &gen->infos[shard];
    struct part_desc *desc = &gen->desc.parts[shard];
    must(part_file_create(&file, gen->store, gen->dir, 0, shard, &err), &err);
    writer_new(gen, shard, part_file_sink(&file), &writer);
    write_entries(gen, shard, &writer);
    writer_finish(&writer, info);
    must(part_file_commit(&file, &info->part, desc, &err), &err);
    if (gen->schema.kind != KIND_MEM)
        desc->tail_len = desc->len - BLOCK_PAGE * info->n_pages;
    desc->values_len = info->part.n_keys * gen->schema.value_len;
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

static void write_parts(struct gen *gen)
{
    pthread_t threads[N_THREADS];
    gen->desc.n_parts = gen->schema.n_shards;
    gen->desc.parts = calloc(gen->desc.n_parts, sizeof *gen->desc.parts);
    gen->infos = calloc(gen->desc.n_parts, sizeof *gen->infos);
    BENCH_MUST(gen->desc.parts && gen->infos);
    for (int i = 0; i < N_THREADS; i++)
        BENCH_MUST(!pthread_create(&threads[i], NULL, write_shards, gen));
    for (int i = 0; i < N_THREADS; i++)
        pthread_join(threads[i], NULL);
}

static void seal(struct gen *gen, char *task)
{
    struct err err = {0};
    gen->desc.schema = gen->schema;
    gen->desc.n_levels = 1;
    gen->desc.n_keys = gen->desc.n_entries = gen->keys.n;
    gen->desc.task = strdup(task);
    gen->desc.builder = strdup("bench_gen");
    gen->desc.author = strdup("bench@localhost");
    gen->desc.created = strdup("2026-01-01T00:00:00Z");
    gen->desc.source = strdup("generated");
    must(seal_finish(gen->store, gen->dir, &gen->desc, &err), &err);
}

static void print(const struct gen *gen)
{
    uint64_t len = 0, tails = 0, pages = 0, blocks = 0;
    for (size_t i = 0; i < gen->desc.n_parts; i++) {
        len += gen->desc.parts[i].len;
        tails += gen->desc.parts[i].tail_len;
        pages += gen->infos[i].n_pages;
        blocks += gen->infos[i].n_blocks;
    }
    printf("{\"bytes\": %llu, \"tail_bytes\": %llu, \"pages\": %llu, \"blocks\": %llu}\n",
           (unsigned long long)len, (unsigned long long)tails, (unsigned long long)pages,
           (unsigned long long)blocks);
}

static void usage(void)
{
    fprintf(stderr, "usage: bench_gen STORE_URL TABLE N_KEYS STAMP [--shards N] [--kind KIND] "
                    "[--value-len N] [--text-keys] [--no-filter]\n");
    exit(2);
}

/* Returns where the words without a dash begin. */
static char **options_parse(int argc, char **argv, struct gen *gen)
{
    static const struct option longs[] = {
        {"shards", 1, NULL, 's'},    {"kind", 1, NULL, 'k'},      {"value-len", 1, NULL, 'v'},
        {"text-keys", 0, NULL, 't'}, {"no-filter", 0, NULL, 'f'}, {NULL, 0, NULL, 0},
    };
    struct err err = {0};
    char value[VALUE_TEXT_MAX] = "bytes[64]";
    int c = 0;
    gen->schema = (struct schema){
        .kind = KIND_MEM, .key_type = KEY_U64, .n_shards = 4, .hash_seed = 1, .mode = 0444};
    gen->has_filter = true;
    while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        if (c == 's')
            gen->schema.n_shards = (uint32_t)atoi(optarg);
        else if (c == 'k')
            must(table_kind_from_name(optarg, &gen->schema.kind, &err), &err);
        else if (c == 'v')
            snprintf(value, sizeof value, "bytes[%d]", atoi(optarg));
        else if (c == 't')
            gen->schema.key_type = KEY_BYTES;
        else if (c == 'f')
            gen->has_filter = false;
        else
            usage();
    }
    must(schema_set_value(&gen->schema, value, &err), &err);
    must(schema_check(&gen->schema, &err), &err);
    if (argc - optind != 4 || gen->schema.value_len > VALUE_LEN_TOP)
        usage();
    return argv + optind;
}

int main(int argc, char **argv)
{
    struct err err = {0};
    char task[64];
    char path[LAYOUT_PATH_MAX + 16];
    static struct gen gen;
    char **words = options_parse(argc, argv, &gen);
    gen.stamp = strtoull(words[3], NULL, 10);
    must(store_open(words[0], &gen.store, &err), &err);
    snprintf(task, sizeof task, "gen-%08llu", (unsigned long long)gen.stamp);
    layout_staging_dir(words[1], task, gen.dir);
    snprintf(path, sizeof path, "%s/parts", gen.dir);
    must(store_mkdir(gen.store, path, &err), &err);
    gen_keys_make(&gen.schema, strtoull(words[2], NULL, 10), &gen.keys);
    write_parts(&gen);
    seal(&gen, task);
    print(&gen);
    version_desc_release(&gen.desc);
    store_close(gen.store);
    gen_keys_release(&gen.keys);
    free(gen.infos);
    return 0;
}
