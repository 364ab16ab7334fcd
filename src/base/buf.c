/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buf_release(struct buf *buf)
{
    free(buf->data);
    *buf = (struct buf){0};
}

int buf_reserve(struct buf *buf, size_t extra)
{
    if (buf->cap - buf->len >= extra)
        return 0;
    size_t need;
    if (__builtin_add_overflow(buf->len, extra, &need))
        return -ENOMEM;
    size_t cap = buf->cap ? buf->cap : 64;
    while (cap < need && cap <= SIZE_MAX / 2)
        cap *= 2;
    if (cap < need)
        cap = need;
    uint8_t *data = realloc(buf->data, cap);
    if (!data)
        return -ENOMEM;
    buf->data = data;
    buf->cap = cap;
    return 0;
}

int buf_add(struct buf *buf, const void *data, size_t len)
{
    int ret = buf_reserve(buf, len);
    if (ret)
        return ret;
    if (len)
        memcpy(buf->data + buf->len, data, len);
    buf->len += len;
    return 0;
}

int buf_add_byte(struct buf *buf, uint8_t byte)
{
    return buf_add(buf, &byte, 1);
}

int buf_printf(struct buf *buf, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int len = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (len < 0)
        return -EINVAL;
    int ret = buf_reserve(buf, (size_t)len + 1);
    if (ret)
        return ret;
    va_start(ap, fmt);
    vsnprintf((char *)buf->data + buf->len, (size_t)len + 1, fmt, ap);
    va_end(ap);
    buf->len += (size_t)len;
    return 0;
}
