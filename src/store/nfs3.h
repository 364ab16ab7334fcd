/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nfs3: what the three files of NFSv3 share. Everybody else uses nfs_proto3.
 *
 * Threads: a connection belongs to one thread. Memory: a nfs_fh3 made by nfs3_fh() points into the handle.
 * Errors: nfs_error.h.
 */
#ifndef FKV_STORE_NFS3_H
#define FKV_STORE_NFS3_H

#include "store/nfs_proto.h"

nfs_fh3 nfs3_fh(const struct nfs_handle *handle);
int nfs3_handle(const nfs_fh3 *fh, struct nfs_handle *out);
/* Notes an answer's status: becomes the call's code, which it returns. */
int nfs3_status(struct nfs_call *call, uint32_t status);

/* Of nfs_proto3: */
int nfs3_mount(const struct nfs_export *url, int64_t deadline_ns, _Atomic uint64_t *n_requests,
               struct nfs_root *out, struct err *err);
int nfs3_read(struct nfs_connection *connection, const struct nfs_handle *file, uint64_t off,
              struct nfs_io *io);
int nfs3_write(struct nfs_connection *connection, const struct nfs_handle *file, uint64_t off,
               struct nfs_io *io);
int nfs3_commit(struct nfs_connection *connection, const struct nfs_handle *file,
                struct nfs_io *io);

#endif
