/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nfs_rpc: the calls of libnfs that send one request, by names that do not change between versions of libnfs.
 *
 * libnfs has a layer of plain RPCs below its POSIX-like one, and the store uses only that: it shows handles, write
 * verifiers and which request is on the wire, and follows no symbolic link by itself. Its names and a few
 * signatures differ between libnfs 4 and 6, so each version has a file of its own; meson picks it.
 *
 * The server is trusted here: libnfs 4.0 takes its answers apart without checking all lengths. So is the way to it, which is
 * plain TCP.
 *
 * Threads: an rpc_context belongs to one thread at a time.
 * Memory: arguments are encoded before a call returns, but for the data of reads and writes, which stay the caller's until the
 * callback ran. The callback runs from rpc_service() or rpc_destroy_context(), exactly
 * once for a call that returned 0, and what it is given lives as long as it runs.
 * Errors: 0, or -ENOMEM: not sent, and the callback will not run.
 */
#ifndef FKV_STORE_NFS_RPC_H
#define FKV_STORE_NFS_RPC_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/time.h>
#include <sys/uio.h>

#include <nfsc/libnfs.h>

#include <nfsc/libnfs-raw.h>

#include <nfsc/libnfs-raw-mount.h>
#include <nfsc/libnfs-raw-nfs.h>
#include <nfsc/libnfs-raw-nfs4.h>

/* The portmapper's answer is a uint32_t, the port; 0: not registered. */
int nfs_rpc_getport(struct rpc_context *rpc, rpc_cb cb, int program, int version, void *context);
int nfs_rpc_mount(struct rpc_context *rpc, rpc_cb cb, const char *dir, void *context);

int nfs_rpc_fsinfo3(struct rpc_context *rpc, rpc_cb cb, FSINFO3args *args, void *context);
int nfs_rpc_getattr3(struct rpc_context *rpc, rpc_cb cb, GETATTR3args *args, void *context);
int nfs_rpc_lookup3(struct rpc_context *rpc, rpc_cb cb, LOOKUP3args *args, void *context);
int nfs_rpc_read3(struct rpc_context *rpc, rpc_cb cb, READ3args *args, void *data, void *context);
int nfs_rpc_write3(struct rpc_context *rpc, rpc_cb cb, WRITE3args *args, void *context);
int nfs_rpc_commit3(struct rpc_context *rpc, rpc_cb cb, COMMIT3args *args, void *context);
int nfs_rpc_create3(struct rpc_context *rpc, rpc_cb cb, CREATE3args *args, void *context);
int nfs_rpc_mkdir3(struct rpc_context *rpc, rpc_cb cb, MKDIR3args *args, void *context);
int nfs_rpc_link3(struct rpc_context *rpc, rpc_cb cb, LINK3args *args, void *context);
int nfs_rpc_rename3(struct rpc_context *rpc, rpc_cb cb, RENAME3args *args, void *context);
int nfs_rpc_remove3(struct rpc_context *rpc, rpc_cb cb, REMOVE3args *args, void *context);
int nfs_rpc_rmdir3(struct rpc_context *rpc, rpc_cb cb, RMDIR3args *args, void *context);
int nfs_rpc_readdir3(struct rpc_context *rpc, rpc_cb cb, READDIR3args *args, void *context);

/* Without data: neither a READ nor a WRITE is among the ops. extra: room for encoding them beyond 4 KiB. */
int nfs_rpc_compound4(struct rpc_context *rpc, rpc_cb cb, COMPOUND4args *args, size_t extra,
                      void *context);
/* The last op is a READ into data, or a WRITE of data. */
int nfs_rpc_read4(struct rpc_context *rpc, rpc_cb cb, COMPOUND4args *args, void *data, size_t len,
                  void *context);
int nfs_rpc_write4(struct rpc_context *rpc, rpc_cb cb, COMPOUND4args *args, const void *data,
                   size_t len, void *context);

/* READ puts the bytes at data by itself; else they are in the answer, to be copied. */
extern const bool nfs_rpc_reads_in_place;

#endif
