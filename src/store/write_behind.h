/* SPDX-License-Identifier: Apache-2.0 */
/*
 * write_behind: appending to a file in large aligned writes that do not stall the producer.
 *
 * Bytes gather in one of two 4 MiB buffers. A full one goes to a helper thread, which writes it with O_DIRECT where
 * the file system takes that, while the producer fills the other. Files below one buffer never start the thread and
 * are written buffered.
 *
 * Threads: one producer. The helper touches only the buffer handed to it, and the result, under the lock.
 * Memory: two buffers while the file is open, the second from 4 MiB on. The descriptor stays the caller's.
 * Errors: -errno of the write. The helper's failure is told by the next full buffer or flush, and by every one after it.
 */
#ifndef FKV_STORE_WRITE_BEHIND_H
#define FKV_STORE_WRITE_BEHIND_H

#include <stddef.h>
#include <stdint.h>

enum { WRITE_BEHIND_LEN = 4 << 20 };

struct write_behind;

int write_behind_new(int fd, struct write_behind **out);
/* To somewhere else than a descriptor: write is called by the helper or the producer, never by both at once. */
typedef int (*write_behind_sink)(void *context, const void *data, size_t len, uint64_t off);
int write_behind_new_sink(write_behind_sink sink, void *context, struct write_behind **out);
/* Waits for a write under way. Bytes not yet flushed may be lost. */
void write_behind_free(struct write_behind *writer);

int write_behind_append(struct write_behind *writer, const void *data, size_t len);
/* Hands everything to the kernel; the caller syncs. Appending may go on afterwards. */
int write_behind_flush(struct write_behind *writer);

#endif
