/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/cli/progress.h"

#include "builder/cli/clock.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct progress {
    bool terminal;
    bool open; /* the cursor stands in a line of ours */
    int64_t said_ns;
    char last[512];
};

struct progress *progress_new(void)
{
    struct progress *p = calloc(1, sizeof *p);
    if (p) {
        p->terminal = isatty(STDERR_FILENO);
        p->said_ns = cli_now_ns();
    }
    return p;
}

void progress_free(struct progress *p)
{
    if (p && p->open)
        fputs("\r\033[K", stderr);
    free(p);
}

bool progress_is_terminal(const struct progress *p)
{
    return p && p->terminal;
}

static void say(struct progress *p, const char *text, bool keep)
{
    if (p->terminal)
        fprintf(stderr, "\r\033[K%.200s%s", text, keep ? "\n" : "");
    else
        fprintf(stderr, "%s\n", text);
    p->open = p->terminal && !keep;
    p->said_ns = cli_now_ns();
    snprintf(p->last, sizeof p->last, "%s", text);
    fflush(stderr);
}

void progress_show(struct progress *p, const char *fmt, ...)
{
    char text[sizeof p->last];
    va_list ap;
    if (!p)
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (!strcmp(text, p->last))
        return;
    if (p->terminal || cli_now_ns() - p->said_ns >= 1000000000LL)
        say(p, text, false);
}

void progress_end_line(struct progress *p, const char *fmt, ...)
{
    char text[sizeof p->last];
    va_list ap;
    if (!p)
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    say(p, text, true);
}

void progress_bar(double share, char out[PROGRESS_BAR_LEN + 1])
{
    int full = share <= 0 ? 0 : share >= 1 ? PROGRESS_BAR_LEN : (int)(share * PROGRESS_BAR_LEN);
    memset(out, '#', (size_t)full);
    memset(out + full, '-', (size_t)(PROGRESS_BAR_LEN - full));
    out[PROGRESS_BAR_LEN] = '\0';
}
