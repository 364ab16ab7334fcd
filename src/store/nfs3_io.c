/* SPDX-License-Identifier: Apache-2.0 */
#include "store/nfs3.h"

#include <errno.h>
#include <string.h>

static struct nfs_io *io_of(struct nfs_call *call)
{
    return (struct nfs_io *)call;
}

static void on_read(struct nfs_call *call, const void *reply)
{
    const READ3res *res = reply;
    const READ3resok *ok = &res->READ3res_u.resok;
    struct nfs_io *io = io_of(call);
    if (nfs3_status(call, res->status))
        return;
    if (ok->data.data_len > io->len) {
        call->code = -EIO;
        return;
    }
    if (!nfs_rpc_reads_in_place)
        memcpy(io->data, ok->data.data_val, ok->data.data_len);
    io->n = ok->data.data_len;
    io->is_end = ok->eof;
}

int nfs3_read(struct nfs_connection *connection, const struct nfs_handle *file, uint64_t off,
              struct nfs_io *io)
{
    READ3args args = {.file = nfs3_fh(file), .offset = off, .count = io->len};
    int ret = nfs_call_begin(&io->call, connection, on_read);
    if (ret)
        return ret;
    return nfs_call_sent(
        &io->call, nfs_rpc_read3(connection->rpc, nfs_call_reply, &args, io->data, &io->call));
}

static void on_write(struct nfs_call *call, const void *reply)
{
    const WRITE3res *res = reply;
    const WRITE3resok *ok = &res->WRITE3res_u.resok;
    struct nfs_io *io = io_of(call);
    if (nfs3_status(call, res->status))
        return;
    io->n = ok->count;
    io->is_durable = ok->committed != UNSTABLE;
    memcpy(&io->verifier, ok->verf, sizeof io->verifier);
}

int nfs3_write(struct nfs_connection *connection, const struct nfs_handle *file, uint64_t off,
               struct nfs_io *io)
{
    WRITE3args args = {
        .file = nfs3_fh(file),
        .offset = off,
        .count = io->len,
        .stable = io->is_durable ? FILE_SYNC : UNSTABLE,
        .data = {io->len, io->data},
    };
    int ret = nfs_call_begin(&io->call, connection, on_write);
    if (ret)
        return ret;
    return nfs_call_sent(&io->call,
                         nfs_rpc_write3(connection->rpc, nfs_call_reply, &args, &io->call));
}

static void on_commit(struct nfs_call *call, const void *reply)
{
    const COMMIT3res *res = reply;
    if (!nfs3_status(call, res->status))
        memcpy(&io_of(call)->verifier, res->COMMIT3res_u.resok.verf, sizeof(uint64_t));
}

int nfs3_commit(struct nfs_connection *connection, const struct nfs_handle *file, struct nfs_io *io)
{
    COMMIT3args args = {.file = nfs3_fh(file)};
    int ret = nfs_call_begin(&io->call, connection, on_commit);
    if (ret)
        return ret;
    return nfs_call_sent(&io->call,
                         nfs_rpc_commit3(connection->rpc, nfs_call_reply, &args, &io->call));
}
