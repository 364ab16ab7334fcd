/* SPDX-License-Identifier: Apache-2.0 */
/*
 * raw_copy: the limit that lookups are compared with, copying records at random places of a table
 * of records, as fast as this machine can: no keys, no index, nothing but prefetch and copy.
 *
 * Several ways of prefetching are tried on the table and the fastest is the limit.
 *
 * Threads: one. Memory: the table is huge-page memory.
 */
#ifndef FKV_TESTS_BENCH_RAW_COPY_H
#define FKV_TESTS_BENCH_RAW_COPY_H

#include <stddef.h>
#include <stdint.h>

struct raw_copy {
    uint8_t *table;
    uint64_t n_records;
    uint32_t record_len; /* a multiple of 8 */
    uint32_t
        stride; /* bytes from record to record: a whole number of cache lines below 128 bytes */
    int way;    /* index of the fastest way */
};

void raw_copy_init(struct raw_copy *raw, uint64_t n_records, uint32_t record_len);
void raw_copy_release(struct raw_copy *raw);

/* Copies the records index[0, n) to out, one after the other. */
void raw_copy_run(const struct raw_copy *raw, const uint64_t *index, uint32_t n, uint8_t *out);

/* Tries every way over batches of indexes and keeps the fastest; says in words which it is. */
const char *raw_copy_calibrate(struct raw_copy *raw, const uint64_t *index, uint32_t batch,
                               uint32_t n_batches, uint8_t *out);

#endif
