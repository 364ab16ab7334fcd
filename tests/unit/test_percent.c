/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "base/percent.h"

#include <errno.h>
#include <string.h>

static void encodes_to(const void *data, size_t len, const char *expected)
{
    char text[64];
    assert_int_equal(percent_encode(data, len, text, sizeof text), 0);
    assert_string_equal(text, expected);
}

static void percent__leaves_harmless_bytes_alone(void **state)
{
    encodes_to("user_7-A~.x", 11, "user_7-A~.x");
    encodes_to("", 0, "");
}

static void percent__escapes_what_a_path_cannot_hold(void **state)
{
    encodes_to("a/b", 3, "a%2Fb");
    encodes_to("\0\xff", 2, "%00%FF");
    encodes_to("100%", 4, "100%25");
    encodes_to(".", 1, "%2E");
    encodes_to("..", 2, "%2E.");
    encodes_to("../x", 4, "%2E.%2Fx");
}

static void percent__every_byte_comes_back(void **state)
{
    uint8_t data[256];
    uint8_t back[256];
    char text[sizeof data * 3 + 1];
    size_t len = 0;
    for (int i = 0; i < 256; i++)
        data[i] = (uint8_t)i;
    assert_int_equal(percent_encode(data, sizeof data, text, sizeof text), 0);
    assert_null(strchr(text, '/'));
    assert_int_equal(percent_decode(text, back, sizeof back, &len), 0);
    assert_int_equal(len, 256);
    assert_memory_equal(data, back, 256);
}

static void percent__decode_accepts_any_spelling(void **state)
{
    uint8_t back[8];
    size_t len = 0;
    assert_int_equal(percent_decode("%61b%2f.", back, sizeof back, &len), 0);
    assert_int_equal(len, 4);
    assert_memory_equal(back, "ab/.", 4);
}

static void percent__decode_refuses_broken_escapes(void **state)
{
    static const char *const bad[] = {"%", "a%", "%2", "%2g", "%g2", "% 2", "a/b"};
    uint8_t back[8];
    size_t len = 77;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(percent_decode(bad[i], back, sizeof back, &len), -EINVAL);
    assert_int_equal(len, 77);
}

static void percent__never_writes_beyond_its_room(void **state)
{
    char text[4] = "zzz";
    uint8_t back[4] = {9, 9, 9, 9};
    size_t len = 0;
    assert_int_equal(percent_encode("ab", 2, text, 2), -ENOSPC);
    assert_int_equal(percent_encode("/", 1, text, 3), -ENOSPC);
    assert_int_equal(percent_encode("a", 1, text, 0), -ENOSPC);
    assert_int_equal(percent_encode("/", 1, text, 4), 0);
    assert_int_equal(percent_decode("abc", back, 2, &len), -ENOSPC);
    assert_int_equal(back[2], 9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(percent__leaves_harmless_bytes_alone),
        cmocka_unit_test(percent__escapes_what_a_path_cannot_hold),
        cmocka_unit_test(percent__every_byte_comes_back),
        cmocka_unit_test(percent__decode_accepts_any_spelling),
        cmocka_unit_test(percent__decode_refuses_broken_escapes),
        cmocka_unit_test(percent__never_writes_beyond_its_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
