/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chain_fixture: tables of many shapes whose rows are told from their numbers, and chains of random deltas over them.
 *
 * Threads: one. Memory: chain_release(). Failures abort, or fail the test.
 */
#ifndef FKV_TESTS_CHAIN_FIXTURE_H
#define FKV_TESTS_CHAIN_FIXTURE_H

#include "build_fixture.h"

static const enum table_kind chain_kinds[] = {KIND_MEM, KIND_BLK, KIND_IDX};

static inline uint64_t chain_random(uint64_t *seed)
{
    *seed = hash_u64(*seed + 1, 77);
    return *seed;
}

/* 50 to 59 numbers as JSON would have them, for large values; printf would take most of a test's time. */
static inline void chain_add_numbers(struct buf *text, uint64_t random)
{
    for (unsigned k = 0; k < 50 + random % 10; k++) {
        unsigned number = (unsigned)(random >> k) & 1023;
        char word[] = "{\"m\":0000},";
        for (unsigned i = 0; i < 4; i++, number /= 10)
            word[8 - i] = (char)('0' + number % 10);
        assert_int_equal(buf_add(text, word, sizeof word - 1), 0);
    }
}

/* One table shape: how rows of it look. */
struct chain_shape {
    enum key_type key_type;
    const char *value;
    uint32_t n_shards;
    enum compress_policy compress;
    bool no_filter;
    uint32_t block_pages;
};

static inline void chain_add_key(struct buf *text, const struct chain_shape *shape, uint64_t key)
{
    if (shape->key_type == KEY_U64)
        buf_printf(text, "%llu", (unsigned long long)(key * key * 1000003));
    else
        buf_printf(text, "a/common/path/of/keys/%llu", (unsigned long long)key);
}

static inline void chain_add_value(struct buf *text, const struct chain_shape *shape,
                                   uint64_t random)
{
    if (strcmp(shape->value, "i8[8]") == 0) {
        for (int i = 0; i < 8; i++)
            buf_printf(text, "%s%d", i ? "," : "", (int)(random >> (8 * i) & 255) - 128);
        return;
    }
    if (strcmp(shape->value, "bytes[16]") == 0) {
        buf_printf(text, "%016llx", (unsigned long long)random);
        return;
    }
    /* Now and then one that is longer than a page. */
    unsigned n = random % 97 == 0 ? 700 : random % 9;
    for (unsigned i = 0; i < n; i++)
        buf_printf(text, "{\"member\":%u}", (unsigned)(random >> i % 60) & 7);
}

static const struct chain_shape chain_shapes[] = {
    {KEY_U64, "bytes", 1, COMPRESS_AUTO, false, 0},
    {KEY_U64, "bytes", 3, COMPRESS_ZSTD, true, 2},
    {KEY_U64, "bytes[16]", 0, COMPRESS_NONE, false, 0},
    {KEY_U64, "bytes[16]", 2, COMPRESS_ZSTD, false, 0},
    {KEY_U64, "i8[8]", 5, COMPRESS_AUTO, false, 1},
    {KEY_BYTES, "bytes", 0, COMPRESS_ZSTD, false, 0},
    {KEY_BYTES, "bytes", 7, COMPRESS_NONE, true, 16},
    {KEY_BYTES, "bytes[16]", 2, COMPRESS_AUTO, false, 4},
    {KEY_BYTES, "i8[8]", 1, COMPRESS_ZSTD, false, 0},
};
enum { CHAIN_SHAPES = sizeof chain_shapes / sizeof *chain_shapes };

/* ---- tables ---- */

enum { CHAIN_KEYS = 4000 };

/* What a table says: a number for each key's value; 0: no such key. */
struct chain_rows {
    uint64_t at[CHAIN_KEYS];
};

/* Three quarters of the keys. */
static inline void chain_rows_fill(struct chain_rows *rows, uint64_t *seed)
{
    for (size_t i = 0; i < CHAIN_KEYS; i++)
        rows->at[i] = chain_random(seed) % 4 ? chain_random(seed) | 1 : 0;
}

/* One in `every` keys is changed, deleted or added. */
static inline void chain_rows_change(struct chain_rows *rows, uint64_t *seed, uint64_t every)
{
    for (size_t i = 0; i < CHAIN_KEYS; i++)
        if (chain_random(seed) % every == 0)
            rows->at[i] = chain_random(seed) % 3 ? chain_random(seed) | 1 : 0;
}

static inline void chain_add_row(struct buf *text, const struct chain_shape *shape, uint64_t key,
                                 uint64_t value)
{
    chain_add_key(text, shape, key);
    if (value) {
        buf_add_byte(text, '\t');
        chain_add_value(text, shape, value);
    }
    buf_add_byte(text, '\n');
}

/* All rows of the table. */
static inline void chain_whole(struct buf *text, const struct chain_shape *shape,
                               const struct chain_rows *rows)
{
    buf_clear(text);
    for (uint64_t i = 0; i < CHAIN_KEYS; i++)
        if (rows->at[i])
            chain_add_row(text, shape, i, rows->at[i]);
}

/* What must be said over `was` to come to `is`, and some rows that say nothing new. */
static inline void chain_changes(struct buf *text, const struct chain_shape *shape,
                                 const struct chain_rows *was, const struct chain_rows *is)
{
    buf_clear(text);
    for (uint64_t i = 0; i < CHAIN_KEYS; i++)
        if (was->at[i] != is->at[i] || i % 97 == 0)
            chain_add_row(text, shape, i, is->at[i]);
}

static inline void chain_input(struct build_fixture *f, const struct buf *text)
{
    build_fixture_no_inputs(f);
    build_fixture_input(f, "rows.tsv", text->data, text->len);
}

static inline struct job chain_job(const struct build_fixture *f, const struct chain_shape *shape,
                                   enum table_kind kind)
{
    struct job job = build_fixture_job(f, shape->key_type, shape->value);
    job.schema.kind = kind;
    job.schema.n_shards = shape->n_shards;
    if (kind == KIND_MEM)
        return job;
    job.compress = shape->compress;
    job.block_pages = shape->block_pages;
    job.no_filter = shape->no_filter && (kind == KIND_BLK || shape->key_type == KEY_BYTES);
    return job;
}

static inline struct build_result chain_build(struct build_fixture *f, const struct job *job)
{
    struct build_result result = {0};
    struct err err = {0};
    if (build_fixture_run(f, job, &result, &err)) {
        fprintf(stderr, "fixture: %s\n", err.text);
        abort();
    }
    return result;
}

/* Publishes a full version of random rows and n_deltas over it; *rows is what the last one says. */
static inline uint64_t chain_publish(struct build_fixture *f, const struct chain_shape *shape,
                                     enum table_kind kind, int n_deltas, struct chain_rows *rows)
{
    struct buf text = {0};
    uint64_t seed = shape->n_shards + 10 * (uint64_t)kind;
    uint64_t version = 0;
    struct chain_rows was = {{0}};
    for (int i = 0; i <= n_deltas; i++) {
        if (i == 0)
            chain_rows_fill(rows, &seed);
        else
            chain_rows_change(rows, &seed, 10);
        if (i == 0)
            chain_whole(&text, shape, rows);
        else
            chain_changes(&text, shape, &was, rows);
        chain_input(f, &text);
        struct job job = chain_job(f, shape, kind);
        job.is_delta = job.tombstones_file_mode = i > 0;
        struct build_result result = chain_build(f, &job);
        version = build_fixture_publish(f, &result);
        was = *rows;
    }
    buf_release(&text);
    return version;
}

#endif
