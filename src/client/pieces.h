/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pieces: one answer put together from the answers to runs of its keys.
 *
 * The pieces come from one version, in order, without gaps. What comes out is laid out as a single
 * reply body would be: status of every key, locs when values vary, values.
 *
 * Threads: one at a time. Memory: the answer lies in the buffer given to pieces_begin().
 * Errors: -ENOMEM; -EPROTO when pieces disagree; -E2BIG for more bytes than a loc can point to.
 */
#ifndef FKV_CLIENT_PIECES_H
#define FKV_CLIENT_PIECES_H

#include "base/buf.h"
#include "base/err.h"
#include "wire/request.h"

struct pieces {
    struct buf *body;
    uint32_t n_keys;  /* of the whole */
    uint32_t n_added; /* so far */
    struct wire_reply reply;
};

void pieces_begin(struct pieces *pieces, uint32_t n_keys, struct buf *body);

/* Adds the answer to the next n keys. */
int pieces_add(struct pieces *pieces, uint32_t n, const struct wire_reply *reply,
               const uint8_t *body, struct err *err);

/* The reply of the whole, once every key was added; its body is the buffer's content. */
const struct wire_reply *pieces_finish(struct pieces *pieces);

#endif
