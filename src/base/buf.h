/* SPDX-License-Identifier: Apache-2.0 */
/*
 * buf: a growable run of bytes.
 *
 * Zero-initialise, add, release. After a failed addition the content is as before.
 * Threads: one at a time. Memory: doubles as it grows; `data` moves when it does.
 * Errors: -ENOMEM.
 */
#ifndef FKV_BASE_BUF_H
#define FKV_BASE_BUF_H

#include <stddef.h>
#include <stdint.h>

struct buf {
    uint8_t *data; /* NULL while cap is 0 */
    size_t len;
    size_t cap;
};

void buf_release(struct buf *buf);

/* Forgets the content and keeps the memory. */
static inline void buf_clear(struct buf *buf)
{
    buf->len = 0;
}

/* Makes room for extra more bytes after len. */
int buf_reserve(struct buf *buf, size_t extra);
int buf_add(struct buf *buf, const void *data, size_t len);
int buf_add_byte(struct buf *buf, uint8_t byte);

/* Appends formatted text; the NUL that follows it is not counted in len. */
int buf_printf(struct buf *buf, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
