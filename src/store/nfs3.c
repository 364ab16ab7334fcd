/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NFSv3: names and attributes. Reading and writing are in nfs3_io.c, finding the root in nfs3_mount.c.
 *
 * A directory that was removed should answer ESTALE. A server that has it open may go on as if it were there, empty; but
 * nothing links to it any more, and that is shown by its attributes.
 */
#include "store/nfs3.h"

#include "store/nfs_error.h"

#include <errno.h>
#include <string.h>

nfs_fh3 nfs3_fh(const struct nfs_handle *handle)
{
    return (nfs_fh3){.data = {handle->len, (char *)(uintptr_t)handle->bytes}};
}

int nfs3_handle(const nfs_fh3 *fh, struct nfs_handle *out)
{
    if (fh->data.data_len == 0 || fh->data.data_len > NFS3_FHSIZE)
        return -EIO;
    out->len = fh->data.data_len;
    memcpy(out->bytes, fh->data.data_val, out->len);
    return 0;
}

int nfs3_status(struct nfs_call *call, uint32_t status)
{
    if (status)
        call->connection->status = status;
    call->code = nfs_error_of(status);
    return call->code;
}

static void node_from(const fattr3 *attr, struct nfs_node *out)
{
    out->type = attr->type == NF3REG   ? NFS_FILE
                : attr->type == NF3DIR ? NFS_DIR
                : attr->type == NF3LNK ? NFS_LINK
                                       : NFS_OTHER;
    out->len = attr->size;
    out->fileid = attr->fileid;
    out->n_links = attr->nlink;
    out->mtime = nfs_time(attr->mtime.seconds, attr->mtime.nseconds);
}

static diropargs3 where(const struct nfs_place *place)
{
    return (diropargs3){.dir = nfs3_fh(&place->dir), .name = (char *)(uintptr_t)place->path};
}

struct node_call {
    struct nfs_call call;
    struct nfs_node *out;
    bool has_attr;
};

static void on_getattr(struct nfs_call *call, const void *reply)
{
    const GETATTR3res *res = reply;
    struct node_call *get = (struct node_call *)call;
    if (!nfs3_status(call, res->status))
        node_from(&res->GETATTR3res_u.resok.obj_attributes, get->out);
}

static int getattr3(struct nfs_connection *connection, struct nfs_node *node)
{
    GETATTR3args args = {.object = nfs3_fh(&node->handle)};
    struct node_call get = {.out = node};
    int ret = nfs_call_begin(&get.call, connection, on_getattr);
    if (ret)
        return ret;
    return nfs_call_finish(&get.call,
                           nfs_rpc_getattr3(connection->rpc, nfs_call_reply, &args, &get.call));
}

static bool is_removed(const post_op_attr *dir)
{
    return dir->attributes_follow && dir->post_op_attr_u.attributes.nlink == 0;
}

/* What a name that was not found in dir comes to. */
static int not_found(struct nfs_connection *connection, const struct nfs_handle *dir)
{
    struct nfs_node node = {.handle = *dir};
    int ret = getattr3(connection, &node);
    return ret ? ret : node.n_links == 0 ? -ESTALE : -ENOENT;
}

static void on_lookup(struct nfs_call *call, const void *reply)
{
    const LOOKUP3res *res = reply;
    const LOOKUP3resok *ok = &res->LOOKUP3res_u.resok;
    struct node_call *lookup = (struct node_call *)call;
    if (nfs3_status(call, res->status)) {
        if (call->code == -ENOENT && is_removed(&res->LOOKUP3res_u.resfail.dir_attributes))
            call->code = -ESTALE;
        return;
    }
    call->code = nfs3_handle(&ok->object, &lookup->out->handle);
    lookup->has_attr = ok->obj_attributes.attributes_follow;
    if (lookup->has_attr)
        node_from(&ok->obj_attributes.post_op_attr_u.attributes, lookup->out);
}

static int lookup3(struct nfs_connection *connection, const struct nfs_place *place,
                   struct nfs_node *out)
{
    LOOKUP3args args = {.what = where(place)};
    struct node_call lookup = {.out = out};
    int ret = nfs_call_begin(&lookup.call, connection, on_lookup);
    if (!ret)
        ret = nfs_call_finish(
            &lookup.call, nfs_rpc_lookup3(connection->rpc, nfs_call_reply, &args, &lookup.call));
    return !ret && !lookup.has_attr ? getattr3(connection, out) : ret;
}

struct handle_call {
    struct nfs_call call;
    struct nfs_handle *out;
    bool has_handle;
};

static void on_create(struct nfs_call *call, const void *reply)
{
    const CREATE3res *res = reply;
    const post_op_fh3 *obj = &res->CREATE3res_u.resok.obj;
    struct handle_call *create = (struct handle_call *)call;
    if (nfs3_status(call, res->status))
        return;
    create->has_handle = obj->handle_follows;
    if (obj->handle_follows)
        call->code = nfs3_handle(&obj->post_op_fh3_u.handle, create->out);
}

static sattr3 with_mode(uint32_t mode)
{
    return (sattr3){.mode = {.set_it = 1, .set_mode3_u = {.mode = mode}}};
}

static int create3(struct nfs_connection *connection, const struct nfs_place *place, uint32_t mode,
                   struct nfs_handle *out)
{
    CREATE3args args = {
        .where = where(place),
        .how = {.mode = GUARDED, .createhow3_u = {.g_obj_attributes = with_mode(mode)}},
    };
    struct handle_call create = {.out = out};
    int ret = nfs_call_begin(&create.call, connection, on_create);
    if (!ret)
        ret = nfs_call_finish(
            &create.call, nfs_rpc_create3(connection->rpc, nfs_call_reply, &args, &create.call));
    if (ret == -ENOENT)
        ret = not_found(connection, &place->dir);
    if (ret || create.has_handle)
        return ret;
    struct nfs_node node = {0};
    ret = lookup3(connection, place, &node);
    if (!ret)
        *out = node.handle;
    return ret;
}

static void on_mkdir(struct nfs_call *call, const void *reply)
{
    nfs3_status(call, ((const MKDIR3res *)reply)->status);
}

static int mkdir3(struct nfs_connection *connection, const struct nfs_place *place, uint32_t mode)
{
    MKDIR3args args = {.where = where(place), .attributes = with_mode(mode)};
    struct nfs_call call;
    int ret = nfs_call_begin(&call, connection, on_mkdir);
    if (!ret)
        ret = nfs_call_finish(&call, nfs_rpc_mkdir3(connection->rpc, nfs_call_reply, &args, &call));
    return ret == -ENOENT ? not_found(connection, &place->dir) : ret;
}

static void on_link(struct nfs_call *call, const void *reply)
{
    nfs3_status(call, ((const LINK3res *)reply)->status);
}

static int link3(struct nfs_connection *connection, const struct nfs_handle *file,
                 const struct nfs_place *to)
{
    LINK3args args = {.file = nfs3_fh(file), .link = where(to)};
    struct nfs_call call;
    int ret = nfs_call_begin(&call, connection, on_link);
    if (!ret)
        ret = nfs_call_finish(&call, nfs_rpc_link3(connection->rpc, nfs_call_reply, &args, &call));
    return ret == -ENOENT ? not_found(connection, &to->dir) : ret;
}

static void on_rename(struct nfs_call *call, const void *reply)
{
    nfs3_status(call, ((const RENAME3res *)reply)->status);
}

static int rename3(struct nfs_connection *connection, const struct nfs_place *from,
                   const struct nfs_place *to)
{
    RENAME3args args = {.from = where(from), .to = where(to)};
    struct nfs_call call;
    int ret = nfs_call_begin(&call, connection, on_rename);
    if (!ret)
        ret =
            nfs_call_finish(&call, nfs_rpc_rename3(connection->rpc, nfs_call_reply, &args, &call));
    if (ret == -ENOENT)
        ret = not_found(connection, &to->dir);
    return ret == -ENOENT ? not_found(connection, &from->dir) : ret;
}

static void on_remove(struct nfs_call *call, const void *reply)
{
    nfs3_status(call, ((const REMOVE3res *)reply)->status);
}

static void on_rmdir(struct nfs_call *call, const void *reply)
{
    nfs3_status(call, ((const RMDIR3res *)reply)->status);
}

static int rmdir3(struct nfs_connection *connection, const struct nfs_place *place)
{
    RMDIR3args args = {.object = where(place)};
    struct nfs_call call;
    int ret = nfs_call_begin(&call, connection, on_rmdir);
    if (ret)
        return ret;
    return nfs_call_finish(&call, nfs_rpc_rmdir3(connection->rpc, nfs_call_reply, &args, &call));
}

static int remove3(struct nfs_connection *connection, const struct nfs_place *place, bool is_dir)
{
    if (is_dir)
        return rmdir3(connection, place);
    REMOVE3args args = {.object = where(place)};
    struct nfs_call call;
    int ret = nfs_call_begin(&call, connection, on_remove);
    if (ret)
        return ret;
    return nfs_call_finish(&call, nfs_rpc_remove3(connection->rpc, nfs_call_reply, &args, &call));
}

struct list_call {
    struct nfs_call call;
    struct nfs_listing *listing;
};

static void on_list(struct nfs_call *call, const void *reply)
{
    const READDIR3res *res = reply;
    const READDIR3resok *ok = &res->READDIR3res_u.resok;
    struct nfs_listing *listing = ((struct list_call *)call)->listing;
    if (nfs3_status(call, res->status))
        return;
    if (is_removed(&ok->dir_attributes)) {
        call->code = -ESTALE;
        return;
    }
    memcpy(listing->verifier, ok->cookieverf, sizeof listing->verifier);
    listing->is_end = ok->reply.eof || !ok->reply.entries;
    entry3 entry;
    for (const void *at = ok->reply.entries; at && !call->code; at = entry.nextentry) {
        /* libnfs hands out list entries at odd multiples of four bytes. */
        memcpy(&entry, at, sizeof entry);
        listing->cookie = entry.cookie;
        call->code = nfs_names_add(&listing->names, entry.name, strlen(entry.name));
    }
}

static int list3(struct nfs_connection *connection, const struct nfs_handle *dir,
                 struct nfs_listing *listing)
{
    enum { REPLY_MAX = 64 << 10 };
    struct list_call list = {.listing = listing};
    READDIR3args args = {.dir = nfs3_fh(dir), .cookie = listing->cookie, .count = REPLY_MAX};
    memcpy(args.cookieverf, listing->verifier, sizeof args.cookieverf);
    int ret = nfs_call_begin(&list.call, connection, on_list);
    return ret ? ret
               : nfs_call_finish(&list.call, nfs_rpc_readdir3(connection->rpc, nfs_call_reply,
                                                              &args, &list.call));
}

const struct nfs_proto nfs_proto3 = {
    .mount = nfs3_mount,
    .lookup = lookup3,
    .create = create3,
    .mkdir = mkdir3,
    .link = link3,
    .rename = rename3,
    .remove = remove3,
    .list = list3,
    .read = nfs3_read,
    .write = nfs3_write,
    .commit = nfs3_commit,
};
