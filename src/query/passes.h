/* SPDX-License-Identifier: Apache-2.0 */
/*
 * passes: all keys of a batch through a table, several groups in flight. Internal to query.
 *
 * Threads: any number of batches on one table. Memory: the stack, up to 40 KB.
 */
#ifndef FKV_QUERY_PASSES_H
#define FKV_QUERY_PASSES_H

#include "query/answer.h"

/* -EPROTO for malformed bytes keys, -ETIMEDOUT past the deadline. The request has been checked
 * otherwise. */
int passes_run(const struct mem_table *table, const struct batch_request *request,
               struct answer *answer);

#endif
