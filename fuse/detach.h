/* SPDX-License-Identifier: Apache-2.0 */
/*
 * detach: life as a service: leaving the terminal, and telling whoever started us that we are
 * ready.
 *
 * Threads: before others run, but for detach_ready(). Memory: none. Errors: negative errno.
 */
#ifndef FKV_FUSE_DETACH_H
#define FKV_FUSE_DETACH_H

#include "base/err.h"

#include <stdbool.h>

/*
 * Forks. The child returns 0, in a session of its own; the parent waits for the child's word and
 * exits: 0 after detach_ready(), with the status of err, printed, after detach_failed() or when the
 * child dies first.
 */
int detach_begin(struct err *err);

/* The child's word. Without detach_begin() there is nobody to hear it but the service manager
 * ($NOTIFY_SOCKET), if any; detach_failed() says whether somebody was. */
void detach_ready(void);
bool detach_failed(const struct err *err, int code);

/* "STOPPING=1" and the like, to $NOTIFY_SOCKET. */
void detach_notify(const char *state);

/* Many descriptors (a part, an arena, a client each), and late in the kernel's choice of what to
 * kill. Best effort. */
void detach_raise_limits(void);

#endif
