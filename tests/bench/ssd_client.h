/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ssd_client: one thread that looks keys up in a table on disk, through a mount or in process, as
 * fast as it can or by a timetable.
 *
 * By a timetable, a batch that starts late because the one before it took long is still counted from
 * the moment it was due (no coordinated omission).
 *
 * Threads: one a client. Memory: 32 MiB of keys each, and its batch. Failures, wrong values among
 * them, end the program.
 */
#ifndef FKV_TESTS_BENCH_SSD_CLIENT_H
#define FKV_TESTS_BENCH_SSD_CLIENT_H

#include "histogram.h"
#include "key_pool.h"
#include "ssd_files.h"

#include "client/fkv.h"
#include "query/disk_worker.h"

enum { SSD_BATCH_MAX = 16384 };

struct ssd_options {
    const char *table_dir;         /* in the mount; NULL: in process */
    const struct ssd_files *files; /* in process */
    unsigned depth;
    enum draw_kind draw;
    bool has_text_keys;
    uint32_t value_len;
    uint64_t n_keys;
    uint64_t n_draws;
    uint64_t seed;
};

struct ssd_client {
    const struct ssd_options *o;
    struct key_pool pool;
    fkv_table *table; /* through the mount */
    fkv_batch *batch;
    struct disk_worker *worker; /* in process */
    uint8_t *request, *out;
    uint8_t *texts;
    const void **text_at;
    uint8_t *text_len;
};

/* One timed run of one client. */
struct ssd_run {
    struct ssd_client *client;
    uint32_t batch;
    uint64_t period_ns; /* 0: as fast as it can */
    uint64_t begin_ns, end_ns;
    uint64_t n_batches;
    uint64_t sum; /* of what was read, so that it is read */
    uint64_t last_ns;
    struct histogram latency;
};

void ssd_client_init(struct ssd_client *client, const struct ssd_options *o, uint64_t number);
void ssd_client_release(struct ssd_client *client);

/* Looks up and compares every byte. */
void ssd_client_verify(struct ssd_client *client, uint32_t batch);

void ssd_client_run(struct ssd_run *run);

#endif
