/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading and writing without an open: NFSv4 has two stateids for this, all ones for reading past locks and all zeros for
 * writing where nobody denies it. So nothing of a reader or writer is kept on the server, no lease can run out, and a
 * handle is all that is carried to a new connection.
 */
#include "store/nfs4.h"

#include <errno.h>
#include <string.h>

static struct nfs_io *io_of(struct nfs_call *call)
{
    return (struct nfs_io *)call;
}

static void on_read(struct nfs_call *call, const void *reply)
{
    const COMPOUND4res *res = reply;
    struct nfs_io *io = io_of(call);
    if (nfs4_status(call, res))
        return;
    nfs_resop4 found;
    const READ4resok *ok = &found.nfs_resop4_u.opread.READ4res_u.resok4;
    if (!nfs4_find(res, OP_READ, &found) || ok->data.data_len > io->len) {
        call->code = -EIO;
        return;
    }
    if (!nfs_rpc_reads_in_place)
        memcpy(io->data, ok->data.data_val, ok->data.data_len);
    io->n = ok->data.data_len;
    io->is_end = ok->eof;
}

int nfs4_read(struct nfs_connection *connection, const struct nfs_handle *file, uint64_t off,
              struct nfs_io *io)
{
    struct nfs4_compound compound = {.n = 0};
    nfs4_add_handle(&compound, file);
    READ4args *args = &nfs4_add(&compound, OP_READ)->nfs_argop4_u.opread;
    memset(&args->stateid, 0xff, sizeof args->stateid);
    args->offset = off;
    args->count = io->len;
    int ret = nfs_call_begin(&io->call, connection, on_read);
    if (ret)
        return ret;
    COMPOUND4args all = nfs4_args(&compound);
    return nfs_call_sent(&io->call, nfs_rpc_read4(connection->rpc, nfs_call_reply, &all, io->data,
                                                  io->len, &io->call));
}

static void on_write(struct nfs_call *call, const void *reply)
{
    const COMPOUND4res *res = reply;
    struct nfs_io *io = io_of(call);
    if (nfs4_status(call, res))
        return;
    nfs_resop4 found;
    if (!nfs4_find(res, OP_WRITE, &found)) {
        call->code = -EIO;
        return;
    }
    const WRITE4resok *ok = &found.nfs_resop4_u.opwrite.WRITE4res_u.resok4;
    io->n = ok->count;
    io->is_durable = ok->committed != UNSTABLE4;
    memcpy(&io->verifier, ok->writeverf, sizeof io->verifier);
}

int nfs4_write(struct nfs_connection *connection, const struct nfs_handle *file, uint64_t off,
               struct nfs_io *io)
{
    struct nfs4_compound compound = {.n = 0};
    nfs4_add_handle(&compound, file);
    WRITE4args *args = &nfs4_add(&compound, OP_WRITE)->nfs_argop4_u.opwrite;
    args->offset = off;
    args->stable = io->is_durable ? FILE_SYNC4 : UNSTABLE4;
    args->data.data_len = io->len;
    args->data.data_val = io->data;
    int ret = nfs_call_begin(&io->call, connection, on_write);
    if (ret)
        return ret;
    COMPOUND4args all = nfs4_args(&compound);
    return nfs_call_sent(&io->call, nfs_rpc_write4(connection->rpc, nfs_call_reply, &all, io->data,
                                                   io->len, &io->call));
}

static void on_commit(struct nfs_call *call, const void *reply)
{
    const COMPOUND4res *res = reply;
    if (nfs4_status(call, res))
        return;
    nfs_resop4 found;
    if (!nfs4_find(res, OP_COMMIT, &found))
        call->code = -EIO;
    else
        memcpy(&io_of(call)->verifier, found.nfs_resop4_u.opcommit.COMMIT4res_u.resok4.writeverf,
               sizeof(uint64_t));
}

int nfs4_commit(struct nfs_connection *connection, const struct nfs_handle *file, struct nfs_io *io)
{
    struct nfs4_compound compound = {.n = 0};
    nfs4_add_handle(&compound, file);
    nfs4_add(&compound, OP_COMMIT);
    return nfs4_send(&compound, connection, &io->call, on_commit);
}
