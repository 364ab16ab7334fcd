/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mountpoint: makes sure that a directory can be mounted on, and takes away what a dead fkvd left
 * there.
 *
 * Threads: before others run: it forks, to look at a mount that may not answer. Memory: none.
 * Errors: -EBUSY when something is there: a living fkvd, another file system, files; -EINVAL for no
 * directory; …
 */
#ifndef FKV_FUSE_MOUNTPOINT_H
#define FKV_FUSE_MOUNTPOINT_H

#include "base/err.h"

#define MOUNT_SUBTYPE "fkvd"
/* The source of a mount is this and its daemon's pid. */
#define MOUNT_SOURCE "fkv:"

/* path is absolute. A missing directory is made (its parent must exist). A mount of fkvd whose
 * daemon is dead, or dying for ever, is unmounted lazily. */
int mountpoint_prepare(const char *path, struct err *err);

/* Unmounts; lazily when files are open in it. Not mounted any more is fine. */
int mountpoint_unmount(const char *path);

#endif
