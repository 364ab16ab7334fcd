/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "base/hash.h"
#include "io/value_set.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CACHE_LEN = 1 << 20 };

static struct value_cache *make(uint64_t len)
{
    struct value_cache *cache = NULL;
    struct err err = {0};
    if (value_cache_new(len, &cache, &err))
        fail_msg("%s", err.text);
    return cache;
}

static struct value_key key_of(uint64_t owner, uint64_t i)
{
    return (struct value_key){.owner = owner, .hash = hash_u64(i, 42)};
}

/* The value of a key: its length and bytes follow from the key. */
static uint32_t value_of(const struct value_key *key, uint32_t max, uint8_t *out)
{
    uint64_t x = hash_u64(key->hash, key->owner);
    uint32_t len = max ? (uint32_t)(x % (max + 1)) : 100;
    for (uint32_t i = 0; i < len; i++)
        out[i] = (uint8_t)(x >> i % 8 * 8) ^ (uint8_t)i;
    return len;
}

/* Twice: a full set takes a value when it is given again. */
static void put(struct value_cache *cache, const struct value_key *key, uint32_t max)
{
    uint8_t value[VALUE_CACHE_LEN_MAX];
    uint32_t len = value_of(key, max, value);
    value_cache_insert(cache, key, value, len);
    value_cache_insert(cache, key, value, len);
}

/* Whether it is there; if so, it is right. */
static bool has(struct value_cache *cache, const struct value_key *key, uint32_t max)
{
    uint8_t wanted[VALUE_CACHE_LEN_MAX];
    uint8_t found[VALUE_CACHE_LEN_MAX];
    uint32_t len = UINT32_MAX;
    value_cache_prefetch(cache, key);
    value_cache_prefetch_value(cache, key);
    if (!value_cache_find(cache, key, found, &len))
        return false;
    assert_int_equal(len, value_of(key, max, wanted));
    if (len)
        assert_memory_equal(found, wanted, len);
    return true;
}

static void value_cache__gives_back_what_it_was_given(void **state)
{
    struct value_cache *cache = make(CACHE_LEN);
    for (uint64_t i = 0; i < 100; i++) {
        struct value_key key = key_of(1, i);
        assert_false(has(cache, &key, VALUE_CACHE_LEN_MAX));
        put(cache, &key, VALUE_CACHE_LEN_MAX);
        assert_true(has(cache, &key, VALUE_CACHE_LEN_MAX));
    }
    struct value_cache_stats stats;
    value_cache_count(cache, 7, 3);
    value_cache_stats(cache, &stats);
    assert_int_equal(stats.n_inserted, 100);
    assert_int_equal(stats.n_values, 100);
    assert_int_equal(stats.n_hits, 7);
    assert_int_equal(stats.n_misses, 3);
    assert_int_equal(stats.max_bytes, CACHE_LEN);
    value_cache_free(cache);
}

static void value_cache__values_of_every_length_are_kept(void **state)
{
    struct value_cache *cache = make(CACHE_LEN);
    uint8_t value[VALUE_CACHE_LEN_MAX + 1];
    uint8_t found[VALUE_CACHE_LEN_MAX];
    memset(value, 7, sizeof value);
    for (uint32_t len = 0; len <= VALUE_CACHE_LEN_MAX + 1; len++) {
        struct value_key key = key_of(3, len);
        uint32_t found_len = UINT32_MAX;
        value_cache_insert(cache, &key, value, len);
        value_cache_insert(cache, &key, value, len);
        assert_int_equal(value_cache_find(cache, &key, found, &found_len),
                         len <= VALUE_CACHE_LEN_MAX);
        if (len > VALUE_CACHE_LEN_MAX)
            break;
        assert_int_equal(found_len, len);
        if (len)
            assert_memory_equal(found, value, len);
    }
    value_cache_free(cache);
}

static void value_cache__keys_are_told_apart_by_owner_hash_and_every_byte(void **state)
{
    struct value_cache *cache = make(CACHE_LEN);
    uint8_t bytes[255];
    uint8_t found[VALUE_CACHE_LEN_MAX];
    uint32_t len = 0;
    memset(bytes, 'k', sizeof bytes);
    for (uint32_t key_len = 1; key_len <= 255; key_len++) {
        struct value_key key = {.owner = 5, .hash = 99, .bytes = bytes, .len = key_len};
        put(cache, &key, 16);
        assert_true(has(cache, &key, 16));
        for (uint32_t i = 0; i < key_len; i++) {
            bytes[i] ^= 1;
            assert_false(value_cache_find(cache, &key, found, &len));
            bytes[i] ^= 1;
        }
        struct value_key other = key;
        other.owner = 6;
        assert_false(value_cache_find(cache, &other, found, &len));
        other = key;
        other.hash ^= (uint64_t)1 << 45;
        assert_false(value_cache_find(cache, &other, found, &len));
        other.hash = key.hash ^ (uint64_t)1 << 21; /* the same set, perhaps, and fingerprint */
        assert_false(value_cache_find(cache, &other, found, &len));
    }
    value_cache_free(cache);
}

static void value_cache__owners_out_of_range_are_not_kept(void **state)
{
    static const uint64_t owners[] = {0, (uint64_t)UINT32_MAX + 1, UINT64_MAX};
    struct value_cache *cache = make(CACHE_LEN);
    for (size_t i = 0; i < 3; i++) {
        struct value_key key = key_of(owners[i], 1);
        put(cache, &key, 0);
        assert_false(has(cache, &key, 0));
    }
    struct value_key last = key_of(UINT32_MAX, 1);
    put(cache, &last, 0);
    assert_true(has(cache, &last, 0));
    value_cache_free(cache);
}

/* Many times as many values as there is room for, of all lengths: what is found is right, and room
 * is neither lost nor made up. */
static void value_cache__full_sets_hold_together(void **state)
{
    enum { N = 15000 };
    struct value_cache *cache = make(CACHE_LEN);
    struct value_cache_stats stats;
    uint64_t n_found = 0;
    uint64_t len = 0;
    for (uint64_t i = 0; i < N; i++) {
        struct value_key key = key_of(1 + i % 3, i);
        put(cache, &key, 300);
        struct value_key again = key_of(1 + (i * 7 / 8) % 3, i * 7 / 8);
        has(cache, &again, 300);
    }
    for (uint64_t i = 0; i < N; i++) {
        struct value_key key = key_of(1 + i % 3, i);
        uint8_t value[VALUE_CACHE_LEN_MAX];
        if (!has(cache, &key, 300))
            continue;
        n_found++;
        len += value_of(&key, 300, value);
    }
    value_cache_stats(cache, &stats);
    assert_int_equal(stats.n_values, n_found);
    assert_true(stats.n_evicted > 0);
    assert_true(len < CACHE_LEN);
    assert_true(len > CACHE_LEN * 6 / 10);
    value_cache_free(cache);
}

static void value_cache__small_values_fill_a_set_with_slots(void **state)
{
    enum { N = 1000 };
    struct value_cache *cache = make(CACHE_LEN);
    struct value_cache_stats stats;
    uint64_t n_found = 0;
    for (uint64_t i = 0; i < N; i++) {
        struct value_key key = {.owner = 1, .hash = i}; /* one set: the high bits choose it */
        value_cache_insert(cache, &key, NULL, 0);
        value_cache_insert(cache, &key, NULL, 0);
    }
    for (uint64_t i = 0; i < N; i++) {
        struct value_key key = {.owner = 1, .hash = i};
        uint8_t out[VALUE_CACHE_LEN_MAX];
        uint32_t len = 1;
        if (value_cache_find(cache, &key, out, &len)) {
            n_found++;
            assert_int_equal(len, 0);
        }
    }
    value_cache_stats(cache, &stats);
    assert_int_equal(stats.n_values, n_found);
    assert_true(n_found > 190); /* 20 bytes each, of 4096 */
    assert_true(n_found < 205);
    value_cache_free(cache);
}

static void value_cache__what_is_asked_for_once_does_not_flush_it(void **state)
{
    enum { HOT = 2000, COLD = 30000 };
    struct value_cache *cache = make(CACHE_LEN);
    uint32_t n_kept = 0;
    uint8_t value[100] = {0};
    for (uint64_t i = 0; i < HOT; i++) {
        struct value_key key = key_of(1, i);
        put(cache, &key, 0);
        assert_true(has(cache, &key, 0));
    }
    for (uint64_t i = 0; i < COLD; i++) {
        struct value_key key = key_of(1, HOT + i);
        value_cache_insert(cache, &key, value, sizeof value);
    }
    for (uint64_t i = 0; i < HOT; i++) {
        struct value_key key = key_of(1, i);
        n_kept += has(cache, &key, 0);
    }
    assert_true(n_kept > HOT * 95 / 100);
    value_cache_free(cache);
}

/* Requests whose key i comes with a probability of about 1 / i: the hundredth part of the keys is asked
 * for in half of them. */
static void value_cache__skewed_requests_are_found(void **state)
{
    enum { KEYS = 70000, REQUESTS = 60000 }; /* there is room for a tenth of the keys */
    struct value_cache *cache = make(CACHE_LEN);
    uint64_t n_hits = 0;
    for (uint64_t i = 0; i < REQUESTS; i++) {
        double u = (double)(hash_u64(i, 7) >> 11) / (double)(1ULL << 53);
        uint64_t rank = 1;
        for (double x = u * 11.2; x >= 0.6931 && rank < KEYS; x -= 0.6931)
            rank *= 2;
        rank += hash_u64(i, 8) % rank;
        struct value_key key = key_of(1, rank);
        if (has(cache, &key, 0)) {
            n_hits += i > REQUESTS / 2;
        } else {
            uint8_t value[VALUE_CACHE_LEN_MAX];
            value_cache_insert(cache, &key, value, value_of(&key, 0, value));
        }
    }
    if (n_hits < REQUESTS / 2 * 70 / 100)
        fail_msg("%llu hits of %d", (unsigned long long)n_hits, REQUESTS / 2);
    value_cache_free(cache);
}

static void value_cache__sizes_out_of_range_are_refused(void **state)
{
    struct value_cache *cache = NULL;
    struct err err = {0};
    assert_int_equal(value_cache_new(VALUE_CACHE_MIN - 1, &cache, &err), -EINVAL);
    assert_non_null(strstr(err.text, "value cache"));
    assert_null(cache);
    value_cache_free(NULL);
    cache = make(5 << 20); /* not a whole number of huge pages */
    value_cache_free(cache);
}

/* Of a reader who was kept waiting between finding a value and counting that: meanwhile the place of
 * the slot is that of a long value, each half word of which could be that slot. */
static void value_cache__a_hit_that_is_counted_late_changes_no_value(void **state)
{
    enum { N = 200 };
    struct value_set *set = aligned_alloc(SET_LEN, SET_LEN);
    struct value_key keys[N];
    struct set_change change = {0};
    uint8_t small[8] = {0};
    uint8_t large[VALUE_CACHE_LEN_MAX];
    uint8_t found[VALUE_CACHE_LEN_MAX];
    uint32_t last = 0;
    uint32_t at = 0;
    memset(set, 0, SET_LEN);
    for (uint64_t i = 0; i < N; i++) {
        keys[i] = key_of(1, i);
        const struct set_key key = {&keys[i], value_key_mix(&keys[i])};
        set_insert(set, &key, small, sizeof small, &change);
    }
    for (uint64_t i = 0; i < N; i++) {
        const struct set_key key = {&keys[i], value_key_mix(&keys[i])};
        uint32_t slot = 0;
        uint32_t its = set_search(set, &key, &slot);
        if (its && slot >= last) {
            last = slot;
            at = its;
        }
    }
    assert_true(last > 100);
    uint64_t sequence = set_word(set, 0);
    for (size_t i = 0; i < sizeof large; i += sizeof at)
        memcpy(large + i, &at, sizeof at);
    struct value_key key = key_of(2, 0);
    const struct set_key it = {&key, value_key_mix(&key)};
    for (int i = 0; i < 2; i++)
        set_insert(set, &it, large, sizeof large, &change);
    set_count_hit(set, sequence, last);
    uint32_t len = 0;
    assert_true(set_find(set, &it, found, &len));
    assert_int_equal(len, sizeof large);
    assert_memory_equal(found, large, sizeof large);
    free(set);
}

static uint64_t resident_bytes(void)
{
    unsigned long long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%*u %llu", &pages), 1);
    fclose(file);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* A batch does not wait for a large cache to be filled with zeros. */
static void value_cache__few_values_take_little_of_a_large_cache(void **state)
{
    enum { LARGE = 512 << 20, N = 1000 };
    struct value_cache *cache = make(LARGE);
    uint64_t before = resident_bytes();
    for (uint64_t i = 0; i < N; i++) {
        struct value_key key = key_of(1, i);
        put(cache, &key, 0);
        assert_true(has(cache, &key, 0));
    }
    assert_true(resident_bytes() < before + LARGE / 8);
    value_cache_free(cache);
}

/* ---- many threads on few sets ---- */

enum { THREADS = 4, KEYS_SHARED = 20000, STEPS = 20000 };

struct worker {
    struct value_cache *cache;
    uint64_t seed;
    uint64_t n_hits;
    uint64_t n_wrong;
};

static void *work(void *context)
{
    struct worker *worker = context;
    for (uint64_t i = 0; i < STEPS; i++) {
        uint64_t x = hash_u64(i, worker->seed);
        /* Half of the requests go to a few keys, which are found and pushed out again and again. */
        struct value_key key = key_of(1, x % 2 ? x / 2 % 200 : x / 2 % KEYS_SHARED);
        uint8_t bytes[16];
        uint8_t wanted[VALUE_CACHE_LEN_MAX];
        uint8_t found[VALUE_CACHE_LEN_MAX];
        uint32_t len = 0;
        memcpy(bytes, &key.hash, 8);
        memcpy(bytes + 8, &x, 8);
        key.bytes = bytes;
        key.len = 8;
        uint32_t wanted_len = value_of(&key, 200, wanted);
        value_cache_prefetch(worker->cache, &key);
        value_cache_prefetch_value(worker->cache, &key);
        if (value_cache_find(worker->cache, &key, found, &len)) {
            worker->n_hits++;
            worker->n_wrong += len != wanted_len || memcmp(found, wanted, len) != 0;
        } else {
            value_cache_insert(worker->cache, &key, wanted, wanted_len);
        }
    }
    return NULL;
}

static void value_cache__threads_find_only_what_was_put_in(void **state)
{
    struct value_cache *cache = make(CACHE_LEN);
    struct worker workers[THREADS];
    pthread_t threads[THREADS];
    for (uint64_t i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.cache = cache, .seed = i};
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(workers[i].n_wrong, 0);
        assert_true(workers[i].n_hits > STEPS / 4);
    }
    value_cache_free(cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(value_cache__gives_back_what_it_was_given),
        cmocka_unit_test(value_cache__values_of_every_length_are_kept),
        cmocka_unit_test(value_cache__keys_are_told_apart_by_owner_hash_and_every_byte),
        cmocka_unit_test(value_cache__owners_out_of_range_are_not_kept),
        cmocka_unit_test(value_cache__full_sets_hold_together),
        cmocka_unit_test(value_cache__small_values_fill_a_set_with_slots),
        cmocka_unit_test(value_cache__what_is_asked_for_once_does_not_flush_it),
        cmocka_unit_test(value_cache__skewed_requests_are_found),
        cmocka_unit_test(value_cache__sizes_out_of_range_are_refused),
        cmocka_unit_test(value_cache__a_hit_that_is_counted_late_changes_no_value),
        cmocka_unit_test(value_cache__few_values_take_little_of_a_large_cache),
        cmocka_unit_test(value_cache__threads_find_only_what_was_put_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
