/* SPDX-License-Identifier: Apache-2.0 */
/* Finding an export by the MOUNT protocol, and what its server takes in one request. */
#include "store/nfs3.h"

#include "store/nfs_error.h"

#include <errno.h>
#include <string.h>

struct port_call {
    struct nfs_call call;
    unsigned port;
};

static void on_getport(struct nfs_call *call, const void *reply)
{
    ((struct port_call *)call)->port = *(const uint32_t *)reply;
}

/* Where the mount daemon listens. */
static int mount_port(const struct nfs_export *url, int64_t deadline_ns,
                      _Atomic uint64_t *n_requests, unsigned *port, struct err *err)
{
    enum { PORTMAPPER = 111 };
    if (url->mountport) {
        *port = url->mountport;
        return 0;
    }
    struct nfs_connection *connection = NULL;
    struct port_call get = {.port = 0};
    int ret = nfs_connection_open(url, PORTMAPPER, deadline_ns, n_requests, &connection, err);
    if (ret)
        return err_wrap(err, ret, "asking the portmapper (mountport= in the URL does without it)");
    ret = nfs_call_begin(&get.call, connection, on_getport);
    if (!ret)
        ret = nfs_call_finish(&get.call, nfs_rpc_getport(connection->rpc, nfs_call_reply,
                                                         MOUNT_PROGRAM, MOUNT_V3, &get.call));
    nfs_connection_close(connection);
    if (ret)
        return nfs_error_set(err, ret, 0, "asking the portmapper of", url->server, "");
    if (!get.port || get.port > UINT16_MAX)
        return err_set(err, -EPROTONOSUPPORT,
                       "NFS server %s: its portmapper knows no mount daemon; "
                       "give mountport= in the URL, or version=4",
                       url->server);
    *port = get.port;
    return 0;
}

struct mount_call {
    struct nfs_call call;
    struct nfs_handle *out;
};

static void on_mount(struct nfs_call *call, const void *reply)
{
    const mountres3 *res = reply;
    const fhandle3 *fh = &res->mountres3_u.mountinfo.fhandle;
    const nfs_fh3 handle = {.data = {fh->fhandle3_len, fh->fhandle3_val}};
    if (!nfs3_status(call, res->fhs_status))
        call->code = nfs3_handle(&handle, ((struct mount_call *)call)->out);
}

static int ask_mount(const struct nfs_export *url, int64_t deadline_ns,
                     _Atomic uint64_t *n_requests, struct nfs_handle *out, struct err *err)
{
    struct nfs_connection *connection = NULL;
    struct mount_call mount = {.out = out};
    unsigned port = 0;
    int ret = mount_port(url, deadline_ns, n_requests, &port, err);
    if (!ret)
        ret = nfs_connection_open(url, port, deadline_ns, n_requests, &connection, err);
    if (ret)
        return ret;
    ret = nfs_call_begin(&mount.call, connection, on_mount);
    if (!ret)
        ret = nfs_call_finish(
            &mount.call, nfs_rpc_mount(connection->rpc, nfs_call_reply, url->path, &mount.call));
    uint32_t status = connection->status;
    nfs_connection_close(connection);
    if (ret == -ENOENT)
        return err_set(err, ret, "mounting %s from NFS server %s: no such export or directory",
                       url->path, url->server);
    if (ret == -EACCES && status != NFS4ERR_WRONGSEC)
        return err_set(err, ret,
                       "mounting %s from NFS server %s: refused: look at the export's list of "
                       "clients; some servers also say so of a directory that is not there",
                       url->path, url->server);
    return ret ? nfs_error_set(err, ret, status, "mounting", url->place, "") : 0;
}

struct fsinfo_call {
    struct nfs_call call;
    struct nfs_root *out;
};

/* A server that says it takes a few bytes a request does not mean it. */
static uint32_t at_least(uint32_t max)
{
    enum { LEAST = 4096 };
    return max < LEAST ? LEAST : max;
}

static void on_fsinfo(struct nfs_call *call, const void *reply)
{
    const FSINFO3res *res = reply;
    struct nfs_root *root = ((struct fsinfo_call *)call)->out;
    if (nfs3_status(call, res->status))
        return;
    const FSINFO3resok *ok = &res->FSINFO3res_u.resok;
    root->read_max = at_least(ok->rtmax);
    root->write_max = at_least(ok->wtmax);
    const post_op_attr *attr = &ok->obj_attributes;
    if (attr->attributes_follow && attr->post_op_attr_u.attributes.type != NF3DIR)
        call->code = -ENOTDIR;
}

int nfs3_mount(const struct nfs_export *url, int64_t deadline_ns, _Atomic uint64_t *n_requests,
               struct nfs_root *out, struct err *err)
{
    struct nfs_connection *connection = NULL;
    struct fsinfo_call info = {.out = out};
    int ret = ask_mount(url, deadline_ns, n_requests, &out->handle, err);
    if (!ret)
        ret = nfs_connection_open(url, url->nfsport, deadline_ns, n_requests, &connection, err);
    if (ret)
        return ret;
    FSINFO3args args = {.fsroot = nfs3_fh(&out->handle)};
    ret = nfs_call_begin(&info.call, connection, on_fsinfo);
    if (!ret)
        ret = nfs_call_finish(&info.call,
                              nfs_rpc_fsinfo3(connection->rpc, nfs_call_reply, &args, &info.call));
    if (ret)
        nfs_error_set(err, ret, connection->status, "asking about", url->place, "");
    nfs_connection_close(connection);
    return ret;
}
