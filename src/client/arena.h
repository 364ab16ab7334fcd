/* SPDX-License-Identifier: Apache-2.0 */
/*
 * arena: the memory a batch shares with the daemon.
 *
 * A memfd sealed against shrinking, so that the daemon may map it without fear, mapped here whole.
 * It only grows, geometrically, and its pages are touched as it does: a lookup never waits for the
 * kernel to find memory. It never moves: addresses for the largest arena are reserved at once.
 * Where memfds are not to be had it is ordinary memory (fd < 0): good for the other transports.
 *
 * Threads: one at a time. Memory: arena_release(). Errors: -ENOMEM, -E2BIG.
 */
#ifndef FKV_CLIENT_ARENA_H
#define FKV_CLIENT_ARENA_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct arena {
    uint8_t *data;   /* NULL: no addresses to be had */
    size_t len;      /* usable bytes at data, a multiple of 4096 */
    size_t reserved; /* what len may become */
    int fd;          /* -1: ordinary memory */
};

/* Makes an empty arena. */
void arena_init(struct arena *arena);
void arena_release(struct arena *arena);

/* Makes it at least len bytes long. */
int arena_grow(struct arena *arena, uint64_t len, struct err *err);

#endif
