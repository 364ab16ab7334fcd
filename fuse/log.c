/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

enum { LINE_MAX_LEN = 1200 };

static const struct {
    const char *name;
    int priority;
} levels[] = {
    [LOG_LEVEL_ERROR] = {"error", LOG_ERR},
    [LOG_LEVEL_WARNING] = {"warning", LOG_WARNING},
    [LOG_LEVEL_INFO] = {"info", LOG_INFO},
    [LOG_LEVEL_DEBUG] = {"debug", LOG_DEBUG},
};

/* Set before other threads run, but for is_syslog. */
static enum log_level max_level = LOG_LEVEL_INFO;
static bool is_journal;
static atomic_bool is_syslog;

int log_level_of(const char *name, enum log_level *out)
{
    for (int i = LOG_LEVEL_ERROR; i <= LOG_LEVEL_DEBUG; i++) {
        if (strcmp(levels[i].name, name) == 0) {
            *out = (enum log_level)i;
            return 0;
        }
    }
    return -EINVAL;
}

/* JOURNAL_STREAM names the device and inode of the journal's socket; another stderr may have been
 * put in its place since. */
static bool stderr_is_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    unsigned long long dev = 0;
    unsigned long long ino = 0;
    struct stat st;
    return stream && sscanf(stream, "%llu:%llu", &dev, &ino) == 2 &&
           fstat(STDERR_FILENO, &st) == 0 && st.st_dev == dev && st.st_ino == ino;
}

void log_init(enum log_level max)
{
    max_level = max;
    is_journal = stderr_is_journal();
}

void log_to_syslog(void)
{
    openlog("fkvd", LOG_PID, LOG_DAEMON);
    is_syslog = true;
}

static void stamp(char out[32])
{
    struct timespec now;
    struct tm tm;
    char text[24];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(out, 32, "%s.%03uZ", text, (unsigned)(now.tv_nsec / 1000000) % 1000);
}

/* One write a line, so that lines of several threads do not mix. */
static void write_line(enum log_level level, const char *text)
{
    char line[LINE_MAX_LEN + 64];
    char time[32];
    int len = 0;
    if (is_journal) {
        len = snprintf(line, sizeof line, "<%d>%s\n", levels[level].priority, text);
    } else {
        stamp(time);
        len = snprintf(line, sizeof line, "%s %s: %s\n", time, levels[level].name, text);
    }
    ssize_t ignored = write(STDERR_FILENO, line, (size_t)len);
    (void)ignored;
}

static void log_text(enum log_level level, const char *fmt, va_list ap)
{
    char text[LINE_MAX_LEN];
    if (level > max_level)
        return;
    vsnprintf(text, sizeof text, fmt, ap);
    if (is_syslog)
        syslog(levels[level].priority, "%s", text);
    else
        write_line(level, text);
}

void log_error(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    log_text(LOG_LEVEL_ERROR, fmt, ap);
    va_end(ap);
}

void log_warning(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    log_text(LOG_LEVEL_WARNING, fmt, ap);
    va_end(ap);
}

void log_info(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    log_text(LOG_LEVEL_INFO, fmt, ap);
    va_end(ap);
}

void log_debug(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    log_text(LOG_LEVEL_DEBUG, fmt, ap);
    va_end(ap);
}
