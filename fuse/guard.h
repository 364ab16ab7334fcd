/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guard: work on memory that somebody else may take away.
 *
 * A client's arena is a sealed memfd, so it cannot shrink; but touching a page of it can still fail
 * when the kernel finds no memory for it, and then the toucher gets SIGBUS. Inside guard_run() such
 * a fault in the named range ends the work with -EFAULT; any other SIGBUS stays as deadly as it
 * was.
 *
 * The work is left in the middle (siglongjmp), so it must hold no lock and own no memory:
 * batch_run() is such work.
 *
 * Threads: any, each with its own guard; not nested. Memory: none. Errors: -EFAULT.
 */
#ifndef FKV_FUSE_GUARD_H
#define FKV_FUSE_GUARD_H

#include <stddef.h>

/* Installs the handler, once a process. */
int guard_install(void);

typedef void (*guard_fn)(void *context);
int guard_run(const void *range, size_t len, guard_fn work, void *context);

#endif
