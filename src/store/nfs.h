/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nfs: what the NFS backend (nfs.c) is made of: listing, links, and files, read by offset and appended to, several requests in flight.
 *
 * Threads: a file belongs to one thread at a time. Memory: nfs_file_close() frees.
 * Errors: nfs_error.h; -ESTALE from a read: the file was removed or replaced while it was open.
 */
#ifndef FKV_STORE_NFS_H
#define FKV_STORE_NFS_H

#include "store/nfs_pool.h"

/* A directory's names, page by page. Each page is progress, and a broken connection loses none of them. */
int nfs_list_dir(struct nfs *nfs, const char *path, struct store_list *out, struct err *err);

int nfs_link_file(struct nfs *nfs, const char *from, const char *to, struct err *err);
/* *is_dir: from is a directory. A file is only renamed when it replaces what is there; else all is left as it was. */
int nfs_rename_path(struct nfs *nfs, const char *from, const char *to, bool replaces, bool *is_dir,
                    struct err *err);

int nfs_file_new(struct nfs *nfs, const char *path, const struct nfs_node *node,
                 struct backend_file **out);
void nfs_file_close(struct backend_file *file);
uint64_t nfs_file_len(const struct backend_file *file);
int nfs_file_read(struct backend_file *file, uint64_t off, void *data, size_t len, size_t *n_read,
                  struct err *err);
int nfs_file_append(struct backend_file *file, const void *data, size_t len, struct err *err);
int nfs_file_sync(struct backend_file *file, struct err *err);

/* Writes all of data at off, and returns when it is durable. */
int nfs_write_durable(struct nfs *nfs, const char *path, const struct nfs_handle *file,
                      const void *data, size_t len, uint64_t off, struct err *err);

#endif
