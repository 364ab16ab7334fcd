/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nfs_error: what a server's status means, as -errno and for a person.
 *
 *   -ESTALE   a handle the server no longer knows: the file was removed, or the export replaced
 *   -EAGAIN   the server asks for patience (JUKEBOX, DELAY, GRACE)
 *   -ERESTART a listing that the server wants begun anew
 *   -ELOOP    a symbolic link where none is followed
 *
 * Threads: pure functions. Memory: none.
 */
#ifndef FKV_STORE_NFS_ERROR_H
#define FKV_STORE_NFS_ERROR_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

/* 0 for OK. The numbers of NFSv3 and v4 agree where both have one; MOUNT's are the same below 10000. */
int nfs_error_of(uint32_t status);

/* True for a code of the network's rather than the server's: the connection is no good, another may be. */
bool nfs_error_is_network(int code);

/* What an operator looks at, for codes that call for it; else NULL. */
const char *nfs_error_advice(int code);

/* "verb nfs://…/path: …", with what to look at. status: the server's last one that was not OK, or 0. */
int nfs_error_set(struct err *err, int code, uint32_t status, const char *verb, const char *url,
                  const char *path);

#endif
