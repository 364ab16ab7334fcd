/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reader: reads of part files, in a thread of its own: a disk must not keep a worker from answering
 * batches.
 *
 * Threads: adding from any. Memory: reader_free() replies to what is queued first.
 * Errors: replied to the request.
 */
#ifndef FKV_FUSE_READER_H
#define FKV_FUSE_READER_H

#include "fuse/lowlevel.h"

struct reader;

int reader_new(struct reader **out);
void reader_free(struct reader *reader);

/* Replies size bytes (fewer at the end) at off of fd, which stays open until the reply: the kernel
 * releases no file that is being read. */
void reader_add(struct reader *reader, fuse_req_t req, int fd, size_t size, off_t off);

#endif
