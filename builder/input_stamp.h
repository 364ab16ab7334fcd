/* SPDX-License-Identifier: Apache-2.0 */
/*
 * input_stamp: what an input was like when a task was planned, so that workers on other hosts, hours later, see that it is the same.
 *
 * Threads: any. Memory: none. Errors: those of source.h; -ESTALE when it changed.
 */
#ifndef FKV_BUILDER_INPUT_STAMP_H
#define FKV_BUILDER_INPUT_STAMP_H

#include "builder/job.h"

struct input_stamp {
    uint64_t len; /* bytes; 0 for a query */
    int64_t mtime_ns;
};

int input_stamp_take(const char *input, enum input_format format, struct input_stamp *out,
                     struct err *err);
int input_stamp_check(const char *input, enum input_format format, const struct input_stamp *stamp,
                      struct err *err);

/* Can rows be read from the middle on? A compressed file and a query cannot. */
bool input_can_be_cut(const char *input, enum input_format format);

/* Is the row border that a piece in the middle begins at a guess? Where line ends always end rows, it is none. */
bool input_border_is_guess(const char *input, enum input_format format);

#endif
