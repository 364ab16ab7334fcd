/* SPDX-License-Identifier: Apache-2.0 */
/*
 * duckdb_host: DuckDB within the bounds of a build: one database in memory, which all inputs of a build share.
 *
 * It is started when the first input asks for it. It keeps to a share of the job's memory and spills into a directory of its own
 * below the job's scratch. It makes no threads: each query runs in the thread that fetches from it, so that its rows come in
 * the same order, and its sums in the same rounding, every time; inputs run side by side in the builder's threads.
 * It reads local files with the caller's own rights. Its settings are locked, and extensions, which could be fetched from
 * elsewhere, are off.
 *
 * Threads: all functions from any thread, but a connection is used by one at a time.
 * Memory: host.limits.memory by DuckDB's own count, the chunks of rows handed out among it.
 * Errors: those of duckdb_api_load(); -ENOMEM, -EIO.
 */
#ifndef FKV_BUILDER_DUCKDB_HOST_H
#define FKV_BUILDER_DUCKDB_HOST_H

#include "builder/duckdb_api.h"
#include "builder/job.h"

#include <pthread.h>

struct duckdb_limits {
    uint64_t memory;
    const char *scratch; /* as in struct job; borrowed */
};

struct duckdb_link;

struct duckdb_host {
    struct duckdb_limits limits;
    pthread_mutex_t lock; /* guards all below; api is only read once there is a connection */
    struct duckdb_api api;
    duckdb_database database; /* NULL: not started */
    char *temp_dir;
    struct duckdb_link *links; /* all that are open */
};

/* A connection: one query at a time. */
struct duckdb_link {
    struct duckdb_host *host;
    const struct duckdb_api *api;
    duckdb_connection connection;
    struct duckdb_link *next;
};

/* Does the job read anything through DuckDB? */
bool duckdb_is_needed(const struct job *job);
/* Is the library here, if it does? Errors of duckdb_api_load(). */
int duckdb_check(const struct job *job, struct err *err);
/* The share of the job's memory that DuckDB then gets. */
uint64_t duckdb_share(const struct job *job);
/*
 * How many of n_threads may read at once, each an input: one a GiB of the job's memory, if anything is read through DuckDB. A writer of
 * Parquet may put 100 MB into a page, which lies there as it was stored and as it is.
 */
uint32_t duckdb_threads(const struct job *job, uint32_t n_threads);
/* Bytes of rows that a worker of it holds beside that share: a chunk being decoded, and the one that is being filled. */
uint64_t duckdb_chunk_memory(const struct job *job, const struct schema *schema);
/* The share and the chunks of n_workers, which DuckDB counts too, also those handed out; half of the job's memory at most,
 * so that where they do not fit it is DuckDB that says so. */
uint64_t duckdb_memory(const struct job *job, const struct schema *schema, uint32_t n_workers);

/* memory is what DuckDB keeps to; job names the scratch. */
void duckdb_host_init(struct duckdb_host *host, const struct job *job, uint64_t memory);
/* All links are closed by then. */
void duckdb_host_release(struct duckdb_host *host);

/* link stays where it is until duckdb_link_close(). */
int duckdb_link_open(struct duckdb_host *host, struct duckdb_link *link, struct err *err);
void duckdb_link_close(struct duckdb_link *link);

/* Running queries end soon with -ECANCELED. To be repeated: a query that begins now does not know. */
void duckdb_host_interrupt(struct duckdb_host *host);

/* DuckDB's text as one line with the code that its kind stands for: what it did, then its words. */
int duckdb_fault(const char *what, const char *text, struct err *err);

#endif
