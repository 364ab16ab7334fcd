/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spill_fixture: spill files to read, damage and forge.
 *
 * Threads: one. Memory: the caller releases buffers. Failures abort.
 */
#ifndef FKV_TESTS_SPILL_FIXTURE_H
#define FKV_TESTS_SPILL_FIXTURE_H

#include "builder/merge.h"
#include "builder/spill.h"
#include "table_fixture.h"

#include <stdlib.h>

enum {
    SPILL_SEED = 5,
    /* The footer's fields, from its start. */
    SPILL_AT_DATA_LEN = 8,
    SPILL_AT_SAMPLE_LEN = 16,
    SPILL_AT_INDEX_LEN = 24,
    SPILL_AT_N_RUNS = 32,
    SPILL_AT_DIGEST = 48,
};

/* Value of a key: some are longer than a reader's buffer. */
static inline uint32_t spill_fixture_value_len(uint64_t key)
{
    return key % 97 == 0 ? 300000 : (uint32_t)(key % 50);
}

static inline void spill_fixture_run(struct spill_writer *spill, uint64_t first, uint64_t n)
{
    static uint8_t value[300000];
    struct arena arena;
    struct run_order order = {.hash_seed = SPILL_SEED};
    struct run_writer writer;
    struct run run;
    FIXTURE_MUST(arena_init(&arena, 8 << 20) == 0);
    for (uint64_t key = first; key < first + n; key++) {
        memset(value, (int)key, sizeof value);
        struct part_entry entry = {.hash = hash_u64(key, SPILL_SEED),
                                   .key = key,
                                   .value = value,
                                   .value_len = spill_fixture_value_len(key)};
        FIXTURE_MUST(arena_add(&arena, &entry, key) == 0);
    }
    arena_sort(&arena, &order);
    FIXTURE_MUST(run_writer_init(&writer, &spill->file, NULL) == 0);
    FIXTURE_MUST(run_spill(&writer, &arena, &run, NULL) == 0);
    FIXTURE_MUST(spill_writer_add(spill, &run, NULL) == 0);
    run_release(&run);
    run_writer_release(&writer);
    arena_release(&arena);
}

static inline void spill_fixture_sample(struct value_sample *sample, uint64_t n)
{
    for (uint64_t key = 0; key < n; key++) {
        struct sampled_value value = {.hash = hash_u64(key, SPILL_SEED),
                                      .seq = key,
                                      .len = 8,
                                      .full_len = key == 3 ? 100000 : 8,
                                      .data = (uint8_t *)&key};
        FIXTURE_MUST(value_sample_put(sample, &value) == 0);
    }
}

/* Runs of n keys each, one after the other from key 1, and a sample of n_sampled values. */
static inline void spill_fixture_write(struct store *store, const char *path, uint32_t n_runs,
                                       uint64_t n, uint64_t n_sampled, struct digest *digest)
{
    struct spill_writer spill;
    struct value_sample sample = {0};
    uint64_t len = 0;
    spill_fixture_sample(&sample, n_sampled);
    FIXTURE_MUST(spill_writer_open(&spill, store, path, NULL) == 0);
    for (uint32_t i = 0; i < n_runs; i++)
        spill_fixture_run(&spill, 1 + i * n, n);
    FIXTURE_MUST(spill_writer_commit(&spill, &sample, digest, &len, NULL) == 0);
    spill_writer_release(&spill);
    value_sample_release(&sample);
}

/* The digest of what a footer says about the rest, and of the footer: as the map task would tell it. */
static inline void spill_fixture_seal(struct buf *file, struct digest *digest)
{
    uint8_t *footer = file->data + file->len - SPILL_FOOTER_LEN;
    size_t body = file->len - SPILL_FOOTER_LEN;
    uint64_t data_len = load_le64(footer + SPILL_AT_DATA_LEN);
    struct digest inner;
    if (data_len <= body) {
        digest_of(file->data + data_len, body - (size_t)data_len, &inner);
        memcpy(footer + SPILL_AT_DIGEST, inner.b, sizeof inner.b);
    }
    digest_of(footer, SPILL_FOOTER_LEN, digest);
}

/* Reads all of a spill as a reduce task does: *n records of all runs. 0, or why not. */
static inline int spill_fixture_read(const struct spill *spill, uint64_t *n, struct err *err)
{
    size_t cap = 4 * SPILL_BLOCK_LEN;
    uint8_t *buffer = aligned_alloc(SPILL_BLOCK_LEN, cap);
    struct buf big = {0};
    int ret = 0;
    FIXTURE_MUST(buffer);
    *n = 0;
    for (uint32_t i = 0; i < spill->n_runs && ret >= 0; i++) {
        struct run_reader reader;
        ret =
            run_reader_open(&reader, &spill->runs[i], SPILL_SEED, 0, UINT64_MAX, buffer, cap, err);
        while (ret >= 0 && (ret = run_reader_next(&reader, err)) > 0) {
            ++*n;
            if ((ret = run_reader_value(&reader, &big, err)))
                break;
        }
    }
    buf_release(&big);
    free(buffer);
    return ret < 0 ? ret : 0;
}

#endif
