/* SPDX-License-Identifier: Apache-2.0 */
/*
 * url: which kind of store a URL names, and where it is.
 *
 *   /srv/fkv, file:///srv/fkv          a directory; the path is taken as it stands, without percent escapes
 *   nfs://server/export/dir?options    NFS (nfs_export.h)
 *
 * Threads: pure functions. Memory: none. Errors: -EINVAL with the forms there are.
 */
#ifndef FKV_STORE_URL_H
#define FKV_STORE_URL_H

#include "store/nfs_export.h"
#include "store/store.h"

struct url {
    bool is_nfs;
    char dir[STORE_URL_MAX];           /* absolute, single slashes, none at the end but for "/" */
    char canonical[STORE_URL_MAX + 8]; /* "file://" and dir, or nfs.canonical */
    struct nfs_export nfs;
};

int url_parse(const char *text, struct url *out, struct err *err);

#endif
