/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table_fixture: parts and mem tables made in memory from a list of entries, for tests and fuzzers.
 *
 * Threads: one. Memory: fixture_release() frees what a fixture made. Failures abort: a test that
 * cannot make its table has nothing to say.
 */
#ifndef FKV_TESTS_TABLE_FIXTURE_H
#define FKV_TESTS_TABLE_FIXTURE_H

#include "base/buf.h"
#include "base/bytes.h"
#include "format/mem_table.h"
#include "format/part_writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIXTURE_MUST(what)                                                                         \
    do {                                                                                           \
        if (!(what)) {                                                                             \
            fprintf(stderr, "fixture: %s failed\n", #what);                                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static inline int fixture_append(void *context, const void *data, size_t len, struct err *err)
{
    return buf_add(context, data, len);
}

static inline struct schema fixture_schema(enum key_type key_type, const char *value,
                                           uint32_t n_shards)
{
    struct schema schema = {.kind = KIND_MEM,
                            .key_type = key_type,
                            .n_shards = n_shards,
                            .hash_seed = 42,
                            .mode = 0444};
    FIXTURE_MUST(schema_set_value(&schema, value, NULL) == 0);
    return schema;
}

/* An entry whose hash the schema gives. */
static inline struct part_entry fixture_u64(const struct schema *schema, uint64_t key,
                                            const void *value, uint32_t value_len)
{
    return (struct part_entry){.hash = schema_hash_u64(schema, key),
                               .key = key,
                               .tombstone = value == NULL,
                               .value = value,
                               .value_len = value_len};
}
static inline struct part_entry fixture_bytes(const struct schema *schema, const char *key,
                                              const void *value, uint32_t value_len)
{
    return (struct part_entry){.hash = schema_hash_bytes(schema, key, strlen(key)),
                               .key_bytes = (const uint8_t *)key,
                               .key_len = (uint8_t)strlen(key),
                               .tombstone = value == NULL,
                               .value = value,
                               .value_len = value_len};
}

static inline int fixture_order(const void *a, const void *b)
{
    const struct part_entry *x = a;
    const struct part_entry *y = b;
    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    if (!x->key_bytes || !y->key_bytes)
        return 0;
    size_t common = x->key_len < y->key_len ? x->key_len : y->key_len;
    int order = memcmp(x->key_bytes, y->key_bytes, common);
    return order ? order : (int)x->key_len - (int)y->key_len;
}

/* Sorts the entries and writes those of one shard. n_partitions 0: as part_partitions() says. */
static inline int fixture_write(const struct schema *schema, uint32_t level, uint32_t shard,
                                uint32_t n_partitions, struct part_entry *entries, size_t n,
                                struct buf *out, struct err *err)
{
    struct part_params params = {schema, shard, level,
                                 n_partitions ? n_partitions : part_partitions(schema, n)};
    struct part_sink sink = {fixture_append, out};
    struct part_writer *writer = NULL;
    int ret = part_writer_new(&params, sink, &writer, err);
    if (ret)
        return ret;
    if (n)
        qsort(entries, n, sizeof *entries, fixture_order);
    for (size_t i = 0; i < n && !ret; i++)
        if (schema_shard(schema, entries[i].hash) == shard)
            ret = part_writer_add(writer, &entries[i], err);
    if (!ret)
        ret = part_writer_finish(writer, NULL, err);
    part_writer_free(writer);
    return ret;
}

/* A copy of bytes where part_open() wants them; free() it. */
static inline void *fixture_aligned(const struct buf *bytes)
{
    void *memory = aligned_alloc(PART_ALIGN, align_up(bytes->len ? bytes->len : 1, PART_ALIGN));
    FIXTURE_MUST(memory);
    if (bytes->len)
        memcpy(memory, bytes->data, bytes->len);
    return memory;
}

enum { FIXTURE_PARTS_MAX = 256 };

struct fixture {
    struct schema schema;
    uint32_t n_levels;
    uint32_t n_parts;
    void *memory[FIXTURE_PARTS_MAX];
    size_t len[FIXTURE_PARTS_MAX];
    struct part *parts[FIXTURE_PARTS_MAX];
    struct mem_table *table;
};

/* Adds a level; the first is the base. */
static inline void fixture_add_level(struct fixture *fixture, uint32_t n_partitions,
                                     struct part_entry *entries, size_t n)
{
    for (uint32_t shard = 0; shard < fixture->schema.n_shards; shard++) {
        struct buf bytes = {0};
        struct err err = {0};
        uint32_t i = fixture->n_parts++;
        FIXTURE_MUST(i < FIXTURE_PARTS_MAX);
        int ret = fixture_write(&fixture->schema, fixture->n_levels, shard, n_partitions, entries,
                                n, &bytes, &err);
        if (ret)
            fprintf(stderr, "%s\n", err.text);
        FIXTURE_MUST(ret == 0);
        fixture->memory[i] = fixture_aligned(&bytes);
        fixture->len[i] = bytes.len;
        buf_release(&bytes);
        ret = part_open(fixture->memory[i], fixture->len[i], "fixture", &fixture->parts[i], &err);
        if (ret)
            fprintf(stderr, "%s\n", err.text);
        FIXTURE_MUST(ret == 0);
    }
    fixture->n_levels++;
}

static inline const struct mem_table *fixture_table(struct fixture *fixture)
{
    struct err err = {0};
    int ret = 0;
    mem_table_free(fixture->table);
    ret = mem_table_new(&fixture->schema, fixture->n_levels,
                        (const struct part *const *)fixture->parts, &fixture->table, &err);
    if (ret)
        fprintf(stderr, "%s\n", err.text);
    FIXTURE_MUST(ret == 0);
    return fixture->table;
}

static inline void fixture_release(struct fixture *fixture)
{
    mem_table_free(fixture->table);
    for (uint32_t i = 0; i < fixture->n_parts; i++) {
        part_free(fixture->parts[i]);
        free(fixture->memory[i]);
    }
}

#endif
