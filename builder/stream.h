/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream: the bytes of a file, decompressed by its suffix: .gz (zlib), .zst (zstd), or as they are.
 *
 * A path may be a URL on NFS (source.h), which is read ahead by a thread of its own.
 * Several gzip members or zstd frames in one file are read one after the other.
 *
 * Threads: one at a time. Memory: 256 KiB for a compressed file, 2 MiB for one on NFS, plus the window its frames ask for (zstd: at most
 * 128 MiB; frames made with a longer --long are refused).
 * Errors: -ENOENT, -EACCES, -EISDIR, -EBADMSG for damaged or cut compressed data, -EIO, -ENOMEM; the file is named.
 */
#ifndef FKV_BUILDER_STREAM_H
#define FKV_BUILDER_STREAM_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct stream;

/* From byte off of the file on; -EINVAL when that is not 0 and the file is compressed, or a pipe. */
int stream_open(const char *path, uint64_t off, struct stream **out, struct err *err);
void stream_close(struct stream *stream);

/* Fills data[0, len) as far as there are bytes: *n_read is less than len at the end only. */
int stream_read(struct stream *stream, void *data, size_t len, size_t *n_read, struct err *err);

/* Leaves out len bytes, or all there are. Those of a plain file are not read. */
int stream_skip(struct stream *stream, uint64_t len, uint64_t *skipped, struct err *err);

/* Of a plain file, before the first stream_read(): bytes from off on; fewer than len at its end only. */
int stream_read_at(struct stream *stream, uint64_t off, void *data, size_t len, size_t *n_read,
                   struct err *err);
/* Its length when it was opened; 0 for a pipe. */
uint64_t stream_len(const struct stream *stream);

/* Bytes taken from the file so far. */
uint64_t stream_file_bytes(const struct stream *stream);

/* Not compressed: its bytes are the file's. */
bool stream_is_plain(const struct stream *stream);

const char *stream_path(const struct stream *stream);

/* -ESTALE when the file is not what it was when it was opened. */
int stream_check(struct stream *stream, struct err *err);

/* The path's length without a compression suffix, and without the options of a URL. */
size_t stream_plain_name_len(const char *path);

#endif
