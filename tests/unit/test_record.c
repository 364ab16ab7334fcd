/* SPDX-License-Identifier: Apache-2.0 */
/* Records: what goes in comes out, every flipped bit is seen, and each rule of the grammar has a record that breaks it. */
#include "unit.h"

#include "base/json.h"
#include "base/scope.h"
#include "manifest/record.h"
#include "manifest/seal.h"

#include <errno.h>
#include <string.h>

#define NONCE "00112233445566778899aabbccddeeff"

static const struct op every_op[] = {
    {.kind = OP_PUBLISH,
     .table = "ads",
     .version = 43,
     .base = 42,
     .n_keys = 5,
     .len = 4096,
     .digest = {{1, 2, 3}}},
    {.kind = OP_ACTIVATE, .table = "ads", .version = 43, .effective_ns = 123456789, .force = true},
    {.kind = OP_ROLLBACK, .table = "ads", .version = 42, .from = 43},
    {.kind = OP_QUARANTINE, .table = "ads", .version = 40},
    {.kind = OP_RELEASE, .table = "ads", .version = 40},
    {.kind = OP_PIN, .table = "ads", .version = 41, .canary = true, .name = "host-1"},
    {.kind = OP_UNPIN, .table = "ads", .name = "label:canary"},
    {.kind = OP_TAG, .table = "user", .version = INT64_MAX, .name = "stable"},
    {.kind = OP_UNTAG, .table = "user", .name = "stable"},
    {.kind = OP_RETIRE, .table = "user", .version = 1},
    {.kind = OP_FORGET, .table = "user", .version = 1},
    {.kind = OP_KEEP, .table = "user", .keep = 7},
};

enum { N_OPS = sizeof every_op / sizeof *every_op };

static struct record full_record(void)
{
    return (struct record){
        .seq = 7,
        .time_ns = 1700000000000000000,
        .nonce = NONCE,
        .author = (char *)"ann@host",
        .reason = (char *)"hourly \"build\", süß",
        .ops = (struct op *)every_op,
        .n_ops = N_OPS,
    };
}

static void record__round_trips_with_every_operation(void **state)
{
    struct record in = full_record();
    struct record out = {0};
    struct buf text = {0};
    struct err err = {0};
    assert_int_equal(record_encode(&in, &text, &err), 0);
    assert_int_equal(record_decode(text.data, text.len, "r", &out, &err), 0);
    assert_int_equal(out.seq, in.seq);
    assert_int_equal(out.time_ns, in.time_ns);
    assert_string_equal(out.nonce, in.nonce);
    assert_string_equal(out.author, in.author);
    assert_string_equal(out.reason, in.reason);
    assert_int_equal(out.n_ops, N_OPS);
    for (size_t i = 0; i < N_OPS; i++) {
        assert_int_equal(out.ops[i].kind, (enum op_kind)i);
        assert_memory_equal(&out.ops[i], &every_op[i], sizeof every_op[i]);
    }
    struct buf again = {0};
    assert_int_equal(record_encode(&out, &again, &err), 0);
    assert_int_equal(again.len, text.len);
    assert_memory_equal(again.data, text.data, text.len);
    record_release(&out);
    record_release(&out);
    record_release(NULL);
    buf_release(&again);
    buf_release(&text);
}

static void record__is_written_as_documented(void **state)
{
    struct record record = full_record();
    struct buf text = {0};
    record.ops = (struct op *)&every_op[9];
    record.n_ops = 1;
    record.reason = (char *)"r";
    assert_int_equal(record_encode(&record, &text, NULL), 0);
    static const char expected[] =
        "{\"format\":1,\"seq\":7,\"time_ns\":1700000000000000000,\"nonce\":\"" NONCE
        "\",\"author\":\"ann@host\",\"reason\":\"r\",\"ops\":[{\"op\":\"retire\",\"table\":"
        "\"user\",\"version\":1}],\"checksum\":\"";
    assert_memory_equal(text.data, expected, sizeof expected - 1);
    assert_int_equal(text.len, sizeof expected - 1 + 32 + 3);
    buf_release(&text);
}

static void record__every_flipped_bit_is_seen(void **state)
{
    struct record in = full_record();
    struct buf text = {0};
    assert_int_equal(record_encode(&in, &text, NULL), 0);
    for (size_t bit = 0; bit < text.len * 8; bit++) {
        struct record out = {0};
        struct err err = {0};
        text.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(record_decode(text.data, text.len, "log/7", &out, &err), -EBADMSG);
        assert_memory_equal(err.text, "log/7: ", 7);
        text.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t len = 0; len < text.len; len++) {
        struct record out = {0};
        assert_int_equal(record_decode(text.data, len, "r", &out, NULL), -EBADMSG);
    }
    buf_release(&text);
}

/* Decodes a text whose seal is right, whatever else it is. */
static int decode_sealed(const char *body, struct err *err)
{
    struct buf text = {0};
    struct digest digest;
    char hex[DIGEST_HEX_LEN + 1];
    digest_of(body, strlen(body), &digest);
    digest_to_hex(&digest, hex);
    assert_int_equal(buf_printf(&text, "%s,\"checksum\":\"%s\"}\n", body, hex), 0);
    struct record record = {0};
    int ret = record_decode(text.data, text.len, "r", &record, err);
    if (!ret)
        record_release(&record);
    buf_release(&text);
    return ret;
}

#define HEAD(seq)                                                                                  \
    "{\"format\":1,\"seq\":" seq ",\"time_ns\":5,\"nonce\":\"" NONCE                               \
    "\",\"author\":\"a@h\",\"reason\":\"\",\"ops\":"
#define OPS(ops)       HEAD("1") "[" ops "]"
#define OP(name, rest) OPS("{\"op\":\"" name "\",\"table\":\"t\"" rest "}")

static void record__each_broken_rule_is_refused(void **state)
{
    static const struct {
        const char *body;
        const char *says;
        int code; /* 0: -EBADMSG */
    } cases[] = {
        {"{\"format\":2", "format 2 is newer", -ENOTSUP},
        {"{\"format\":0", "there is no format 0", 0},
        {"{\"format\":\"1\"", "\"format\": expected an integer", 0},
        {"{\"seq\":1", "\"format\": expected an integer, found nothing", 0},
        {"[1", "a JSON object", 0},
        {"{\"format\":1,\"format\":1", "duplicate", 0},
        {"{\"format\":1", "\"seq\"", 0},
        {HEAD("-1") "[]", "\"seq\"", 0},
        {HEAD("1.5") "[]", "\"seq\"", 0},
        {HEAD("10000000000") "[]", "\"seq\"", 0},
        {OPS(""), "expected 1 to 1024 operations", 0},
        {HEAD("1") "{}", "\"ops\": expected an array", 0},
        {HEAD("0") "[{\"op\":\"retire\",\"table\":\"t\",\"version\":1}]", "\"seq\"", 0},
        {OPS("1"), "operation 1: expected an object", 0},
        {OPS("{}"), "\"op\"", 0},
        {OP("explode", ""), "found \"explode\"", 0},
        {OP("retire", ""), "\"version\"", 0},
        {OP("retire", ",\"version\":0"), "\"version\": expected 1", 0},
        {OP("retire", ",\"version\":\"1\""), "\"version\"", 0},
        {OP("retire", ",\"version\":9223372036854775808"), "", 0},
        {OP("retire", ",\"version\":1,\"force\":true"), "expected 3 members, found 4", 0},
        {OP("activate", ",\"version\":1,\"effective_ns\":0"), "\"force\"", 0},
        {OP("activate", ",\"version\":1,\"effective_ns\":-1,\"force\":false"), "effective_ns", 0},
        {OP("rollback", ",\"version\":1,\"effective_ns\":0,\"force\":false"), "\"from\"", 0},
        {OP("rollback", ",\"version\":1,\"from\":0,\"effective_ns\":0,\"force\":false"), "from", 0},
        {OP("publish", ",\"version\":1,\"base\":0,\"n_keys\":1,\"len\":1,\"digest\":\"00\""),
         "32 hex digits", 0},
        {OP("publish", ",\"version\":1,\"base\":0,\"n_keys\":1,\"len\":1"), "\"digest\"", 0},
        {OP("publish", ",\"version\":1,\"base\":0,\"n_keys\":1"), "\"len\"", 0},
        {OP("publish", ",\"version\":1,\"base\":0"), "\"n_keys\"", 0},
        {OP("publish", ",\"version\":1"), "\"base\"", 0},
        {OP("pin", ",\"version\":1,\"name\":\"../x\",\"canary\":false"), "node name", 0},
        {OP("pin", ",\"version\":1,\"name\":\"x\""), "\"canary\"", 0},
        {OP("pin", ",\"version\":1,\"name\":\"x\",\"canary\":0"), "\"canary\"", 0},
        {OP("unpin", ",\"name\":\"x\",\"canary\":false"), "expected 3 members, found 4", 0},
        {OP("pin", ",\"version\":1"), "\"name\"", 0},
        {OP("tag", ",\"version\":1,\"name\":\"42\""), "only digits", 0},
        {OP("tag", ",\"version\":1,\"name\":\"current\""), "has a meaning", 0},
        {OP("keep", ",\"keep\":1000001"), "\"keep\"", 0},
        {OPS("{\"op\":\"retire\",\"table\":\"../t\",\"version\":1}"), "table name", 0},
        {OPS("{\"op\":\"retire\",\"table\":\"a\\u0000b\",\"version\":1}"), "NUL", 0},
        {OPS("{\"op\":\"retire\",\"version\":1}"), "\"table\"", 0},
        {OP("retire", ",\"version\":1") ",\"more\":1", "expected 8 members, found 9", 0},
        {"{\"format\":1,\"seq\":1,\"time_ns\":-5,\"nonce\":\"" NONCE "\"", "\"time_ns\"", 0},
        {"{\"format\":1,\"seq\":1,\"time_ns\":5,\"nonce\":\"xyz\",\"author\":\"a\",\"reason\":\"\","
         "\"ops\":[{\"op\":\"retire\",\"table\":\"t\",\"version\":1}]",
         "\"nonce\"", 0},
        {"{\"format\":1,\"seq\":1,\"time_ns\":5,\"nonce\":\"" NONCE "\",\"author\":\"a\\u001b\","
         "\"reason\":\"\",\"ops\":[{\"op\":\"retire\",\"table\":\"t\",\"version\":1}]",
         "\"author\": a control character", 0},
        {"{\"format\":1,\"seq\":1,\"time_ns\":5,\"nonce\":\"" NONCE "\",\"author\":\"a\","
         "\"reason\":\"a\\nb\",\"ops\":[{\"op\":\"retire\",\"table\":\"t\",\"version\":1}]",
         "\"reason\": a control character", 0},
        {"{\"format\":1,\"seq\":1,\"time_ns\":5,\"nonce\":\"" NONCE "\",\"author\":\"a\"",
         "\"reason\"", 0},
    };
    struct err good = {0};
    assert_int_equal(decode_sealed(OP("retire", ",\"version\":1"), &good), 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err err = {0};
        int ret = decode_sealed(cases[i].body, &err);
        if (!strstr(err.text, cases[i].says))
            print_error("case %zu: %s\n", i, err.text);
        assert_int_equal(ret, cases[i].code ? cases[i].code : -EBADMSG);
        assert_non_null(strstr(err.text, cases[i].says));
    }
}

static void record__too_many_operations_are_refused(void **state)
{
    struct buf body = {0};
    struct err err = {0};
    buf_printf(&body, "%s[", HEAD("1"));
    for (int i = 0; i <= RECORD_OPS_MAX; i++)
        buf_printf(&body, "%s{}", i ? "," : "");
    buf_printf(&body, "]");
    assert_int_equal(decode_sealed((char *)body.data, &err), -EBADMSG);
    assert_non_null(strstr(err.text, "at most 1024 entries"));
    buf_release(&body);
    scope_free char *huge = calloc(1, RECORD_JSON_MAX + 1);
    struct record record = {0};
    assert_int_equal(record_decode(huge, RECORD_JSON_MAX + 1, "r", &record, &err), -EBADMSG);
}

static void assert_unencodable(struct record record, const char *says)
{
    struct buf text = {0};
    struct err err = {0};
    assert_int_equal(record_encode(&record, &text, &err), -EINVAL);
    assert_int_equal(text.len, 0);
    if (!strstr(err.text, says))
        print_error("%s\n", err.text);
    assert_non_null(strstr(err.text, says));
    buf_release(&text);
}

static void record__encode_refuses_what_decode_would(void **state)
{
    struct record record = full_record();
    struct op op = every_op[0];
    char long_text[RECORD_TEXT_MAX + 2];
    memset(long_text, 'x', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';
    record.seq = 0;
    assert_unencodable(record, "\"seq\"");
    record = full_record();
    record.n_ops = 0;
    assert_unencodable(record, "1 to 1024");
    record.n_ops = RECORD_OPS_MAX + 1;
    assert_unencodable(record, "1 to 1024");
    record = full_record();
    record.reason = long_text;
    assert_unencodable(record, "at most 1024 bytes");
    record.reason = (char *)"\xff";
    assert_unencodable(record, "not UTF-8");
    record = full_record();
    record.nonce[3] = 'Z';
    assert_unencodable(record, "\"nonce\"");
    record = full_record();
    record.ops = &op;
    record.n_ops = 1;
    strcpy(op.table, "No");
    assert_unencodable(record, "operation 1: publish: table name");
    op = every_op[0];
    op.version = (uint64_t)INT64_MAX + 1;
    assert_unencodable(record, "\"version\"");
    op = every_op[1];
    op.effective_ns = -1;
    assert_unencodable(record, "effective_ns");
    op.kind = (enum op_kind)99;
    assert_unencodable(record, "no kind has the number 99");
}

static void seal__goes_over_the_bytes_before_it(void **state)
{
    scope_json json_t *json = json_object();
    scope_json json_t *back = NULL;
    struct buf text = {0};
    struct err err = {0};
    json_put_u64(json, "a", 1);
    assert_int_equal(seal_write(json, &text), 0);
    /* printf '{"a":1' | xxh128sum */
    assert_int_equal(text.len, 6 + 48);
    assert_memory_equal(text.data, "{\"a\":1,\"checksum\":\"", 19);
    assert_int_equal(seal_parse(text.data, text.len, "s", &back, &err), 0);
    text.data[5] = '2';
    assert_int_equal(seal_parse(text.data, text.len, "s", &back, &err), -EBADMSG);
    assert_non_null(strstr(err.text, "s: corrupt: its checksum says"));
    buf_release(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(record__round_trips_with_every_operation),
        cmocka_unit_test(record__is_written_as_documented),
        cmocka_unit_test(record__every_flipped_bit_is_seen),
        cmocka_unit_test(record__each_broken_rule_is_refused),
        cmocka_unit_test(record__too_many_operations_are_refused),
        cmocka_unit_test(record__encode_refuses_what_decode_would),
        cmocka_unit_test(seal__goes_over_the_bytes_before_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
