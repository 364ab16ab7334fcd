/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshots: a state on paper. Each way to break the grammar or an invariant has a text that does. */
#include "unit.h"

#include "base/hash.h"
#include "base/scope.h"
#include "manifest/state_impl.h"

#include <errno.h>
#include <string.h>

#define HEX "00112233445566778899aabbccddeeff"
#define VERSION(number, state, quarantined, base, activated)                                       \
    "{\"version\":" number ",\"state\":\"" state "\",\"quarantined\":" quarantined                 \
    ",\"base\":" base ",\"n_keys\":1,\"len\":2,\"digest\":\"" HEX                                  \
    "\",\"published_ns\":3,\"activated_ns\":" activated "}"
#define V1 VERSION("1", "former", "false", "0", "1")
#define V2 VERSION("2", "current", "false", "1", "2")
#define V3 VERSION("3", "retired", "false", "0", "0")
#define TABLE(name, current, previous, before, versions, pins, tags)                               \
    "{\"name\":\"" name "\",\"current\":" current ",\"previous\":" previous                        \
    ",\"effective_ns\":0,\"before\":" before ",\"keep\":3,\"versions\":[" versions                 \
    "],\"pins\":[" pins "],\"tags\":[" tags "]}"
#define STATE(tables)        "{\"format\":1,\"seq\":9,\"tables\":[" tables "]"
#define NAMED(name, version) "{\"name\":\"" name "\",\"version\":" version "}"
#define PIN(name, version, canary)                                                                 \
    "{\"name\":\"" name "\",\"version\":" version ",\"canary\":" canary "}"
#define HOLD(name, version) PIN(name, version, "false")
#define TRY(name, version)  PIN(name, version, "true")
#define V4                  VERSION("4", "candidate", "false", "0", "0")
#define V5                  VERSION("5", "candidate", "true", "0", "0")
#define GOOD                                                                                       \
    TABLE("ads", "2", "1", "1", V1 "," V2 "," V3 "," V4, HOLD("host", "1") "," TRY("new", "4"),    \
          NAMED("tag", "2"))

static int decode(const char *body, struct state *out, struct err *err)
{
    struct buf text = {0};
    struct digest digest;
    char hex[DIGEST_HEX_LEN + 1];
    digest_of(body, strlen(body), &digest);
    digest_to_hex(&digest, hex);
    assert_int_equal(buf_printf(&text, "%s,\"checksum\":\"%s\"}\n", body, hex), 0);
    int ret = state_decode(text.data, text.len, "snap", out, err);
    buf_release(&text);
    return ret;
}

static void snapshot__reads_what_is_documented(void **unused)
{
    struct state state = {0};
    struct err err = {0};
    assert_int_equal(decode(STATE(GOOD), &state, &err), 0);
    assert_int_equal(state.seq, 9);
    const struct table_state *ads = state_find_table(&state, "ads");
    assert_int_equal(ads->current, 2);
    assert_int_equal(ads->previous, 1);
    assert_int_equal(table_state_find(ads, 2)->base, 1);
    assert_int_equal(table_state_find(ads, 3)->state, VERSION_RETIRED);
    assert_int_equal(table_state_wanted(ads, "host", NULL, 0, 0), 1);
    assert_int_equal(table_state_wanted(ads, "new", NULL, 0, 0), 4);
    assert_int_equal(table_state_canary(ads), 4);
    state_release(&state);
}

static void snapshot__each_broken_rule_is_refused(void **unused)
{
    static const struct {
        const char *body;
        const char *says;
        int code; /* 0: -EBADMSG */
    } cases[] = {
        {"{\"format\":2", "format 2 is newer", -ENOTSUP},
        {"{\"seq\":1", "\"format\"", 0},
        {"{\"format\":1", "\"seq\"", 0},
        {"{\"format\":1,\"seq\":1", "\"tables\"", 0},
        {"{\"format\":1,\"seq\":0,\"tables\":[" GOOD "]", "tables without a record", 0},
        {STATE("1"), "\"name\"", 0},
        {STATE("{\"name\":\"ads\"}"), "\"current\"", 0},
        {STATE(TABLE("Ads", "2", "1", "0", V1 "," V2, "", "")), "table name", 0},
        {STATE(TABLE("ads", "2", "1", "0", V1 "," V2, "", "") "," GOOD), "do not ascend by name",
         0},
        {STATE(TABLE("b", "2", "1", "0", V1 "," V2, "", "") "," GOOD), "do not ascend by name", 0},
        {STATE(TABLE("ads", "0", "0", "0", "", "", "")), "has no version", 0},
        {STATE(TABLE("ads", "2", "1", "0", V2 "," V1, "", "")), "do not ascend", 0},
        {STATE(TABLE("ads", "1", "0", "0", V1, "", "")), "\"current\" and the versions' states", 0},
        {STATE(TABLE("ads", "0", "1", "0", V1 "," V2, "", "")), "\"current\" and the", 0},
        {STATE(TABLE("ads", "7", "1", "0", V1, "", "")), "\"current\" names no living version", 0},
        {STATE(TABLE("ads", "2", "0", "0", V1 "," V2, "", "")), "\"previous\" is not", 0},
        {STATE(TABLE("ads", "2", "2", "0", V1 "," V2, "", "")), "\"previous\" is not", 0},
        {STATE(TABLE("ads", "2", "1", "3", V1 "," V2 "," V3, "", "")), "\"before\" names no", 0},
        {STATE(TABLE("ads", "2", "1", "9", V1 "," V2, "", "")), "\"before\" names no", 0},
        {STATE(TABLE("ads", "0", "0", "0", VERSION("1", "former", "false", "0", "0"), "", "")),
         "without being activated", 0},
        {STATE(TABLE("ads", "0", "0", "0", VERSION("1", "candidate", "false", "1", "0"), "", "")),
         "older than its base", 0},
        {STATE(TABLE("ads", "0", "0", "0", VERSION("0", "candidate", "false", "0", "0"), "", "")),
         "do not ascend", 0},
        {STATE(TABLE("ads", "0", "0", "0", VERSION("1", "great", "false", "0", "0"), "", "")),
         "no version state \"great\"", 0},
        {STATE(TABLE("ads", "0", "0", "0", VERSION("1", "retired", "0", "0", "0"), "", "")),
         "\"quarantined\"", 0},
        {STATE(TABLE("ads", "0", "0", "0", "7", "", "")), "\"version\"", 0},
        {STATE(TABLE("ads", "2", "1", "0", V1 "," V2, "7", "")), "\"name\"", 0},
        {STATE(TABLE("ads", "2", "1", "0", V1 "," V2, HOLD("..", "1"), "")), "a pin has a bad", 0},
        {STATE(TABLE("ads", "2", "1", "0", V1 "," V2, HOLD("h", "9"), "")), "a pin has a bad", 0},
        {STATE(TABLE("ads", "2", "1", "0", V1 "," V2, HOLD("h", "1") "," HOLD("h", "2"), "")),
         "a pin has a bad", 0},
        {STATE(TABLE("ads", "2", "1", "0", V1 "," V2 "," V3, HOLD("h", "3"), "")), "a pin has", 0},
        {STATE(TABLE("ads", "2", "1", "0", V1 "," V2, NAMED("h", "1"), "")), "\"canary\"", 0},
        {STATE(TABLE("ads", "2", "1", "0", V1 "," V2, TRY("h", "2"), "")), "canary pin that", 0},
        {STATE(TABLE("ads", "2", "1", "0", V1 "," V2, TRY("h", "1"), "")), "canary pin that", 0},
        {STATE(TABLE("ads", "2", "1", "0", V1 "," V2 "," V5, TRY("h", "5"), "")), "canary pin", 0},
        {STATE(TABLE("ads", "0", "0", "0", VERSION("2", "candidate", "false", "1", "0"), "", "")),
         "the base of a delta is missing", 0},
        {STATE(TABLE("ads", "2", "1", "0", V1 "," V2, "", NAMED("42", "1"))), "a tag has a bad", 0},
        {STATE(TABLE("ads", "2", "1", "0", V1 "," V2, "", NAMED("t", "9"))), "a tag has a bad", 0},
        {STATE(TABLE("ads", "2", "1", "0", V1 "," V2, "", NAMED("t", "1") "," NAMED("t", "1"))),
         "a tag has a bad", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct state state = {0};
        struct err err = {0};
        int ret = decode(cases[i].body, &state, &err);
        if (!strstr(err.text, cases[i].says))
            print_error("case %zu: %s\n", i, err.text);
        assert_int_equal(ret, cases[i].code ? cases[i].code : -EBADMSG);
        assert_memory_equal(err.text, "snap: ", 6);
        assert_non_null(strstr(err.text, cases[i].says));
        assert_null(state.tables);
    }
}

static void snapshot__every_flipped_bit_is_seen(void **unused)
{
    struct state state = {0};
    struct buf text = {0};
    assert_int_equal(decode(STATE(GOOD), &state, NULL), 0);
    assert_int_equal(state_encode(&state, &text, NULL), 0);
    for (size_t bit = 0; bit < text.len * 8; bit++) {
        struct state out = {0};
        text.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(state_decode(text.data, text.len, "s", &out, NULL), -EBADMSG);
        text.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t len = 0; len < text.len; len++) {
        struct state out = {0};
        assert_int_equal(state_decode(text.data, len, "s", &out, NULL), -EBADMSG);
    }
    buf_release(&text);
    state_release(&state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(snapshot__reads_what_is_documented),
        cmocka_unit_test(snapshot__each_broken_rule_is_refused),
        cmocka_unit_test(snapshot__every_flipped_bit_is_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
