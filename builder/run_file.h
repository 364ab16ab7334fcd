/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run_file: the seam between sorted runs and where they lie: a scratch file of this process (scratch.h), or a file on the store that
 * other processes read (spill.h).
 *
 * Appended in pieces of whole `align`s, and read so: [off, off + len) with both multiples of it, into memory aligned to it. The
 * end of the last run is padded.
 *
 * Threads: one appends; reading as the file says, by one thread of each merge. Memory: none. Errors: the file's own, which name it.
 */
#ifndef FKV_BUILDER_RUN_FILE_H
#define FKV_BUILDER_RUN_FILE_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct run_file;

struct run_file_ops {
    int (*append)(struct run_file *file, const void *data, size_t len, struct err *err);
    int (*read)(const struct run_file *file, uint64_t off, void *data, size_t len, struct err *err);
};

struct run_file {
    const struct run_file_ops *ops;
    uint64_t len;   /* bytes appended */
    uint32_t align; /* a power of two */
};

#endif
