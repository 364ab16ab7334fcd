/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nfs_dirs: the handles of a few directories, by path, so that NFSv3 need not walk to them for each request.
 *
 * A handle names a directory whatever becomes of its name. One that was removed answers ESTALE, and all is walked anew; one
 * that another host moved away is noticed when its entry is NFS_DIRS_LIMIT_NS old. What this store moves or removes
 * itself is dropped at once.
 *
 * Threads: under the lock of the store. Memory: nfs_dirs_forget() frees. Errors: an entry that finds no memory is not kept.
 */
#ifndef FKV_STORE_NFS_DIRS_H
#define FKV_STORE_NFS_DIRS_H

#include "store/nfs_connection.h"

#define NFS_DIRS_LIMIT_NS (30 * 1000000000LL)

enum { NFS_DIRS_MAX = 64 };

struct nfs_dirs {
    struct nfs_dir_entry {
        char *path; /* NULL: free */
        struct nfs_handle handle;
        int64_t found_ns;
    } entries[NFS_DIRS_MAX];
    unsigned next; /* to be replaced */
};

/* path is len bytes long. */
bool nfs_dirs_find(const struct nfs_dirs *dirs, const char *path, size_t len,
                   struct nfs_handle *out);
void nfs_dirs_keep(struct nfs_dirs *dirs, const char *path, size_t len,
                   const struct nfs_handle *handle);
/* Drops path and all below it. */
void nfs_dirs_drop(struct nfs_dirs *dirs, const char *path);
void nfs_dirs_forget(struct nfs_dirs *dirs);

#endif
