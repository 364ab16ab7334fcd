/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of libfkv that need no daemon: keys, arena, pieces. */
#include "unit.h"

#include "base/bytes.h"
#include "client/arena.h"
#include "client/keys.h"
#include "client/pieces.h"
#include "wire/fkv_protocol.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static const void *const words[] = {"a", "bcd", "ef"};
static const uint8_t word_lens[] = {1, 3, 2};
static const struct keys word_keys = {.n = 3, .bytes = words, .lens = word_lens};

static void keys__bytes_are_running_ends_then_text(void **state)
{
    uint8_t out[64];
    assert_int_equal(keys_type(&word_keys), FKV_KEY_BYTES);
    assert_int_equal(keys_len(&word_keys, 0, 3), 12 + 6);
    keys_write(&word_keys, 0, 3, out);
    assert_int_equal(load_le32(out), 1);
    assert_int_equal(load_le32(out + 4), 4);
    assert_int_equal(load_le32(out + 8), 6);
    assert_memory_equal(out + 12, "abcdef", 6);
}

static void keys__a_run_counts_its_ends_from_itself(void **state)
{
    uint8_t out[64];
    assert_int_equal(keys_len(&word_keys, 1, 2), 8 + 5);
    keys_write(&word_keys, 1, 2, out);
    assert_int_equal(load_le32(out), 3);
    assert_int_equal(load_le32(out + 4), 5);
    assert_memory_equal(out + 8, "bcdef", 5);
}

static void keys__fit_counts_whole_keys_and_at_least_one(void **state)
{
    uint64_t ids[10] = {0};
    struct keys keys = {.n = 10, .u64 = ids};
    assert_int_equal(keys_fit(&keys, 0, 10, 80), 10);
    assert_int_equal(keys_fit(&keys, 0, 10, 79), 9);
    assert_int_equal(keys_fit(&keys, 0, 4, 79), 4);
    assert_int_equal(keys_fit(&keys, 8, 10, 80), 2);
    assert_int_equal(keys_fit(&keys, 0, 10, 3), 1);
    assert_int_equal(keys_fit(&keys, 10, 10, 80), 0);
    assert_int_equal(keys_fit(&word_keys, 0, 3, 5 + 7 + 5), 2);
}

static void keys__check_names_an_empty_key(void **state)
{
    struct err err = {0};
    const uint8_t lens[] = {1, 0, 2};
    struct keys keys = {.n = 3, .bytes = words, .lens = lens};
    assert_int_equal(keys_check(&keys, &err), -EINVAL);
    assert_string_equal(err.text, "key 1 is empty; a key has 1 to 255 bytes");
    keys.n = FKV_KEYS_MAX + 1;
    assert_int_equal(keys_check(&keys, &err), -E2BIG);
    assert_int_equal(keys_check(&word_keys, NULL), 0);
}

static void arena__is_sealed_against_shrinking_and_keeps_its_content_as_it_grows(void **state)
{
    struct arena arena;
    struct stat st;
    arena_init(&arena);
    assert_true(arena.fd >= 0);
    assert_int_equal(arena_grow(&arena, 1, NULL), 0);
    size_t len = arena.len;
    const uint8_t *data = arena.data;
    memset(arena.data, 0x5a, len);
    assert_int_equal(arena_grow(&arena, len + 1, NULL), 0);
    assert_true(arena.len >= len + len / 2);
    assert_ptr_equal(arena.data, data); /* it never moves */
    assert_int_equal(arena.len % 4096, 0);
    assert_int_equal(arena.data[len - 1], 0x5a);
    assert_int_equal(arena.data[len], 0);
    assert_true(fcntl(arena.fd, F_GET_SEALS) & F_SEAL_SHRINK);
    assert_int_equal(ftruncate(arena.fd, 4096), -1);
    assert_int_equal(fstat(arena.fd, &st), 0);
    assert_int_equal(st.st_size, arena.len);
    arena_release(&arena);
    assert_null(arena.data);
    arena_release(&arena);
}

static void arena__refuses_more_than_the_protocol_allows(void **state)
{
    struct arena arena;
    struct err err = {0};
    arena_init(&arena);
    assert_int_equal(arena_grow(&arena, FKV_ARENA_MAX + 1, &err), -E2BIG);
    assert_non_null(strstr(err.text, "ask fewer keys"));
    assert_int_equal(arena.len, 0);
    arena_release(&arena);
}

static void arena__with_few_addresses_is_smaller(void **state)
{
    struct rlimit old;
    struct rlimit tight = {1 << 30, RLIM_INFINITY};
    struct arena arena;
    assert_int_equal(getrlimit(RLIMIT_AS, &old), 0);
    tight.rlim_max = old.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_AS, &tight), 0);
    arena_init(&arena);
    assert_int_equal(setrlimit(RLIMIT_AS, &old), 0);
    if (arena.data) { /* sanitizers have used up all addresses before us */
        assert_true(arena.reserved < FKV_ARENA_MAX);
        assert_int_equal(arena_grow(&arena, 1 << 20, NULL), 0);
        assert_int_equal(arena_grow(&arena, arena.reserved + 1, NULL), -E2BIG);
    }
    arena_release(&arena);
}

static void arena__without_memfd_is_ordinary_memory(void **state)
{
    struct arena arena;
    arena_init(&arena);
    close(arena.fd);
    arena.fd = -1;
    assert_int_equal(arena_grow(&arena, 1, NULL), 0);
    arena.data[0] = 9;
    assert_int_equal(arena_grow(&arena, arena.len * 4, NULL), 0);
    assert_int_equal(arena.data[0], 9);
    arena_release(&arena);
}

/* A body of n keys whose values vary: value i is `first + i` repeated len times. */
static uint8_t *varying_body(uint32_t n, uint8_t first, uint32_t len, struct wire_reply *reply)
{
    uint64_t values_off = align_up(align_up(n, 8) + 8 * (uint64_t)n, 64);
    uint64_t each = align_up(len, 8);
    *reply = (struct wire_reply){.served = 4,
                                 .n_found = n,
                                 .locs_off = align_up(n, 8),
                                 .values_off = values_off,
                                 .body_len = values_off + each * (n - 1) + len};
    uint8_t *body = calloc(1, reply->body_len);
    for (uint32_t i = 0; i < n; i++) {
        struct fkv_loc loc = {(uint32_t)(each * i / 8), len};
        memcpy(body + reply->locs_off + 8 * (size_t)i, &loc, 8);
        memset(body + values_off + each * i, first + (int)i, len);
    }
    return body;
}

static void pieces__join_varying_values_and_move_their_locs(void **state)
{
    struct buf out = {0};
    struct pieces pieces;
    struct wire_reply reply;
    pieces_begin(&pieces, 5, &out);
    uint8_t *one = varying_body(2, 10, 3, &reply); /* ends unaligned */
    assert_int_equal(pieces_add(&pieces, 2, &reply, one, NULL), 0);
    uint8_t *two = varying_body(3, 20, 9, &reply);
    assert_int_equal(pieces_add(&pieces, 3, &reply, two, NULL), 0);
    const struct wire_reply *whole = pieces_finish(&pieces);
    assert_int_equal(whole->n_found, 5);
    assert_int_equal(whole->served, 4);
    const uint8_t expected[] = {10, 11, 20, 21, 22};
    for (uint32_t i = 0; i < 5; i++) {
        struct fkv_loc loc;
        memcpy(&loc, out.data + whole->locs_off + 8 * (size_t)i, 8);
        assert_int_equal(loc.len, i < 2 ? 3 : 9);
        assert_true(whole->values_off + 8 * (uint64_t)loc.off8 + loc.len <= whole->body_len);
        assert_int_equal(out.data[whole->values_off + 8 * (size_t)loc.off8], expected[i]);
        assert_int_equal(out.data[whole->values_off + 8 * (size_t)loc.off8 + loc.len - 1],
                         expected[i]);
    }
    free(one);
    free(two);
    buf_release(&out);
}

static void pieces__refuse_parts_of_two_versions(void **state)
{
    struct buf out = {0};
    struct pieces pieces;
    struct err err = {0};
    struct wire_reply reply = {
        .served = 4, .stride = 8, .value_len = 8, .values_off = 64, .body_len = 64 + 16};
    uint8_t body[80] = {0};
    pieces_begin(&pieces, 4, &out);
    assert_int_equal(pieces_add(&pieces, 2, &reply, body, &err), 0);
    reply.served = 5;
    assert_int_equal(pieces_add(&pieces, 2, &reply, body, &err), -EPROTO);
    assert_non_null(strstr(err.text, "version 4"));
    reply.served = 4;
    assert_int_equal(pieces_add(&pieces, 3, &reply, body, &err), -EPROTO);
    buf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys__bytes_are_running_ends_then_text),
        cmocka_unit_test(keys__a_run_counts_its_ends_from_itself),
        cmocka_unit_test(keys__fit_counts_whole_keys_and_at_least_one),
        cmocka_unit_test(keys__check_names_an_empty_key),
        cmocka_unit_test(arena__is_sealed_against_shrinking_and_keeps_its_content_as_it_grows),
        cmocka_unit_test(arena__refuses_more_than_the_protocol_allows),
        cmocka_unit_test(arena__with_few_addresses_is_smaller),
        cmocka_unit_test(arena__without_memfd_is_ordinary_memory),
        cmocka_unit_test(pieces__join_varying_values_and_move_their_locs),
        cmocka_unit_test(pieces__refuse_parts_of_two_versions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
