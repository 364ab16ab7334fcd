/* SPDX-License-Identifier: Apache-2.0 */
/*
 * progress: what long work says on stderr: one line rewritten in place on a terminal, a line now and then elsewhere.
 *
 * Threads: one at a time. Memory: progress_free() also ends the line. A NULL progress (no memory) shows nothing.
 */
#ifndef FKV_CLI_PROGRESS_H
#define FKV_CLI_PROGRESS_H

#include <stdbool.h>

struct progress;

struct progress *progress_new(void);
void progress_free(struct progress *progress);

bool progress_is_terminal(const struct progress *progress);
/* Elsewhere than on a terminal, says the text when it changed and the last one is more than a second ago. */
void progress_show(struct progress *progress, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Says the text for good: the next one begins a new line. */
void progress_end_line(struct progress *progress, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* "#######------" */
enum { PROGRESS_BAR_LEN = 24 };
void progress_bar(double share, char out[PROGRESS_BAR_LEN + 1]);

#endif
