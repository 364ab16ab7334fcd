/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load: a local file into memory made for random reads, checked on the way.
 *
 * Memory of 2 MiB and more is anonymous, aligned to 2 MiB and advised to be huge pages; it is
 * filled with O_DIRECT reads (where the file system has none, buffered ones whose pages are dropped
 * again), so the page cache others need is left alone, and every page is touched before a lookup can.
 *
 * Threads: pure functions over their arguments. Memory: memory_release().
 * Errors: -ENOMEM, -EIO …; -EBADMSG from the check; -ENODATA when the file is shorter than len.
 */
#ifndef FKV_IO_LOAD_H
#define FKV_IO_LOAD_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct memory {
    void *data; /* NULL: none */
    size_t len; /* bytes of content */
    size_t mapped;
};

/* The bytes of memory that content of len bytes takes: len in whole pages. */
size_t memory_mapped_len(size_t len);
int memory_alloc(size_t len, struct memory *out, struct err *err);
/* The same of ordinary pages, whatever the length: for memory that is not filled at once, as the
 * first touch of each place zeroes one page, and 2 MiB take some 0.1 ms or more. */
int memory_alloc_sparse(size_t len, struct memory *out, struct err *err);
/* Content is made read-only: a stray write faults instead of corrupting answers. */
int memory_protect(const struct memory *memory);
void memory_release(struct memory *memory);

/* Called with each chunk in order as it arrives, off its place in the file; non-zero stops the load
 * with that error. */
typedef int (*load_check_fn)(void *context, uint64_t off, const void *data, size_t len,
                             struct err *err);

/* Reads exactly len bytes of fd from 0 into new memory, chunk by chunk (chunk a multiple of 4096).
 * name is for errors. */
int load_file(int fd, const char *name, size_t len, size_t chunk, load_check_fn check,
              void *context, struct memory *out, struct err *err);

/* The same from off on, a multiple of 4096. */
int load_range(int fd, const char *name, uint64_t off, size_t len, size_t chunk,
               load_check_fn check, void *context, struct memory *out, struct err *err);

#endif
