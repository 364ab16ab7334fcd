/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "failing_malloc.h"
#include "io/block_cache.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE = BLOCK_CACHE_PAGE, MIB = 1 << 20, BUF_PAGES = 64 };

static struct block_cache *open_cache(uint64_t max_bytes)
{
    struct block_cache *cache = NULL;
    assert_int_equal(block_cache_new(max_bytes, &cache, NULL), 0);
    return cache;
}

static struct block_cache_stats stats_of(struct block_cache *cache)
{
    struct block_cache_stats stats = {0};
    block_cache_stats(cache, &stats);
    return stats;
}

/* Every word of a block tells whose it is. */
static void fill(uint64_t *data, uint64_t file, uint64_t page, uint32_t n_pages)
{
    for (size_t i = 0; i < (size_t)n_pages * PAGE / 8; i++)
        data[i] = file << 40 ^ page << 12 ^ i;
}

static bool is_right(const struct cached_block *block, uint64_t file, uint64_t page)
{
    const uint64_t *data = (const uint64_t *)block->data;
    for (size_t i = 0; i < (size_t)block->n_pages * PAGE / 8; i += 73) {
        if (data[i] != (file << 40 ^ page << 12 ^ i))
            return false;
    }
    return true;
}

static int insert(struct block_cache *cache, uint64_t file, uint64_t page, uint32_t n_pages)
{
    uint64_t data[BUF_PAGES * PAGE / 8];
    fill(data, file, page, n_pages);
    return block_cache_insert(cache, file, page, data, n_pages);
}

static bool has(struct block_cache *cache, uint64_t file, uint64_t page)
{
    const struct cached_block *block = block_cache_find(cache, file, page);
    if (!block)
        return false;
    assert_true(is_right(block, file, page));
    block_cache_release(cache, block);
    return true;
}

/* What a reader does: look, and on a miss read and insert. */
static bool get(struct block_cache *cache, uint64_t file, uint64_t page)
{
    if (has(cache, file, page))
        return true;
    assert_int_equal(insert(cache, file, page, 1), 0);
    return false;
}

static unsigned count_present(struct block_cache *cache, uint64_t file, uint64_t n)
{
    unsigned present = 0;
    for (uint64_t page = 0; page < n; page++)
        present += has(cache, file, page);
    return present;
}

static void block_cache__blocks_are_found_by_file_and_page(void **state)
{
    struct block_cache *cache = open_cache(16 * MIB);
    assert_false(has(cache, 1, 0));
    for (uint64_t i = 0; i < 100; i++) {
        assert_int_equal(insert(cache, 1, i * 8, 1 + i % 8), 0);
        assert_int_equal(insert(cache, 2, i * 8, 1), 0);
    }
    for (uint64_t i = 0; i < 100; i++) {
        const struct cached_block *block = block_cache_find(cache, 1, i * 8);
        assert_non_null(block);
        assert_int_equal(block->n_pages, 1 + i % 8);
        assert_int_equal((uintptr_t)block->data % 64, 0);
        assert_true(is_right(block, 1, i * 8));
        block_cache_release(cache, block);
        assert_true(has(cache, 2, i * 8));
        assert_false(has(cache, 3, i * 8));
        assert_false(has(cache, 1, i * 8 + 1));
    }
    struct block_cache_stats stats = stats_of(cache);
    assert_int_equal(stats.n_blocks, 200);
    assert_int_equal(stats.n_inserted, 200);
    assert_int_equal(stats.n_hits, 200);
    assert_int_equal(stats.n_misses, 201);
    assert_int_equal(stats.n_evicted, 0);
    assert_int_equal(stats.bytes_held, 0);
    block_cache_free(cache);
}

static void block_cache__a_block_that_is_there_stays_as_it_is(void **state)
{
    struct block_cache *cache = open_cache(MIB);
    uint64_t other[PAGE / 8] = {0};
    assert_int_equal(insert(cache, 1, 5, 1), 0);
    uint64_t bytes = stats_of(cache).bytes;
    assert_int_equal(block_cache_insert(cache, 1, 5, other, 1), 0);
    assert_true(has(cache, 1, 5));
    assert_int_equal(stats_of(cache).bytes, bytes);
    assert_int_equal(stats_of(cache).bytes_held, 0);
    assert_int_equal(stats_of(cache).n_blocks, 1);
    block_cache_free(cache);
}

static void block_cache__memory_is_bounded_and_counted_to_the_byte(void **state)
{
    const uint64_t sizes[] = {MIB, MIB + 12345, 5 * MIB, 40 * MIB};
    for (int s = 0; s < 4; s++) {
        struct block_cache *cache = open_cache(sizes[s]);
        uint64_t empty = stats_of(cache).bytes;
        assert_true(empty < sizes[s] / 50);
        assert_int_equal(insert(cache, 1, 0, 1), 0);
        uint64_t charge = stats_of(cache).bytes - empty;
        assert_in_range(charge, PAGE, PAGE + 256);
        uint64_t most = 0;
        for (uint64_t page = 1; page < 3 * sizes[s] / PAGE; page++) {
            assert_int_equal(insert(cache, 1, page, 1), 0);
            struct block_cache_stats stats = stats_of(cache);
            assert_true(stats.bytes <= sizes[s]);
            assert_int_equal(stats.bytes, empty + stats.n_blocks * charge);
            assert_int_equal(stats.n_inserted, stats.n_blocks + stats.n_evicted);
            assert_int_equal(stats.bytes_held, 0);
            most = stats.bytes > most ? stats.bytes : most;
        }
        assert_true(most > sizes[s] - sizes[s] / 20);
        block_cache_drop_file(cache, 1);
        assert_int_equal(stats_of(cache).bytes, empty);
        assert_int_equal(stats_of(cache).n_blocks, 0);
        block_cache_free(cache);
    }
}

static void block_cache__a_held_block_outlives_its_eviction(void **state)
{
    struct block_cache *cache = open_cache(MIB);
    assert_int_equal(insert(cache, 1, 0, 2), 0);
    const struct cached_block *held = block_cache_find(cache, 1, 0);
    assert_non_null(held);
    for (uint64_t page = 0; page < 1000; page++)
        assert_int_equal(insert(cache, 2, page, 1), 0);
    assert_false(has(cache, 1, 0));
    assert_true(is_right(held, 1, 0));
    assert_in_range(stats_of(cache).bytes_held, 2 * PAGE, 2 * PAGE + 256);
    /* A second life of the same block has nothing to do with the first. */
    assert_int_equal(insert(cache, 1, 0, 2), 0);
    block_cache_drop_file(cache, 1);
    assert_true(is_right(held, 1, 0));
    block_cache_release(cache, held);
    assert_int_equal(stats_of(cache).bytes_held, 0);
    block_cache_free(cache);
}

static void block_cache__dropping_a_file_leaves_the_others(void **state)
{
    struct block_cache *cache = open_cache(16 * MIB);
    for (uint64_t i = 0; i < 900; i++)
        assert_int_equal(insert(cache, i % 3, i, 1), 0);
    for (uint64_t i = 0; i < 900; i++)
        assert_true(has(cache, i % 3, i));
    block_cache_drop_file(cache, 1);
    for (uint64_t i = 0; i < 900; i++)
        assert_int_equal(has(cache, i % 3, i), i % 3 != 1);
    assert_int_equal(stats_of(cache).n_blocks, 600);
    assert_int_equal(stats_of(cache).n_evicted, 0);
    block_cache_drop_file(cache, 99);
    assert_int_equal(stats_of(cache).n_blocks, 600);
    block_cache_free(cache);
}

static void block_cache__a_dropped_block_is_gone_and_the_others_stay(void **state)
{
    struct block_cache *cache = open_cache(16 * MIB);
    struct block_cache_stats stats = {0};
    for (uint64_t page = 0; page < 100; page++)
        assert_int_equal(insert(cache, 1, page, 1), 0);
    const struct cached_block *held = block_cache_find(cache, 1, 50);
    assert_non_null(held);
    block_cache_drop(cache, 1, 50);
    block_cache_drop(cache, 1, 50); /* there is none any more */
    block_cache_drop(cache, 2, 51);
    assert_null(block_cache_find(cache, 1, 50));
    assert_int_equal(held->n_pages, 1);
    block_cache_release(cache, held);
    block_cache_stats(cache, &stats);
    assert_int_equal(stats.n_blocks, 99);
    assert_int_equal(stats.n_evicted, 0);
    assert_int_equal(stats.bytes_held, 0);
    assert_int_equal(count_present(cache, 1, 100), 99);
    assert_int_equal(insert(cache, 1, 50, 1), 0);
    assert_int_equal(count_present(cache, 1, 100), 100);
    block_cache_free(cache);
}

static void block_cache__blocks_too_large_are_left_out(void **state)
{
    struct block_cache *cache = open_cache(MIB);
    uint64_t empty = stats_of(cache).bytes;
    assert_int_equal(insert(cache, 1, 0, 40), 0);
    assert_false(has(cache, 1, 0));
    assert_int_equal(insert(cache, 1, 0, 0), -EINVAL);
    assert_int_equal(stats_of(cache).n_refused, 1);
    assert_int_equal(stats_of(cache).bytes, empty);
    assert_int_equal(insert(cache, 1, 0, 20), 0);
    assert_true(has(cache, 1, 0));
    block_cache_free(cache);
}

/* Half the cache is hot; blocks read once, 100 times the cache of them, come by. */
static void scan_after(uint64_t max_bytes, unsigned scans_between)
{
    struct block_cache *cache = open_cache(max_bytes);
    uint64_t n_hot = max_bytes / 2 / PAGE;
    uint64_t n_scan = 100 * max_bytes / PAGE;
    for (int round = 0; round < 4; round++) {
        for (uint64_t page = 0; page < n_hot; page++)
            get(cache, 1, page);
    }
    assert_int_equal(count_present(cache, 1, n_hot), n_hot);
    uint64_t n_hits = 0;
    uint64_t n_asked = 0;
    for (uint64_t page = 0; page < n_scan; page++) {
        assert_false(get(cache, 2, page));
        if (scans_between && page % scans_between == 0) {
            n_asked++;
            n_hits += get(cache, 1, n_asked * 7919 % n_hot);
        }
    }
    /* None of the hot set is lost, not even where nobody asked for it meanwhile. */
    assert_true(n_hits >= n_asked - n_asked / 100);
    assert_true(count_present(cache, 1, n_hot) >= n_hot - n_hot / 100);
    assert_true(stats_of(cache).bytes <= max_bytes);
    block_cache_free(cache);
}

static void block_cache__a_scan_of_100_times_its_size_leaves_the_hot_set(void **state)
{
    scan_after(2 * MIB, 0);
    scan_after(2 * MIB, 20);
    scan_after(16 * MIB, 0);
}

static void block_cache__a_block_wanted_again_soon_after_it_left_is_kept(void **state)
{
    struct block_cache *cache = open_cache(MIB);
    assert_false(get(cache, 1, 0));
    uint64_t page = 0;
    while (stats_of(cache).n_evicted < 10)
        get(cache, 2, page++);
    assert_false(get(cache, 1, 0));
    for (uint64_t i = 0; i < 5000; i++)
        get(cache, 3, i);
    assert_true(has(cache, 1, 0));
    block_cache_free(cache);
}

/* Hot for long, then never again: what is hot now takes its place. */
static void block_cache__a_new_hot_set_takes_the_place_of_the_old(void **state)
{
    struct block_cache *cache = open_cache(4 * MIB);
    const uint64_t n_hot = 4 * MIB / PAGE * 3 / 4;
    for (int round = 0; round < 20; round++) {
        for (uint64_t page = 0; page < n_hot; page++)
            get(cache, 1, page);
    }
    assert_true(count_present(cache, 1, n_hot) > n_hot * 95 / 100);
    for (int round = 0; round < 12; round++) {
        for (uint64_t i = 0; i < n_hot; i++)
            get(cache, 2, i * 389 % n_hot);
    }
    assert_true(count_present(cache, 2, n_hot) > n_hot * 95 / 100);
    block_cache_free(cache);
}

static void block_cache__blocks_of_all_sizes_fit_the_bound(void **state)
{
    struct block_cache *cache = open_cache(3 * MIB);
    uint64_t random = 88172645463325252ULL;
    for (int i = 0; i < 20000; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        uint64_t page = random % 300;
        if (!has(cache, 1, page))
            assert_int_equal(insert(cache, 1, page, 1 + page % 20), 0);
        struct block_cache_stats stats = stats_of(cache);
        assert_true(stats.bytes <= 3 * MIB);
        assert_int_equal(stats.n_inserted, stats.n_blocks + stats.n_evicted);
    }
    block_cache_free(cache);
}

static void block_cache__sizes_beyond_the_limits_are_refused(void **state)
{
    struct block_cache *cache = NULL;
    struct err err = {0};
    assert_int_equal(block_cache_new(0, &cache, &err), -EINVAL);
    assert_int_equal(block_cache_new(MIB - 1, &cache, &err), -EINVAL);
    assert_int_equal(block_cache_new(UINT64_MAX, &cache, &err), -EINVAL);
    assert_non_null(strstr(err.text, "block cache"));
    assert_null(cache);
    block_cache_free(NULL);
}

static void block_cache__no_memory_costs_speed_only(void **state)
{
    bool is_done = false;
    for (unsigned nth = 1; nth < 40 && !is_done; nth++) {
        struct block_cache *cache = NULL;
        failing_malloc_arm(nth);
        int ret = block_cache_new(17 * MIB, &cache, NULL);
        is_done = !failing_malloc_disarm();
        assert_int_equal(ret, is_done ? 0 : -ENOMEM);
        block_cache_free(cache);
    }
    assert_true(is_done);
    struct block_cache *cache = open_cache(MIB);
    uint64_t bytes = stats_of(cache).bytes;
    failing_malloc_arm(1);
    assert_int_equal(insert(cache, 1, 1, 1), -ENOMEM);
    assert_true(failing_malloc_disarm());
    assert_int_equal(stats_of(cache).bytes, bytes);
    assert_false(has(cache, 1, 1));
    assert_int_equal(insert(cache, 1, 1, 1), 0);
    assert_true(has(cache, 1, 1));
    block_cache_free(cache);
}

enum { THREADS = 4, STEPS = 20000, HELD = 8 };

struct racer {
    struct block_cache *cache;
    uint64_t random;
    uint64_t n_found;
    uint64_t n_asked;
    bool is_wrong;
};

static uint64_t next_random(struct racer *racer)
{
    racer->random ^= racer->random << 13;
    racer->random ^= racer->random >> 7;
    racer->random ^= racer->random << 17;
    return racer->random >> 8;
}

/* Finds, inserts, holds some for long, and drops a file now and then. */
static void *race(void *context)
{
    struct racer *racer = context;
    struct {
        const struct cached_block *block;
        uint64_t file;
        uint64_t page;
    } held[HELD] = {0};
    for (int i = 0; i < STEPS; i++) {
        uint64_t file = 1 + next_random(racer) % 3;
        uint64_t page = next_random(racer) % (next_random(racer) % 2 ? 50 : 1000);
        int h = (int)(next_random(racer) % HELD);
        if (held[h].block) {
            racer->is_wrong |= !is_right(held[h].block, held[h].file, held[h].page);
            block_cache_release(racer->cache, held[h].block);
        }
        racer->n_asked++;
        held[h].block = block_cache_find(racer->cache, file, page);
        held[h].file = file;
        held[h].page = page;
        if (held[h].block)
            racer->n_found++;
        else
            racer->is_wrong |= insert(racer->cache, file, page, 1 + page % 3) != 0;
        if (next_random(racer) % 5000 == 0)
            block_cache_drop_file(racer->cache, 1 + next_random(racer) % 3);
        struct block_cache_stats stats;
        if (i % 64 == 0) {
            block_cache_stats(racer->cache, &stats);
            racer->is_wrong |= stats.bytes > stats.max_bytes;
        }
    }
    for (int h = 0; h < HELD; h++) {
        if (held[h].block) {
            racer->is_wrong |= !is_right(held[h].block, held[h].file, held[h].page);
            block_cache_release(racer->cache, held[h].block);
        }
    }
    return NULL;
}

static void race_in(uint64_t max_bytes)
{
    struct block_cache *cache = open_cache(max_bytes);
    uint64_t empty = stats_of(cache).bytes;
    struct racer racers[THREADS] = {0};
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        racers[i] = (struct racer){.cache = cache, .random = 88172645463325252ULL + i};
        assert_int_equal(pthread_create(&threads[i], NULL, race, &racers[i]), 0);
    }
    uint64_t n_found = 0;
    uint64_t n_asked = 0;
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_false(racers[i].is_wrong);
        n_found += racers[i].n_found;
        n_asked += racers[i].n_asked;
    }
    struct block_cache_stats stats = stats_of(cache);
    assert_int_equal(stats.n_hits, n_found);
    assert_int_equal(stats.n_hits + stats.n_misses, n_asked);
    assert_int_equal(stats.bytes_held, 0);
    for (uint64_t file = 1; file <= 3; file++)
        block_cache_drop_file(cache, file);
    assert_int_equal(stats_of(cache).bytes, empty);
    assert_int_equal(stats_of(cache).n_blocks, 0);
    block_cache_free(cache);
}

static void block_cache__many_threads_see_right_blocks_only(void **state)
{
    race_in(MIB);
    race_in(10 * MIB);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(block_cache__blocks_are_found_by_file_and_page),
        cmocka_unit_test(block_cache__a_block_that_is_there_stays_as_it_is),
        cmocka_unit_test(block_cache__memory_is_bounded_and_counted_to_the_byte),
        cmocka_unit_test(block_cache__a_held_block_outlives_its_eviction),
        cmocka_unit_test(block_cache__dropping_a_file_leaves_the_others),
        cmocka_unit_test(block_cache__a_dropped_block_is_gone_and_the_others_stay),
        cmocka_unit_test(block_cache__blocks_too_large_are_left_out),
        cmocka_unit_test(block_cache__a_scan_of_100_times_its_size_leaves_the_hot_set),
        cmocka_unit_test(block_cache__a_block_wanted_again_soon_after_it_left_is_kept),
        cmocka_unit_test(block_cache__a_new_hot_set_takes_the_place_of_the_old),
        cmocka_unit_test(block_cache__blocks_of_all_sizes_fit_the_bound),
        cmocka_unit_test(block_cache__sizes_beyond_the_limits_are_refused),
        cmocka_unit_test(block_cache__no_memory_costs_speed_only),
        cmocka_unit_test(block_cache__many_threads_see_right_blocks_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
