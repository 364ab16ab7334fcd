/* SPDX-License-Identifier: Apache-2.0 */
/*
 * screen: a picture on stdout that is drawn again and again: in place on a terminal, on its alternate screen; elsewhere one after
 * the other. ^C and SIGTERM end it and give the terminal back as it was.
 *
 * Threads: one screen at a time, from the main thread (it takes over two signals). Memory: screen_free().
 * Errors: -errno of writing.
 */
#ifndef FKV_CLI_SCREEN_H
#define FKV_CLI_SCREEN_H

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>

struct screen;

/* gaps: elsewhere than on a terminal an empty line stands between two pictures. */
int screen_new(bool gaps, struct screen **out, struct err *err);
void screen_free(struct screen *screen);

/* Lines a picture may have without being cut; SIZE_MAX elsewhere than on a terminal. */
size_t screen_rows(const struct screen *screen);
int screen_draw(struct screen *screen, const void *text, size_t len, struct err *err);
/* Waits; false when a signal asked to stop. */
bool screen_pause(struct screen *screen, int64_t ns);

#endif
