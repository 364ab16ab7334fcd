/* SPDX-License-Identifier: Apache-2.0 */
#include "store/nfs_error.h"

#include "store/nfs_rpc.h"

#include <errno.h>
#include <string.h>

static const struct {
    uint32_t status;
    int code;
} codes[] = {
    {NFS3_OK, 0},
    {NFS3ERR_PERM, -EPERM},
    {NFS3ERR_NOENT, -ENOENT},
    {NFS3ERR_IO, -EIO},
    {NFS3ERR_NXIO, -ENXIO},
    {NFS3ERR_ACCES, -EACCES},
    {NFS3ERR_EXIST, -EEXIST},
    {NFS3ERR_XDEV, -EXDEV},
    {NFS3ERR_NODEV, -ENODEV},
    {NFS3ERR_NOTDIR, -ENOTDIR},
    {NFS3ERR_ISDIR, -EISDIR},
    {NFS3ERR_INVAL, -EINVAL},
    {NFS3ERR_FBIG, -EFBIG},
    {NFS3ERR_NOSPC, -ENOSPC},
    {NFS3ERR_ROFS, -EROFS},
    {NFS3ERR_MLINK, -EMLINK},
    {NFS3ERR_NAMETOOLONG, -ENAMETOOLONG},
    {NFS3ERR_NOTEMPTY, -ENOTEMPTY},
    {NFS3ERR_DQUOT, -EDQUOT},
    {NFS3ERR_STALE, -ESTALE},
    {NFS3ERR_BADHANDLE, -ESTALE},
    {NFS4ERR_FHEXPIRED, -ESTALE},
    {NFS4ERR_NOFILEHANDLE, -ESTALE},
    {NFS3ERR_JUKEBOX, -EAGAIN},
    {NFS4ERR_GRACE, -EAGAIN},
    {NFS4ERR_LOCKED, -EAGAIN},
    {NFS3ERR_BAD_COOKIE, -ERESTART},
    {NFS4ERR_SHARE_DENIED, -EBUSY},
    {NFS4ERR_SYMLINK, -ELOOP},
    {NFS4ERR_WRONGSEC, -EACCES},
    {NFS4ERR_BADNAME, -EINVAL},
    {NFS4ERR_BADCHAR, -EINVAL},
};

int nfs_error_of(uint32_t status)
{
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (codes[i].status == status)
            return codes[i].code;
    return -EIO;
}

bool nfs_error_is_network(int code)
{
    static const int network[] = {ECONNREFUSED, ECONNRESET,   ECONNABORTED, ETIMEDOUT,
                                  EPIPE,        EHOSTUNREACH, ENETUNREACH,  ENETDOWN,
                                  ENETRESET,    EADDRINUSE,   ENOTCONN,     EADDRNOTAVAIL};
    for (size_t i = 0; i < sizeof network / sizeof *network; i++)
        if (-code == network[i])
            return true;
    return false;
}

static const char *status_advice(uint32_t status)
{
    switch (status) {
    case NFS4ERR_GRACE:
        return "the server is in its grace period after a start and takes no changes yet";
    case NFS4ERR_WRONGSEC:
        return "the server wants another kind of credentials: the export's sec= must have sys";
    default:
        return NULL;
    }
}

const char *nfs_error_advice(int code)
{
    switch (code) {
    case -EACCES:
        return "the server refuses this user: look at the export's squash and client list, at the "
               "permissions of the directory, and at uid= and gid= in the URL";
    case -EPERM:
        return "the server does not permit this: look at the export's options and squash";
    case -EROFS:
        return "the export or its file system is read-only";
    case -ENOSPC:
        return "the server's file system is full";
    case -EDQUOT:
        return "the user's quota on the server is used up";
    case -ESTALE:
        return "the server no longer knows it: it was removed or replaced, or the export was";
    case -ETIMEDOUT:
        return "the server did not answer in time";
    case -ECONNREFUSED:
        return "nothing listens there: the server is down, or nfsport= or mountport= is wrong";
    case -ECONNRESET:
        return "the server closed the connection";
    case -EAGAIN:
        return "the server asks to try again later (it may be in its grace period after a start)";
    case -EPROTONOSUPPORT:
        return "the server does not take this version of NFS there: look at version=, nfsport= and "
               "mountport=";
    case -EBADMSG:
        return "what the server answers makes no sense";
    case -ERESTART:
        return "the directory changes all the time";
    case -EREMOTEIO:
        return "the server restarts all the time, and may have lost what was written";
    case -EOPNOTSUPP:
        return "the server does not tell what a store needs: type, size, file number and time of "
               "change";
    default:
        return NULL;
    }
}

int nfs_error_set(struct err *err, int code, uint32_t status, const char *verb, const char *url,
                  const char *path)
{
    const char *slash = *path ? "/" : "";
    if (code == -ELOOP)
        return err_set(err, -EPERM, "%s %s%s%s: a symbolic link; a store follows none", verb, url,
                       slash, path);
    const char *text = status_advice(status);
    if (!text)
        text = nfs_error_advice(code);
    if (text)
        return err_sys(err, code, "%s %s%s%s: %s", verb, url, slash, path, text);
    if (code == -EIO && status)
        return err_set(err, code, "%s %s%s%s: the server's NFS status %u", verb, url, slash, path,
                       status);
    return err_sys(err, code, "%s %s%s%s", verb, url, slash, path);
}
