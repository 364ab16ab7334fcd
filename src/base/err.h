/* SPDX-License-Identifier: Apache-2.0 */
/*
 * err: what went wrong, for a person.
 *
 * Every function returns 0 or -errno; cold paths also take an optional last parameter
 * `struct err *err` (NULL is fine) and write into it one sentence: what was expected, what was
 * found, where, and what to do next. Success leaves it untouched.
 *
 * The meaning of a code is the same everywhere:
 *
 *   ENOENT     no such table, version, key or file          exit 1 (not found)
 *   EINVAL     the caller's words are wrong; so is a path   exit 2 (usage)
 *              that names no such kind of thing (EISDIR,
 *              ENOTDIR) or is too long (ENAMETOOLONG)
 *   EPERM      a rule refuses it: validator, fence,         exit 3 (refused)
 *              quarantine, budget (EACCES, EROFS, ENOSPC,
 *              EDQUOT, ENOMEM, EEXIST, EBUSY, E2BIG too)
 *   ESTALE     the version is gone, or has moved on         exit 3 (refused)
 *   EAGAIN     others were always first, or no thread can   exit 3 (refused)
 *              be had: trying again later may do
 *   ETIMEDOUT  the time allowed ran out                     exit 4 (timed out)
 *   EBADMSG    bytes are corrupt                            exit 5 (corrupt)
 *   ENOTSUP    bytes are of a newer format than ours        exit 5 (corrupt)
 *   EPROTO     a malformed lookup request                   exit 2 (usage)
 *   EIO …      anything else                                exit 6 (I/O)
 *
 * Threads: a struct err belongs to one thread at a time.
 * Memory: none is allocated; a text longer than the buffer is cut.
 */
#ifndef FKV_BASE_ERR_H
#define FKV_BASE_ERR_H

#include <stdarg.h>

enum { ERR_TEXT_MAX = 768 };

struct err {
    int code;                /* negative errno; 0 while nothing went wrong */
    char text[ERR_TEXT_MAX]; /* one sentence, no newline */
};

/* Sets *err (when not NULL) and returns code, so that `return err_set(err, -EIO, …)` reads well. */
int err_set(struct err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* As err_set(), and appends ": " and the system's text for code. */
int err_sys(struct err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Puts "<context>: " before the text already there; keeps and returns err's code (code if NULL). */
int err_wrap(struct err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* The text to show for a failure: err->text, or the system's text for code when it is empty. */
const char *err_text(const struct err *err, int code);

/* The process exit status for a negative errno, by the table above. 0 for 0. */
int err_exit_status(int code);

#endif
