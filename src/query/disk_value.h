/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disk_value: a value of a block as its table gives it: decompressed, of the length it must have.
 * Internal to query.
 *
 * Threads: as its worker. Memory: a decompressed value is the worker's, until the next call.
 * Errors: -EBADMSG when the stored bytes are no value of this table, -ENOMEM.
 */
#ifndef FKV_QUERY_DISK_VALUE_H
#define FKV_QUERY_DISK_VALUE_H

#include "query/disk_worker_impl.h"

/* value: as stored in a block of the part; replaced. */
int disk_value_decode(struct disk_worker *worker, const struct schema *schema,
                      const struct disk_part *part, struct probe_value *value);

#endif
