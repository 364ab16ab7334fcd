/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/cli/interrupt.h"

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { N_SIGNALS = 3 };

/* ^C, a job that is cancelled, a terminal that goes away. */
static const int signals[N_SIGNALS] = {SIGINT, SIGTERM, SIGHUP};

static char line[512];
static struct sigaction was[N_SIGNALS];
static bool is_set;

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
    const struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    interrupt_end();
    snprintf(line, sizeof line, "\nfkv: interrupted: %s\n", text);
    for (int i = 0; i < N_SIGNALS; i++) {
        sigaction(signals[i], NULL, &was[i]);
        /* What a script or nohup had ignored stays so. */
        if (was[i].sa_handler != SIG_IGN)
            sigaction(signals[i], &action, NULL);
    }
    is_set = true;
}

void interrupt_end(void)
{
    for (int i = 0; i < N_SIGNALS && is_set; i++)
        sigaction(signals[i], &was[i], NULL);
    is_set = false;
}
