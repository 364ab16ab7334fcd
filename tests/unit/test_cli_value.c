/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "builder/cli/value.h"
#include "codec/vector.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *text_of(struct buf *buf)
{
    static char text[4096];
    snprintf(text, sizeof text, "%.*s", (int)buf->len, buf->data ? (char *)buf->data : "");
    buf_release(buf);
    return text;
}

static const char *escaped(const char *bytes, size_t len)
{
    struct buf out = {0};
    assert_int_equal(value_add_escaped(&out, (const uint8_t *)bytes, len), 0);
    return text_of(&out);
}

static const char *as_json(const char *bytes, size_t len)
{
    struct buf out = {0};
    assert_int_equal(value_add_json_bytes(&out, (const uint8_t *)bytes, len), 0);
    return text_of(&out);
}

static void value__escapes_what_would_break_a_row(void **state)
{
    assert_string_equal(escaped("plain text", 10), "plain text");
    assert_string_equal(escaped("a\tb\nc\rd\\e", 9), "a\\tb\\nc\\rd\\\\e");
    assert_string_equal(escaped("\0\x01\x7f", 3), "\\x00\\x01\\x7f");
    assert_string_equal(escaped("\xc3\xa9\xff", 3), "\xc3\xa9\xff");
    assert_string_equal(escaped("\xef\xbb\xbfx", 4), "\\xef\\xbb\\xbfx");
    assert_string_equal(escaped("", 0), "");
}

static void value__is_a_json_string_only_when_it_is_utf8(void **state)
{
    assert_string_equal(as_json("a\"b\\c\n", 6), "\"a\\\"b\\\\c\\u000a\"");
    assert_string_equal(as_json("\0x", 2), "\"\\u0000x\"");
    assert_string_equal(as_json("\xf0\x9f\x98\x80", 4), "\"\xf0\x9f\x98\x80\"");
    assert_string_equal(as_json("\xff", 1), "{\"b64\": \"/w==\"}");
    assert_string_equal(as_json("\xff\xfe", 2), "{\"b64\": \"//4=\"}");
    assert_string_equal(as_json("\xff\xfe\xfd", 3), "{\"b64\": \"//79\"}");
    static const char *const not_utf8[] = {
        "\xc0\x80", "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80",
        "\xc3",     "\xe2\x82",     "a\x80"};
    for (size_t i = 0; i < sizeof not_utf8 / sizeof *not_utf8; i++)
        assert_non_null(strstr(as_json(not_utf8[i], strlen(not_utf8[i])), "b64"));
}

static void value__prints_floats_that_read_back_the_same(void **state)
{
    uint32_t bits = 1;
    for (int i = 0; i < 20000; i++) {
        float value;
        struct buf out = {0};
        bits = bits * 1664525 + 1013904223;
        memcpy(&value, &bits, sizeof value);
        if (!isfinite(value))
            continue;
        assert_int_equal(value_add_floats(&out, &value, 1, "", ""), 0);
        float back = strtof(text_of(&out), NULL);
        assert_memory_equal(&back, &value, sizeof value);
    }
    float odd[] = {0.1f, -0.0f, 1e-45f, NAN, INFINITY, -INFINITY};
    struct buf out = {0};
    assert_int_equal(value_add_floats(&out, odd, 6, "[", "]"), 0);
    assert_string_equal(text_of(&out), "[0.1,-0,1.4013e-45,NaN,Infinity,-Infinity]");
}

/* Any vector that was stored as i8 must come out of its text as the same bytes, scale included. */
static void value__of_an_i8_vector_encodes_to_the_same_bytes(void **state)
{
    struct schema schema = {.key_type = KEY_U64, .elem = ELEM_I8, .dim = 3};
    uint32_t bits = 7;
    for (int i = 0; i < 50000; i++) {
        float in[3], out[3];
        uint8_t stored[7], again[7];
        for (int j = 0; j < 3; j++) {
            bits = bits * 1664525 + 1013904223;
            in[j] = ((float)(bits >> 8) / 8388608.0f - 1) * powf(2, (float)(i % 40 - 20));
        }
        assert_int_equal(vector_encode(ELEM_I8, in, 3, stored), 0);
        value_decode(&schema, stored, out);
        assert_int_equal(vector_encode(ELEM_I8, out, 3, again), 0);
        assert_memory_equal(stored, again, sizeof stored);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(value__escapes_what_would_break_a_row),
        cmocka_unit_test(value__is_a_json_string_only_when_it_is_utf8),
        cmocka_unit_test(value__prints_floats_that_read_back_the_same),
        cmocka_unit_test(value__of_an_i8_vector_encodes_to_the_same_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
