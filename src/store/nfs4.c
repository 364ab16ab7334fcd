/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NFSv4.0: names and attributes; reading and writing are in nfs4_io.c, making files in nfs4_create.c.
 *
 * A path is walked by the server, within the one compound that then does something with its end: LOOKUP goes
 * through no symbolic link (NFS4ERR_SYMLINK), and there is no directory handle that could have become another's.
 */
#include "store/nfs4.h"

#include "store/nfs_error.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct node_call {
    struct nfs_call call;
    struct nfs_node *out;
    struct nfs_root *limits;
};

static void on_node(struct nfs_call *call, const void *reply)
{
    const COMPOUND4res *res = reply;
    struct node_call *lookup = (struct node_call *)call;
    if (nfs4_status(call, res))
        return;
    nfs_resop4 fh, attributes;
    if (!nfs4_find(res, OP_GETFH, &fh) || !nfs4_find(res, OP_GETATTR, &attributes)) {
        call->code = -EIO;
        return;
    }
    call->code =
        nfs4_handle(&fh.nfs_resop4_u.opgetfh.GETFH4res_u.resok4.object, &lookup->out->handle);
    if (!call->code)
        call->code =
            nfs4_attributes(&attributes.nfs_resop4_u.opgetattr.GETATTR4res_u.resok4.obj_attributes,
                            lookup->out, lookup->limits);
}

static void on_status(struct nfs_call *call, const void *reply)
{
    nfs4_status(call, reply);
}

static int lookup4(struct nfs_connection *connection, const struct nfs_place *place,
                   struct nfs_node *out)
{
    struct nfs4_compound compound = {.n = 0};
    struct nfs_node found = {0};
    struct node_call lookup = {.out = &found};
    nfs4_add_place(&compound, place);
    nfs4_add_lookup(&compound, nfs4_add_dirs(&compound, place->path));
    nfs4_add(&compound, OP_GETFH);
    nfs4_add_getattr(&compound, false);
    int ret = nfs4_run(&compound, connection, &lookup.call, on_node);
    if (!ret)
        *out = found;
    return ret;
}

static int mkdir4(struct nfs_connection *connection, const struct nfs_place *place, uint32_t mode)
{
    static uint32_t mode_bits[] = {0, 1U << (FATTR4_MODE - 32)};
    struct nfs4_compound compound = {.n = 0};
    struct nfs_call call;
    uint32_t value = htonl(mode);
    nfs4_add_place(&compound, place);
    component4 leaf = nfs4_add_dirs(&compound, place->path);
    CREATE4args *args = &nfs4_add(&compound, OP_CREATE)->nfs_argop4_u.opcreate;
    args->objtype.type = NF4DIR;
    args->objname = leaf;
    args->createattrs =
        (fattr4){.attrmask = {2, mode_bits}, .attr_vals = {sizeof value, (char *)&value}};
    return nfs4_run(&compound, connection, &call, on_status);
}

static int link4(struct nfs_connection *connection, const struct nfs_handle *file,
                 const struct nfs_place *to)
{
    struct nfs4_compound compound = {.n = 0};
    struct nfs_call call;
    nfs4_add_handle(&compound, file);
    nfs4_add(&compound, OP_SAVEFH);
    nfs4_add_handle(&compound, &to->dir);
    component4 leaf = nfs4_add_dirs(&compound, to->path);
    nfs4_add(&compound, OP_LINK)->nfs_argop4_u.oplink.newname = leaf;
    return nfs4_run(&compound, connection, &call, on_status);
}

static int rename4(struct nfs_connection *connection, const struct nfs_place *from,
                   const struct nfs_place *to)
{
    struct nfs4_compound compound = {.n = 0};
    struct nfs_call call;
    nfs4_add_place(&compound, from);
    component4 from_leaf = nfs4_add_dirs(&compound, from->path);
    nfs4_add(&compound, OP_SAVEFH);
    nfs4_add_handle(&compound, &to->dir);
    component4 to_leaf = nfs4_add_dirs(&compound, to->path);
    RENAME4args *args = &nfs4_add(&compound, OP_RENAME)->nfs_argop4_u.oprename;
    *args = (RENAME4args){.oldname = from_leaf, .newname = to_leaf};
    return nfs4_run(&compound, connection, &call, on_status);
}

/* REMOVE takes files and directories alike, so the type is made sure of first, in the same request. */
static int remove4(struct nfs_connection *connection, const struct nfs_place *place, bool is_dir)
{
    static uint32_t type_bits[] = {1U << FATTR4_TYPE};
    struct nfs4_compound compound = {.n = 0};
    struct nfs_call call;
    uint32_t value = htonl(NF4DIR);
    const fattr4 dir = {.attrmask = {1, type_bits}, .attr_vals = {sizeof value, (char *)&value}};
    nfs4_add_place(&compound, place);
    nfs4_add_lookup(&compound, nfs4_add_dirs(&compound, place->path));
    if (is_dir)
        nfs4_add(&compound, OP_VERIFY)->nfs_argop4_u.opverify.obj_attributes = dir;
    else
        nfs4_add(&compound, OP_NVERIFY)->nfs_argop4_u.opnverify.obj_attributes = dir;
    nfs4_add_handle(&compound, &place->dir);
    component4 leaf = nfs4_add_dirs(&compound, place->path);
    nfs4_add(&compound, OP_REMOVE)->nfs_argop4_u.opremove.target = leaf;
    int ret = nfs4_run(&compound, connection, &call, on_status);
    if (ret == -EIO && connection->status == NFS4ERR_SAME)
        return -EISDIR;
    if (ret == -EIO && connection->status == NFS4ERR_NOT_SAME)
        return -ENOTDIR;
    return ret;
}

struct list_call {
    struct nfs_call call;
    struct nfs_listing *listing;
};

static void on_list(struct nfs_call *call, const void *reply)
{
    const COMPOUND4res *res = reply;
    struct nfs_listing *listing = ((struct list_call *)call)->listing;
    if (nfs4_status(call, res)) {
        /* The verifier is not that of this listing's beginning. */
        if (res->status == NFS4ERR_NOT_SAME)
            call->code = -ERESTART;
        return;
    }
    nfs_resop4 found;
    if (!nfs4_find(res, OP_READDIR, &found)) {
        call->code = -EIO;
        return;
    }
    const READDIR4resok *ok = &found.nfs_resop4_u.opreaddir.READDIR4res_u.resok4;
    memcpy(listing->verifier, ok->cookieverf, sizeof listing->verifier);
    listing->is_end = ok->reply.eof || !ok->reply.entries;
    entry4 entry;
    for (const void *at = ok->reply.entries; at && !call->code; at = entry.nextentry) {
        memcpy(&entry, at, sizeof entry);
        listing->cookie = entry.cookie;
        call->code =
            nfs_names_add(&listing->names, entry.name.utf8string_val, entry.name.utf8string_len);
    }
}

static int list4(struct nfs_connection *connection, const struct nfs_handle *dir,
                 struct nfs_listing *listing)
{
    enum { REPLY_MAX = 64 << 10 };
    static uint32_t no_bits[] = {0};
    struct list_call list = {.listing = listing};
    struct nfs4_compound compound = {.n = 0};
    nfs4_add_handle(&compound, dir);
    READDIR4args *args = &nfs4_add(&compound, OP_READDIR)->nfs_argop4_u.opreaddir;
    args->cookie = listing->cookie;
    memcpy(args->cookieverf, listing->verifier, sizeof args->cookieverf);
    args->dircount = REPLY_MAX;
    args->maxcount = REPLY_MAX;
    args->attr_request = (bitmap4){1, no_bits};
    return nfs4_run(&compound, connection, &list.call, on_list);
}

static void add_export(struct nfs4_compound *compound, const char *path)
{
    for (const char *at = path + strspn(path, "/"); *at;) {
        size_t len = strcspn(at, "/");
        nfs4_add_lookup(compound, (component4){(u_int)len, (char *)(uintptr_t)at});
        at += len;
        at += strspn(at, "/");
    }
}

static int mount4(const struct nfs_export *url, int64_t deadline_ns, _Atomic uint64_t *n_requests,
                  struct nfs_root *out, struct err *err)
{
    struct nfs_connection *connection = NULL;
    struct nfs4_compound compound = {.n = 0};
    struct nfs_node node = {0};
    struct node_call lookup = {.out = &node, .limits = out};
    int ret = nfs_connection_open(url, url->nfsport, deadline_ns, n_requests, &connection, err);
    if (ret)
        return ret;
    nfs4_add(&compound, OP_PUTROOTFH);
    add_export(&compound, url->path);
    nfs4_add(&compound, OP_GETFH);
    nfs4_add_getattr(&compound, true);
    ret = nfs4_run(&compound, connection, &lookup.call, on_node);
    uint32_t status = connection->status;
    nfs_connection_close(connection);
    if (ret == -ENOENT)
        return err_set(err, ret, "mounting %s from NFS server %s: no such export or directory",
                       url->path, url->server);
    if (ret)
        return nfs_error_set(err, ret, status, "mounting", url->place, "");
    if (node.type != NFS_DIR)
        return err_set(err, -ENOTDIR, "mounting %s from NFS server %s: not a directory", url->path,
                       url->server);
    out->handle = node.handle;
    return 0;
}

const struct nfs_proto nfs_proto4 = {
    .walks = true,
    .mount = mount4,
    .lookup = lookup4,
    .create = nfs4_create,
    .mkdir = mkdir4,
    .link = link4,
    .rename = rename4,
    .remove = remove4,
    .list = list4,
    .read = nfs4_read,
    .write = nfs4_write,
    .commit = nfs4_commit,
};
