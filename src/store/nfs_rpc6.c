/* SPDX-License-Identifier: Apache-2.0 */
/* libnfs 6: a call returns what it sent, and READ and WRITE move their data without a copy. */
#include "store/nfs_rpc.h"

#include <errno.h>

const bool nfs_rpc_reads_in_place = true;

static int sent(const struct rpc_pdu *pdu)
{
    return pdu ? 0 : -ENOMEM;
}

int nfs_rpc_getport(struct rpc_context *rpc, rpc_cb cb, int program, int version, void *context)
{
    enum { TCP = 6 };
    return sent(rpc_pmap2_getport_task(rpc, program, version, TCP, cb, context));
}

int nfs_rpc_mount(struct rpc_context *rpc, rpc_cb cb, const char *dir, void *context)
{
    return sent(rpc_mount3_mnt_task(rpc, cb, (char *)(uintptr_t)dir, context));
}

int nfs_rpc_compound4(struct rpc_context *rpc, rpc_cb cb, COMPOUND4args *args, size_t extra,
                      void *context)
{
    return sent(rpc_nfs4_compound_task2(rpc, cb, args, context, extra));
}

int nfs_rpc_read4(struct rpc_context *rpc, rpc_cb cb, COMPOUND4args *args, void *data, size_t len,
                  void *context)
{
    return sent(rpc_nfs4_read_task(rpc, cb, data, len, args, context));
}

int nfs_rpc_write4(struct rpc_context *rpc, rpc_cb cb, COMPOUND4args *args, const void *data,
                   size_t len, void *context)
{
    return sent(rpc_nfs4_write_task(rpc, cb, data, len, args, context));
}

int nfs_rpc_read3(struct rpc_context *rpc, rpc_cb cb, READ3args *args, void *data, void *context)
{
    return sent(rpc_nfs3_read_task(rpc, cb, data, args->count, args, context));
}

int nfs_rpc_fsinfo3(struct rpc_context *rpc, rpc_cb cb, FSINFO3args *args, void *context)
{
    return sent(rpc_nfs3_fsinfo_task(rpc, cb, args, context));
}

int nfs_rpc_getattr3(struct rpc_context *rpc, rpc_cb cb, GETATTR3args *args, void *context)
{
    return sent(rpc_nfs3_getattr_task(rpc, cb, args, context));
}

int nfs_rpc_lookup3(struct rpc_context *rpc, rpc_cb cb, LOOKUP3args *args, void *context)
{
    return sent(rpc_nfs3_lookup_task(rpc, cb, args, context));
}

int nfs_rpc_write3(struct rpc_context *rpc, rpc_cb cb, WRITE3args *args, void *context)
{
    return sent(rpc_nfs3_write_task(rpc, cb, args, context));
}

int nfs_rpc_commit3(struct rpc_context *rpc, rpc_cb cb, COMMIT3args *args, void *context)
{
    return sent(rpc_nfs3_commit_task(rpc, cb, args, context));
}

int nfs_rpc_create3(struct rpc_context *rpc, rpc_cb cb, CREATE3args *args, void *context)
{
    return sent(rpc_nfs3_create_task(rpc, cb, args, context));
}

int nfs_rpc_mkdir3(struct rpc_context *rpc, rpc_cb cb, MKDIR3args *args, void *context)
{
    return sent(rpc_nfs3_mkdir_task(rpc, cb, args, context));
}

int nfs_rpc_link3(struct rpc_context *rpc, rpc_cb cb, LINK3args *args, void *context)
{
    return sent(rpc_nfs3_link_task(rpc, cb, args, context));
}

int nfs_rpc_rename3(struct rpc_context *rpc, rpc_cb cb, RENAME3args *args, void *context)
{
    return sent(rpc_nfs3_rename_task(rpc, cb, args, context));
}

int nfs_rpc_remove3(struct rpc_context *rpc, rpc_cb cb, REMOVE3args *args, void *context)
{
    return sent(rpc_nfs3_remove_task(rpc, cb, args, context));
}

int nfs_rpc_rmdir3(struct rpc_context *rpc, rpc_cb cb, RMDIR3args *args, void *context)
{
    return sent(rpc_nfs3_rmdir_task(rpc, cb, args, context));
}

int nfs_rpc_readdir3(struct rpc_context *rpc, rpc_cb cb, READDIR3args *args, void *context)
{
    return sent(rpc_nfs3_readdir_task(rpc, cb, args, context));
}
