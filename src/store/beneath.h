/* SPDX-License-Identifier: Apache-2.0 */
/*
 * beneath: opening a path below a directory, following no symbolic link at all.
 *
 * A store may be writable by people we do not trust with the rest of the machine, so a link planted in it must
 * not lead elsewhere. openat2(2) does that in one call; where it is missing (older kernels, some container
 * filters) the path is walked one component at a time.
 *
 * Threads: pure but for the file system. Memory: the descriptor is the caller's.
 * Errors: the descriptor, or -errno; -ELOOP for a symbolic link on the way or at the end.
 */
#ifndef FKV_STORE_BENEATH_H
#define FKV_STORE_BENEATH_H

#include <sys/types.h>

/* O_CLOEXEC is added. path is checked (path.h); flags are open(2)'s. */
int beneath_open(int root, const char *path, int flags);

/* The two ways, for tests: the first gives -ENOSYS or -EPERM where it is not available. */
int beneath_open_at_once(int root, const char *path, int flags);
int beneath_open_walking(int root, const char *path, int flags);

/* Opens the directory that holds path for reading, so that it can be synced. "a" is held by root itself. */
int beneath_open_parent(int root, const char *path);

#endif
