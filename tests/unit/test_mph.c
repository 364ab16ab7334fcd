/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "base/hash.h"
#include "format/mph.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Builds n hashes into n_slots and checks that no two meet; 0 or what mph_build() said. */
static int build(struct mph_scratch *scratch, uint32_t n, uint32_t n_slots, uint64_t seed)
{
    uint32_t n_buckets = mph_n_buckets(n);
    uint64_t *hashes = calloc(n + 1, sizeof *hashes);
    uint8_t *pilots = malloc(n_buckets);
    uint8_t *seen = calloc(n_slots, 1);
    for (uint32_t i = 0; i < n; i++)
        hashes[i] = hash_u64(i, seed);
    int ret = mph_build(scratch, hashes, n, n_slots, n_buckets, pilots);
    for (uint32_t i = 0; i < n && !ret; i++) {
        uint32_t slot = mph_slot(hashes[i], pilots[mph_bucket(hashes[i], n_buckets)], n_slots);
        assert_in_range(slot, 0, n_slots - 1);
        assert_int_equal(seen[slot]++, 0);
    }
    free(seen);
    free(pilots);
    free(hashes);
    return ret;
}

static void mph__no_two_keys_share_a_slot(void **state)
{
    struct mph_scratch *scratch = mph_scratch_new();
    assert_non_null(scratch);
    for (uint64_t seed = 0; seed < 20; seed++)
        assert_int_equal(build(scratch, 20000, 20000 + 800 + 1, seed), 0);
    assert_int_equal(build(scratch, 200000, 208001, 1), 0);
    for (uint32_t n = 1; n < 100; n++)
        assert_int_equal(build(scratch, n, n + n / 2 + 2, n), 0);
    mph_scratch_free(scratch);
}

static void mph__a_tight_fit_succeeds_or_says_so(void **state)
{
    struct mph_scratch *scratch = mph_scratch_new();
    for (uint32_t n = 1; n < 400; n++) {
        int ret = build(scratch, n, n, n);
        assert_true(ret == 0 || ret == -EAGAIN);
    }
    int ret = build(scratch, 20000, 20000, 1);
    assert_true(ret == 0 || ret == -EAGAIN);
    mph_scratch_free(scratch);
}

static void mph__equal_hashes_and_lopsided_buckets_give_up(void **state)
{
    struct mph_scratch *scratch = mph_scratch_new();
    uint64_t hashes[64] = {0};
    uint8_t pilots[64];
    hashes[0] = hashes[1] = 12345;
    assert_int_equal(mph_build(scratch, hashes, 2, 10, 1, pilots), -EAGAIN);
    for (uint64_t i = 0; i < 64; i++)
        hashes[i] = i << 32;
    assert_int_equal(mph_build(scratch, hashes, 64, 1000, 22, pilots), -E2BIG);
    mph_scratch_free(scratch);
}

static void mph__results_stay_below_their_bounds(void **state)
{
    static const uint32_t bounds[] = {1, 2, 3, 208001, 1U << 31, UINT32_MAX};
    for (size_t b = 0; b < sizeof bounds / sizeof bounds[0]; b++)
        for (uint64_t i = 0; i < 1000; i++) {
            uint64_t hash = i < 2 ? UINT64_MAX * i : hash_u64(i, 9);
            assert_true(mph_partition(hash, bounds[b]) < bounds[b]);
            assert_true(mph_bucket(hash, bounds[b]) < bounds[b]);
            assert_true(mph_slot(hash, (uint8_t)i, bounds[b]) < bounds[b]);
        }
}

/* The placement is part of the format: these numbers may never change. */
static void mph__placement_is_fixed_for_ever(void **state)
{
    uint64_t hash = hash_u64(42, 7);
    assert_int_equal(mph_partition(hash, 1000), 829);
    assert_int_equal(mph_bucket(hash, 66667), 41206);
    assert_int_equal(mph_slot(hash, 0, 208001), 150447);
    assert_int_equal(mph_slot(hash, 255, 208001), 157209);
    assert_int_equal(mph_fingerprint(hash), 233);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mph__no_two_keys_share_a_slot),
        cmocka_unit_test(mph__a_tight_fit_succeeds_or_says_so),
        cmocka_unit_test(mph__equal_hashes_and_lopsided_buckets_give_up),
        cmocka_unit_test(mph__results_stay_below_their_bounds),
        cmocka_unit_test(mph__placement_is_fixed_for_ever),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
