/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source: the bytes of an input file, by offset, and whether the file stayed what it was.
 *
 * A pipe or device has no offsets: it is read from front to back, and never said to have changed.
 *
 * Threads: one at a time. Memory: none to speak of.
 * Errors: -ENOENT, -EACCES, -EISDIR, -EIO, -ENOMEM; -ESTALE from source_check(); the file is named.
 */
#ifndef FKV_BUILDER_SOURCE_H
#define FKV_BUILDER_SOURCE_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct source;

int source_open(const char *path, struct source **out, struct err *err);
void source_close(struct source *source);

/* Can be read at any offset. */
bool source_is_file(const struct source *source);
/* Bytes of the file when it was opened; 0 when it is no file. */
uint64_t source_len(const struct source *source);
/* When it was written to last, since 1970. */
int64_t source_mtime_ns(const struct source *source);

/* One read at off, which for a pipe is where the last one ended: *n_read may be less than len, and is 0 at the end only. */
int source_read(struct source *source, uint64_t off, void *data, size_t len, size_t *n_read,
                struct err *err);

/* -ESTALE when the file at the path is not the one that was opened, or was written to since. */
int source_check(struct source *source, struct err *err);

#endif
