/* SPDX-License-Identifier: Apache-2.0 */
/* libnfs 4.0. */
#include "store/nfs_rpc.h"

#include <errno.h>

/*
 * libnfs 4.0 exports these three and declares them in no header. Its own rpc_nfs4_compound_async() encodes into 4 KiB, so
 * that no WRITE worth the name can be sent with it; libnfs 5 has a call with a size for this.
 */
struct rpc_pdu;
struct rpc_pdu *rpc_allocate_pdu2(struct rpc_context *rpc, int program, int version, int procedure,
                                  rpc_cb cb, void *private_data, zdrproc_t zdr_decode_fn,
                                  int zdr_decode_bufsize, size_t alloc_hint);
int rpc_queue_pdu(struct rpc_context *rpc, struct rpc_pdu *pdu);
void rpc_free_pdu(struct rpc_context *rpc, struct rpc_pdu *pdu);

/* How a struct rpc_pdu of libnfs 4.0 (libnfs.so.13) begins. */
struct pdu_head {
    struct rpc_pdu *next;
    uint32_t xid;
    ZDR zdr;
};

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
    if (extra == 0)
        return sent(rpc_nfs4_compound_async(rpc, cb, args, context));
    struct rpc_pdu *pdu =
        rpc_allocate_pdu2(rpc, NFS4_PROGRAM, NFS_V4, NFSPROC4_COMPOUND, cb, context,
                          (zdrproc_t)zdr_COMPOUND4res, sizeof(COMPOUND4res), extra);
    if (!pdu)
        return -ENOMEM;
    struct pdu_head *head = (struct pdu_head *)(void *)pdu;
    if (!zdr_COMPOUND4args(&head->zdr, args)) {
        rpc_free_pdu(rpc, pdu);
        return -ENOMEM;
    }
    return sent(rpc_queue_pdu(rpc, pdu));
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
