/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nfs_walk: from paths to places and nodes.
 *
 * No symbolic link is followed, wherever it leads: on the way it is -ELOOP, at the end it is what is named. NFSv4's server
 * refuses to walk through one. NFSv3 walks here, name by name, and goes on only from what the server says is a directory; a
 * handle that is remembered (nfs_dirs.h) stays that directory's, so a link put in its place later leads nowhere else either.
 * What the export's own path in the URL goes through is the server's and its administrator's business.
 *
 * Threads: any, each with its own connection. Memory: a place points to the path it was made of. Errors: nfs_error.h.
 */
#ifndef FKV_STORE_NFS_WALK_H
#define FKV_STORE_NFS_WALK_H

#include "store/nfs_pool.h"

/* Where path's last component is to be looked for. */
int nfs_walk(struct nfs *nfs, struct nfs_connection *connection, const char *path,
             struct nfs_place *out);
/* What path names, a symbolic link included. */
int nfs_walk_node(struct nfs *nfs, struct nfs_connection *connection, const char *path,
                  struct nfs_node *out);
/* The directory that path names; -ENOTDIR, -ELOOP. */
int nfs_walk_dir(struct nfs *nfs, struct nfs_connection *connection, const char *path, size_t len,
                 struct nfs_handle *out);

/* Are these one file, by its number? 0 is what a server says that has none. */
bool nfs_same_file(const struct nfs_node *a, const struct nfs_node *b);

#endif
