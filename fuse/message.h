/* SPDX-License-Identifier: Apache-2.0 */
/*
 * message: the write-then-read side of one lookup file: puts a written request together, keeps the
 * reply until it was read.
 *
 * The kernel cuts a write that does not start on a page boundary at 1 MiB of pages, so a request
 * near FKV_MESSAGE_MAX may arrive in pieces; only such long first pieces wait for more. A reply is
 * a counted object: a read that is being sent keeps it when another thread writes the next request.
 *
 * Threads: the owner serialises calls on one struct message (session's lock); blobs are counted
 * atomically.
 * Memory: message_release(). Errors: -EPROTO, -E2BIG, -ENOMEM.
 */
#ifndef FKV_FUSE_MESSAGE_H
#define FKV_FUSE_MESSAGE_H

#include "base/err.h"
#include "wire/fkv_protocol.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Counted bytes, aligned to 64. */
struct blob {
    atomic_uint refs;
    size_t cap;
    size_t len;
    _Alignas(64) uint8_t data[];
};
struct blob *blob_new(size_t cap); /* one reference; NULL without memory */
void blob_unref(struct blob *blob);

struct message {
    struct blob *request; /* NULL: none begun */
    size_t expected;      /* bytes of the whole request */
    struct blob *reply;   /* NULL: none waits */
    size_t n_read;
};

void message_release(struct message *message);

/* Gives the request's memory back, once it was answered or refused. */
void message_forget_request(struct message *message);

/* Takes written bytes. 1: the request is whole, in message->request; 0: more must come. */
int message_add(struct message *message, const void *data, size_t len, struct err *err);

/* The next at most max bytes of the reply, with a reference the caller drops; len 0 (and no blob)
 * at its end, where the reply is forgotten. */
struct message_piece {
    struct blob *blob;
    const uint8_t *data;
    size_t len;
};
struct message_piece message_next(struct message *message, size_t max);

#endif
