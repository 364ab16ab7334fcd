/* SPDX-License-Identifier: Apache-2.0 */
/*
 * request: checked decoding of what clients send. Every number is copied once, checked, then used.
 *
 * Threads: pure functions. Memory: none. Errors: -EPROTO with the field, what was expected and
 * found; -E2BIG beyond our limits.
 */
#ifndef FKV_WIRE_REQUEST_H
#define FKV_WIRE_REQUEST_H

#include "base/err.h"
#include "wire/fkv_protocol.h"

#include <stddef.h>
#include <stdint.h>

enum wire_carrier {
    WIRE_SHARED,  /* offsets within an arena */
    WIRE_MESSAGE, /* keys follow the request in one message, the body follows the reply */
};

/* The request of a message of len bytes (or of an ioctl argument: len = sizeof(struct fkv_lookup)),
 * with key and output ranges proven to lie within space: the arena's length, or the message's
 * length. */
struct wire_request {
    uint32_t flags;
    uint32_t n_keys; /* with FKV_SCAN: most records wanted, at least 1; keys are the bounds */
    uint32_t key_type;
    uint64_t version;
    uint64_t deadline_ns;
    uint64_t keys_off;
    uint64_t keys_len;
    uint64_t out_off; /* shared only */
    uint64_t out_len;
};

int wire_request_decode(const void *data, size_t len, enum wire_carrier carrier, uint64_t space,
                        struct wire_request *out, struct err *err);

int wire_attach_decode(const void *data, size_t len, struct fkv_attach *out, struct err *err);

/* What a batch came to, for the reply half. */
struct wire_reply {
    int32_t error;
    uint32_t n_found;
    uint64_t served;
    uint64_t values_off;
    uint64_t locs_off;
    uint32_t stride;
    uint32_t value_len;
    uint64_t body_len;
    uint64_t has_more; /* of a scan: 1 when the range goes on behind the last record */
};

/* Writes the reply half into data (a struct fkv_lookup), leaving the request half as it is. */
void wire_reply_encode(const struct wire_reply *reply, void *data);

/* Client side: decodes a reply and proves that the body lies within out_len for n_keys keys. */
int wire_reply_decode(const void *data, size_t len, uint32_t n_keys, uint64_t out_len,
                      struct wire_reply *out, struct err *err);

/* The same of a scan of at most n_max records. The records are checked as records.h walks them. */
int wire_scan_reply_decode(const void *data, size_t len, uint32_t n_max, uint64_t out_len,
                           struct wire_reply *out, struct err *err);

#endif
