/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/cli/board.h"

#include "builder/cli/clock.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define SAY_EVERY_NS  1000000000LL
#define DRAW_EVERY_NS 100000000LL

struct board {
    bool quiet;
    bool terminal;
    size_t n_lines; /* of the block on the screen */
    int64_t said_ns;
    int64_t drawn_ns;
};

struct board *board_new(bool quiet)
{
    struct board *board = calloc(1, sizeof *board);
    if (board) {
        const char *term = getenv("TERM");
        board->quiet = quiet;
        board->said_ns = cli_now_ns();
        board->terminal = isatty(STDERR_FILENO) && (!term || strcmp(term, "dumb") != 0);
    }
    return board;
}

bool board_is_terminal(const struct board *board)
{
    return board && board->terminal;
}

void board_screen(int fd, size_t *rows, size_t *columns)
{
    struct winsize size = {0};
    bool known = ioctl(fd, TIOCGWINSZ, &size) == 0;
    *rows = known && size.ws_row ? size.ws_row : 24;
    *columns = known && size.ws_col ? size.ws_col : 80;
}

size_t board_rows(const struct board *board)
{
    size_t rows = 0, columns = 0;
    board_screen(STDERR_FILENO, &rows, &columns);
    return rows > 4 ? rows - 2 : 2;
}

static void take_away(struct board *board)
{
    if (board->n_lines)
        fprintf(stderr, "\r\033[%zuA\033[J", board->n_lines);
    board->n_lines = 0;
}

void board_cut(const char *line, size_t len, size_t columns, struct buf *out)
{
    size_t width = 0;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)line[i];
        bool begins = (c & 0xc0) != 0x80;
        if (c < 0x20 || c == 0x7f)
            continue;
        width += begins;
        if (width > columns)
            return;
        buf_add_byte(out, c);
    }
}

void board_block(struct board *board, const struct buf *text)
{
    size_t rows = 0, columns = 0, n = 0, max = board_rows(board);
    if (!board || board->quiet || !board->terminal)
        return;
    if (cli_now_ns() - board->drawn_ns < DRAW_EVERY_NS)
        return;
    board->drawn_ns = cli_now_ns();
    board_screen(STDERR_FILENO, &rows, &columns);
    struct buf out = {0};
    const char *at = (const char *)text->data;
    const char *end = at + text->len;
    for (; at < end && n < max; n++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        stop = stop ? stop : end;
        board_cut(at, (size_t)(stop - at), columns - 1, &out);
        buf_add_byte(&out, '\n');
        at = stop + 1;
    }
    take_away(board);
    fwrite(out.data, 1, out.len, stderr);
    fflush(stderr);
    board->n_lines = n;
    buf_release(&out);
}

void board_say(struct board *board, const char *fmt, ...)
{
    va_list ap;
    if (!board || board->quiet)
        return;
    take_away(board);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    fflush(stderr);
}

bool board_may_say(struct board *board)
{
    if (!board || board->quiet || board->terminal)
        return false;
    int64_t now_ns = cli_now_ns();
    if (now_ns - board->said_ns < SAY_EVERY_NS)
        return false;
    board->said_ns = now_ns;
    return true;
}

void board_free(struct board *board)
{
    if (board)
        take_away(board);
    free(board);
}
