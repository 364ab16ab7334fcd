/* SPDX-License-Identifier: Apache-2.0 */
/* Deltas that are found by comparing a whole table with the base. */
#include "unit.h"

#include "builder/engine.h"
#include "builder/version_content.h"
#include "chain_fixture.h"

#include <errno.h>
#include <math.h>

static void must_fail(struct build_fixture *f, const struct job *job, int code, const char *words)
{
    struct build_result result = {0};
    struct err err = {0};
    int ret = build_fixture_run(f, job, &result, &err);
    if (ret != code || !strstr(err.text, words))
        fail_msg("expected %d and \"%s\", found %d: %s", code, words, ret, err.text);
}

static struct content_digest content_of(struct build_fixture *f, const char *dir)
{
    struct version_desc desc = {0};
    struct engine_local engine;
    struct content_digest content = {0};
    struct err err = {0};
    engine_local_init(&engine, 2, NULL);
    assert_int_equal(version_desc_read(f->store, dir, NULL, &desc, NULL), 0);
    struct shard_stream_params params = {
        .store = f->store, .dir = dir, .desc = &desc, .memory = 32 << 20, .scratch_dir = f->dir};
    if (version_content_run(&engine.engine, &params, 2, &content, &err))
        fail_msg("%s", err.text);
    version_desc_release(&desc);
    return content;
}

static struct content_digest content_of_task(struct build_fixture *f,
                                             const struct build_result *result)
{
    char dir[STORE_PATH_MAX];
    snprintf(dir, sizeof dir, "tables/t/staging/%s", result->task);
    return content_of(f, dir);
}

static void drop(struct build_fixture *f, const struct build_result *result)
{
    char dir[STORE_PATH_MAX];
    snprintf(dir, sizeof dir, "tables/t/staging/%s", result->task);
    assert_int_equal(store_remove_tree(f->store, dir, NULL), 0);
}

static struct job diff_job(const struct build_fixture *f, const struct chain_shape *shape,
                           enum table_kind kind)
{
    struct job job = chain_job(f, shape, kind);
    job.is_delta = job.diff_base = true;
    return job;
}

/* What a comparison should find: by the rows' texts, since two numbers may give one value. */
static struct join_totals expected_totals(const struct chain_shape *shape,
                                          const struct chain_rows *was, const struct chain_rows *is)
{
    struct join_totals totals = {0};
    struct buf a = {0}, b = {0};
    for (size_t i = 0; i < CHAIN_KEYS; i++) {
        buf_clear(&a);
        buf_clear(&b);
        if (was->at[i])
            chain_add_value(&a, shape, was->at[i]);
        if (is->at[i])
            chain_add_value(&b, shape, is->at[i]);
        if (!was->at[i] || !is->at[i]) {
            totals.n_added += is->at[i] != 0;
            totals.n_removed += was->at[i] != 0;
        } else if (a.len == b.len && (!a.len || memcmp(a.data, b.data, a.len) == 0)) {
            totals.n_unchanged++;
        } else {
            totals.n_changed++;
        }
    }
    buf_release(&a);
    buf_release(&b);
    return totals;
}

static void check_shape(const struct chain_shape *shape, enum table_kind kind, int n_deltas)
{
    struct build_fixture f;
    struct chain_rows was, is;
    struct buf text = {0};
    uint64_t seed = 99;
    build_fixture_init(&f);
    chain_publish(&f, shape, kind, n_deltas, &was);
    is = was;
    chain_rows_change(&is, &seed, 5);
    chain_whole(&text, shape, &is);
    chain_input(&f, &text);
    struct join_totals expected = expected_totals(shape, &was, &is);
    struct job job = diff_job(&f, shape, kind);
    struct build_result diff = chain_build(&f, &job);
    assert_true(diff.was_compared);
    assert_memory_equal(&diff.join, &expected, sizeof expected);
    assert_int_equal(diff.n_keys, expected.n_changed + expected.n_added);
    assert_int_equal(diff.n_tombstones, expected.n_removed);
    job = chain_job(&f, shape, kind);
    job.schema.n_shards = diff.n_shards;
    struct build_result full = chain_build(&f, &job);
    struct content_digest a = content_of_task(&f, &diff), b = content_of_task(&f, &full);
    assert_true(content_digest_equal(&a, &b));
    /* And once more on itself. */
    build_fixture_publish(&f, &diff);
    job = diff_job(&f, shape, kind);
    struct build_result again = chain_build(&f, &job);
    assert_int_equal(again.n_keys + again.n_tombstones, 0);
    assert_int_equal(again.join.n_unchanged, full.n_keys);
    build_fixture_publish(&f, &again);
    char dir[STORE_PATH_MAX];
    snprintf(dir, sizeof dir, "tables/t/v/%llu", (unsigned long long)f.n_versions);
    a = content_of(&f, dir);
    assert_true(content_digest_equal(&a, &b));
    buf_release(&text);
    build_fixture_release(&f);
}

static void diff__applied_to_the_base_gives_the_inputs(void **state)
{
    for (size_t i = 0; i < CHAIN_SHAPES; i++)
        for (size_t k = 0; k < 3; k++)
            check_shape(&chain_shapes[i], chain_kinds[k], (int)(i % 3));
}

static void part_names(struct build_fixture *f, const struct build_result *result, struct buf *out)
{
    char dir[STORE_PATH_MAX];
    struct version_desc desc = {0};
    buf_clear(out);
    snprintf(dir, sizeof dir, "tables/t/staging/%s", result->task);
    assert_int_equal(version_desc_read(f->store, dir, NULL, &desc, NULL), 0);
    for (size_t i = 0; i < desc.n_parts; i++) {
        char name[PART_FILE_NAME_MAX];
        part_file_name(&desc.parts[i], name);
        buf_printf(out, "%s ", name);
    }
    version_desc_release(&desc);
}

/* 60 MiB of rows, of which each tenth is another in the second version, and each fiftieth is gone. */
static void make_large(struct buf *text, bool is_second)
{
    uint64_t seed = 5;
    buf_clear(text);
    for (uint64_t i = 0; i < 100000; i++) {
        uint64_t random = chain_random(&seed);
        if (is_second && i % 50 == 0)
            continue;
        buf_printf(text, "key/%llu/of/many\t%s", (unsigned long long)(i * 7919),
                   is_second && i % 10 == 1 ? "another" : "");
        chain_add_numbers(text, random);
        buf_printf(text, "\n");
    }
}

static void diff__threads_and_memory_do_not_reach_the_bytes(void **state)
{
    static const struct chain_shape shape = {KEY_BYTES, "bytes", 4, COMPRESS_AUTO, false, 0};
    static const uint32_t threads[] = {1, 4, 2};
    struct buf text = {0}, expected = {0}, found = {0};
    for (size_t k = 0; k < 3; k++) {
        struct build_fixture f;
        build_fixture_init(&f);
        make_large(&text, false);
        chain_input(&f, &text);
        struct job job = chain_job(&f, &shape, chain_kinds[k]);
        struct build_result result = chain_build(&f, &job);
        build_fixture_publish(&f, &result);
        make_large(&text, true);
        chain_input(&f, &text);
        job = diff_job(&f, &shape, chain_kinds[k]);
        for (int i = 0; i < 3; i++) {
            job.n_threads = threads[i];
            job.memory = i == 2 ? 1ULL << 30 : JOB_MEMORY_MIN;
            result = chain_build(&f, &job);
            assert_int_equal(result.join.n_changed, 10000);
            assert_int_equal(result.join.n_removed, 2000);
            assert_int_equal(result.join.n_unchanged, 88000);
            part_names(&f, &result, i ? &found : &expected);
            if (i)
                assert_string_equal(found.data, expected.data);
            drop(&f, &result);
        }
        build_fixture_release(&f);
    }
    buf_release(&text);
    buf_release(&expected);
    buf_release(&found);
}

/* ---- distance ---- */

static const char *const vector_types[] = {"f32[4]", "f16[4]", "bf16[4]", "i8[4]"};

static void check_distance(const char *value, enum table_kind kind, bool is_whole)
{
    struct build_fixture f;
    build_fixture_init(&f);
    build_fixture_text(&f, "a.tsv", "1\t1,1,1,1\n2\t1,1,1,1\n3\t1,1,1,1\n4\t1,1,1,1\n5\t1,1,1,1\n");
    struct job job = build_fixture_job(&f, KEY_U64, value);
    job.schema.kind = kind;
    job.schema.n_shards = 2;
    struct build_result result = chain_build(&f, &job);
    build_fixture_publish(&f, &result);
    build_fixture_no_inputs(&f);
    /* The same; moved by 0.25 and by 2; deleted or left out; new. Key 5 is only in a whole table. */
    build_fixture_text(&f, "b.tsv",
                       is_whole ? "1\t1,1,1,1\n2\t1,1.25,1,1\n3\t1,1,3,1\n5\t1,1,1,1\n6\t1,1,1,1\n"
                                : "1\t1,1,1,1\n2\t1,1.25,1,1\n3\t1,1,3,1\n4\n6\t1,1,1,1\n");
    job.inputs = (const char *const *)f.inputs;
    job.is_delta = true;
    job.diff_base = is_whole;
    job.tombstones_file_mode = !is_whole;
    job.min_distance = 0.3;
    result = chain_build(&f, &job);
    struct join_totals expected = {.n_unchanged = is_whole ? 2 : 1,
                                   .n_within = 1,
                                   .n_changed = 1,
                                   .n_added = 1,
                                   .n_removed = 1};
    assert_memory_equal(&result.join, &expected, sizeof expected);
    assert_int_equal(result.n_keys, 2);
    assert_int_equal(result.n_tombstones, 1);
    job.min_distance = 2.1;
    result = chain_build(&f, &job);
    assert_int_equal(result.join.n_within, 2);
    job.min_distance = 0.1;
    result = chain_build(&f, &job);
    assert_int_equal(result.join.n_within, 0);
    build_fixture_publish(&f, &result);
    struct version_reader *reader = build_fixture_open(&f, "tables/t/v/2");
    const uint8_t *data = NULL;
    uint32_t len = 0;
    assert_int_equal(version_reader_desc(reader)->n_keys, 5);
    assert_int_equal(build_fixture_find_u64(reader, 4, &data, &len), 0);
    assert_int_equal(build_fixture_find_u64(reader, 5, &data, &len), 1);
    version_reader_close(reader);
    build_fixture_release(&f);
}

static void diff__vectors_that_have_hardly_moved_are_left_out(void **state)
{
    for (size_t i = 0; i < 4; i++)
        for (size_t k = 0; k < 3; k++) {
            check_distance(vector_types[i], chain_kinds[k], true);
            check_distance(vector_types[i], chain_kinds[k], false);
        }
}

static void diff__what_is_no_number_has_moved(void **state)
{
    struct build_fixture f;
    build_fixture_init(&f);
    build_fixture_text(&f, "a.tsv", "1\tnan,0\n2\t0,0\n3\tinf,0\n4\tinf,0\n5\t0,0\n");
    struct job job = build_fixture_job(&f, KEY_U64, "f32[2]");
    struct build_result result = chain_build(&f, &job);
    build_fixture_publish(&f, &result);
    build_fixture_no_inputs(&f);
    build_fixture_text(&f, "b.tsv", "1\tnan,1\n2\tnan,0\n3\tinf,1\n4\t-inf,0\n5\t0,1\n");
    job.inputs = (const char *const *)f.inputs;
    job.is_delta = job.diff_base = true;
    job.min_distance = 1e30;
    result = chain_build(&f, &job);
    assert_int_equal(result.join.n_changed, 4);
    assert_int_equal(result.join.n_within, 1);
    build_fixture_release(&f);
}

/* Rows that round to what the base has are no change. */
static void diff__values_are_compared_as_they_are_stored(void **state)
{
    struct build_fixture f;
    build_fixture_init(&f);
    build_fixture_text(&f, "a.tsv", "1\t1.0,2.0\n2\t1.0,2.0\n");
    struct job job = build_fixture_job(&f, KEY_U64, "f16[2]");
    struct build_result result = chain_build(&f, &job);
    build_fixture_publish(&f, &result);
    build_fixture_no_inputs(&f);
    build_fixture_text(&f, "b.tsv", "1\t1.00001,2.0\n2\t1.01,2.0\n");
    job.inputs = (const char *const *)f.inputs;
    job.is_delta = job.diff_base = true;
    result = chain_build(&f, &job);
    assert_int_equal(result.join.n_unchanged, 1);
    assert_int_equal(result.join.n_changed, 1);
    build_fixture_release(&f);
}

/* ---- what goes wrong ---- */

static void diff__policies_hold_before_rows_are_compared(void **state)
{
    struct build_fixture f;
    build_fixture_init(&f);
    build_fixture_text(&f, "a.tsv", "a\t1\nb\t2\n");
    struct job job = build_fixture_job(&f, KEY_BYTES, "bytes");
    struct build_result result = chain_build(&f, &job);
    build_fixture_publish(&f, &result);
    build_fixture_no_inputs(&f);
    build_fixture_text(&f, "b.tsv", "a\t1\nb\t9\nb\t2\n");
    job.inputs = (const char *const *)f.inputs;
    job.is_delta = job.diff_base = true;
    must_fail(&f, &job, -EEXIST, "b.tsv:3");
    job.duplicates = DUPLICATE_LAST;
    result = chain_build(&f, &job);
    assert_int_equal(result.join.n_unchanged, 2);
    assert_int_equal(result.duplicates, 1);
    job.duplicates = DUPLICATE_FIRST;
    result = chain_build(&f, &job);
    assert_int_equal(result.join.n_changed, 1);
    build_fixture_release(&f);
}

static void diff__what_makes_no_sense_is_refused(void **state)
{
    struct build_fixture f;
    build_fixture_init(&f);
    build_fixture_text(&f, "a.tsv", "1\tone\n");
    struct job job = build_fixture_job(&f, KEY_U64, "bytes");
    job.diff_base = true;
    must_fail(&f, &job, -EINVAL, "--diff-base");
    job.is_delta = true;
    must_fail(&f, &job, -ENOENT, "build a full one first");
    job.is_delta = job.diff_base = false;
    job.min_distance = 1;
    must_fail(&f, &job, -EINVAL, "--min-distance");
    job.min_distance = 0;
    struct build_result result = chain_build(&f, &job);
    build_fixture_publish(&f, &result);
    job.is_delta = true;
    job.min_distance = 1;
    must_fail(&f, &job, -EINVAL, "only vectors");
    job.min_distance = NAN;
    must_fail(&f, &job, -EINVAL, "--min-distance");
    job.min_distance = 0;
    job.diff_base = job.tombstones_file_mode = true;
    must_fail(&f, &job, -EINVAL, "none deletes its key");
    build_fixture_no_inputs(&f);
    build_fixture_text(&f, "b.jsonl", "{\"key\": 1, \"deleted\": true}\n");
    job.inputs = (const char *const *)f.inputs;
    job.tombstones_file_mode = false;
    must_fail(&f, &job, -EBADMSG, "--diff-base");
    build_fixture_release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(diff__applied_to_the_base_gives_the_inputs),
        cmocka_unit_test(diff__threads_and_memory_do_not_reach_the_bytes),
        cmocka_unit_test(diff__vectors_that_have_hardly_moved_are_left_out),
        cmocka_unit_test(diff__what_is_no_number_has_moved),
        cmocka_unit_test(diff__values_are_compared_as_they_are_stored),
        cmocka_unit_test(diff__policies_hold_before_rows_are_compared),
        cmocka_unit_test(diff__what_makes_no_sense_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
