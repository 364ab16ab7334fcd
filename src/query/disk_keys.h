/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disk_keys: the keys of a slice, read once from memory that others may change, and hashed. Internal
 * to query.
 *
 * Threads: as its worker. Memory: 17 bytes a key and the bytes of bytes keys.
 * Errors: -EPROTO for ends that are not in order or out of range, -ENOMEM.
 */
#ifndef FKV_QUERY_DISK_KEYS_H
#define FKV_QUERY_DISK_KEYS_H

#include "query/disk_worker_impl.h"
#include "query/lanes.h"

/* Reads keys [first, first + n) of the request; slices are read in order, with one cursor. */
int disk_keys_read(struct disk_keys *keys, const struct schema *schema,
                   const struct batch_request *request, struct key_cursor *cursor, uint32_t first,
                   uint32_t n);

#endif
