/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/records.h"

#include "base/bytes.h"

#include <errno.h>

_Static_assert(sizeof(struct fkv_record) == 8, "struct fkv_record is 8 bytes");

static int malformed(const struct wire_records *records, struct err *err, const char *what,
                     unsigned long long found)
{
    return err_set(err, -EPROTO, "record %u of %u in a scan: %s, found %llu", records->n_done,
                   records->n, what, found);
}

static int head_check(const struct wire_records *records, const struct fkv_record *head,
                      struct err *err)
{
    if (head->status != FKV_STATUS_FOUND && head->status != FKV_STATUS_FAILED)
        return malformed(records, err, "expected status 0 or 2", head->status);
    if (head->zero)
        return malformed(records, err, "expected zeros behind the status", head->zero);
    if (records->key_type == FKV_KEY_U64 && head->key_len != sizeof(uint64_t))
        return malformed(records, err, "expected a key of 8 bytes", head->key_len);
    if (head->key_len == 0)
        return malformed(records, err, "expected a key of 1 to 255 bytes", head->key_len);
    if (head->status == FKV_STATUS_FAILED && head->value_len)
        return malformed(records, err, "expected no value of a failed one", head->value_len);
    return 0;
}

int wire_records_next(struct wire_records *records, struct wire_record *out, struct err *err)
{
    struct fkv_record head;
    size_t left = records->len - records->off;
    if (records->n_done == records->n)
        return left ? malformed(records, err, "expected the end of the body", left) : 0;
    if (left < sizeof head)
        return malformed(records, err, "expected a head of 8 bytes", left);
    const uint8_t *at = records->body + records->off;
    memcpy(&head, at, sizeof head);
    int r = head_check(records, &head, err);
    if (r)
        return r;
    uint64_t value_off = sizeof head + align_up(head.key_len, 8);
    uint64_t len = value_off + align_up(head.value_len, 8);
    if (len > left)
        return malformed(records, err, "expected it to lie within the body", left);
    *out = (struct wire_record){
        .key = at + sizeof head,
        .value = at + value_off,
        .value_len = head.value_len,
        .key_len = head.key_len,
        .status = head.status,
    };
    records->off += len;
    records->n_done++;
    return 1;
}
