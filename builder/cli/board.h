/* SPDX-License-Identifier: Apache-2.0 */
/*
 * board: what long work shows on stderr. On a terminal a block of lines that is rewritten in place, never higher than the screen;
 * elsewhere plain lines, no more than one a second.
 *
 * Threads: one at a time. Memory: board_free() also takes the block away. A NULL board (no memory) shows nothing.
 */
#ifndef FKV_CLI_BOARD_H
#define FKV_CLI_BOARD_H

#include "base/buf.h"

#include <stdbool.h>

struct board;

/* quiet: shows nothing at all. */
struct board *board_new(bool quiet);
void board_free(struct board *board);

bool board_is_terminal(const struct board *board);
/* Lines that a block may have. */
size_t board_rows(const struct board *board);
/* Terminal: replaces the block. text holds lines, each with its newline. */
void board_block(struct board *board, const struct buf *text);
/* A line for good, above the block. */
void board_say(struct board *board, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Elsewhere than on a terminal: may another line be said yet? Says yes once a second. */
bool board_may_say(struct board *board);
/* A terminal's width and height; 80 by 24 when it does not tell. */
void board_screen(int fd, size_t *rows, size_t *columns);
/* Appends at most so many columns of a line of UTF-8, control characters left out. */
void board_cut(const char *line, size_t len, size_t columns, struct buf *out);

#endif
