/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nfs4: compounds, which the files of NFSv4 share. Everybody else uses nfs_proto4.
 *
 * A compound is put together op by op and sent as one request. Errors of putting it together are kept until then.
 *
 * Threads: a compound belongs to one thread. Memory: ops point to what they were given, until it is sent.
 * Errors: nfs_error.h.
 */
#ifndef FKV_STORE_NFS4_H
#define FKV_STORE_NFS4_H

#include "store/nfs_proto.h"

enum { NFS4_OPS_MAX = 96 };

struct nfs4_compound {
    unsigned n;
    int code; /* -ENAMETOOLONG: too many ops */
    nfs_argop4 ops[NFS4_OPS_MAX];
};

/* Room for one more op, zeroed but for its number. */
nfs_argop4 *nfs4_add(struct nfs4_compound *compound, nfs_opnum4 op);
void nfs4_add_handle(struct nfs4_compound *compound, const struct nfs_handle *handle);
/* A place's directory. One that was removed, but that the server still has open, is -ESTALE. */
void nfs4_add_place(struct nfs4_compound *compound, const struct nfs_place *place);
/* LOOKUPs of all components of path but the last, which is returned. */
component4 nfs4_add_dirs(struct nfs4_compound *compound, const char *path);
void nfs4_add_lookup(struct nfs4_compound *compound, component4 name);
/* GETATTR of what a node holds; with_limits also of what nfs_root does. */
void nfs4_add_getattr(struct nfs4_compound *compound, bool with_limits);

COMPOUND4args nfs4_args(struct nfs4_compound *compound);
/* Sends one without data; decode is of the call. */
int nfs4_send(struct nfs4_compound *compound, struct nfs_connection *connection,
              struct nfs_call *call, void (*decode)(struct nfs_call *call, const void *reply));
/* And waits. */
int nfs4_run(struct nfs4_compound *compound, struct nfs_connection *connection,
             struct nfs_call *call, void (*decode)(struct nfs_call *call, const void *reply));

/* Decoding. status makes the answer's the call's code; find gives an op's result that is OK. */
int nfs4_status(struct nfs_call *call, const COMPOUND4res *res);
bool nfs4_find(const COMPOUND4res *res, nfs_opnum4 op, nfs_resop4 *out);
int nfs4_handle(const nfs_fh4 *fh, struct nfs_handle *out);
/* limits may be NULL. */
int nfs4_attributes(const fattr4 *attributes, struct nfs_node *out, struct nfs_root *limits);

/* Of nfs_proto4: */
int nfs4_create(struct nfs_connection *connection, const struct nfs_place *place, uint32_t mode,
                struct nfs_handle *out);
int nfs4_read(struct nfs_connection *connection, const struct nfs_handle *file, uint64_t off,
              struct nfs_io *io);
int nfs4_write(struct nfs_connection *connection, const struct nfs_handle *file, uint64_t off,
               struct nfs_io *io);
int nfs4_commit(struct nfs_connection *connection, const struct nfs_handle *file,
                struct nfs_io *io);

#endif
