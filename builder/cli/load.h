/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load: batches of one size against a mount for a while, and what they took.
 *
 * Threads: load_run() makes its own. Memory: none is kept. Errors: libfkv's, with its words.
 */
#ifndef FKV_CLI_LOAD_H
#define FKV_CLI_LOAD_H

#include "builder/cli/sample.h"
#include "client/fkv.h"

enum { LOAD_THREADS_MAX = 256 };

struct load_params {
    fkv_table *table;
    const struct sample *sample;
    uint32_t batch; /* keys */
    uint32_t n_threads;
    int64_t duration_ns;
};

struct load_result {
    uint32_t batch;
    uint64_t n_batches;
    uint64_t n_keys;
    uint64_t n_found;
    double seconds;
    double p50_us, p99_us, p999_us, max_us; /* of one call, from the caller's side */
    enum fkv_transport transport;
};

int load_run(const struct load_params *params, struct load_result *out, struct err *err);

#endif
