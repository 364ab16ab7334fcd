/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/cli/interrupt.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char line[512];

/* Only calls that a handler may make. */
static void on_signal(int number)
{
    ssize_t written = write(STDERR_FILENO, line, strlen(line));
    (void)written;
    signal(number, SIG_DFL);
    raise(number);
}

void interrupt_say(const char *text)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    interrupt_end();
    snprintf(line, sizeof line, "\nfkv: interrupted: %s\n", text);
    sigaction(SIGINT, &action, NULL);
}

void interrupt_end(void)
{
    signal(SIGINT, SIG_DFL);
}
