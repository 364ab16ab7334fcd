/* SPDX-License-Identifier: Apache-2.0 */
/* Helpers, reading runs ahead and writing them behind, and sorting what was made to be hard to sort. */
#include "unit.h"

#include "base/hash.h"
#include "builder/helper.h"
#include "builder/merge.h"
#include "builder/run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SEED = 5, ALIGN = 4096 };

static uint64_t next_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

/* ---- a file in memory whose nth call fails; its counters are plain: to a race detector, two threads that read it at once are one ---- */

struct fake {
    struct run_file file;
    uint8_t *data;
    size_t cap;
    unsigned fail_at; /* 0: never */
    unsigned n_calls;
    unsigned n_reads;
};

static int fake_fails(struct fake *fake, struct err *err)
{
    if (++fake->n_calls == fake->fail_at)
        return err_set(err, -EIO, "call %u fails", fake->n_calls);
    return 0;
}

static int fake_append(struct run_file *file, const void *data, size_t len, struct err *err)
{
    struct fake *fake = (struct fake *)file;
    int ret = fake_fails(fake, err);
    if (ret)
        return ret;
    assert_true(len % ALIGN == 0 && file->len + len <= fake->cap);
    memcpy(fake->data + file->len, data, len);
    file->len += len;
    return 0;
}

static int fake_read(const struct run_file *file, uint64_t off, void *data, size_t len,
                     struct err *err)
{
    struct fake *fake = (struct fake *)(uintptr_t)file;
    int ret = fake_fails(fake, err);
    if (ret)
        return ret;
    assert_true(off % ALIGN == 0 && len % ALIGN == 0 && off + len <= file->len);
    assert_int_equal((uintptr_t)data % ALIGN, 0);
    memcpy(data, fake->data + off, len);
    fake->n_reads++;
    return 0;
}

static const struct run_file_ops fake_ops = {.append = fake_append, .read = fake_read};

static struct fake fake_of(size_t cap)
{
    struct fake fake = {.file = {.ops = &fake_ops, .align = ALIGN}, .cap = cap};
    fake.data = malloc(cap);
    assert_non_null(fake.data);
    return fake;
}

/* ---- helpers ---- */

struct note {
    struct helper_job job;
    unsigned *n_done;
    unsigned place; /* in which it was done */
    int ret;
};

static int note_run(struct helper_job *job, struct err *err)
{
    struct note *note = (struct note *)job;
    note->place = (*note->n_done)++;
    return note->ret ? err_set(err, note->ret, "note %u", note->place) : 0;
}

static void helper__jobs_are_done_in_order_and_errors_told(void **state)
{
    struct helper *helper = NULL;
    unsigned n_done = 0;
    struct note notes[50] = {0};
    assert_int_equal(helper_new(&helper, NULL), 0);
    for (unsigned i = 0; i < 50; i++) {
        notes[i] = (struct note){
            .job = {.run = note_run}, .n_done = &n_done, .ret = i == 30 ? -ENOSPC : 0};
        helper_submit(helper, &notes[i].job);
    }
    for (unsigned i = 50; i-- > 0;) {
        struct err err = {0};
        assert_int_equal(helper_wait(helper, &notes[i].job, &err), i == 30 ? -ENOSPC : 0);
        assert_string_equal(err.text, i == 30 ? "note 30" : "");
        assert_int_equal(notes[i].place, i);
    }
    helper_free(helper);
}

static void helper__freed_after_what_was_handed_in(void **state)
{
    struct helper *helper = NULL;
    unsigned n_done = 0;
    struct note notes[20] = {0};
    assert_int_equal(helper_new(&helper, NULL), 0);
    for (unsigned i = 0; i < 20; i++) {
        notes[i] = (struct note){.job = {.run = note_run}, .n_done = &n_done};
        helper_submit(helper, &notes[i].job);
    }
    helper_free(helper);
    assert_int_equal(n_done, 20);
    helper_free(NULL);
}

/* ---- the window ---- */

/* Steps of any length, small, as records, and large, as values that are skipped. */
static void walk(struct fake *fake, size_t cap, uint64_t seed, struct helper *helper)
{
    uint8_t *memory = aligned_alloc(ALIGN, cap);
    struct run_buffer buffer;
    run_buffer_init(&buffer, &fake->file, fake->file.len,
                    (struct run_memory){.data = memory, .cap = cap, .helper = helper});
    assert_true(buffer.whole_max >= RECORD_SHORT_MAX);
    for (uint64_t off = 0; off < fake->file.len;) {
        size_t len = 1 + (size_t)(next_random(&seed) % buffer.whole_max);
        assert_int_equal(run_buffer_need(&buffer, off, len, NULL), 0);
        if (off + len > fake->file.len)
            len = (size_t)(fake->file.len - off);
        assert_true(run_buffer_has(&buffer, off, len));
        assert_memory_equal(buffer.data + (off - buffer.off), fake->data + off, len);
        off += next_random(&seed) % 50 ? len : len + next_random(&seed) % (4 * cap);
    }
    if (helper && buffer.is_ahead)
        helper_wait(helper, &buffer.ahead.job, NULL);
    free(memory);
}

static void run_buffer__shows_the_file_whatever_the_steps(void **state)
{
    struct fake fake = fake_of(6 << 20);
    uint64_t seed = 1;
    for (size_t i = 0; i < fake.cap; i += 8) {
        uint64_t r = next_random(&seed);
        memcpy(fake.data + i, &r, 8);
    }
    fake.file.len = fake.cap;
    for (size_t cap = 2 * ALIGN; cap <= 2 << 20; cap *= 2) {
        struct helper *helper = NULL;
        assert_int_equal(helper_new(&helper, NULL), 0);
        for (uint64_t i = 1; i < 20; i++) {
            walk(&fake, cap, i, helper);
            walk(&fake, cap, i, NULL);
        }
        helper_free(helper);
    }
    free(fake.data);
}

/* ---- runs ---- */

static void add(struct arena *arena, uint64_t hash, uint64_t seq, uint32_t value_len)
{
    static const uint8_t value[20000];
    struct part_entry entry = {
        .hash = hash, .key = hash_u64_inverse(hash, SEED), .value = value, .value_len = value_len};
    assert_int_equal(arena_add(arena, &entry, seq), 0);
}

enum { N_RUNS = 3, N_EACH = 9000 };

/* 1 MiB and more a run, so that several buffers are written. */
static int runs_spill(struct fake *fake, struct run runs[N_RUNS], struct err *err)
{
    const struct run_order order = {.hash_seed = SEED};
    struct run_writer writer;
    uint64_t seed = 3;
    int ret = run_writer_init(&writer, &fake->file, err);
    for (size_t i = 0; i < N_RUNS && !ret; i++) {
        struct arena arena;
        assert_int_equal(arena_init(&arena, 8 << 20), 0);
        for (uint64_t k = 0; k < N_EACH; k++)
            add(&arena, next_random(&seed), k, k % 1000 ? (uint32_t)(k % 200) : 20000);
        arena_sort(&arena, &order);
        ret = run_spill(&writer, &arena, &runs[i], err);
        arena_release(&arena);
    }
    run_writer_release(&writer);
    return ret;
}

static int runs_merge(struct run runs[N_RUNS], uint64_t memory, uint64_t *n, struct err *err)
{
    const struct run_order order = {.hash_seed = SEED};
    struct merge *merge = NULL;
    const struct run_entry *next = NULL;
    uint64_t last = 0;
    *n = 0;
    int got = merge_open(runs, N_RUNS, &order, merge_range_of(0, 1), memory, &merge, err);
    while (!got && (got = merge_next(merge, &next, err)) > 0) {
        assert_true(next->entry.hash >= last);
        last = next->entry.hash;
        got = merge_value(merge, err);
        ++*n;
    }
    merge_close(merge);
    return got;
}

static void runs_release(struct run runs[N_RUNS])
{
    for (size_t i = 0; i < N_RUNS; i++) {
        run_release(&runs[i]);
        runs[i] = (struct run){0};
    }
}

static void run__each_write_that_fails_is_told(void **state)
{
    struct run runs[N_RUNS] = {0};
    unsigned n = 1;
    for (int ret = -EIO; ret; n++) {
        struct fake fake = fake_of(16 << 20);
        struct err err = {0};
        char expected[40];
        fake.fail_at = n;
        ret = runs_spill(&fake, runs, &err);
        snprintf(expected, sizeof expected, "call %u fails", n);
        assert_true(ret == 0 || (ret == -EIO && strcmp(err.text, expected) == 0));
        runs_release(runs);
        free(fake.data);
    }
    assert_in_range(n, N_RUNS * 2, 100);
}

static void merge__each_read_that_fails_is_told(void **state)
{
    static const uint64_t memories[] = {1 << 16, 1 << 20, 8 << 20};
    struct run runs[N_RUNS] = {0};
    struct fake fake = fake_of(16 << 20);
    uint64_t n = 0;
    assert_int_equal(runs_spill(&fake, runs, NULL), 0);
    for (size_t i = 0; i < 3; i++) {
        unsigned fail_at = 1;
        for (int ret = -EIO; ret; fail_at += i ? 1 : 7) {
            struct err err = {0};
            fake.n_calls = 0;
            fake.fail_at = fail_at;
            ret = runs_merge(runs, memories[i], &n, &err);
            assert_true(ret == 0 || (ret == -EIO && strstr(err.text, "fails")));
        }
        assert_int_equal(n, N_RUNS * N_EACH);
        assert_true(fail_at > N_RUNS);
    }
    runs_release(runs);
    free(fake.data);
}

/* A shard's share ends at a fence: about what it has is read. */
static void merge__reads_little_beyond_a_shard(void **state)
{
    const struct run_order order = {.hash_seed = SEED};
    struct run runs[N_RUNS] = {0};
    struct fake fake = fake_of(16 << 20);
    const struct run_entry *next = NULL;
    uint64_t n = 0;
    assert_int_equal(runs_spill(&fake, runs, NULL), 0);
    for (uint32_t shard = 0; shard < 8; shard++) {
        struct merge *merge = NULL;
        assert_int_equal(
            merge_open(runs, N_RUNS, &order, merge_range_of(shard, 8), 8 << 20, &merge, NULL), 0);
        while (merge_next(merge, &next, NULL) > 0)
            n++;
        merge_close(merge);
        /* One piece of each is enough for an eighth of it. */
        assert_true(fake.n_reads <= 2 * N_RUNS);
        fake.n_reads = 0;
    }
    assert_int_equal(n, N_RUNS * N_EACH);
    runs_release(runs);
    free(fake.data);
}

/* ---- sorting ---- */

static uint64_t hash_same(uint64_t i)
{
    (void)i;
    return 77;
}
static uint64_t hash_two(uint64_t i)
{
    return i % 3 ? UINT64_MAX : 0;
}
static uint64_t hash_descending(uint64_t i)
{
    return UINT64_MAX - i;
}
static uint64_t hash_low_bits(uint64_t i)
{
    return (i * 0x9E3779B97F4A7C15ULL) >> 58;
}
static uint64_t hash_high_bits(uint64_t i)
{
    return i * 0x9E3779B97F4A7C15ULL & ~(UINT64_MAX >> 7);
}
static uint64_t hash_one_bucket(uint64_t i)
{
    return i * 0x9E3779B97F4A7C15ULL >> 9;
}
/* Every digit of four bits parts few from many. */
static uint64_t hash_lopsided(uint64_t i)
{
    return i % 64 < 60 ? i : 1ULL << i % 64;
}
static uint64_t hash_uniform(uint64_t i)
{
    return hash_u64(i, 1);
}

static void arena__sorts_any_hashes(void **state)
{
    uint64_t (*const hashes[])(uint64_t) = {hash_same,     hash_two,       hash_descending,
                                            hash_low_bits, hash_high_bits, hash_one_bucket,
                                            hash_lopsided, hash_uniform};
    static const size_t lens[] = {1, 24, 25, 26, 400, 4097, 30000};
    for (size_t h = 0; h < sizeof hashes / sizeof *hashes; h++) {
        for (size_t l = 0; l < sizeof lens / sizeof *lens; l++) {
            for (uint32_t n_shards = 0; n_shards <= 16; n_shards += 8) {
                struct run_order order = {.hash_seed = SEED, .n_shards = n_shards, .seq = h % 2};
                struct arena arena;
                uint64_t sum = 0;
                assert_int_equal(arena_init(&arena, 16 << 20), 0);
                for (uint64_t i = 0; i < lens[l]; i++)
                    add(&arena, hashes[h](i), i, i % 40);
                arena_sort(&arena, &order);
                const struct arena_slot *slots = arena_slots(&arena);
                for (size_t i = 0; i < lens[l]; i++) {
                    struct run_entry view;
                    record_view(arena.memory + slots[i].off, SEED, &view);
                    sum += view.seq;
                    assert_true(i == 0 || record_compare(&order, arena.memory + slots[i - 1].off,
                                                         arena.memory + slots[i].off) < 0);
                }
                assert_int_equal(sum, lens[l] * (lens[l] - 1) / 2);
                arena_release(&arena);
            }
        }
    }
}

/* Buckets waste little, however uneven they are. */
static void arena__is_full_when_it_is(void **state)
{
    uint64_t (*const hashes[])(uint64_t) = {hash_same, hash_uniform, hash_one_bucket};
    for (size_t h = 0; h < 3; h++) {
        struct arena arena;
        struct part_entry entry = {.value = (const uint8_t *)"12345678", .value_len = 8};
        uint64_t n = 0;
        assert_int_equal(arena_init(&arena, 32 << 20), 0);
        for (;; n++) {
            entry.hash = hashes[h](n);
            if (arena_add(&arena, &entry, n))
                break;
        }
        assert_true(n * (32 + 16) >= (32U << 20) / 100 * 97);
        assert_true(arena_used(&arena) <= arena.cap);
        arena_clear(&arena);
        assert_int_equal(arena_add(&arena, &entry, 0), 0);
        arena_release(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(helper__jobs_are_done_in_order_and_errors_told),
        cmocka_unit_test(helper__freed_after_what_was_handed_in),
        cmocka_unit_test(run_buffer__shows_the_file_whatever_the_steps),
        cmocka_unit_test(run__each_write_that_fails_is_told),
        cmocka_unit_test(merge__each_read_that_fails_is_told),
        cmocka_unit_test(merge__reads_little_beyond_a_shard),
        cmocka_unit_test(arena__sorts_any_hashes),
        cmocka_unit_test(arena__is_full_when_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
