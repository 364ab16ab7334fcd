/* SPDX-License-Identifier: Apache-2.0 */
/* The lookup protocol's decoders on any bytes, for both carriers: what passes lies
 * within its space. */
#include "base/bytes.h"
#include "wire/records.h"
#include "wire/request.h"

#include <stdlib.h>

static void expect(int condition)
{
    if (!condition)
        abort();
}

static void try_request(const uint8_t *data, size_t len, enum wire_carrier carrier, uint64_t space)
{
    struct wire_request request;
    struct err err = {0};
    if (wire_request_decode(data, len, carrier, space, &request, &err)) {
        expect(err.code && err.text[0]);
        return;
    }
    expect(range_within(request.keys_off, request.keys_len, space));
    expect(request.n_keys <= FKV_KEYS_MAX);
    if (carrier == WIRE_SHARED)
        expect(range_within(request.out_off, request.out_len, space));
}

static void try_reply(const uint8_t *data, size_t len)
{
    struct wire_reply reply;
    if (wire_reply_decode(data, len, 4, 4096, &reply, NULL) || reply.error)
        return;
    expect(range_within(reply.values_off, 4ull * reply.stride, 4096));
    expect(range_within(reply.locs_off, reply.locs_off ? 32 : 0, 4096));
    uint8_t again[sizeof(struct fkv_lookup)];
    memcpy(again, data, sizeof again);
    wire_reply_encode(&reply, again);
    expect(wire_reply_decode(again, sizeof again, 4, 4096, &reply, NULL) == 0);
}

static void try_scan_reply(const uint8_t *data, size_t len)
{
    struct wire_reply reply;
    if (wire_scan_reply_decode(data, len, 4, 4096, &reply, NULL) || reply.error)
        return;
    expect(reply.n_found <= 4 && reply.body_len <= 4096 && reply.has_more <= 1);
}

/* The first byte says how many records the rest is to hold, and of which keys. */
static void try_records(const uint8_t *data, size_t len)
{
    struct wire_record record;
    if (!len)
        return;
    struct wire_records records = wire_records(data + 1, len - 1, data[0] & 0x7f,
                                               data[0] & 0x80 ? FKV_KEY_U64 : FKV_KEY_BYTES);
    while (wire_records_next(&records, &record, NULL) == 1) {
        expect(record.key_len && record.key > data && record.key + record.key_len <= record.value);
        expect(range_within((uint64_t)(record.value - data), record.value_len, len));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct fkv_attach attach;
    try_request(data, len, WIRE_SHARED, 1 << 16);
    try_request(data, len, WIRE_MESSAGE, len);
    try_reply(data, len);
    try_scan_reply(data, len);
    try_records(data, len);
    wire_attach_decode(data, len, &attach, NULL);
    return 0;
}
