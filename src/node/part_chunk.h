/* SPDX-License-Identifier: Apache-2.0 */
/*
 * part_chunk: one chunk of a part's file, as it lies on the disk, against version.json.
 *
 * Threads: any. Memory: the caller's chunk, ARRIVAL_ALIGN aligned, of PART_CHUNK_LEN.
 * Errors: -EBADMSG with both digests, -ENODATA where the file ends too early, -EIO ….
 */
#ifndef FKV_NODE_PART_CHUNK_H
#define FKV_NODE_PART_CHUNK_H

#include "format/version.h"
#include "io/reader.h"

/* Reads the i-th chunk past the page cache. */
int part_chunk_check(const struct reader_file *file, const struct part_desc *part, uint32_t i,
                     uint8_t *chunk, struct err *err);

#endif
