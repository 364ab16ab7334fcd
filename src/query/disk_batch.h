/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disk_batch: answers many keys from one version of a `blk` or `idx` table: plan which blocks hold
 * them, have all reads in flight, answer as they come.
 *
 * Requests, bodies and errors are those of batch.h. A key whose block cannot be read, or is not what
 * was written, is BATCH_FAILED; such a block was read twice, and is reported to node. A deadline
 * that passes ends it: -ETIMEDOUT, and the caller calls disk_worker_reset() when it has replied.
 *
 * When out can fault (an arena) the caller may leave by siglongjmp() while keys are read or answers
 * written, and calls disk_worker_leave(), and disk_worker_reset() later.
 *
 * Threads: any number of batches on one table, each with a worker of its own. Memory: the worker's.
 * Errors: as batch_run(); -ENOMEM.
 */
#ifndef FKV_QUERY_DISK_BATCH_H
#define FKV_QUERY_DISK_BATCH_H

#include "base/buf.h"
#include "node/disk_table.h"
#include "query/batch.h"
#include "query/disk_worker.h"

int disk_batch_run(const struct disk_table *table, struct disk_worker *worker,
                   const struct batch_request *request, void *out, size_t out_cap,
                   struct batch_result *result);

/*
 * One key's value, as single_find() gives it (vectors as f32): replaces the content of *value.
 * -ENOENT, -EINVAL, -EIO when its block cannot be had.
 */
int disk_single_find(const struct disk_table *table, struct disk_worker *worker, const void *key,
                     size_t key_len, struct buf *value);

/*
 * Entries of an `idx` table in the order of keys, all levels and shards folded, from one version.
 * request: n_keys is the most entries wanted; keys are the range's bounds, from <= key < to: u64:
 * le64 from, le64 to (0: no end); bytes: le32 ends[2], then both (from of 0 to 256 bytes; empty `to`:
 * no end).
 * Body ("docs/PROTOCOL.md", scans): n_found records, each {u32 value_len, u8 key_len, u8 status, u16 0},
 * the key (8 bytes little-endian of a u64), zeros to a multiple of 8, the value, zeros to a multiple of
 * 8. As many as fit; *has_more tells that the range goes on behind them. -ENOTSUP for a `blk` table,
 * -ENOSPC when not even the first fits (result->len: what it needs).
 */
int disk_scan_run(const struct disk_table *table, struct disk_worker *worker,
                  const struct batch_request *request, void *out, size_t out_cap,
                  struct batch_result *result, bool *has_more);

#endif
