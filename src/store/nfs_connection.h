/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nfs_connection: one TCP connection to an NFS server, requests in flight on it, and a deadline for every one of them.
 *
 * A connection that errs or runs over its deadline is broken for good: it is taken down at once, every request in flight ends
 * with the code of the break, and every later one gets that code. So whoever sent a request may forget it when
 * nfs_call_wait() returned, whatever the answer, and no callback ever runs later.
 *
 * Threads: one at a time.
 * Memory: a struct nfs_call belongs to the caller and stays where it is until it is done.
 * Errors: the server's answer as -errno (nfs_error.h), -ETIMEDOUT, -ECONNRESET and others of the network, -ENOMEM;
 * -EPROTONOSUPPORT: the server refuses such requests; -EBADMSG: its answer makes no sense, and the connection is broken.
 */
#ifndef FKV_STORE_NFS_CONNECTION_H
#define FKV_STORE_NFS_CONNECTION_H

#include "store/nfs_export.h"
#include "store/nfs_rpc.h"

#include "base/err.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { NFS_HANDLE_MAX = 128 };

struct nfs_handle {
    uint32_t len;
    char bytes[NFS_HANDLE_MAX];
};

/* Where the store begins, and what the server takes in one request. The same for all connections. */
struct nfs_root {
    struct nfs_handle handle;
    uint32_t read_max;
    uint32_t write_max;
};

/* Who we are to a server of NFSv4, made by the first create. */
struct nfs_client {
    bool is_set;
    uint64_t id;
    uint64_t n_owners;
};

struct nfs_connection {
    struct rpc_context *rpc; /* NULL: broken */
    int broken;              /* why it is, or is about to be: -errno */
    unsigned n_pending;
    int64_t deadline_ns; /* CLOCK_MONOTONIC: when a wait gives up */
    uint32_t status;     /* the last status of the server's that was not OK, for error texts */
    _Atomic uint64_t *n_requests;
    const struct nfs_export *url;
    struct nfs_root root;
    struct nfs_client client;
    int64_t idle_since_ns;
    struct nfs_connection *next; /* in the pool */
};

/* Connects to a port of the server's. Nothing is asked yet. */
int nfs_connection_open(const struct nfs_export *url, unsigned port, int64_t deadline_ns,
                        _Atomic uint64_t *n_requests, struct nfs_connection **out, struct err *err);
void nfs_connection_close(struct nfs_connection *connection);
/* Takes it down: all requests in flight are done, with code. */
void nfs_connection_break(struct nfs_connection *connection, int code);
/* Idle, and as far as can be seen at this end still alive? */
bool nfs_connection_is_alive(const struct nfs_connection *connection);

/* One request. decode runs when the answer came, and copies out what is wanted: reply does not outlive it. */
struct nfs_call {
    struct nfs_connection *connection;
    void (*decode)(struct nfs_call *call, const void *reply);
    int code; /* of the answer, once done */
    bool is_done;
    bool is_refused; /* not answered: by the server, or because the connection broke meanwhile */
};

/* Before a request is sent: 0, or why the connection is broken. */
int nfs_call_begin(struct nfs_call *call, struct nfs_connection *connection,
                   void (*decode)(struct nfs_call *call, const void *reply));
/* After: ret is what sending it came to. On failure the connection is broken, the call is done. */
int nfs_call_sent(struct nfs_call *call, int ret);
/* Serves the connection until the call is done, at the latest at the connection's deadline. Returns its code. */
int nfs_call_wait(struct nfs_call *call);
/* nfs_call_sent() and nfs_call_wait() at once. */
int nfs_call_finish(struct nfs_call *call, int ret);
/* What the nfs_rpc calls take as their callback; the context is the call. */
void nfs_call_reply(struct rpc_context *rpc, int status, void *reply, void *call);

/* CLOCK_MONOTONIC. */
int64_t nfs_now_ns(void);

#endif
