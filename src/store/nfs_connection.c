/* SPDX-License-Identifier: Apache-2.0 */
#include "store/nfs_connection.h"

#include "base/scope.h"
#include "store/nfs_error.h"
#include "store/nfs_socket.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int64_t nfs_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* A context over the socket, which it takes over. */
static struct rpc_context *context_new(const struct nfs_export *url, int fd)
{
    uint32_t groups[NFS_GROUPS_MAX];
    for (unsigned i = 0; i < url->n_groups; i++)
        groups[i] = url->groups[i];
    struct rpc_context *rpc = rpc_init_context();
    if (!rpc)
        return NULL;
    struct AUTH *auth = libnfs_authunix_create("fkv", url->uid, url->gid, url->n_groups, groups);
    if (!auth) {
        rpc_destroy_context(rpc);
        return NULL;
    }
    rpc_set_auth(rpc, auth);
    rpc_set_fd(rpc, fd);
    /* The socket is connected; this lets libnfs see it. */
    rpc_service(rpc, POLLOUT);
    return rpc;
}

int nfs_connection_open(const struct nfs_export *url, unsigned port, int64_t deadline_ns,
                        _Atomic uint64_t *n_requests, struct nfs_connection **out, struct err *err)
{
    scope_fd int fd = -1;
    int ret = nfs_socket_connect(url->server, port, deadline_ns, &fd, err);
    if (ret)
        return ret;
    struct nfs_connection *connection = calloc(1, sizeof *connection);
    if (connection)
        connection->rpc = context_new(url, fd);
    if (!connection || !connection->rpc) {
        free(connection);
        return err_sys(err, -ENOMEM, "connecting to %s", url->server);
    }
    scope_take_fd(&fd);
    connection->url = url;
    connection->n_requests = n_requests;
    connection->deadline_ns = deadline_ns;
    *out = connection;
    return 0;
}

void nfs_connection_break(struct nfs_connection *connection, int code)
{
    struct rpc_context *rpc = connection->rpc;
    if (!rpc)
        return;
    connection->broken = code;
    connection->rpc = NULL;
    rpc_destroy_context(rpc);
}

void nfs_connection_close(struct nfs_connection *connection)
{
    if (!connection)
        return;
    nfs_connection_break(connection, -ECONNABORTED);
    free(connection);
}

bool nfs_connection_is_alive(const struct nfs_connection *connection)
{
    if (!connection->rpc)
        return false;
    /* Nothing was asked, so all that can come is the end. */
    struct pollfd at = {.fd = rpc_get_fd(connection->rpc), .events = POLLIN | POLLRDHUP};
    return poll(&at, 1, 0) == 0;
}

int nfs_call_begin(struct nfs_call *call, struct nfs_connection *connection,
                   void (*decode)(struct nfs_call *call, const void *reply))
{
    *call = (struct nfs_call){.connection = connection, .decode = decode};
    if (!connection->rpc) {
        call->code = connection->broken;
        call->is_done = true;
        return call->code;
    }
    connection->n_pending++;
    atomic_fetch_add_explicit(connection->n_requests, 1, memory_order_relaxed);
    return 0;
}

static void call_done(struct nfs_call *call, int code)
{
    call->code = code;
    call->is_done = true;
    call->connection->n_pending--;
}

int nfs_call_sent(struct nfs_call *call, int ret)
{
    if (!ret)
        return 0;
    call_done(call, ret);
    nfs_connection_break(call->connection, ret);
    return ret;
}

/* What libnfs's text for a request that was not answered comes to. */
static int refusal(struct nfs_connection *connection, const char *text)
{
    const char *error = rpc_get_error(connection->rpc);
    if (error && strstr(error, "failed to decode")) {
        /* Whatever it was, what comes after it on this connection is not to be trusted. */
        connection->broken = -EBADMSG;
        return -EBADMSG;
    }
    if (!text || !strstr(text, "not accepted"))
        return -EPROTONOSUPPORT;
    connection->status = NFS4ERR_WRONGSEC;
    return -EACCES;
}

void nfs_call_reply(struct rpc_context *rpc, int status, void *reply, void *context)
{
    struct nfs_call *call = context;
    struct nfs_connection *connection = call->connection;
    if (status == RPC_STATUS_SUCCESS && reply) {
        call->code = 0;
        call->decode(call, reply);
        call_done(call, call->code);
        return;
    }
    if (connection->broken) {
        call_done(call, connection->broken);
        return;
    }
    /* The server refuses the request itself, unless libnfs is about to say that the connection is gone. */
    call->is_refused = true;
    call_done(call, refusal(connection, reply));
}

/* One round: waits for the socket until deadline_ns, then lets libnfs send and receive. */
static void serve(struct nfs_connection *connection, int64_t deadline_ns)
{
    struct rpc_context *rpc = connection->rpc;
    struct pollfd at = {.fd = rpc_get_fd(rpc), .events = (short)rpc_which_events(rpc)};
    int64_t left_ns = deadline_ns - nfs_now_ns();
    int left_ms = left_ns <= 0 ? 0 : (int)(left_ns / 1000000 + 1);
    int n = poll(&at, 1, left_ms);
    if (n < 0 && errno != EINTR)
        nfs_connection_break(connection, -errno);
    if (n <= 0)
        return;
    int ret = rpc_service(rpc, at.revents);
    if (ret || connection->broken)
        nfs_connection_break(connection, connection->broken ? connection->broken : -ECONNRESET);
}

int nfs_call_wait(struct nfs_call *call)
{
    struct nfs_connection *connection = call->connection;
    while (!call->is_done) {
        serve(connection, connection->deadline_ns);
        if (!call->is_done && connection->rpc && nfs_now_ns() >= connection->deadline_ns)
            nfs_connection_break(connection, -ETIMEDOUT);
    }
    if (call->is_refused && connection->broken)
        call->code = connection->broken;
    return call->code;
}

int nfs_call_finish(struct nfs_call *call, int ret)
{
    ret = nfs_call_sent(call, ret);
    return ret ? ret : nfs_call_wait(call);
}
