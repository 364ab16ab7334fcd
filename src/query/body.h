/* SPDX-License-Identifier: Apache-2.0 */
/*
 * body: the layout of a batch's answers (batch.h tells it), spelt once for tables in memory and on
 * disk. Internal to query.
 *
 * Threads: a body belongs to one batch. Memory: the caller's. Errors: as batch_run().
 */
#ifndef FKV_QUERY_BODY_H
#define FKV_QUERY_BODY_H

#include "query/answer.h"

/*
 * Checks the request, but for what is in its keys, lays the body out in out[0, out_cap), clears what
 * is between its parts and prepares *answer for writing. *layout is set on -ENOSPC too.
 */
int body_begin(const struct schema *schema, const struct batch_request *request, void *out,
               size_t out_cap, struct answer *answer, struct batch_result *layout);

/* After the last answer: what the batch came to. -ENOSPC when values did not fit. */
int body_end(const struct answer *answer, const struct batch_result *layout, size_t out_cap,
             struct batch_result *result);

#endif
