/* SPDX-License-Identifier: Apache-2.0 */
/*
 * records: a checked walk over the body of a scan's reply.
 *
 * Nothing in the body is trusted: each head is copied once, checked, then used, and no record that
 * is given reaches beyond the body.
 *
 * Threads: one at a time. Memory: records point into the body.
 * Errors: -EPROTO with the record's number, what was expected and found; then the walk is over.
 */
#ifndef FKV_WIRE_RECORDS_H
#define FKV_WIRE_RECORDS_H

#include "base/err.h"
#include "wire/fkv_protocol.h"

#include <stddef.h>

struct wire_records {
    const uint8_t *body;
    size_t len;
    size_t off; /* of the next record */
    uint32_t n;
    uint32_t n_done;
    uint32_t key_type;
};

struct wire_record {
    const uint8_t *key; /* u64: 8 bytes, little-endian */
    const uint8_t *value;
    uint32_t value_len;
    uint8_t key_len;
    uint8_t status; /* FKV_STATUS_FOUND or FKV_STATUS_FAILED; then there is no value */
};

/* n records of that key type in len bytes. */
static inline struct wire_records wire_records(const void *body, size_t len, uint32_t n,
                                               uint32_t key_type)
{
    return (struct wire_records){
        .body = (const uint8_t *)body, .len = len, .n = n, .key_type = key_type};
}

/* 1 with a record, 0 at the end, where nothing may follow the last record; -EPROTO. */
int wire_records_next(struct wire_records *records, struct wire_record *out, struct err *err);

#endif
