/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/hash_wide.h"
#include "base/json.h"
#include "base/utf8.h"

#include <errno.h>
#include <string.h>
#include <xxhash.h>

static void err__keeps_text_and_code(void **state)
{
    struct err err = {0};
    assert_int_equal(err_set(&err, -EBADMSG, "part %d", 7), -EBADMSG);
    assert_string_equal(err.text, "part 7");
    err_wrap(&err, err.code, "table %s", "ads");
    assert_string_equal(err.text, "table ads: part 7");
    assert_int_equal(err_exit_status(err.code), 5);
    assert_int_equal(err_set(NULL, -EIO, "x"), -EIO);
}

static void err__every_code_has_its_exit_status(void **state)
{
    static const struct {
        int code;
        int status;
    } cases[] = {
        {0, 0},       {ENOENT, 1},  {EINVAL, 2}, {EPROTO, 2}, {EISDIR, 2},
        {ENOTDIR, 2}, {EPERM, 3},   {ENOSPC, 3}, {E2BIG, 3},  {ESTALE, 3},
        {EAGAIN, 3},  {EBUSY, 3},   {ENOMEM, 3}, {EACCES, 3}, {ENAMETOOLONG, 2},
        {EBADMSG, 5}, {ENOTSUP, 5}, {EIO, 6},    {ENODEV, 6}, {ETIMEDOUT, 4},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(err_exit_status(-cases[i].code), cases[i].status);
}

static void utf8__is_exactly_that(void **state)
{
    static const char *const good[] = {"",  "a", "\x7f",         "é",
                                       "€", "𝄞", "\xED\x9F\xBF", "\xF4\x8F\xBF\xBF"};
    static const char *const bad[] = {
        "\x80",
        "\xC0\x80",
        "\xC1\xBF",
        "\xC3",
        "\xC3z",
        "\xE0\x9F\xBF",
        "\xE2\x82",
        "\xE2\x82z",
        "\xED\xA0\x80",
        "\xED\xBF\xBF",
        "\xF0\x8F\xBF\xBF",
        "\xF0\x9D\x84",
        "\xF4\x90\x80\x80",
        "\xF5\x80\x80\x80",
        "\xFF",
        "ok\xFE",
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(utf8_is_text(good[i], strlen(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(utf8_is_text(bad[i], strlen(bad[i])));
    assert_int_equal(utf8_len("𝄞", 4), 4);
    assert_int_equal(utf8_len("𝄞", 3), 0); /* what is not there is not read */
}

static void utf8__is_cleaned_in_place(void **state)
{
    static const char *const cases[][2] = {
        {"", ""},
        {"ad €", "ad €"},
        {"a\nb\x1b[0m\x7f", "a b [0m "},
        {"\xC2\x85", "  "},
        {"\x83\x87ー\xE3\x83", "??ー??"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[32];
        snprintf(text, sizeof text, "%s", cases[i][0]);
        utf8_clean(text, strlen(text));
        assert_string_equal(text, cases[i][1]);
    }
}

static void hash__bytes_are_those_of_libxxhash_at_every_width(void **state)
{
    uint8_t data[8192 + 8];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(hash_u64(i, 3) >> 24);
    for (size_t len = 1; len <= 8192; len = len < 300 ? len + 1 : len + 61) {
        for (uint64_t seed = 0; seed < 3; seed++) {
            const uint8_t *from = data + len % 8;
            uint64_t expected = XXH3_64bits_withSeed(from, len, seed);
            assert_true(hash_bytes(from, len, seed) == expected);
#if defined(__x86_64__)
            if (__builtin_cpu_supports("avx2"))
                assert_true(hash_wide_avx2(from, len, seed) == expected);
            if (__builtin_cpu_supports("avx512f"))
                assert_true(hash_wide_avx512(from, len, seed) == expected);
#endif
        }
    }
}

static void hash__u64_is_a_bijection_on_a_sample(void **state)
{
    /* Neighbouring keys must differ in hash: with a bijection all 2^16 are distinct. */
    static uint64_t hashes[1 << 16];
    for (uint64_t i = 0; i < 1 << 16; i++)
        hashes[i] = hash_u64(i, 42);
    for (uint64_t i = 1; i < 1 << 16; i++)
        assert_int_not_equal(hashes[i], hashes[i - 1]);
}

static void digest__hex_round_trips_and_refuses_other_text(void **state)
{
    struct digest a;
    struct digest b;
    char hex[DIGEST_HEX_LEN + 1];
    digest_of("abc", 3, &a);
    digest_to_hex(&a, hex);
    assert_string_equal(hex, "06b05ab6733a618578af5f94892f3950"); /* printf abc | xxh128sum */
    assert_int_equal(digest_from_hex(hex, &b), 0);
    assert_true(digest_equal(&a, &b));
    assert_int_equal(digest_from_hex("06b0", &b), -EINVAL);
    hex[3] = 'G';
    assert_int_equal(digest_from_hex(hex, &b), -EINVAL);
}

static void json__getters_name_what_is_wrong(void **state)
{
    scope_json json_t *json = NULL;
    struct err err = {0};
    const char text[] = "{\"n\":5,\"s\":\"x\",\"neg\":-1}";
    assert_int_equal(json_parse(text, sizeof text - 1, "t.json", &json, &err), 0);
    struct json_at at = {json, "t.json"};
    uint64_t n = 0;
    assert_int_equal(json_get_u64(at, "n", 10, &n, &err), 0);
    assert_int_equal(n, 5);
    assert_int_equal(json_get_u64(at, "n", 4, &n, &err), -EBADMSG);
    assert_string_equal(err.text, "t.json: member \"n\": expected 0 to 4, found 5");
    assert_int_equal(json_get_u64(at, "neg", 4, &n, &err), -EBADMSG);
    assert_int_equal(json_get_u64(at, "s", 4, &n, &err), -EBADMSG);
    assert_int_equal(json_get_u64(at, "none", 4, &n, &err), -EBADMSG);
    assert_string_equal(err.text, "t.json: member \"none\": expected an integer, found nothing");
    json_t *none = NULL;
    assert_int_equal(json_parse("[1]", 3, "t.json", &none, &err), -EBADMSG);
    assert_int_equal(json_parse("{} x", 4, "t.json", &none, &err), -EBADMSG);
    assert_int_equal(json_parse("{\"a\":1,\"a\":2}", 13, "t.json", &none, &err), -EBADMSG);
}

static void buf__grows_and_prints(void **state)
{
    struct buf buf = {0};
    for (int i = 0; i < 1000; i++)
        assert_int_equal(buf_printf(&buf, "%d,", i), 0);
    assert_int_equal(buf.len, 10 * 2 + 90 * 3 + 900 * 4);
    buf_release(&buf);
    assert_null(buf.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(err__keeps_text_and_code),
        cmocka_unit_test(err__every_code_has_its_exit_status),
        cmocka_unit_test(utf8__is_exactly_that),
        cmocka_unit_test(utf8__is_cleaned_in_place),
        cmocka_unit_test(hash__bytes_are_those_of_libxxhash_at_every_width),
        cmocka_unit_test(hash__u64_is_a_bijection_on_a_sample),
        cmocka_unit_test(digest__hex_round_trips_and_refuses_other_text),
        cmocka_unit_test(json__getters_name_what_is_wrong),
        cmocka_unit_test(buf__grows_and_prints),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
