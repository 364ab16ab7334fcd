/* SPDX-License-Identifier: Apache-2.0 */
/*
 * carrier: takes a question to the daemon and brings the answer back, by the best way that works.
 *
 *   shared    keys and answer lie in the arena; one ioctl is the doorbell
 *   inline    both travel inside one ioctl of at most FKV_INLINE_MAX bytes
 *   message   one write, then reads
 *
 * The first is tried when a channel is (re)opened: a daemon that may not reach into this process
 * refuses the arena, and then few keys go inline and many as messages (copied.h).
 *
 * Threads: one at a time. Memory: an answer points into the carrier and is good until its next
 * question.
 * Errors: those of the channel; what the daemon says of the question is in the answer's
 * reply.error.
 */
#ifndef FKV_CLIENT_CARRIER_H
#define FKV_CLIENT_CARRIER_H

#include "base/buf.h"
#include "client/arena.h"
#include "client/channel.h"
#include "client/fkv.h"
#include "client/keys.h"
#include "wire/request.h"

struct question {
    struct keys keys;
    uint32_t flags;       /* FKV_FORM_* | FKV_WANT_*; FKV_SCAN when keys are bounds */
    uint64_t version;     /* of FKV_WANT_* */
    uint64_t deadline_ns; /* CLOCK_MONOTONIC */
    uint64_t room;        /* of a scan: bytes of body that its first record needs, once known */
};

struct answer {
    struct wire_reply reply; /* error 0: body is good, its ranges proven */
    const uint8_t *body;
};

struct carrier {
    enum fkv_transport wanted; /* FKV_AUTO, or the only one allowed */
    enum fkv_transport last;   /* how the last question travelled */
    struct arena arena;
    size_t attached;   /* bytes of the arena that the daemon has mapped; 0: none */
    bool refused;      /* the daemon does not take the arena on this channel */
    uint32_t key_room; /* bytes of answer to make room for, a key; learnt from the last answer */
    struct buf sent;
    struct buf received;
    struct buf joined;
};

void carrier_init(struct carrier *carrier, enum fkv_transport wanted);
void carrier_release(struct carrier *carrier);

/* To be called after the channel was opened (again): chooses how questions will travel. */
int carrier_attach(struct carrier *carrier, struct channel *channel, struct err *err);

/* The request half for n keys, keys_len bytes at keys_off. */
struct fkv_lookup carrier_request(const struct question *question, uint32_t n, size_t keys_off,
                                  size_t keys_len);

/* Bytes of body that n keys will probably need, or that a scan of n records gets to begin with. */
uint64_t carrier_room(const struct carrier *carrier, const struct question *question, uint32_t n);

/* The reply to n keys, or records, of a question, checked. */
int carrier_reply(const struct question *question, const void *data, size_t len, uint32_t n,
                  uint64_t out_len, struct wire_reply *out, struct err *err);

/* Asks once. */
int carrier_ask(struct carrier *carrier, struct channel *channel, const struct question *question,
                struct answer *out, struct err *err);

#endif
