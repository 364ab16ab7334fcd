/* SPDX-License-Identifier: Apache-2.0 */
/* libnfs 5: as libnfs 4.0, but for a compound with data. */
#include "store/nfs_rpc.h"

#include <errno.h>

const bool nfs_rpc_reads_in_place = false;

static int sent(int ret)
{
    return ret ? -ENOMEM : 0;
}

int nfs_rpc_getport(struct rpc_context *rpc, rpc_cb cb, int program, int version, void *context)
{
    enum { TCP = 6 };
    return sent(rpc_pmap2_getport_async(rpc, program, version, TCP, cb, context));
}

int nfs_rpc_mount(struct rpc_context *rpc, rpc_cb cb, const char *dir, void *context)
{
    return sent(rpc_mount3_mnt_async(rpc, cb, (char *)(uintptr_t)dir, context));
}

int nfs_rpc_compound4(struct rpc_context *rpc, rpc_cb cb, COMPOUND4args *args, size_t extra,
                      void *context)
{
    return sent(rpc_nfs4_compound_async2(rpc, cb, args, context, extra));
}

int nfs_rpc_read4(struct rpc_context *rpc, rpc_cb cb, COMPOUND4args *args, void *data, size_t len,
                  void *context)
{
    return nfs_rpc_compound4(rpc, cb, args, 0, context);
}

int nfs_rpc_write4(struct rpc_context *rpc, rpc_cb cb, COMPOUND4args *args, const void *data,
                   size_t len, void *context)
{
    return nfs_rpc_compound4(rpc, cb, args, len, context);
}

int nfs_rpc_fsinfo3(struct rpc_context *rpc, rpc_cb cb, FSINFO3args *args, void *context)
{
    return sent(rpc_nfs3_fsinfo_async(rpc, cb, args, context));
}

int nfs_rpc_getattr3(struct rpc_context *rpc, rpc_cb cb, GETATTR3args *args, void *context)
{
    return sent(rpc_nfs3_getattr_async(rpc, cb, args, context));
}

int nfs_rpc_lookup3(struct rpc_context *rpc, rpc_cb cb, LOOKUP3args *args, void *context)
{
    return sent(rpc_nfs3_lookup_async(rpc, cb, args, context));
}

int nfs_rpc_read3(struct rpc_context *rpc, rpc_cb cb, READ3args *args, void *data, void *context)
{
    return sent(rpc_nfs3_read_async(rpc, cb, args, context));
}

int nfs_rpc_write3(struct rpc_context *rpc, rpc_cb cb, WRITE3args *args, void *context)
{
    return sent(rpc_nfs3_write_async(rpc, cb, args, context));
}

int nfs_rpc_commit3(struct rpc_context *rpc, rpc_cb cb, COMMIT3args *args, void *context)
{
    return sent(rpc_nfs3_commit_async(rpc, cb, args, context));
}

int nfs_rpc_create3(struct rpc_context *rpc, rpc_cb cb, CREATE3args *args, void *context)
{
    return sent(rpc_nfs3_create_async(rpc, cb, args, context));
}

int nfs_rpc_mkdir3(struct rpc_context *rpc, rpc_cb cb, MKDIR3args *args, void *context)
{
    return sent(rpc_nfs3_mkdir_async(rpc, cb, args, context));
}

int nfs_rpc_link3(struct rpc_context *rpc, rpc_cb cb, LINK3args *args, void *context)
{
    return sent(rpc_nfs3_link_async(rpc, cb, args, context));
}

int nfs_rpc_rename3(struct rpc_context *rpc, rpc_cb cb, RENAME3args *args, void *context)
{
    return sent(rpc_nfs3_rename_async(rpc, cb, args, context));
}

int nfs_rpc_remove3(struct rpc_context *rpc, rpc_cb cb, REMOVE3args *args, void *context)
{
    return sent(rpc_nfs3_remove_async(rpc, cb, args, context));
}

int nfs_rpc_rmdir3(struct rpc_context *rpc, rpc_cb cb, RMDIR3args *args, void *context)
{
    return sent(rpc_nfs3_rmdir_async(rpc, cb, args, context));
}

int nfs_rpc_readdir3(struct rpc_context *rpc, rpc_cb cb, READDIR3args *args, void *context)
{
    return sent(rpc_nfs3_readdir_async(rpc, cb, args, context));
}
