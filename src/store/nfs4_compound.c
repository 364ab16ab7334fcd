/* SPDX-License-Identifier: Apache-2.0 */
#include "store/nfs4.h"

#include "store/nfs_error.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

/* What a node and nfs_root hold, as bits of the two words of a bitmap. */
static uint32_t node_bits[] = {1U << FATTR4_TYPE | 1U << FATTR4_SIZE | 1U << FATTR4_FILEID,
                               1U << (FATTR4_NUMLINKS - 32) | 1U << (FATTR4_TIME_MODIFY - 32)};
static uint32_t root_bits[] = {1U << FATTR4_TYPE | 1U << FATTR4_SIZE | 1U << FATTR4_FILEID |
                                   1U << FATTR4_MAXREAD | 1U << FATTR4_MAXWRITE,
                               1U << (FATTR4_NUMLINKS - 32) | 1U << (FATTR4_TIME_MODIFY - 32)};

nfs_argop4 *nfs4_add(struct nfs4_compound *compound, nfs_opnum4 op)
{
    if (compound->n == NFS4_OPS_MAX) {
        compound->code = -ENAMETOOLONG;
        compound->n--;
    }
    nfs_argop4 *added = &compound->ops[compound->n++];
    memset(added, 0, sizeof *added);
    added->argop = op;
    return added;
}

void nfs4_add_handle(struct nfs4_compound *compound, const struct nfs_handle *handle)
{
    PUTFH4args *args = &nfs4_add(compound, OP_PUTFH)->nfs_argop4_u.opputfh;
    args->object = (nfs_fh4){handle->len, (char *)(uintptr_t)handle->bytes};
}

/* NVERIFY ends the compound when nothing links to the directory any more. */
void nfs4_add_place(struct nfs4_compound *compound, const struct nfs_place *place)
{
    static uint32_t bits[] = {0, 1U << (FATTR4_NUMLINKS - 32)};
    static char none[4];
    nfs4_add_handle(compound, &place->dir);
    nfs4_add(compound, OP_NVERIFY)->nfs_argop4_u.opnverify.obj_attributes =
        (fattr4){.attrmask = {2, bits}, .attr_vals = {sizeof none, none}};
}

void nfs4_add_lookup(struct nfs4_compound *compound, component4 name)
{
    nfs4_add(compound, OP_LOOKUP)->nfs_argop4_u.oplookup.objname = name;
}

component4 nfs4_add_dirs(struct nfs4_compound *compound, const char *path)
{
    const char *at = path;
    for (const char *slash; (slash = strchr(at, '/')); at = slash + 1)
        nfs4_add_lookup(compound, (component4){(u_int)(slash - at), (char *)(uintptr_t)at});
    return (component4){(u_int)strlen(at), (char *)(uintptr_t)at};
}

void nfs4_add_getattr(struct nfs4_compound *compound, bool with_limits)
{
    GETATTR4args *args = &nfs4_add(compound, OP_GETATTR)->nfs_argop4_u.opgetattr;
    args->attr_request = (bitmap4){2, with_limits ? root_bits : node_bits};
}

COMPOUND4args nfs4_args(struct nfs4_compound *compound)
{
    return (COMPOUND4args){.argarray = {compound->n, compound->ops}};
}

int nfs4_send(struct nfs4_compound *compound, struct nfs_connection *connection,
              struct nfs_call *call, void (*decode)(struct nfs_call *call, const void *reply))
{
    /* Two long paths do not fit the 4 KiB that libnfs encodes into. */
    enum { LONG_PATHS = 24, ROOM = 8192 };
    if (compound->code) {
        *call =
            (struct nfs_call){.connection = connection, .code = compound->code, .is_done = true};
        return compound->code;
    }
    int ret = nfs_call_begin(call, connection, decode);
    if (ret)
        return ret;
    COMPOUND4args args = nfs4_args(compound);
    size_t extra = compound->n > LONG_PATHS ? ROOM : 0;
    return nfs_call_sent(call,
                         nfs_rpc_compound4(connection->rpc, nfs_call_reply, &args, extra, call));
}

int nfs4_run(struct nfs4_compound *compound, struct nfs_connection *connection,
             struct nfs_call *call, void (*decode)(struct nfs_call *call, const void *reply))
{
    int ret = nfs4_send(compound, connection, call, decode);
    return ret ? ret : nfs_call_wait(call);
}

int nfs4_status(struct nfs_call *call, const COMPOUND4res *res)
{
    if (res->status)
        call->connection->status = res->status;
    call->code = nfs_error_of(res->status);
    /* Of nfs4_add_place(), which comes before all else. */
    if (res->status == NFS4ERR_SAME && res->resarray.resarray_len == 2)
        call->code = -ESTALE;
    return call->code;
}

/* libnfs hands out arrays and list entries at odd multiples of four bytes, so they are copied to be looked at. */
static void result_at(const COMPOUND4res *res, u_int i, nfs_resop4 *out)
{
    const char *results = (const char *)res->resarray.resarray_val;
    memcpy(out, results + i * sizeof *out, sizeof *out);
}

bool nfs4_find(const COMPOUND4res *res, nfs_opnum4 op, nfs_resop4 *out)
{
    /* The last one is the one that failed, if any did. */
    u_int n_ok = res->resarray.resarray_len - (res->status && res->resarray.resarray_len > 0);
    for (u_int i = 0; i < n_ok; i++) {
        result_at(res, i, out);
        /* All results begin with their status. */
        if (out->resop == op)
            return out->nfs_resop4_u.opputfh.status == NFS4_OK;
    }
    return false;
}

int nfs4_handle(const nfs_fh4 *fh, struct nfs_handle *out)
{
    if (fh->nfs_fh4_len == 0 || fh->nfs_fh4_len > NFS_HANDLE_MAX)
        return -EIO;
    out->len = fh->nfs_fh4_len;
    memcpy(out->bytes, fh->nfs_fh4_val, out->len);
    return 0;
}

/* The values of a fattr4, in the order of their bits. */
struct values {
    const uint8_t *at;
    size_t left;
    bool is_short;
};

static uint32_t take32(struct values *values)
{
    uint32_t n = 0;
    if (values->left < sizeof n) {
        values->is_short = true;
        return 0;
    }
    memcpy(&n, values->at, sizeof n);
    values->at += sizeof n;
    values->left -= sizeof n;
    return ntohl(n);
}

static uint64_t take64(struct values *values)
{
    uint64_t high = take32(values);
    return high << 32 | take32(values);
}

static enum nfs_type type_of(uint32_t type)
{
    return type == NF4REG   ? NFS_FILE
           : type == NF4DIR ? NFS_DIR
           : type == NF4LNK ? NFS_LINK
                            : NFS_OTHER;
}

static bool has_bit(const bitmap4 *mask, unsigned bit)
{
    return bit / 32 < mask->bitmap4_len && mask->bitmap4_val[bit / 32] >> bit % 32 & 1;
}

int nfs4_attributes(const fattr4 *attributes, struct nfs_node *out, struct nfs_root *limits)
{
    const bitmap4 *mask = &attributes->attrmask;
    struct values values = {(const uint8_t *)attributes->attr_vals.attrlist4_val,
                            attributes->attr_vals.attrlist4_len, false};
    if (!has_bit(mask, FATTR4_TYPE) || !has_bit(mask, FATTR4_SIZE) ||
        !has_bit(mask, FATTR4_FILEID) || !has_bit(mask, FATTR4_TIME_MODIFY))
        return -EOPNOTSUPP;
    out->type = type_of(take32(&values));
    out->len = take64(&values);
    out->fileid = take64(&values);
    uint64_t read_max = has_bit(mask, FATTR4_MAXREAD) ? take64(&values) : 0;
    uint64_t write_max = has_bit(mask, FATTR4_MAXWRITE) ? take64(&values) : 0;
    out->n_links = has_bit(mask, FATTR4_NUMLINKS) ? take32(&values) : 1;
    uint64_t seconds = take64(&values);
    out->mtime = nfs_time(seconds, take32(&values));
    if (limits) {
        limits->read_max = read_max < UINT32_MAX ? (uint32_t)read_max : UINT32_MAX;
        limits->write_max = write_max < UINT32_MAX ? (uint32_t)write_max : UINT32_MAX;
    }
    return values.is_short ? -EIO : 0;
}
