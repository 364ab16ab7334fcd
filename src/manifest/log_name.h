/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log_name: the names of the files in log/.
 *
 *   0000000001.json              a record
 *   snapshot-0000000100.json     the state up to a record
 *
 * Threads: pure functions. Memory: the caller's buffers. Errors: none.
 */
#ifndef FKV_MANIFEST_LOG_NAME_H
#define FKV_MANIFEST_LOG_NAME_H

#include <stdbool.h>
#include <stdint.h>

enum { LOG_NAME_MAX = 48 };

/* With "log/" in front: paths in the store. seq is at most RECORD_SEQ_MAX. */
void log_record_path(uint64_t seq, char out[LOG_NAME_MAX]);
void log_snapshot_path(uint64_t seq, char out[LOG_NAME_MAX]);

/* The number in a name of a listing of log/, or 0 when it is no such name. */
uint64_t log_record_seq(const char *name);
uint64_t log_snapshot_seq(const char *name);

#endif
