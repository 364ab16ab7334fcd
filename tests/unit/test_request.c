/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "wire/records.h"
#include "wire/request.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { ARENA = 1 << 16 };

static struct fkv_lookup good(void)
{
    return (struct fkv_lookup){
        .magic = FKV_MAGIC,
        .n_keys = 4,
        .key_type = FKV_KEY_U64,
        .keys_off = 128,
        .keys_len = 32,
        .out_off = 4096,
        .out_len = ARENA - 4096,
    };
}

static int decode_shared(const struct fkv_lookup *lookup)
{
    struct wire_request request;
    struct err err = {0};
    int ret = wire_request_decode(lookup, sizeof *lookup, WIRE_SHARED, ARENA, &request, &err);
    assert_int_equal(err.code, ret);
    if (ret)
        assert_true(err.text[0] != 0);
    return ret;
}

static int decode_message(const struct fkv_lookup *lookup, uint64_t space)
{
    struct wire_request request;
    return wire_request_decode(lookup, sizeof *lookup, WIRE_MESSAGE, space, &request, NULL);
}

static void request__a_good_one_comes_through(void **state)
{
    struct fkv_lookup lookup = good();
    struct wire_request request;
    lookup.flags = FKV_FORM_F32 | FKV_WANT_AT_LEAST;
    lookup.version = 43;
    lookup.deadline_ns = 99;
    int ret = wire_request_decode(&lookup, sizeof lookup, WIRE_SHARED, ARENA, &request, NULL);
    assert_int_equal(ret, 0);
    assert_int_equal(request.flags, FKV_FORM_F32 | FKV_WANT_AT_LEAST);
    assert_int_equal(request.version, 43);
    assert_int_equal(request.deadline_ns, 99);
    assert_int_equal(request.n_keys, 4);
    assert_int_equal(request.keys_off, 128);
    assert_int_equal(request.out_len, ARENA - 4096);
}

static void request__no_keys_is_a_question_for_the_version(void **state)
{
    struct fkv_lookup lookup = good();
    lookup.n_keys = 0;
    lookup.keys_len = 0;
    assert_int_equal(decode_shared(&lookup), 0);
}

static void request__refuses_a_short_or_foreign_one(void **state)
{
    struct fkv_lookup lookup = good();
    struct wire_request request;
    for (size_t len = 0; len < sizeof lookup; len++)
        assert_int_equal(wire_request_decode(&lookup, len, WIRE_SHARED, ARENA, &request, NULL),
                         -EPROTO);
    lookup.magic ^= 1;
    assert_int_equal(decode_shared(&lookup), -EPROTO);
}

static void request__refuses_unknown_flags(void **state)
{
    static const uint32_t bad[] = {0x2, 0x3, 0xc, 0x20, 0x80000000u};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct fkv_lookup lookup = good();
        lookup.version = 1;
        lookup.flags = bad[i];
        assert_int_equal(decode_shared(&lookup), -EPROTO);
    }
    struct fkv_lookup lookup = good();
    lookup.flags = FKV_WANT_EXACT; /* version 0 is none */
    assert_int_equal(decode_shared(&lookup), -EPROTO);
}

static void request__refuses_reserved_bits(void **state)
{
    struct fkv_lookup lookup = good();
    lookup.reserved1 = 1;
    assert_int_equal(decode_shared(&lookup), -EPROTO);
    lookup = good();
    lookup.value_len = 1;
    assert_int_equal(decode_shared(&lookup), -EPROTO);
    lookup = good();
    lookup.has_more = 1;
    assert_int_equal(decode_shared(&lookup), -EPROTO);
}

static void request__a_scan_has_two_bounds(void **state)
{
    struct fkv_lookup lookup = good();
    lookup.flags = FKV_SCAN | FKV_FORM_F32;
    lookup.n_keys = FKV_KEYS_MAX;
    lookup.keys_len = 16;
    assert_int_equal(decode_shared(&lookup), 0);
    for (uint64_t len = 0; len < 40; len++) {
        lookup.keys_len = len;
        assert_int_equal(decode_shared(&lookup), len == 16 ? 0 : -EPROTO);
    }
    lookup.key_type = FKV_KEY_BYTES;
    for (uint64_t len = 0; len < 600; len++) {
        lookup.keys_len = len;
        assert_int_equal(decode_shared(&lookup), len >= 8 && len <= 520 ? 0 : -EPROTO);
    }
    lookup.keys_len = 16;
    lookup.key_type = 3;
    assert_int_equal(decode_shared(&lookup), -EPROTO);
}

static void request__a_scan_wants_some_records(void **state)
{
    struct fkv_lookup lookup = good();
    lookup.flags = FKV_SCAN;
    lookup.keys_len = 16;
    assert_int_equal(decode_shared(&lookup), 0);
    lookup.n_keys = 0;
    assert_int_equal(decode_shared(&lookup), -EPROTO);
    lookup.n_keys = FKV_KEYS_MAX + 1;
    assert_int_equal(decode_shared(&lookup), -E2BIG);
    lookup.n_keys = 1;
    lookup.keys_off = ARENA - 15;
    assert_int_equal(decode_shared(&lookup), -EPROTO);
}

static void request__keys_must_fit_their_count(void **state)
{
    struct fkv_lookup lookup = good();
    lookup.keys_len = 31;
    assert_int_equal(decode_shared(&lookup), -EPROTO);
    lookup.keys_len = 40;
    assert_int_equal(decode_shared(&lookup), -EPROTO);
    lookup.key_type = FKV_KEY_BYTES;
    lookup.keys_len = 4 * 4 + 4 - 1;
    assert_int_equal(decode_shared(&lookup), -EPROTO);
    lookup.keys_len = 4 * 4 + 4;
    assert_int_equal(decode_shared(&lookup), 0);
    lookup.keys_len = 4 * 4 + 4 * 255 + 1;
    assert_int_equal(decode_shared(&lookup), -EPROTO);
    lookup.key_type = 3;
    assert_int_equal(decode_shared(&lookup), -EPROTO);
    lookup = good();
    lookup.n_keys = FKV_KEYS_MAX + 1;
    lookup.keys_len = 8ull * lookup.n_keys;
    assert_int_equal(decode_shared(&lookup), -E2BIG);
}

static void request__ranges_stay_within_the_arena(void **state)
{
    static const uint64_t bad_keys[] = {ARENA - 31, ARENA, UINT64_MAX, UINT64_MAX - 15};
    for (size_t i = 0; i < sizeof bad_keys / sizeof *bad_keys; i++) {
        struct fkv_lookup lookup = good();
        lookup.keys_off = bad_keys[i];
        assert_int_equal(decode_shared(&lookup), -EPROTO);
    }
    struct fkv_lookup lookup = good();
    lookup.keys_off = ARENA - 32;
    assert_int_equal(decode_shared(&lookup), 0);
    lookup.out_len++;
    assert_int_equal(decode_shared(&lookup), -EPROTO);
    lookup.out_len = UINT64_MAX;
    assert_int_equal(decode_shared(&lookup), -EPROTO);
    lookup = good();
    lookup.out_off = (uint64_t)-64;
    assert_int_equal(decode_shared(&lookup), -EPROTO);
    lookup.out_off = 4096 + 8;
    lookup.out_len = 64;
    assert_int_equal(decode_shared(&lookup), -EPROTO);
}

static void request__keys_of_a_message_follow_the_request(void **state)
{
    struct fkv_lookup lookup = good();
    lookup.out_off = 13; /* ignored */
    assert_int_equal(decode_message(&lookup, 160), 0);
    assert_int_equal(decode_message(&lookup, 159), -EPROTO);
    lookup.keys_off = 127;
    assert_int_equal(decode_message(&lookup, 160), -EPROTO);
    lookup.keys_off = 0;
    assert_int_equal(decode_message(&lookup, 160), -EPROTO);
}

static void attach__refuses_what_cannot_be_mapped(void **state)
{
    struct fkv_attach attach = {FKV_MAGIC, 5, 8192};
    struct fkv_attach out;
    assert_int_equal(wire_attach_decode(&attach, sizeof attach, &out, NULL), 0);
    assert_int_equal(out.len, 8192);
    assert_int_equal(wire_attach_decode(&attach, 15, &out, NULL), -EPROTO);
    attach.len = 8191;
    assert_int_equal(wire_attach_decode(&attach, sizeof attach, &out, NULL), -EINVAL);
    attach.len = 0;
    assert_int_equal(wire_attach_decode(&attach, sizeof attach, &out, NULL), -EINVAL);
    attach.len = FKV_ARENA_MAX + 4096;
    assert_int_equal(wire_attach_decode(&attach, sizeof attach, &out, NULL), -E2BIG);
    attach = (struct fkv_attach){FKV_MAGIC, -1, 8192};
    assert_int_equal(wire_attach_decode(&attach, sizeof attach, &out, NULL), -EBADF);
    attach.magic = 0;
    assert_int_equal(wire_attach_decode(&attach, sizeof attach, &out, NULL), -EPROTO);
}

static void reply__comes_back_and_leaves_the_request_alone(void **state)
{
    struct fkv_lookup lookup = good();
    struct fkv_lookup before = lookup;
    struct wire_reply reply = {
        .n_found = 3, .served = 43, .values_off = 64, .stride = 16, .body_len = 128};
    struct wire_reply back;
    wire_reply_encode(&reply, &lookup);
    assert_memory_equal(&lookup, &before, offsetof(struct fkv_lookup, error));
    assert_int_equal(wire_reply_decode(&lookup, sizeof lookup, 4, 128, &back, NULL), 0);
    assert_memory_equal(&back, &reply, sizeof back);
    reply = (struct wire_reply){.error = -ENOSPC, .body_len = 1ull << 40};
    wire_reply_encode(&reply, &lookup);
    assert_int_equal(wire_reply_decode(&lookup, sizeof lookup, 4, 128, &back, NULL), 0);
    assert_int_equal(back.error, -ENOSPC);
    assert_int_equal(back.body_len, 1ull << 40);
}

static int decode_reply(const struct wire_reply *reply)
{
    struct fkv_lookup lookup = good();
    struct wire_reply back;
    wire_reply_encode(reply, &lookup);
    return wire_reply_decode(&lookup, sizeof lookup, 4, 128, &back, NULL);
}

static void reply__a_body_beyond_its_room_is_refused(void **state)
{
    const struct wire_reply fixed = {
        .n_found = 4, .served = 1, .values_off = 64, .stride = 16, .body_len = 128};
    const struct wire_reply varying = {
        .n_found = 4, .served = 1, .locs_off = 8, .values_off = 64, .body_len = 100};
    struct wire_reply bad = fixed;
    assert_int_equal(decode_reply(&fixed), 0);
    assert_int_equal(decode_reply(&varying), 0);
    bad.body_len = 129;
    assert_int_equal(decode_reply(&bad), -EPROTO);
    bad.body_len = 127;
    assert_int_equal(decode_reply(&bad), -EPROTO);
    bad = fixed;
    bad.values_off = UINT64_MAX - 8;
    assert_int_equal(decode_reply(&bad), -EPROTO);
    bad = fixed;
    bad.n_found = 5;
    assert_int_equal(decode_reply(&bad), -EPROTO);
    bad = fixed;
    bad.error = 5;
    assert_int_equal(decode_reply(&bad), -EPROTO);
    bad = varying;
    bad.locs_off = 72;
    assert_int_equal(decode_reply(&bad), -EPROTO);
    bad = varying;
    bad.stride = 4;
    assert_int_equal(decode_reply(&bad), -EPROTO);
}

static int decode_scan(const struct wire_reply *reply, struct wire_reply *back)
{
    struct fkv_lookup lookup = good();
    wire_reply_encode(reply, &lookup);
    return wire_scan_reply_decode(&lookup, sizeof lookup, 10, 128, back, NULL);
}

static void reply__a_scan_tells_whether_there_is_more(void **state)
{
    struct wire_reply back;
    struct wire_reply reply = {.n_found = 10, .served = 7, .body_len = 128, .has_more = 1};
    assert_int_equal(decode_scan(&reply, &back), 0);
    assert_memory_equal(&back, &reply, sizeof back);
    reply.has_more = 2;
    assert_int_equal(decode_scan(&reply, &back), -EPROTO);
    reply.has_more = 1;
    reply.n_found = 0; /* or a client would ask for ever */
    assert_int_equal(decode_scan(&reply, &back), -EPROTO);
    reply.has_more = 0;
    assert_int_equal(decode_scan(&reply, &back), 0);
    reply.n_found = 11;
    assert_int_equal(decode_scan(&reply, &back), -EPROTO);
    reply.n_found = 1;
    reply.body_len = 129;
    assert_int_equal(decode_scan(&reply, &back), -EPROTO);
    reply.error = -ENOSPC;
    assert_int_equal(decode_scan(&reply, &back), 0);
    assert_int_equal(back.body_len, 129);
}

/* Two records: key "ab" with the value "xyz", key "abc" whose value could not be read. */
static const uint8_t two_records[] = {
    3, 0, 0, 0, 2, 0, 0, 0, 'a', 'b', 0, 0, 0,   0,   0,   0, 'x', 'y', 'z', 0,
    0, 0, 0, 0, 0, 0, 0, 0, 3,   2,   0, 0, 'a', 'b', 'c', 0, 0,   0,   0,   0,
};

static void records__are_walked_in_order(void **state)
{
    struct wire_records records = wire_records(two_records, sizeof two_records, 2, FKV_KEY_BYTES);
    struct wire_record record;
    assert_int_equal(wire_records_next(&records, &record, NULL), 1);
    assert_int_equal(record.status, FKV_STATUS_FOUND);
    assert_int_equal(record.key_len, 2);
    assert_memory_equal(record.key, "ab", 2);
    assert_int_equal(record.value_len, 3);
    assert_memory_equal(record.value, "xyz", 3);
    assert_int_equal(wire_records_next(&records, &record, NULL), 1);
    assert_int_equal(record.status, FKV_STATUS_FAILED);
    assert_memory_equal(record.key, "abc", 3);
    assert_int_equal(record.value_len, 0);
    assert_int_equal(wire_records_next(&records, &record, NULL), 0);
    assert_int_equal(wire_records_next(&records, &record, NULL), 0);
}

/* Walks to the end, or the error, of a private copy of len bytes with one of them changed. */
static int walk_changed(size_t len, uint32_t n, uint32_t key_type, size_t off, uint8_t byte)
{
    uint8_t *copy = malloc(len ? len : 1); /* so that a sanitizer sees what reads beyond */
    struct wire_record record;
    struct err err = {0};
    int r = 1;
    memcpy(copy, two_records, len);
    if (off < len)
        copy[off] = byte;
    struct wire_records records = wire_records(copy, len, n, key_type);
    while (r == 1) {
        r = wire_records_next(&records, &record, &err);
        for (uint32_t i = 0; r == 1 && i < record.value_len; i++)
            copy[record.value - copy + i] = 0;
    }
    assert_int_equal(err.code, r);
    free(copy);
    return r;
}

static void records__nonsense_is_refused_within_the_body(void **state)
{
    enum { ALL = sizeof two_records };
    assert_int_equal(walk_changed(ALL, 2, FKV_KEY_BYTES, ALL, 0), 0);
    for (size_t len = 0; len < ALL; len++)
        assert_int_equal(walk_changed(len, 2, FKV_KEY_BYTES, ALL, 0), -EPROTO);
    assert_int_equal(walk_changed(ALL, 1, FKV_KEY_BYTES, ALL, 0), -EPROTO);
    assert_int_equal(walk_changed(ALL, 3, FKV_KEY_BYTES, ALL, 0), -EPROTO);
    assert_int_equal(walk_changed(ALL, 2, FKV_KEY_U64, ALL, 0), -EPROTO);
    assert_int_equal(walk_changed(ALL, 2, FKV_KEY_BYTES, 3, 0xff), -EPROTO); /* value_len */
    assert_int_equal(walk_changed(ALL, 2, FKV_KEY_BYTES, 4, 0), -EPROTO);    /* key_len */
    assert_int_equal(walk_changed(ALL, 2, FKV_KEY_BYTES, 5, 1), -EPROTO);    /* status */
    assert_int_equal(walk_changed(ALL, 2, FKV_KEY_BYTES, 6, 1), -EPROTO);    /* zero */
    assert_int_equal(walk_changed(ALL, 2, FKV_KEY_BYTES, 24, 1), -EPROTO); /* failed, yet a value */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(request__a_good_one_comes_through),
        cmocka_unit_test(request__no_keys_is_a_question_for_the_version),
        cmocka_unit_test(request__refuses_a_short_or_foreign_one),
        cmocka_unit_test(request__refuses_unknown_flags),
        cmocka_unit_test(request__refuses_reserved_bits),
        cmocka_unit_test(request__keys_must_fit_their_count),
        cmocka_unit_test(request__ranges_stay_within_the_arena),
        cmocka_unit_test(request__keys_of_a_message_follow_the_request),
        cmocka_unit_test(attach__refuses_what_cannot_be_mapped),
        cmocka_unit_test(reply__comes_back_and_leaves_the_request_alone),
        cmocka_unit_test(request__a_scan_has_two_bounds),
        cmocka_unit_test(request__a_scan_wants_some_records),
        cmocka_unit_test(reply__a_body_beyond_its_room_is_refused),
        cmocka_unit_test(reply__a_scan_tells_whether_there_is_more),
        cmocka_unit_test(records__are_walked_in_order),
        cmocka_unit_test(records__nonsense_is_refused_within_the_body),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
