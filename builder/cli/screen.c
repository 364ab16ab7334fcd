/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/cli/screen.h"

#include "builder/cli/board.h"
#include "builder/cli/cli.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ENTER "\033[?1049h\033[?25l"
#define LEAVE "\033[?25h\033[?1049l"

enum { N_SIGNALS = 5 };

static const int signals[N_SIGNALS] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP};

struct screen {
    bool terminal;
    bool gaps;
    bool drawn;
    struct sigaction was[N_SIGNALS];
};

static volatile sig_atomic_t stopped;

static void stop(int number)
{
    stopped = 1;
}

static void write_text(const char *text)
{
    ssize_t written = write(STDOUT_FILENO, text, strlen(text));
    (void)written;
}

/* ^Z: the shell gets its screen back, and we ours when we go on. Only calls that a handler may make. */
static void suspend(int number)
{
    struct sigaction ours;
    write_text(LEAVE);
    sigaction(number, NULL, &ours);
    signal(number, SIG_DFL);
    raise(number); /* stops here: SA_NODEFER */
    sigaction(number, &ours, NULL);
    write_text(ENTER);
}

/* What was ignored stays so. */
static void catch_signals(struct screen *screen)
{
    for (int i = 0; i < N_SIGNALS; i++) {
        bool is_stop = signals[i] != SIGTSTP;
        /* Without SA_RESTART: a pause ends at once. */
        const struct sigaction action = {.sa_handler = is_stop ? stop : suspend,
                                         .sa_flags = is_stop ? 0 : SA_NODEFER};
        sigaction(signals[i], NULL, &screen->was[i]);
        if (screen->was[i].sa_handler != SIG_IGN && (is_stop || screen->terminal))
            sigaction(signals[i], &action, NULL);
    }
}

int screen_new(bool gaps, struct screen **out, struct err *err)
{
    struct screen *screen = calloc(1, sizeof *screen);
    if (!screen)
        return err_sys(err, -ENOMEM, "drawing");
    stopped = 0;
    screen->gaps = gaps;
    screen->terminal = isatty(STDOUT_FILENO);
    catch_signals(screen);
    if (screen->terminal) {
        fputs(ENTER, stdout);
        fflush(stdout);
    }
    *out = screen;
    return 0;
}

void screen_free(struct screen *screen)
{
    if (!screen)
        return;
    if (screen->terminal) {
        fputs(LEAVE, stdout);
        fflush(stdout);
    }
    for (int i = 0; i < N_SIGNALS; i++)
        sigaction(signals[i], &screen->was[i], NULL);
    free(screen);
}

size_t screen_rows(const struct screen *screen)
{
    size_t rows = 0, columns = 0;
    if (!screen->terminal)
        return SIZE_MAX;
    board_screen(STDOUT_FILENO, &rows, &columns);
    return rows;
}

static void draw_lines(const char *text, size_t len, struct buf *out)
{
    size_t rows = 0, columns = 0, n = 0;
    const char *end = text + len;
    board_screen(STDOUT_FILENO, &rows, &columns);
    buf_printf(out, "\033[H");
    for (const char *at = text; at < end && n + 1 < rows; n++) {
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        line_end = line_end ? line_end : end;
        board_cut(at, (size_t)(line_end - at), columns - 1, out);
        buf_printf(out, "\033[K\n");
        at = line_end + 1;
    }
    buf_printf(out, "\033[J");
}

int screen_draw(struct screen *screen, const void *text, size_t len, struct err *err)
{
    struct buf out = {0};
    if (screen->terminal)
        draw_lines(text, len, &out);
    else if (screen->drawn && screen->gaps)
        buf_add_byte(&out, '\n');
    if (!screen->terminal)
        buf_add(&out, text, len);
    fwrite(out.data, 1, out.len, stdout);
    buf_release(&out);
    screen->drawn = true;
    return cli_flush(err);
}

bool screen_pause(struct screen *screen, int64_t ns)
{
    struct timespec left = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
    while (!stopped && nanosleep(&left, &left) && errno == EINTR)
        ;
    return !stopped;
}
