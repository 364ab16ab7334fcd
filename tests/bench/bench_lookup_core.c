/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_lookup_core: batches of lookups in process, against the raw copy limit of the same memory.
 *
 * Each case builds its table in memory with generated keys, checks every answer of one pass, then
 * measures limit and lookups alternately, several rounds, on one core.
 */
#include "bench_util.h"
#include "raw_copy.h"

#include "base/hash.h"
#include "codec/vector.h"
#include "format/mem_table.h"
#include "format/part_writer.h"
#include "query/batch.h"

#include <getopt.h>
#include <stdbool.h>

enum { N_DELTAS = 3, DELTA_SHARE = 100, TOMB_SHARE = 1000 };

struct bench_case {
    const char *name;
    const char *what;
    enum key_type key_type;
    const char *value;
    enum batch_form form;
    uint64_t n_keys;
    uint64_t n_keys_quick;
    uint32_t n_deltas;
    uint32_t n_shards;
    double goal; /* of the ratio to the limit; 0: none */
};

static const struct bench_case cases[] = {
    {"u64-64", "u64 keys, 64 B values", KEY_U64, "bytes[64]", BATCH_AS_STORED, 50000000, 4000000, 0,
     1, 0.45},
    {"u64-400", "u64 keys, 400 B values", KEY_U64, "bytes[400]", BATCH_AS_STORED, 10000000, 1000000,
     0, 1, 0.75},
    {"u64-f16", "u64 keys, f16[96] returned as f32", KEY_U64, "f16[96]", BATCH_AS_F32, 10000000,
     1000000, 0, 1, 0},
    {"u64-var", "u64 keys, values in a heap, 64 B each", KEY_U64, "bytes", BATCH_AS_STORED,
     20000000, 2000000, 0, 1, 0},
    {"bytes-64", "16-byte keys, 64 B values", KEY_BYTES, "bytes[64]", BATCH_AS_STORED, 20000000,
     2000000, 0, 1, 0},
    {"u64-64-delta", "u64 keys, 64 B values, 3 deltas of 1 %", KEY_U64, "bytes[64]",
     BATCH_AS_STORED, 20000000, 2000000, N_DELTAS, 1, 0},
    {"u64-64-shards", "u64 keys, 64 B values, 240 shards", KEY_U64, "bytes[64]", BATCH_AS_STORED,
     20000000, 2000000, 0, 240, 0},
};
enum { N_CASES = sizeof cases / sizeof cases[0] };

struct options {
    const char *only;
    uint64_t n_keys; /* 0: the case's */
    uint32_t value_len;
    uint32_t batch;
    uint32_t n_batches;
    int n_rounds;
    bool is_quick;
    const char *json;
};

enum { VARYING_LEN = 64, KEY_TEXT_LEN = 16, LEVELS_IN_BENCH = 1 + N_DELTAS };

struct bench {
    struct bench_case c;
    struct schema schema;
    uint32_t value_len; /* of a stored value */
    uint32_t n_parts;
    void **memory;
    size_t *cap;
    struct part **parts;
    struct mem_table *table;
    uint64_t *index; /* n_batches * batch, the keys asked for */
    uint8_t *keys;   /* the same as requests */
    size_t keys_len; /* of one request */
    uint8_t *out;
    size_t out_cap;
    struct figure limit, fkv, ratio;
    double build_ns_per_key;
};

/* ---- keys and values, as functions of an index ---- */

static uint64_t key_u64(uint64_t i)
{
    return hash_u64(i, 0x5EED);
}

static void key_text(uint64_t i, char out[KEY_TEXT_LEN + 1])
{
    snprintf(out, KEY_TEXT_LEN + 1, "user%012llu", (unsigned long long)(i * 7919));
}

/* The level that holds index i's newest value. */
static uint32_t level_of(const struct bench *b, uint64_t i)
{
    uint64_t at = i % DELTA_SHARE;
    return at >= 1 && at <= b->c.n_deltas ? (uint32_t)at : 0;
}

static bool is_deleted(const struct bench *b, uint64_t i)
{
    return level_of(b, i) && i % TOMB_SHARE < DELTA_SHARE;
}

static void make_value(uint64_t i, uint32_t level, uint8_t *out, uint32_t len)
{
    uint64_t word = hash_u64(i, level);
    uint32_t at = 0;
    for (; at + 8 <= len; at += 8, word += 0x9E3779B97F4A7C15ULL)
        memcpy(out + at, &word, 8);
    memcpy(out + at, &word, len - at);
}

/* ---- building ---- */

struct pair {
    uint64_t hash;
    uint64_t i;
};

enum { RADIX_BITS = 16 };

/* By the high bits into runs, then each run by insertion. */
static struct pair *sort_pairs(struct pair *pairs, uint64_t n)
{
    uint64_t *start = calloc((1 << RADIX_BITS) + 1, sizeof *start);
    struct pair *sorted = huge_alloc(n * sizeof *sorted);
    int shift = 64 - RADIX_BITS;
    BENCH_MUST(start);
    for (uint64_t i = 0; i < n; i++)
        start[(pairs[i].hash >> shift) + 1]++;
    for (uint32_t i = 0; i < 1 << RADIX_BITS; i++)
        start[i + 1] += start[i];
    for (uint64_t i = 0; i < n; i++)
        sorted[start[pairs[i].hash >> shift]++] = pairs[i];
    free(start);
    huge_free(pairs, n * sizeof *pairs);
    for (uint64_t i = 1; i < n; i++) {
        struct pair p = sorted[i];
        uint64_t j = i;
        for (; j > 0 && sorted[j - 1].hash > p.hash; j--)
            sorted[j] = sorted[j - 1];
        sorted[j] = p;
    }
    return sorted;
}

struct memory_sink {
    uint8_t *data;
    size_t len;
    size_t cap;
};

static int memory_append(void *context, const void *data, size_t len, struct err *err)
{
    struct memory_sink *sink = context;
    BENCH_MUST(sink->cap - sink->len >= len);
    memcpy(sink->data + sink->len, data, len);
    sink->len += len;
    return 0;
}

static void add_entry(const struct bench *b, struct part_writer *writer, uint32_t level,
                      const struct pair *pair)
{
    uint8_t value[8192];
    char text[KEY_TEXT_LEN + 1];
    struct err err = {0};
    struct part_entry entry = {.hash = pair->hash, .value = value, .value_len = b->value_len};
    if (b->schema.key_type == KEY_U64) {
        entry.key = key_u64(pair->i);
    } else {
        key_text(pair->i, text);
        entry.key_bytes = (const uint8_t *)text;
        entry.key_len = KEY_TEXT_LEN;
    }
    entry.tombstone = level && is_deleted(b, pair->i);
    make_value(pair->i, level, value, b->value_len);
    if (part_writer_add(writer, &entry, &err)) {
        fprintf(stderr, "bench: %s\n", err.text);
        exit(1);
    }
}

static void build_part(struct bench *b, uint32_t level, uint32_t shard, uint32_t n_partitions,
                       const struct pair *pairs, uint64_t n)
{
    uint32_t at = level * b->schema.n_shards + shard;
    struct memory_sink sink = {.cap = n * (b->value_len + 64) * 5 / 4 + (8 << 20)};
    struct part_params params = {&b->schema, shard, level, n_partitions};
    struct part_writer *writer = NULL;
    struct err err = {0};
    sink.data = huge_alloc(sink.cap);
    BENCH_MUST(!part_writer_new(&params, (struct part_sink){memory_append, &sink}, &writer, &err));
    for (uint64_t i = 0; i < n; i++)
        add_entry(b, writer, level, &pairs[i]);
    BENCH_MUST(!part_writer_finish(writer, NULL, &err));
    part_writer_free(writer);
    b->memory[at] = sink.data;
    b->cap[at] = sink.cap;
    BENCH_MUST(!part_open(sink.data, sink.len, "bench", &b->parts[at], &err));
}

static void build_level(struct bench *b, uint32_t level)
{
    uint64_t n = 0;
    struct pair *pairs = huge_alloc(b->c.n_keys * sizeof *pairs);
    char text[KEY_TEXT_LEN + 1];
    for (uint64_t i = 0; i < b->c.n_keys; i++) {
        if (level && level_of(b, i) != level)
            continue;
        pairs[n].i = i;
        if (b->schema.key_type == KEY_U64) {
            pairs[n++].hash = schema_hash_u64(&b->schema, key_u64(i));
        } else {
            key_text(i, text);
            pairs[n++].hash = schema_hash_bytes(&b->schema, text, KEY_TEXT_LEN);
        }
    }
    pairs = sort_pairs(pairs, n);
    uint64_t start = bench_now_ns();
    uint32_t n_partitions = part_partitions(&b->schema, n);
    uint64_t first = 0;
    for (uint32_t shard = 0; shard < b->schema.n_shards; shard++) {
        uint64_t end = first;
        while (end < n && schema_shard(&b->schema, pairs[end].hash) == shard)
            end++;
        build_part(b, level, shard, n_partitions, pairs + first, end - first);
        first = end;
    }
    if (level == 0)
        b->build_ns_per_key = (double)(bench_now_ns() - start) / (double)n;
    huge_free(pairs, n * sizeof *pairs);
}

static void build(struct bench *b)
{
    struct err err = {0};
    uint32_t n_levels = 1 + b->c.n_deltas;
    b->schema = (struct schema){.kind = KIND_MEM,
                                .key_type = b->c.key_type,
                                .n_shards = b->c.n_shards,
                                .hash_seed = 1,
                                .mode = 0444};
    BENCH_MUST(!schema_set_value(&b->schema, b->c.value, &err));
    b->value_len = b->schema.value_len ? b->schema.value_len : VARYING_LEN;
    b->n_parts = n_levels * b->schema.n_shards;
    b->memory = calloc(b->n_parts, sizeof *b->memory);
    b->cap = calloc(b->n_parts, sizeof *b->cap);
    b->parts = calloc(b->n_parts, sizeof(struct part *));
    BENCH_MUST(b->memory && b->cap && b->parts);
    for (uint32_t level = 0; level < n_levels; level++)
        build_level(b, level);
    BENCH_MUST(!mem_table_new(&b->schema, n_levels, (const struct part *const *)b->parts, &b->table,
                              &err));
}

static void release(struct bench *b)
{
    mem_table_free(b->table);
    for (uint32_t i = 0; i < b->n_parts; i++) {
        part_free(b->parts[i]);
        huge_free(b->memory[i], b->cap[i]);
    }
    free(b->memory);
    free(b->cap);
    free(b->parts);
    free(b->index);
    free(b->keys);
    huge_free(b->out, b->out_cap);
}

/* ---- asking ---- */

static void make_requests(struct bench *b, const struct options *o)
{
    uint64_t n = (uint64_t)o->batch * o->n_batches;
    size_t key_len = b->schema.key_type == KEY_U64 ? 8 : 4 + KEY_TEXT_LEN;
    b->index = malloc(n * sizeof *b->index);
    b->keys_len = key_len * o->batch;
    b->keys = malloc(b->keys_len * o->n_batches);
    BENCH_MUST(b->index && b->keys);
    for (uint64_t i = 0; i < n; i++) {
        uint64_t in_batch = i % o->batch;
        uint8_t *request = b->keys + i / o->batch * b->keys_len;
        b->index[i] = ((hash_u64(i, 77) >> 32) * b->c.n_keys) >> 32;
        if (b->schema.key_type == KEY_U64) {
            uint64_t key = key_u64(b->index[i]);
            memcpy(request + 8 * in_batch, &key, 8);
        } else {
            char text[KEY_TEXT_LEN + 1];
            uint32_t end = (uint32_t)(in_batch + 1) * KEY_TEXT_LEN;
            key_text(b->index[i], text);
            memcpy(request + 4 * in_batch, &end, 4);
            memcpy(request + 4 * (size_t)o->batch + in_batch * KEY_TEXT_LEN, text, KEY_TEXT_LEN);
        }
    }
    b->out_cap = (size_t)o->batch * (4 * (size_t)b->schema.dim + b->value_len + 64) + 4096;
    b->out = huge_alloc(b->out_cap);
    memset(b->out, 1, b->out_cap);
}

static void ask(const struct bench *b, const struct options *o, uint32_t i,
                struct batch_result *result)
{
    struct batch_request request = {
        .n_keys = o->batch,
        .keys = b->keys + i * b->keys_len,
        .keys_len = b->keys_len,
        .form = b->c.form,
    };
    BENCH_MUST(!batch_run(b->table, &request, b->out, b->out_cap, result));
}

static void verify_one(const struct bench *b, uint64_t i, uint32_t at,
                       const struct batch_result *result)
{
    uint8_t stored[8192];
    uint8_t wide[4 * 2048];
    const uint8_t *found = b->out + result->values_off + (size_t)at * result->stride;
    uint32_t len = b->value_len;
    if (is_deleted(b, i)) {
        BENCH_MUST(b->out[at] == BATCH_ABSENT);
        return;
    }
    BENCH_MUST(b->out[at] == BATCH_FOUND);
    make_value(i, level_of(b, i), stored, len);
    if (!result->stride) {
        uint32_t loc[2];
        memcpy(loc, b->out + result->locs_off + 8 * (size_t)at, sizeof loc);
        BENCH_MUST(loc[1] == len);
        found = b->out + result->values_off + 8 * (size_t)loc[0];
    }
    if (b->c.form == BATCH_AS_F32) {
        vector_decoder_portable(b->schema.elem)(stored, b->schema.dim, wide);
        BENCH_MUST(memcmp(found, wide, 4 * (size_t)b->schema.dim) == 0);
    } else {
        BENCH_MUST(memcmp(found, stored, len) == 0);
    }
}

static void verify(const struct bench *b, const struct options *o)
{
    struct batch_result result = {0};
    for (uint32_t i = 0; i < o->n_batches; i++) {
        ask(b, o, i, &result);
        for (uint32_t at = 0; at < o->batch; at++)
            verify_one(b, b->index[(size_t)i * o->batch + at], at, &result);
    }
}

static double measure_limit(const struct bench *b, const struct options *o,
                            const struct raw_copy *raw)
{
    uint64_t start = bench_now_ns();
    for (uint32_t i = 0; i < o->n_batches; i++)
        raw_copy_run(raw, b->index + (size_t)i * o->batch, o->batch, b->out);
    return (double)o->batch * o->n_batches * 1e3 / (double)(bench_now_ns() - start);
}

static double measure_fkv(const struct bench *b, const struct options *o)
{
    struct batch_result result = {0};
    uint64_t n_found = 0;
    uint64_t start = bench_now_ns();
    for (uint32_t i = 0; i < o->n_batches; i++) {
        ask(b, o, i, &result);
        n_found += result.n_found;
    }
    uint64_t ns = bench_now_ns() - start;
    BENCH_MUST(n_found > 0 && (b->c.n_deltas || n_found == (uint64_t)o->batch * o->n_batches));
    return (double)o->batch * o->n_batches * 1e3 / (double)ns;
}

static void run_case(struct bench *b, const struct options *o)
{
    struct raw_copy raw;
    printf("%s: %s, %llu keys, batches of %u\n", b->c.name, b->c.what,
           (unsigned long long)b->c.n_keys, o->batch);
    build(b);
    printf("  built at %.0f ns a key\n", b->build_ns_per_key);
    make_requests(b, o);
    verify(b, o);
    raw_copy_init(&raw, b->c.n_keys, (b->value_len + 7) / 8 * 8);
    const char *way = raw_copy_calibrate(&raw, b->index, o->batch, o->n_batches, b->out);
    printf("  limit: %s\n", way);
    for (int i = 0; i < o->n_rounds; i++) {
        double limit = measure_limit(b, o, &raw);
        double fkv = measure_fkv(b, o);
        figure_add(&b->limit, limit);
        figure_add(&b->fkv, fkv);
        figure_add(&b->ratio, fkv / limit);
    }
    raw_copy_release(&raw);
    figure_print(stdout, "raw copy limit", "M keys/s", &b->limit);
    figure_print(stdout, "fkv", "M keys/s", &b->fkv);
    figure_print(stdout, "ratio", "", &b->ratio);
    fflush(stdout);
}

static void write_json(FILE *out, const struct bench *benches, int n, const struct options *o)
{
    fprintf(out, "{\"bench\": \"lookup-core\", \"batch\": %u, \"quick\": %s, \"cases\": [",
            o->batch, o->is_quick ? "true" : "false");
    for (int i = 0; i < n; i++) {
        const struct bench *b = &benches[i];
        fprintf(out,
                "%s\n {\"case\": \"%s\", \"what\": \"%s\", \"keys\": %llu, \"value_len\": %u, ",
                i ? "," : "", b->c.name, b->c.what, (unsigned long long)b->c.n_keys, b->value_len);
        fprintf(out, "\"build_ns_per_key\": %.1f, ", b->build_ns_per_key);
        figure_json(out, "limit", "M keys/s", &b->limit);
        fprintf(out, ", ");
        figure_json(out, "fkv", "M keys/s", &b->fkv);
        fprintf(out, ", ");
        figure_json(out, "ratio", "", &b->ratio);
        fprintf(out, "}");
    }
    fprintf(out, "],\n \"targets\": [");
    bool is_first = true;
    for (int i = 0; i < n; i++) {
        if (benches[i].c.goal == 0)
            continue;
        double ratio = figure_at(&benches[i].ratio, 0.5);
        fprintf(out, "%s\n  {\"name\": \"in process, %s, share of the raw copy limit\", ",
                is_first ? "" : ",", benches[i].c.what);
        fprintf(out, "\"value\": %.3f, \"goal\": %.2f, \"met\": %s}", ratio, benches[i].c.goal,
                ratio >= benches[i].c.goal ? "true" : "false");
        is_first = false;
    }
    fprintf(out, "]}\n");
}

static void usage(void)
{
    printf("bench_lookup_core [--case NAME] [--keys N] [--value-len L] [--batch B] [--rounds R]\n"
           "                  [--batches N] [--quick] [--json FILE]\n\ncases:\n");
    for (int i = 0; i < N_CASES; i++)
        printf("  %-14s %s\n", cases[i].name, cases[i].what);
}

static void options_parse(int argc, char **argv, struct options *o)
{
    static const struct option longs[] = {
        {"case", 1, NULL, 'c'},  {"keys", 1, NULL, 'n'},   {"value-len", 1, NULL, 'l'},
        {"batch", 1, NULL, 'b'}, {"rounds", 1, NULL, 'r'}, {"batches", 1, NULL, 'B'},
        {"quick", 0, NULL, 'q'}, {"json", 1, NULL, 'j'},   {"help", 0, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int c = 0;
    *o = (struct options){.batch = 3900, .n_batches = 1024, .n_rounds = 7};
    while ((c = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
        switch (c) {
        case 'c':
            o->only = optarg;
            break;
        case 'n':
            o->n_keys = strtoull(optarg, NULL, 10);
            break;
        case 'l':
            o->value_len = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 'b':
            o->batch = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 'B':
            o->n_batches = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 'r':
            o->n_rounds = (int)strtol(optarg, NULL, 10);
            break;
        case 'q':
            o->is_quick = true;
            break;
        case 'j':
            o->json = optarg;
            break;
        default:
            usage();
            exit(c == 'h' ? 0 : 2);
        }
    }
    if (o->value_len > 8000 || o->batch == 0 || o->batch > BATCH_KEYS_MAX || o->n_batches == 0 ||
        o->n_rounds < 1 || o->n_rounds > BENCH_ROUNDS_MAX) {
        usage();
        exit(2);
    }
    if (o->is_quick) {
        o->n_batches = o->n_batches > 256 ? 256 : o->n_batches;
        o->n_rounds = o->n_rounds > 5 ? 5 : o->n_rounds;
    }
}

int main(int argc, char **argv)
{
    static struct bench benches[N_CASES];
    static char value[N_CASES][32];
    struct options o;
    int n = 0;
    options_parse(argc, argv, &o);
    for (int i = 0; i < N_CASES; i++) {
        if (o.only && strcmp(o.only, cases[i].name) != 0)
            continue;
        struct bench *b = &benches[n++];
        b->c = cases[i];
        if (o.is_quick)
            b->c.n_keys = b->c.n_keys_quick;
        if (o.n_keys)
            b->c.n_keys = o.n_keys;
        if (o.value_len && b->c.form == BATCH_AS_STORED && strchr(b->c.value, '[')) {
            snprintf(value[i], sizeof value[i], "bytes[%u]", o.value_len);
            b->c.value = value[i];
        }
        run_case(b, &o);
        release(b);
    }
    if (n == 0) {
        usage();
        return 2;
    }
    if (o.json) {
        FILE *out = fopen(o.json, "w");
        BENCH_MUST(out);
        write_json(out, benches, n, &o);
        BENCH_MUST(fclose(out) == 0);
    }
    return 0;
}
