/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log: what the daemon tells its operator.
 *
 * To stderr with a time and a level; with "<level>" prefixes when stderr is the journal; to syslog
 * once detached.
 *
 * Threads: any, after log_init(). Memory: none. Errors: none; a line that cannot be written is
 * lost.
 */
#ifndef FKV_FUSE_LOG_H
#define FKV_FUSE_LOG_H

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* "error", "warning", "info", "debug"; 0 or -EINVAL. */
int log_level_of(const char *name, enum log_level *out);

void log_init(enum log_level max);
void log_to_syslog(void); /* from here on; the process has detached */

void log_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warning(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
