/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "base/hash.h"
#include "codec/zstd_value.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LONGEST = 16 << 20 };

/* A value like those of a table of small records. */
static size_t record(size_t i, char *out, size_t cap)
{
    return (size_t)snprintf(
        out, cap,
        "{\"user_id\":%zu,\"country\":\"%s\",\"last_seen\":\"2024-0%zu-1%zuT12\","
        "\"score\":0.%06zu,\"tags\":[\"sports\",\"news\"]}",
        i * 7919, i % 3 ? "DE" : "BR", i % 9 + 1, i % 10, (size_t)(hash_u64(i, 1) % 1000000));
}

static void dictionary_make(struct buf *out)
{
    struct buf samples = {0};
    static size_t lens[4000];
    char text[300];
    for (size_t i = 0; i < 4000; i++) {
        lens[i] = record(i, text, sizeof text);
        assert_int_equal(buf_add(&samples, text, lens[i]), 0);
    }
    assert_int_equal(zstd_train(samples.data, lens, 4000, 8192, out, NULL), 0);
    assert_true(out->len > 0 && out->len <= 8192);
    buf_release(&samples);
}

static size_t round_trip(const struct buf *dictionary_bytes, const void *value, size_t len)
{
    struct zstd_encoder *encoder = NULL;
    struct zstd_decoder *decoder = zstd_decoder_new();
    struct zstd_dictionary *dictionary = NULL;
    struct buf stored = {0};
    uint64_t value_len = 0;
    uint8_t *out = malloc(len + 1);
    assert_int_equal(
        zstd_encoder_new(3, dictionary_bytes->data, dictionary_bytes->len, &encoder, NULL), 0);
    assert_int_equal(
        zstd_dictionary_new(dictionary_bytes->data, dictionary_bytes->len, &dictionary, NULL), 0);
    assert_int_equal(zstd_value_encode(encoder, value, len, &stored), 0);
    assert_true(stored.len <= len + 1);
    assert_int_equal(zstd_value_len(stored.data, stored.len, &value_len), 0);
    assert_int_equal(value_len, len);
    out[len] = 0xA5;
    assert_int_equal(zstd_value_decode(decoder, dictionary, stored.data, stored.len, out, len), 0);
    assert_int_equal(out[len], 0xA5);
    if (len)
        assert_memory_equal(out, value, len);
    size_t stored_len = stored.len;
    buf_release(&stored);
    free(out);
    zstd_dictionary_free(dictionary);
    zstd_decoder_free(decoder);
    zstd_encoder_free(encoder);
    return stored_len;
}

static void zstd_value__every_length_round_trips(void **state)
{
    static const size_t lens[] = {0,   1,    2,     10,    127,   128,   255,   256,     257,
                                  300, 4095, 65535, 65536, 65537, 65791, 65792, 1 << 20, LONGEST};
    struct buf none = {0};
    struct buf dictionary = {0};
    uint8_t *same = calloc(1, LONGEST);
    uint8_t *noise = malloc(LONGEST);
    for (size_t i = 0; i < LONGEST; i++)
        noise[i] = (uint8_t)(hash_u64(i, 1) >> 24);
    dictionary_make(&dictionary);
    for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++) {
        const struct buf *with[] = {&none, &dictionary};
        for (int j = 0; j < 2; j++) {
            size_t len = round_trip(with[j], same, lens[i]);
            assert_true(lens[i] < 100 || len < lens[i] / 2);
            assert_int_equal(round_trip(with[j], noise, lens[i]), lens[i] + 1);
        }
    }
    buf_release(&dictionary);
    free(same);
    free(noise);
}

static void zstd_value__a_dictionary_makes_small_values_smaller(void **state)
{
    struct buf none = {0};
    struct buf dictionary = {0};
    size_t total = 0;
    size_t without = 0;
    size_t with = 0;
    dictionary_make(&dictionary);
    for (size_t i = 10000; i < 10200; i++) {
        char text[300];
        size_t len = record(i, text, sizeof text);
        total += len;
        without += round_trip(&none, text, len);
        with += round_trip(&dictionary, text, len);
    }
    assert_true(with * 3 < total);
    assert_true(without * 10 > total * 8);
    buf_release(&dictionary);
}

static void zstd_value__the_same_value_gives_the_same_bytes(void **state)
{
    struct buf dictionary = {0};
    struct buf again = {0};
    struct buf a = {0};
    struct buf b = {0};
    struct zstd_encoder *one = NULL;
    struct zstd_encoder *other = NULL;
    char text[300];
    dictionary_make(&dictionary);
    dictionary_make(&again);
    assert_int_equal(dictionary.len, again.len);
    assert_memory_equal(dictionary.data, again.data, again.len);
    assert_int_equal(zstd_encoder_new(3, dictionary.data, dictionary.len, &one, NULL), 0);
    assert_int_equal(zstd_encoder_new(3, dictionary.data, dictionary.len, &other, NULL), 0);
    for (size_t i = 0; i < 300; i++) {
        size_t len = record(i, text, sizeof text);
        if (i % 2) /* what a coder did before does not show */
            assert_int_equal(zstd_value_encode(other, "something else", 14, &b), 0);
        assert_int_equal(zstd_value_encode(one, text, len, &a), 0);
        assert_int_equal(zstd_value_encode(other, text, len, &b), 0);
        assert_int_equal(a.len, b.len);
        assert_memory_equal(a.data, b.data, a.len);
    }
    zstd_encoder_free(one);
    zstd_encoder_free(other);
    buf_release(&dictionary);
    buf_release(&again);
    buf_release(&a);
    buf_release(&b);
}

static void zstd_value__too_few_samples_make_no_dictionary(void **state)
{
    struct buf out = {0};
    size_t lens[20] = {0};
    assert_int_equal(zstd_train("", lens, 0, 4096, &out, NULL), 0);
    assert_int_equal(out.len, 0);
    assert_int_equal(zstd_train("", lens, 20, 4096, &out, NULL), 0);
    assert_int_equal(out.len, 0);
    assert_int_equal(zstd_train("", lens, 20, 0, &out, NULL), 0);
    assert_int_equal(out.len, 0);
    buf_release(&out);
}

/* Samples of which most, or all in the part that is trained on, have hardly a byte. */
static void zstd_value__tiny_and_empty_samples_make_no_trouble(void **state)
{
    struct buf out = {0};
    size_t lens[100];
    char bytes[2600];
    memset(bytes, 'v', sizeof bytes);
    for (unsigned n = 7; n <= 20; n++) {
        for (unsigned i = 0; i < n; i++)
            lens[i] = 1;
        assert_int_equal(zstd_train(bytes, lens, n, 4096, &out, NULL), 0);
        assert_int_equal(out.len, 0);
    }
    for (unsigned i = 0; i < 100; i++)
        lens[i] = i < 75 ? 0 : 104;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)('a' + hash_u64(i % 104, 1) % 26);
    assert_int_equal(zstd_train(bytes, lens, 100, 4096, &out, NULL), 0);
    assert_true(out.len <= 4096);
    memset(lens, 0, sizeof lens);
    lens[99] = 300; /* one has it all */
    assert_int_equal(zstd_train(bytes, lens, 100, 4096, &out, NULL), 0);
    assert_true(out.len <= 4096);
    buf_release(&out);
}

/* Any byte of a stored value changed: an error, or as many bytes as it says, and none beyond. */
static void zstd_value__damaged_bytes_stay_within(void **state)
{
    struct zstd_encoder *encoder = NULL;
    struct zstd_decoder *decoder = zstd_decoder_new();
    struct buf stored = {0};
    char text[300];
    size_t len = record(5, text, sizeof text);
    assert_int_equal(zstd_encoder_new(3, NULL, 0, &encoder, NULL), 0);
    memset(text + len / 2, 'x', len / 2);
    assert_int_equal(zstd_value_encode(encoder, text, len, &stored), 0);
    assert_int_not_equal(stored.data[0], 8);
    for (size_t at = 0; at < stored.len; at++)
        for (int bit = 0; bit < 8; bit++) {
            uint64_t said = 0;
            stored.data[at] ^= (uint8_t)(1 << bit);
            if (zstd_value_len(stored.data, stored.len, &said) == 0 && said < 100000) {
                uint8_t *out = malloc(said + 1);
                int ret = zstd_value_decode(decoder, NULL, stored.data, stored.len, out, said);
                assert_true(ret == 0 || ret == -EBADMSG);
                free(out);
            }
            stored.data[at] ^= (uint8_t)(1 << bit);
        }
    for (size_t n = 0; n < stored.len; n++) {
        uint8_t out[300];
        assert_int_equal(zstd_value_decode(decoder, NULL, stored.data, n, out, len), -EBADMSG);
    }
    uint8_t out[300];
    assert_int_equal(zstd_value_decode(decoder, NULL, stored.data, stored.len, out, len - 1),
                     -EBADMSG);
    buf_release(&stored);
    zstd_encoder_free(encoder);
    zstd_decoder_free(decoder);
}

static void zstd_value__wrong_arguments_are_refused(void **state)
{
    struct zstd_encoder *encoder = NULL;
    struct zstd_dictionary *dictionary = NULL;
    struct err err = {0};
    uint8_t forged[64] = {0x37, 0xA4, 0x30, 0xEC}; /* a trained dictionary's magic, then nonsense */
    assert_int_equal(zstd_encoder_new(0, NULL, 0, &encoder, &err), -EINVAL);
    assert_int_equal(zstd_encoder_new(20, NULL, 0, &encoder, &err), -EINVAL);
    memset(forged + 8, 0xFF, 56);
    assert_int_equal(zstd_dictionary_new(forged, sizeof forged, &dictionary, &err), -EBADMSG);
    assert_null(dictionary);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zstd_value__every_length_round_trips),
        cmocka_unit_test(zstd_value__a_dictionary_makes_small_values_smaller),
        cmocka_unit_test(zstd_value__the_same_value_gives_the_same_bytes),
        cmocka_unit_test(zstd_value__too_few_samples_make_no_dictionary),
        cmocka_unit_test(zstd_value__tiny_and_empty_samples_make_no_trouble),
        cmocka_unit_test(zstd_value__damaged_bytes_stay_within),
        cmocka_unit_test(zstd_value__wrong_arguments_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
