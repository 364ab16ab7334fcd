/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making a file in NFSv4.0: only OPEN can, and OPEN wants a client id, an owner and, of an owner not seen before, a
 * confirmation. The file is closed again at once; writing needs no open (nfs4_io.c).
 *
 * Each connection is a client of its own, under a random name, and each file has an owner of its own: so there
 * are no sequences to be kept in step, and nothing to be recovered when the connection breaks or the lease runs out.
 */
#include "store/nfs4.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

struct client_call {
    struct nfs_call call;
    clientid4 id;
    verifier4 confirm;
};

static void on_setclientid(struct nfs_call *call, const void *reply)
{
    const COMPOUND4res *res = reply;
    struct client_call *set = (struct client_call *)call;
    if (nfs4_status(call, res))
        return;
    nfs_resop4 found;
    if (!nfs4_find(res, OP_SETCLIENTID, &found)) {
        call->code = -EIO;
        return;
    }
    const SETCLIENTID4resok *ok = &found.nfs_resop4_u.opsetclientid.SETCLIENTID4res_u.resok4;
    set->id = ok->clientid;
    memcpy(set->confirm, ok->setclientid_confirm, sizeof set->confirm);
}

static void on_status(struct nfs_call *call, const void *reply)
{
    nfs4_status(call, reply);
}

static int introduce(struct nfs_connection *connection)
{
    uint64_t random[2];
    char name[64];
    char netid[] = "tcp";
    char nowhere[] = "0.0.0.0.0.0"; /* nobody to call back: no delegations, please */
    struct nfs4_compound compound = {.n = 0};
    struct nfs4_compound confirm = {.n = 0};
    struct client_call set = {.id = 0};
    if (getrandom(random, sizeof random, 0) != sizeof random)
        return -EIO;
    int len = snprintf(name, sizeof name, "fkv-%016llx", (unsigned long long)random[0]);
    SETCLIENTID4args *args = &nfs4_add(&compound, OP_SETCLIENTID)->nfs_argop4_u.opsetclientid;
    memcpy(args->client.verifier, &random[1], sizeof args->client.verifier);
    args->client.id.id_len = (u_int)len;
    args->client.id.id_val = name;
    args->callback.cb_program = 0x40000000;
    args->callback.cb_location = (clientaddr4){netid, nowhere};
    int ret = nfs4_run(&compound, connection, &set.call, on_setclientid);
    if (ret)
        return ret;
    SETCLIENTID_CONFIRM4args *confirm_args =
        &nfs4_add(&confirm, OP_SETCLIENTID_CONFIRM)->nfs_argop4_u.opsetclientid_confirm;
    confirm_args->clientid = set.id;
    memcpy(confirm_args->setclientid_confirm, set.confirm, sizeof set.confirm);
    ret = nfs4_run(&confirm, connection, &set.call, on_status);
    if (!ret)
        connection->client = (struct nfs_client){.is_set = true, .id = set.id};
    return ret;
}

struct open_call {
    struct nfs_call call;
    struct nfs_handle *out;
    stateid4 state;
    bool must_confirm;
};

static void on_open(struct nfs_call *call, const void *reply)
{
    const COMPOUND4res *res = reply;
    struct open_call *opening = (struct open_call *)call;
    if (nfs4_status(call, res))
        return;
    nfs_resop4 open, fh;
    if (!nfs4_find(res, OP_OPEN, &open) || !nfs4_find(res, OP_GETFH, &fh)) {
        call->code = -EIO;
        return;
    }
    const OPEN4resok *ok = &open.nfs_resop4_u.opopen.OPEN4res_u.resok4;
    opening->state = ok->stateid;
    opening->must_confirm = ok->rflags & OPEN4_RESULT_CONFIRM;
    call->code = nfs4_handle(&fh.nfs_resop4_u.opgetfh.GETFH4res_u.resok4.object, opening->out);
}

static void on_confirm(struct nfs_call *call, const void *reply)
{
    const COMPOUND4res *res = reply;
    struct open_call *opening = (struct open_call *)call;
    if (nfs4_status(call, res))
        return;
    nfs_resop4 found;
    if (nfs4_find(res, OP_OPEN_CONFIRM, &found))
        opening->state = found.nfs_resop4_u.opopen_confirm.OPEN_CONFIRM4res_u.resok4.open_stateid;
    else
        call->code = -EIO;
}

static int open_new(struct nfs_connection *connection, const struct nfs_place *place, uint32_t mode,
                    struct open_call *opening)
{
    static uint32_t mode_bits[] = {0, 1U << (FATTR4_MODE - 32)};
    struct nfs4_compound compound = {.n = 0};
    uint32_t value = htonl(mode);
    uint64_t owner = ++connection->client.n_owners;
    nfs4_add_place(&compound, place);
    component4 leaf = nfs4_add_dirs(&compound, place->path);
    OPEN4args *args = &nfs4_add(&compound, OP_OPEN)->nfs_argop4_u.opopen;
    args->seqid = 1;
    args->share_access = OPEN4_SHARE_ACCESS_WRITE;
    args->owner.clientid = connection->client.id;
    args->owner.owner.owner_len = sizeof owner;
    args->owner.owner.owner_val = (char *)&owner;
    args->openhow.opentype = OPEN4_CREATE;
    args->openhow.openflag4_u.how.mode = GUARDED4;
    args->openhow.openflag4_u.how.createhow4_u.createattrs =
        (fattr4){.attrmask = {2, mode_bits}, .attr_vals = {sizeof value, (char *)&value}};
    args->claim.claim = CLAIM_NULL;
    args->claim.open_claim4_u.file = leaf;
    nfs4_add(&compound, OP_GETFH);
    return nfs4_run(&compound, connection, &opening->call, on_open);
}

/* The file is there; what becomes of its open state matters to nobody but the server. */
static void close_again(struct nfs_connection *connection, struct open_call *opening)
{
    uint32_t seqid = 2;
    if (opening->must_confirm) {
        struct nfs4_compound confirm = {.n = 0};
        nfs4_add_handle(&confirm, opening->out);
        OPEN_CONFIRM4args *args = &nfs4_add(&confirm, OP_OPEN_CONFIRM)->nfs_argop4_u.opopen_confirm;
        *args = (OPEN_CONFIRM4args){.open_stateid = opening->state, .seqid = seqid++};
        if (nfs4_run(&confirm, connection, &opening->call, on_confirm))
            return;
    }
    struct nfs4_compound compound = {.n = 0};
    nfs4_add_handle(&compound, opening->out);
    CLOSE4args *args = &nfs4_add(&compound, OP_CLOSE)->nfs_argop4_u.opclose;
    *args = (CLOSE4args){.seqid = seqid, .open_stateid = opening->state};
    nfs4_run(&compound, connection, &opening->call, on_status);
}

static bool is_client_forgotten(const struct nfs_connection *connection)
{
    return connection->status == NFS4ERR_STALE_CLIENTID || connection->status == NFS4ERR_EXPIRED ||
           connection->status == NFS4ERR_BAD_SEQID;
}

int nfs4_create(struct nfs_connection *connection, const struct nfs_place *place, uint32_t mode,
                struct nfs_handle *out)
{
    struct open_call opening = {.out = out};
    int ret = connection->client.is_set ? 0 : introduce(connection);
    if (!ret)
        ret = open_new(connection, place, mode, &opening);
    if (ret && connection->rpc && is_client_forgotten(connection)) {
        /* The lease ran out while nothing was made: the server owes us nothing, and we start anew. */
        connection->status = 0;
        ret = introduce(connection);
        if (!ret)
            ret = open_new(connection, place, mode, &opening);
    }
    if (!ret)
        close_again(connection, &opening);
    return ret;
}
