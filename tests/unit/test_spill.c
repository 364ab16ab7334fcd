/* SPDX-License-Identifier: Apache-2.0 */
/* Sorted runs as a file on the store: all comes back, and nothing that was not written there. */
#include "unit.h"

#include "failing_malloc.h"
#include "faulty_backend.h"
#include "memory_backend.h"
#include "spill_fixture.h"

#include <errno.h>
#include <sys/resource.h>

enum { N_RUNS = 3, N = 400, N_SAMPLED = 20, FILE_MAX = 64 << 20 };

struct world {
    struct store *store;
    struct digest digest;
    struct buf file;
    uint8_t *footer;
    size_t sample_off;
    size_t index_off;
};

static void world_init(struct world *w)
{
    *w = (struct world){0};
    assert_int_equal(store_open_backend(memory_backend_new(), "memory:", &w->store, NULL), 0);
    spill_fixture_write(w->store, "a.run", N_RUNS, N, N_SAMPLED, &w->digest);
    assert_int_equal(store_get(w->store, "a.run", FILE_MAX, &w->file, NULL), 0);
    w->footer = w->file.data + w->file.len - SPILL_FOOTER_LEN;
    w->sample_off = (size_t)load_le64(w->footer + SPILL_AT_DATA_LEN);
    w->index_off = w->sample_off + (size_t)load_le64(w->footer + SPILL_AT_SAMPLE_LEN);
}

static void world_release(struct world *w)
{
    buf_release(&w->file);
    store_close(w->store);
}

/* Opens and reads all of what the file is now. */
static int open_and_read(struct world *w, struct err *err)
{
    struct spill spill;
    struct value_sample sample = {0};
    uint64_t n = 0;
    assert_int_equal(store_put(w->store, "b.run", w->file.data, w->file.len, NULL), 0);
    int ret = spill_open(&spill, w->store, "b.run", &w->digest, err);
    if (ret)
        return ret;
    ret = spill_sample(&spill, &sample, err);
    if (!ret)
        ret = spill_fixture_read(&spill, &n, err);
    value_sample_release(&sample);
    spill_close(&spill);
    return ret;
}

static void is_refused(struct world *w, const char *word)
{
    struct err err = {0};
    assert_int_equal(open_and_read(w, &err), -EBADMSG);
    if (!strstr(err.text, word))
        fail_msg("expected '%s' in: %s", word, err.text);
}

/* ---- what is written comes back ---- */

static void spill__gives_back_runs_and_sample(void **state)
{
    struct world w;
    struct spill spill;
    struct value_sample sample = {0};
    uint64_t n = 0;
    world_init(&w);
    assert_int_equal(spill_open(&spill, w.store, "a.run", &w.digest, NULL), 0);
    assert_int_equal(spill.n_runs, N_RUNS);
    assert_int_equal(spill_fixture_read(&spill, &n, NULL), 0);
    assert_int_equal(n, N_RUNS * N);
    assert_int_equal(spill_sample(&spill, &sample, NULL), 0);
    value_sample_sort(&sample);
    assert_int_equal(sample.n, N_SAMPLED);
    for (size_t i = 0; i < sample.n; i++) {
        const struct sampled_value *value = &sample.values[i];
        assert_int_equal(value->hash, hash_u64(value->seq, SPILL_SEED));
        assert_int_equal(load_le64(value->data), value->seq);
        assert_int_equal(value->full_len, value->seq == 3 ? 100000 : 8);
    }
    value_sample_release(&sample);
    spill_close(&spill);
    world_release(&w);
}

static void spill__records_are_in_order_and_whole(void **state)
{
    struct world w;
    struct spill spill;
    static uint8_t buffer[4 * SPILL_BLOCK_LEN] __attribute__((aligned(SPILL_BLOCK_LEN)));
    struct run_reader reader;
    struct buf big = {0};
    world_init(&w);
    assert_int_equal(spill_open(&spill, w.store, "a.run", &w.digest, NULL), 0);
    for (uint32_t i = 0; i < N_RUNS; i++) {
        uint64_t last = 0;
        assert_int_equal(run_reader_open(&reader, &spill.runs[i], SPILL_SEED, 0, UINT64_MAX,
                                         (struct run_memory){.data = buffer, .cap = sizeof buffer},
                                         NULL),
                         0);
        while (run_reader_next(&reader, NULL) == 1) {
            assert_int_equal(run_reader_value(&reader, &big, NULL), 0);
            const struct part_entry *entry = &reader.view.entry;
            uint32_t len = spill_fixture_value_len(entry->key);
            assert_true(entry->hash >= last);
            last = entry->hash;
            assert_in_range(entry->key, 1 + i * N, (i + 1) * N);
            assert_int_equal(entry->value_len, len);
            assert_true(len == 0 || (entry->value[0] == (uint8_t)entry->key &&
                                     entry->value[len - 1] == (uint8_t)entry->key));
        }
    }
    buf_release(&big);
    spill_close(&spill);
    world_release(&w);
}

/* All are read in turns, a record each, with so many places. */
static void read_in_turns(uint32_t n_open_max)
{
    enum { N_SPILLS = 5, MEMORY = 2 * SPILL_BLOCK_LEN };
    struct world w;
    struct spill_files files;
    struct spill spills[N_SPILLS];
    struct run_reader readers[N_SPILLS];
    static uint8_t buffers[N_SPILLS][MEMORY] __attribute__((aligned(SPILL_BLOCK_LEN)));
    uint64_t n = 0;
    world_init(&w);
    assert_int_equal(spill_files_init(&files, n_open_max, NULL), 0);
    for (int i = 0; i < N_SPILLS; i++) {
        assert_int_equal(spill_open(&spills[i], w.store, "a.run", &w.digest, NULL), 0);
        spill_files_add(&files, &spills[i]);
        assert_int_equal(run_reader_open(&readers[i], &spills[i].runs[0], SPILL_SEED, 0, UINT64_MAX,
                                         (struct run_memory){.data = buffers[i], .cap = MEMORY},
                                         NULL),
                         0);
    }
    for (bool more = true; more;) {
        uint32_t n_open = 0;
        more = false;
        for (int i = 0; i < N_SPILLS; i++) {
            int got = run_reader_next(&readers[i], NULL);
            assert_true(got >= 0);
            more |= got;
            n += (uint64_t)got;
        }
        for (int i = 0; i < N_SPILLS; i++)
            n_open += spills[i].reader != NULL;
        assert_true(n_open <= n_open_max);
    }
    assert_int_equal(n, N_SPILLS * N);
    for (int i = 0; i < N_SPILLS; i++) {
        spill_close(&spills[i]);
        for (uint32_t k = 0; k < files.n_max; k++)
            assert_true(files.open[k] != &spills[i]);
    }
    spill_files_release(&files);
    world_release(&w);
}

static void spill__that_gave_way_is_opened_again(void **state)
{
    read_in_turns(2);
    read_in_turns(1);
    read_in_turns(8);
}

/* However few files there may be: all sharers together keep to half of them, as long as each has one. */
static void spill__files_are_shared_within_the_limit(void **state)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    struct rlimit low = {64, limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    assert_int_equal(spill_files_share(1), 32);
    assert_int_equal(spill_files_share(16), 2);
    assert_int_equal(spill_files_share(32), 1);
    assert_int_equal(spill_files_share(100), 1);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static void spill__of_nothing_is_a_file(void **state)
{
    struct store *store = NULL;
    struct digest digest;
    struct spill spill;
    struct value_sample sample = {0};
    uint64_t n = 0;
    assert_int_equal(store_open_backend(memory_backend_new(), "memory:", &store, NULL), 0);
    spill_fixture_write(store, "a.run", 0, 0, 0, &digest);
    assert_int_equal(spill_open(&spill, store, "a.run", &digest, NULL), 0);
    assert_int_equal(spill.n_runs, 0);
    assert_int_equal(spill_sample(&spill, &sample, NULL), 0);
    assert_int_equal(spill_fixture_read(&spill, &n, NULL), 0);
    spill_close(&spill);
    spill_fixture_write(store, "b.run", 2, 0, 3, &digest);
    assert_int_equal(spill_open(&spill, store, "b.run", &digest, NULL), 0);
    assert_int_equal(spill.n_runs, 2);
    assert_int_equal(spill_fixture_read(&spill, &n, NULL), 0);
    assert_int_equal(n, 0);
    spill_close(&spill);
    store_close(store);
}

static void spill__given_up_leaves_no_file(void **state)
{
    struct store *store = NULL;
    struct store_list list = {0};
    struct spill_writer spill = {0};
    spill_writer_release(&spill);
    assert_int_equal(store_open_backend(memory_backend_new(), "memory:", &store, NULL), 0);
    assert_int_equal(store_mkdir(store, "runs", NULL), 0);
    assert_int_equal(spill_writer_open(&spill, store, "runs/a.run", NULL), 0);
    spill_fixture_run(&spill, 1, 1000);
    spill_writer_release(&spill);
    assert_int_equal(store_list(store, "runs", &list, NULL), 0);
    assert_int_equal(list.n_names, 0);
    store_list_release(&list);
    store_close(store);
}

static void spill__is_written_once_and_read_for_ever(void **state)
{
    struct world w;
    struct spill spill;
    struct spill_writer writer;
    uint8_t block[SPILL_BLOCK_LEN] = {0};
    world_init(&w);
    assert_int_equal(spill_open(&spill, w.store, "a.run", &w.digest, NULL), 0);
    assert_int_equal(spill.file.ops->append(&spill.file, block, sizeof block, NULL), -EIO);
    spill_close(&spill);
    assert_int_equal(spill_writer_open(&writer, w.store, "c.run", NULL), 0);
    assert_int_equal(writer.file.ops->read(&writer.file, 0, block, sizeof block, NULL), -EIO);
    spill_writer_release(&writer);
    world_release(&w);
}

/* ---- damage ---- */

static void spill__that_is_not_there_is_said(void **state)
{
    struct world w;
    struct spill spill;
    world_init(&w);
    assert_int_equal(spill_open(&spill, w.store, "z.run", &w.digest, NULL), -ENOENT);
    world_release(&w);
}

/* One bit anywhere: of a block, the sample, the index, the footer. */
static void spill__any_flipped_bit_is_found(void **state)
{
    struct world w;
    world_init(&w);
    for (size_t at = 0; at < w.file.len; at += at < w.sample_off ? 40009 : 7) {
        struct err err = {0};
        w.file.data[at] ^= 0x10;
        /* What pads a run is in a block too, and blocks are read whole. */
        int ret = open_and_read(&w, &err);
        if (ret != -EBADMSG)
            fail_msg("a flipped bit at %zu of %zu (runs end at %zu): %d", at, w.file.len,
                     w.sample_off, ret);
        assert_non_null(strstr(err.text, "b.run"));
        w.file.data[at] ^= 0x10;
    }
    assert_int_equal(open_and_read(&w, NULL), 0);
    world_release(&w);
}

static void spill__a_damaged_block_is_named_with_what_to_do(void **state)
{
    struct world w;
    world_init(&w);
    w.file.data[3 * SPILL_BLOCK_LEN + 9] ^= 1;
    is_refused(&w, "block 3 ");
    is_refused(&w, "--remap");
    world_release(&w);
}

static void spill__cut_anywhere_is_refused(void **state)
{
    struct world w;
    world_init(&w);
    size_t whole = w.file.len;
    const size_t lens[] = {0,
                           1,
                           SPILL_FOOTER_LEN - 1,
                           SPILL_FOOTER_LEN,
                           SPILL_BLOCK_LEN,
                           w.sample_off,
                           w.index_off,
                           whole - SPILL_FOOTER_LEN,
                           whole - 1};
    for (size_t i = 0; i < sizeof lens / sizeof *lens; i++) {
        w.file.len = lens[i];
        is_refused(&w, "b.run");
    }
    world_release(&w);
}

/* Another file's footer, each file whole in itself: a worker that was given up may have written one. */
static void spill__of_another_try_is_refused(void **state)
{
    struct world w;
    struct digest other;
    struct spill spill;
    world_init(&w);
    spill_fixture_write(w.store, "c.run", N_RUNS, N + 1, N_SAMPLED, &other);
    assert_int_equal(spill_open(&spill, w.store, "c.run", &w.digest, NULL), -EBADMSG);
    world_release(&w);
}

/* A file that is whole is not called damaged for want of memory: that would have its piece mapped again. */
static void spill__opened_without_memory_says_so(void **state)
{
    struct world w;
    bool was_hit = true;
    unsigned nth = 1;
    world_init(&w);
    for (; was_hit; nth++) {
        struct spill spill;
        struct err err = {0};
        failing_malloc_arm(nth);
        int ret = spill_open(&spill, w.store, "a.run", &w.digest, &err);
        was_hit = failing_malloc_disarm();
        if (ret != (was_hit ? -ENOMEM : 0))
            fail_msg("allocation %u: %d: %s", nth, ret, err.text);
        spill_close(&spill);
    }
    assert_true(nth > 3 + N_RUNS);
    world_release(&w);
}

/* ---- forged, with checksums that fit ---- */

static void forge_u64(struct world *w, size_t off, uint64_t value, const char *word)
{
    uint8_t kept[8];
    memcpy(kept, w->file.data + off, 8);
    store_le64(w->file.data + off, value);
    spill_fixture_seal(&w->file, &w->digest);
    is_refused(w, word);
    memcpy(w->file.data + off, kept, 8);
    spill_fixture_seal(&w->file, &w->digest);
}

static const uint64_t absurd[] = {
    UINT64_MAX,       UINT64_MAX - 1,  UINT64_MAX - SPILL_BLOCK_LEN + 1,
    INT64_MAX,        1ULL << 63,      1ULL << 32,
    (1ULL << 32) - 1, UINT64_MAX / 16, UINT64_MAX / 32};

static void spill__absurd_lengths_in_a_footer_are_refused(void **state)
{
    struct world w;
    world_init(&w);
    size_t footer = w.file.len - SPILL_FOOTER_LEN;
    for (size_t i = 0; i < sizeof absurd / sizeof *absurd; i++) {
        forge_u64(&w, footer + SPILL_AT_DATA_LEN, absurd[i], "expected sorted runs");
        forge_u64(&w, footer + SPILL_AT_SAMPLE_LEN, absurd[i], "expected sorted runs");
        forge_u64(&w, footer + SPILL_AT_INDEX_LEN, absurd[i], "expected sorted runs");
        forge_u64(&w, footer + SPILL_AT_N_RUNS, (uint32_t)absurd[i], "expected sorted runs");
    }
    forge_u64(&w, footer, 0, "another format");
    forge_u64(&w, footer + SPILL_AT_N_RUNS, N_RUNS - 1, "an index of another length");
    forge_u64(&w, footer + SPILL_AT_N_RUNS, N_RUNS + 1, "expected sorted runs");
    world_release(&w);
}

/* Lengths that add up, but cut the parts elsewhere. */
static void spill__shifted_borders_in_a_footer_are_refused(void **state)
{
    struct world w;
    world_init(&w);
    size_t sample_len = w.index_off - w.sample_off;
    size_t index_len = w.file.len - SPILL_FOOTER_LEN - w.index_off;
    for (int shift = -32; shift <= 32; shift += 8) {
        if (!shift)
            continue;
        store_le64(w.footer + SPILL_AT_SAMPLE_LEN, (uint64_t)((int64_t)sample_len + shift));
        store_le64(w.footer + SPILL_AT_INDEX_LEN, (uint64_t)((int64_t)index_len - shift));
        spill_fixture_seal(&w.file, &w.digest);
        is_refused(&w, "b.run");
    }
    world_release(&w);
}

static void spill__absurd_runs_and_fences_are_refused(void **state)
{
    enum { OFF = 0, LEN = 8, FENCES = 16, FIRST_FENCE_OFF = 32, SECOND_FENCE_OFF = 48 };
    struct world w;
    world_init(&w);
    uint64_t len = load_le64(w.file.data + w.index_off + LEN);
    for (size_t i = 0; i < sizeof absurd / sizeof *absurd; i++) {
        forge_u64(&w, w.index_off + OFF, absurd[i], "a run outside");
        forge_u64(&w, w.index_off + LEN, absurd[i], "a run outside");
        forge_u64(&w, w.index_off + FENCES, absurd[i], "a run outside");
        forge_u64(&w, w.index_off + FIRST_FENCE_OFF, absurd[i], "a run outside");
        forge_u64(&w, w.index_off + SECOND_FENCE_OFF, absurd[i], "a run outside");
    }
    forge_u64(&w, w.index_off + OFF, 8, "a run outside");
    forge_u64(&w, w.index_off + LEN, 0, "a run outside");
    forge_u64(&w, w.index_off + FENCES, 0, "a run outside");
    forge_u64(&w, w.index_off + FIRST_FENCE_OFF, 8, "a run outside");
    forge_u64(&w, w.index_off + SECOND_FENCE_OFF, len, "a run outside");
    forge_u64(&w, w.index_off + SECOND_FENCE_OFF, 0, "a run outside");
    world_release(&w);
}

/* A record of the first run, its block's digest made to fit. */
static void forge_record(struct world *w, size_t off, size_t n, const uint8_t *bytes)
{
    size_t n_blocks = w->sample_off / SPILL_BLOCK_LEN;
    size_t digests = w->file.len - SPILL_FOOTER_LEN - n_blocks * sizeof(struct digest);
    struct digest digest;
    memcpy(w->file.data + off, bytes, n);
    digest_of(w->file.data, SPILL_BLOCK_LEN, &digest);
    memcpy(w->file.data + digests, &digest, sizeof digest);
    spill_fixture_seal(&w->file, &w->digest);
}

static void spill__absurd_record_lengths_are_refused(void **state)
{
    enum { VALUE_LEN_AT = 16, KEY_LEN_AT = 20 };
    struct world w;
    world_init(&w);
    uint8_t kept[RECORD_HEAD_LEN];
    memcpy(kept, w.file.data, sizeof kept);
    for (size_t i = 0; i < sizeof absurd / sizeof *absurd; i++) {
        uint8_t len[4];
        store_le32(len, (uint32_t)absurd[i]);
        if (!load_le32(len))
            continue;
        forge_record(&w, VALUE_LEN_AT, 4, len);
        is_refused(&w, "expected a record");
        forge_record(&w, 0, sizeof kept, kept);
    }
    /* A key that no u64 record has moves the next record to where there is none. */
    forge_record(&w, KEY_LEN_AT, 1, (const uint8_t[]){255});
    struct err err = {0};
    int ret = open_and_read(&w, &err);
    assert_true(ret == 0 || ret == -EBADMSG);
    world_release(&w);
}

static void spill__absurd_sample_lengths_are_refused(void **state)
{
    struct world w;
    world_init(&w);
    for (size_t i = 0; i < sizeof absurd / sizeof *absurd; i++) {
        /* u32 len, full_len: a value longer than the rest; one longer than it was. */
        forge_u64(&w, w.sample_off + 16, absurd[i] | 1ULL << 31, "a sample cut short");
        forge_u64(&w, w.sample_off + 16, 8, "a sample cut short");
    }
    world_release(&w);
}

/* ---- stores that fail ---- */

static void spill__every_failing_call_is_passed_on(void **state)
{
    struct world w;
    struct store *store = NULL;
    world_init(&w);
    struct backend *memory = memory_backend_new();
    struct faulty *faulty = faulty_new(memory, true);
    assert_int_equal(store_open_backend(&faulty->backend, "faulty:", &store, NULL), 0);
    unsigned nth = 1;
    for (;; nth++) {
        struct spill_writer spill = {0};
        struct value_sample sample = {0};
        struct digest digest;
        struct err err = {0};
        uint64_t len = 0;
        char path[32];
        snprintf(path, sizeof path, "%u.run", nth);
        faulty_arm(faulty, nth, FAULTY_FAIL, -EIO);
        int ret = spill_writer_open(&spill, store, path, &err);
        if (!ret)
            ret = spill_writer_commit(&spill, &sample, &digest, &len, &err);
        spill_writer_release(&spill);
        faulty_disarm(faulty);
        if (!faulty->was_hit)
            break;
        assert_true(ret == 0 || (ret == -EIO && err.text[0]));
    }
    assert_true(nth > 3);
    store_close(store);
    memory->ops->close(memory);
    world_release(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spill__gives_back_runs_and_sample),
        cmocka_unit_test(spill__records_are_in_order_and_whole),
        cmocka_unit_test(spill__that_gave_way_is_opened_again),
        cmocka_unit_test(spill__files_are_shared_within_the_limit),
        cmocka_unit_test(spill__of_nothing_is_a_file),
        cmocka_unit_test(spill__given_up_leaves_no_file),
        cmocka_unit_test(spill__is_written_once_and_read_for_ever),
        cmocka_unit_test(spill__that_is_not_there_is_said),
        cmocka_unit_test(spill__any_flipped_bit_is_found),
        cmocka_unit_test(spill__a_damaged_block_is_named_with_what_to_do),
        cmocka_unit_test(spill__cut_anywhere_is_refused),
        cmocka_unit_test(spill__of_another_try_is_refused),
        cmocka_unit_test(spill__opened_without_memory_says_so),
        cmocka_unit_test(spill__absurd_lengths_in_a_footer_are_refused),
        cmocka_unit_test(spill__shifted_borders_in_a_footer_are_refused),
        cmocka_unit_test(spill__absurd_runs_and_fences_are_refused),
        cmocka_unit_test(spill__absurd_record_lengths_are_refused),
        cmocka_unit_test(spill__absurd_sample_lengths_are_refused),
        cmocka_unit_test(spill__every_failing_call_is_passed_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
