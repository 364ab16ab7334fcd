/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store: named blobs on a URL, with the few atomic steps that publishing needs.
 *
 *   file:///srv/fkv                  a directory, the embedded default
 *   nfs://server/export/dir?options  NFSv3 or v4 through libnfs, in user space; the options are in nfs_export.h (version=4,
 *                                    nfsport=, mountport=, uid=, gid=). Opening only parses it: the first call connects
 *
 * Paths are relative to the URL, '/'-separated, without empty, "." or ".." components; every call checks that.
 * No call follows a symbolic link out of the store.
 *
 * Durability: when commit, put, replace, link or rename returned 0, a power cut does not undo it: file data and the
 * directory entry are synced (fsync, COMMIT on NFS). A removal may be undone by a power cut.
 *
 * Threads: a struct store may be shared by threads. A writer or reader belongs to one thread at a time.
 * Memory: close what you open; lists are released by the caller.
 * Errors: -errno with the full path; -ENOENT for a missing name; -EEXIST from put_new, link and rename.
 */
#ifndef FKV_STORE_STORE_H
#define FKV_STORE_STORE_H

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

enum { STORE_PATH_MAX = 1024, STORE_URL_MAX = 2048 };

struct store;

/* Opens the store at url; "/abs/dir" and "file:///abs/dir" mean a directory, which must exist. */
int store_open(const char *url, struct store **out, struct err *err);
void store_close(struct store *store);

/* The URL it was opened with, in canonical form. Lives as long as the store. */
const char *store_url(const struct store *store);

/* Requests sent over the network since it was opened; 0 for a directory. */
uint64_t store_n_requests(const struct store *store);

struct store_stat {
    uint64_t len;
    struct timespec mtime; /* by the store's clock */
    bool is_dir;
};
int store_stat(struct store *store, const char *path, struct store_stat *out, struct err *err);

/* Names in a directory (one level, no order, without "." and ".."); a missing directory is -ENOENT. */
struct store_list {
    char **names;
    size_t n_names;
};
int store_list(struct store *store, const char *path, struct store_list *out, struct err *err);
void store_list_release(struct store_list *list);

/* True for the name (last component) of a temporary file: ".tmp-<pid>-<random>". gc removes old ones by their mtime. */
bool store_is_temporary(const char *name);

/* Reads a whole small blob of at most max bytes into out (appended); -E2BIG when it is longer. */
int store_get(struct store *store, const char *path, size_t max, struct buf *out, struct err *err);

/*
 * Reading a large blob by offset. read returns the bytes read through *n_read, short only at the end. A long read goes
 * over the network as several requests in flight at once; threads that want more in flight open a reader each.
 */
enum { STORE_DIRECT_ALIGN = 4096 };
struct store_reader;
int store_reader_open(struct store *store, const char *path, struct store_reader **out,
                      struct err *err);
/* For what is read once and in order: reads that are aligned to STORE_DIRECT_ALIGN (offset, length and memory) go around the page
 * cache from now on, where there is one. */
void store_reader_direct(struct store_reader *reader);
uint64_t store_reader_len(const struct store_reader *reader);
int store_reader_read(struct store_reader *reader, uint64_t off, void *data, size_t len,
                      size_t *n_read, struct err *err);
void store_reader_close(struct store_reader *reader);

/*
 * Writing a large blob front to back. The bytes go to a temporary name beside path and appear at path on
 * commit, replacing nothing: -EEXIST when path exists. Abort (or a crash) leaves no trace but a temporary file, which
 * gc removes. Both free the writer. A directory store writes with O_DIRECT and large buffers where it can.
 */
struct store_writer;
int store_writer_open(struct store *store, const char *path, struct store_writer **out,
                      struct err *err);
int store_writer_append(struct store_writer *writer, const void *data, size_t len, struct err *err);
/* For parts, whose name holds their digest: the name may be changed until commit. */
int store_writer_rename(struct store_writer *writer, const char *path, struct err *err);
int store_writer_commit(struct store_writer *writer, struct err *err);
void store_writer_abort(struct store_writer *writer);

/* Put-if-absent: temporary file, fsync, link() to path, unlink. -EEXIST when somebody else was first. */
int store_put_new(struct store *store, const char *path, const void *data, size_t len,
                  struct err *err);
/* Replaces a small blob atomically, or creates it. */
int store_put(struct store *store, const char *path, const void *data, size_t len, struct err *err);

/* Hard link. */
int store_link(struct store *store, const char *from, const char *to, struct err *err);
/* Renames a directory or file; onto an existing directory that is not empty, or a file: -EEXIST. */
int store_rename(struct store *store, const char *from, const char *to, struct err *err);
/* Makes a directory and its parents; an existing one is fine. */
int store_mkdir(struct store *store, const char *path, struct err *err);
/* Removes a file; a missing one is fine. */
int store_remove(struct store *store, const char *path, struct err *err);
/* Removes a directory and all below it; a missing one is fine. */
int store_remove_tree(struct store *store, const char *path, struct err *err);

#endif
