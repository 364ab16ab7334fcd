/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nfs_socket: a TCP connection made within a time limit.
 *
 * libnfs would connect by itself, but through getservbyport(), which is not for threads. The port at our end is a
 * privileged one where we may have it: most exports insist on that. A name's addresses are tried one after the other, each for
 * its share of the time that is left.
 *
 * Threads: any. Memory: the descriptor is the caller's. Errors: -errno of the last address tried, -ETIMEDOUT;
 * -EHOSTDOWN for a name that does not exist. Looking a name up may take as long as the system's resolver is told to wait.
 */
#ifndef FKV_STORE_NFS_SOCKET_H
#define FKV_STORE_NFS_SOCKET_H

#include "base/err.h"

#include <stdint.h>

int nfs_socket_connect(const char *server, unsigned port, int64_t deadline_ns, int *out,
                       struct err *err);

#endif
