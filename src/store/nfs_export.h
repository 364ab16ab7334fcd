/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nfs_export: nfs://server/export/dir?options, taken apart.
 *
 *   version=3|4      of NFS; 3 unless given
 *   nfsport=N        2049 unless given
 *   mountport=N      of NFSv3's mount daemon; else the server's portmapper is asked
 *   uid=N, gid=N     who we are to the server; else the process's effective ids, with its groups
 *
 * The server is a name, an IPv4 address or an IPv6 address in brackets. The path is taken as it stands, without percent
 * escapes. Options are joined by '&'. libnfs knows more; those that would change what a store promises are refused.
 *
 * Threads: pure but for asking who the process is. Memory: none. Errors: -EINVAL with the rule.
 */
#ifndef FKV_STORE_NFS_EXPORT_H
#define FKV_STORE_NFS_EXPORT_H

#include "base/err.h"

#include <stdint.h>

enum { NFS_SERVER_MAX = 256, NFS_PATH_MAX = 1024, NFS_URL_MAX = 1536, NFS_GROUPS_MAX = 16 };

struct nfs_export {
    char server[NFS_SERVER_MAX]; /* without brackets */
    char path[NFS_PATH_MAX];     /* absolute, single slashes, none at the end but for "/" */
    unsigned version;
    unsigned nfsport;
    unsigned mountport; /* 0: ask */
    uint32_t uid, gid;
    unsigned n_groups;
    uint32_t groups[NFS_GROUPS_MAX];
    char canonical[NFS_URL_MAX]; /* with the options that were given */
    char place[NFS_URL_MAX];     /* without: what a path is put behind in error texts */
};

int nfs_export_parse(const char *text, struct nfs_export *out, struct err *err);

#endif
