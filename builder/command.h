/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command: runs another program without a shell, with text for its standard input, and takes what it prints. Run as child.h says: when
 * it has ended, or its time is over, its process group is killed.
 *
 * Threads: those of child.h.
 * Memory: output is appended to the caller's buffer, at most COMMAND_OUTPUT_MAX of it.
 * Errors: -ENOENT when there is no such program in $PATH, -ENOEXEC when it is a script without a #! line, -ETIMEDOUT when it was killed
 * for taking too long, -ECANCELED when a signal came that ends us, not with COMMAND_CHANGES; -EIO when it ended with another status than
 * 0: err has what it complained about; -E2BIG when its answer was longer than that, -ENOMEM: then output has its beginning only.
 */
#ifndef FKV_BUILDER_COMMAND_H
#define FKV_BUILDER_COMMAND_H

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>

enum {
    COMMAND_OUTPUT_MAX = 16 << 20,
    /* A flag: it changes something elsewhere, and when it is killed nobody knows whether it did. So a signal waits until it has
     * answered or its time is over. */
    COMMAND_CHANGES = 1,
};

/* argv ends with NULL; argv[0] is looked for in $PATH. input may be NULL. */
int command_run(const char *const *argv, const char *input, int timeout_s, unsigned flags,
                struct buf *output, struct err *err);
/* Is there such a program? */
bool command_is_there(const char *name);

#endif
