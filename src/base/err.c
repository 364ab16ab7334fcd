/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void text_set(struct err *err, const char *fmt, va_list ap)
{
    vsnprintf(err->text, sizeof err->text, fmt, ap);
}

static void text_append(struct err *err, const char *tail)
{
    size_t len = strlen(err->text);
    snprintf(err->text + len, sizeof err->text - len, "%s", tail);
}

int err_set(struct err *err, int code, const char *fmt, ...)
{
    if (!err)
        return code;
    va_list ap;
    va_start(ap, fmt);
    text_set(err, fmt, ap);
    va_end(ap);
    err->code = code;
    return code;
}

int err_sys(struct err *err, int code, const char *fmt, ...)
{
    if (!err)
        return code;
    va_list ap;
    va_start(ap, fmt);
    text_set(err, fmt, ap);
    va_end(ap);
    err->code = code;
    text_append(err, ": ");
    text_append(err, strerror(-code));
    return code;
}

int err_wrap(struct err *err, int code, const char *fmt, ...)
{
    if (!err)
        return code;
    char inner[ERR_TEXT_MAX];
    snprintf(inner, sizeof inner, "%s", err_text(err, code));
    va_list ap;
    va_start(ap, fmt);
    text_set(err, fmt, ap);
    va_end(ap);
    text_append(err, ": ");
    text_append(err, inner);
    err->code = code;
    return code;
}

const char *err_text(const struct err *err, int code)
{
    if (err && err->code && err->text[0])
        return err->text;
    return strerror(-code);
}

int err_exit_status(int code)
{
    switch (-code) {
    case 0:
        return 0;
    case ENOENT:
        return 1;
    case EINVAL:
    case EPROTO:
    case EISDIR:
    case ENOTDIR:
    case ENAMETOOLONG:
        return 2;
    case EPERM:
    case EACCES:
    case EROFS:
    case ENOSPC:
    case EDQUOT:
    case ENOMEM:
    case EEXIST:
    case EBUSY:
    case E2BIG:
    case ESTALE:
    case EAGAIN:
        return 3;
    case ETIMEDOUT:
        return 4;
    case EBADMSG:
    case ENOTSUP:
        return 5;
    default:
        return 6;
    }
}
