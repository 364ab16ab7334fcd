/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source: the bytes of an input file, by offset, and whether the file stayed what it was.
 *
 * A path is of a local file, or nfs://server/export/dir/file?options as of a store (store/nfs_export.h), which is read without being
 * mounted. A pipe or device has no offsets: it is read from front to back, and never said to have changed.
 *
 * Threads: one at a time; source_check() beside another's source_read(). Memory: none to speak of.
 * Errors: -ENOENT, -EACCES, -EISDIR, -EIO, -ENOMEM, the store's; -ESTALE from source_check(); the file is named.
 */
#ifndef FKV_BUILDER_SOURCE_H
#define FKV_BUILDER_SOURCE_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

/* What tells a file from another one, and from itself after somebody wrote to it. */
struct source_identity {
    bool is_file;   /* else a pipe or device, and nothing below is known */
    uint64_t inode; /* 0 over NFS */
    uint64_t len;
    struct timespec mtime; /* over NFS by the server's clock */
};

/* Of n paths; -ENOENT and -EISDIR name the first that is no file. Files of one directory share a connection. */
int sources_identify(const char *const *paths, size_t n, struct source_identity *out,
                     struct err *err);

bool source_identity_equal(const struct source_identity *a, const struct source_identity *b);

struct source;

int source_open(const char *path, struct source **out, struct err *err);
void source_close(struct source *source);

/* Can be read at any offset. */
bool source_is_file(const struct source *source);
/* Bytes of the file when it was opened; 0 when it is no file. */
uint64_t source_len(const struct source *source);
/* When it was written to last, since 1970. */
int64_t source_mtime_ns(const struct source *source);

/* Far away: a read waits for the network, and should be made ahead and long. */
bool source_is_remote(const struct source *source);

/* One read at off, which for a pipe is where the last one ended: *n_read may be less than len, and is 0 at the end only. */
int source_read(struct source *source, uint64_t off, void *data, size_t len, size_t *n_read,
                struct err *err);

/* -ESTALE when the file at the path is not the one that was opened, or was written to since. */
int source_check(struct source *source, struct err *err);

/* The path's length without the options of a URL. */
size_t source_name_len(const char *path);

#endif
