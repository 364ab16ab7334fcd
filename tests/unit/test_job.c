/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "builder/duckdb_host.h"
#include "builder/input.h"
#include "builder/job.h"
#include "builder/plan.h"

#include <errno.h>
#include <string.h>

static const char *const inputs[] = {"a.tsv", "b.csv.gz", "c.jsonl.zst"};

static struct job good_job(void)
{
    struct job job = {.table = "ads",
                      .inputs = inputs,
                      .n_inputs = 3,
                      .memory = JOB_MEMORY_MIN,
                      .schema = {.kind = KIND_MEM, .key_type = KEY_U64, .mode = 0444}};
    assert_int_equal(schema_set_value(&job.schema, "f16[8]", NULL), 0);
    return job;
}

/* The job is refused with that code, in words that name what is wrong. */
static void assert_refused(const struct job *job, int code, const char *words)
{
    struct err err = {0};
    assert_int_equal(job_check(job, &err), code);
    if (!strstr(err.text, words))
        fail_msg("expected \"%s\" in \"%s\"", words, err.text);
}

static void job__a_good_one_passes(void **state)
{
    struct job job = good_job();
    struct err err = {0};
    assert_int_equal(job_check(&job, &err), 0);
}

static void job__a_table_name_cannot_climb(void **state)
{
    static const char *const names[] = {"", "..", "a/b", "A", "-a", "a b", "a.b"};
    struct job job = good_job();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        job.table = names[i];
        assert_int_equal(job_check(&job, NULL), -EINVAL);
    }
    job.table = NULL;
    assert_refused(&job, -EINVAL, "table");
}

static void job__a_task_name_cannot_climb(void **state)
{
    struct job job = good_job();
    job.task = "../../x";
    assert_int_equal(job_check(&job, NULL), -EINVAL);
}

static void job__needs_an_input_of_a_known_format(void **state)
{
    static const char *const odd[] = {"rows.bin"};
    struct job job = good_job();
    job.inputs = odd;
    job.n_inputs = 1;
    assert_refused(&job, -EINVAL, "--format");
    job.format = INPUT_CSV;
    assert_int_equal(job_check(&job, NULL), 0);
    job.n_inputs = 0;
    assert_refused(&job, -EINVAL, "no input");
}

static void job__too_little_memory_is_refused(void **state)
{
    struct job job = good_job();
    job.memory--;
    assert_refused(&job, -EINVAL, "--memory");
}

static void job__too_many_threads_are_refused(void **state)
{
    struct job job = good_job();
    job.n_threads = 5000;
    assert_refused(&job, -EINVAL, "--threads");
}

static void job__a_full_build_has_no_base_and_deletes_nothing(void **state)
{
    struct job job = good_job();
    job.base = 3;
    assert_refused(&job, -EINVAL, "base");
    job.base = 0;
    job.tombstones_file_mode = true;
    assert_refused(&job, -EINVAL, "delta");
}

static void job__a_bad_schema_is_refused(void **state)
{
    struct job job = good_job();
    job.schema.value_len = 7;
    assert_int_equal(job_check(&job, NULL), -EINVAL);
}

static void job__columns_by_name_need_a_header(void **state)
{
    static const char *const one[] = {"a.tsv"};
    struct job job = good_job();
    job.inputs = one;
    job.n_inputs = 1;
    job.key_column = "user";
    assert_refused(&job, -EINVAL, "header");
    job.header = true;
    assert_int_equal(job_check(&job, NULL), 0);
    job.header = false;
    job.key_column = "2";
    assert_refused(&job, -EINVAL, "same column");
    job.value_column = "1";
    assert_int_equal(job_check(&job, NULL), 0);
    job.value_column = "0";
    assert_refused(&job, -EINVAL, "--value-column");
}

static void format__is_told_from_suffixes(void **state)
{
    static const struct {
        const char *path;
        enum input_format format;
    } cases[] = {
        {"a.tsv", INPUT_TSV},
        {"a.TSV.gz", INPUT_TSV},
        {"/x/a.csv.zst", INPUT_CSV},
        {"a.b.jsonl", INPUT_JSONL},
        {"dir.csv/a.ndjson", INPUT_JSONL},
        {"a.txt", INPUT_TSV},
        {"a.parquet", INPUT_PARQUET},
    };
    static const char *const none[] = {"a", "a.gz", ".tsv", "tsv", "a.tsv.bz2", "a.parquet.gz"};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        enum input_format format = INPUT_AUTO;
        assert_int_equal(input_format_of(cases[i].path, INPUT_AUTO, &format, NULL), 0);
        assert_int_equal(format, cases[i].format);
    }
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        enum input_format format = INPUT_AUTO;
        assert_int_equal(input_format_of(none[i], INPUT_AUTO, &format, NULL), -EINVAL);
    }
}

static void plan__shards_follow_the_bytes_alone(void **state)
{
    assert_int_equal(plan_shards(KIND_MEM, 0), 1);
    assert_int_equal(plan_shards(KIND_MEM, PLAN_SHARD_BYTES), 1);
    assert_int_equal(plan_shards(KIND_MEM, PLAN_SHARD_BYTES * 2 + 2), 4);
    assert_int_equal(plan_shards(KIND_MEM, PLAN_SHARD_BYTES * 100), 128);
    assert_int_equal(plan_shards(KIND_MEM, UINT64_MAX), SHARDS_MAX);
    assert_int_equal(plan_shards(KIND_BLK, UINT64_MAX), SHARDS_MAX);
    assert_int_equal(plan_shards(KIND_IDX, PLAN_SHARD_BYTES * 2 + 2), 4);
    assert_int_equal(plan_shards(KIND_IDX, UINT64_MAX), PLAN_IDX_SHARDS);
}

static void plan__workers_fit_the_memory(void **state)
{
    struct schema schema = {.kind = KIND_MEM, .value_len = 64};
    struct schema varying = {.kind = KIND_MEM, .value_len = 0};
    struct job job = {0};
    for (uint64_t memory = JOB_MEMORY_MIN; memory < 8ULL << 30; memory *= 2) {
        for (uint32_t n = 1; n <= 64; n *= 2) {
            struct map_plan plan;
            job.memory = memory;
            plan_map(&job, &schema, n, &plan);
            assert_true(plan.n_workers >= 1 && plan.n_workers <= n);
            assert_true(plan.n_workers * (plan.arena_len + 2 * plan.block_len) <= memory);
            plan_map(&job, &varying, n, &plan);
            assert_true(plan.n_workers * plan.arena_len <= memory);
            assert_true(plan.arena_len > VALUE_LEN_MAX);
        }
    }
}

/* Files of spilled runs are read in blocks of their own length, however little memory there is. */
static void plan__as_many_runs_are_read_as_fit_the_memory(void **state)
{
    enum { N_RUNS = 3000 };
    static struct run runs[N_RUNS];
    static const uint32_t aligns[] = {4096, 64 << 10};
    struct schema schema = {.kind = KIND_MEM, .n_shards = 1};
    struct job job = {.memory = JOB_MEMORY_MIN, .compress = COMPRESS_NONE};
    struct run_order order = {0};
    for (size_t i = 0; i < sizeof aligns / sizeof *aligns; i++) {
        struct run_file file = {.align = aligns[i]};
        for (size_t k = 0; k < N_RUNS; k++)
            runs[k] = (struct run){.file = &file, .len = 1};
        struct reduce_plan plan;
        for (size_t n = 1; n <= N_RUNS; n += 7) {
            struct map_output map = {.runs = runs, .n_runs = n};
            struct err err = {0};
            assert_int_equal(plan_reduce(&map, &job, &schema, &order, NULL, 1, &plan, &err), 0);
            size_t n_read = n < plan.n_runs_max ? n : plan.n_runs_max;
            assert_true(n_read * run_read_min(&runs[0]) <= plan.read_memory);
        }
    }
}

/* By values as long as they are for sure a shard fits or not; by the guess, only fewer are copied at once. */
static void plan__a_guess_of_the_longest_value_refuses_nothing(void **state)
{
    enum { SURE = 64 << 10 };
    struct job job = good_job();
    struct version_desc chain = {.n_levels = 2};
    struct part_desc parts[16] = {{0}};
    struct stream_plan sure, guessed;
    struct level_totals totals = {
        .n_entries = 1000, .key_len = 8000, .value_len = 1 << 20, .value_max = SURE};
    job.memory = 512ULL << 20;
    chain.schema = job.schema;
    chain.schema.kind = KIND_IDX;
    chain.schema.n_shards = 8;
    chain.parts = parts;
    chain.n_parts = 16;
    assert_int_equal(plan_streams(&job, &chain, &totals, SURE, 8, &sure, NULL), 0);
    totals.value_max = VALUE_LEN_MAX;
    assert_int_equal(plan_streams(&job, &chain, &totals, SURE, 8, &guessed, NULL), 0);
    assert_true(guessed.n_at_once < sure.n_at_once);
    job.memory = JOB_MEMORY_MIN;
    assert_int_equal(plan_streams(&job, &chain, &totals, SURE, 8, &guessed, NULL), 0);
    assert_int_equal(guessed.n_at_once, 1);
    assert_int_equal(plan_streams(&job, &chain, &totals, VALUE_LEN_MAX, 8, &guessed, NULL), -E2BIG);
}

static void plan__duckdb_and_its_rows_have_a_share_of_the_memory(void **state)
{
    static const char *const mixed[] = {"a.tsv", "b.PARQUET"};
    struct schema vectors = {.kind = KIND_MEM, .elem = ELEM_F16, .dim = 1024, .value_len = 2048};
    struct job text = {.inputs = mixed, .n_inputs = 1};
    struct job both = {.inputs = mixed, .n_inputs = 2};
    assert_int_equal(duckdb_share(&text), 0);
    for (uint64_t memory = JOB_MEMORY_MIN; memory < 8ULL << 30; memory *= 2) {
        text.memory = both.memory = memory;
        assert_true(duckdb_share(&both) >= memory / 4 && duckdb_share(&both) <= memory / 2);
        for (uint32_t n = 1; n <= 64; n *= 2) {
            struct map_plan plan;
            struct map_plan plain;
            plan_map(&text, &vectors, n, &plain);
            plan_map(&both, &vectors, n, &plan);
            uint64_t chunks = plan.n_workers * duckdb_chunk_memory(&both, &vectors);
            uint64_t arenas = plan.n_workers * plan.arena_len;
            assert_true(plan.n_workers <= plain.n_workers);
            assert_true(plan.n_workers == 1 || plan.n_workers <= memory >> 30);
            assert_true(plan.n_workers == 1 || arenas + chunks + duckdb_share(&both) <= memory);
            uint64_t duckdb = duckdb_memory(&both, &vectors, plan.n_workers);
            assert_true(duckdb >= duckdb_share(&both) && duckdb <= duckdb_share(&both) + chunks);
            assert_true(plan.n_workers == 1 || arenas + duckdb <= memory);
            assert_true(duckdb <= memory / 2);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(job__a_good_one_passes),
        cmocka_unit_test(job__a_table_name_cannot_climb),
        cmocka_unit_test(job__a_task_name_cannot_climb),
        cmocka_unit_test(job__needs_an_input_of_a_known_format),
        cmocka_unit_test(job__too_little_memory_is_refused),
        cmocka_unit_test(job__too_many_threads_are_refused),
        cmocka_unit_test(job__a_full_build_has_no_base_and_deletes_nothing),
        cmocka_unit_test(job__a_bad_schema_is_refused),
        cmocka_unit_test(job__columns_by_name_need_a_header),
        cmocka_unit_test(format__is_told_from_suffixes),
        cmocka_unit_test(plan__shards_follow_the_bytes_alone),
        cmocka_unit_test(plan__workers_fit_the_memory),
        cmocka_unit_test(plan__as_many_runs_are_read_as_fit_the_memory),
        cmocka_unit_test(plan__a_guess_of_the_longest_value_refuses_nothing),
        cmocka_unit_test(plan__duckdb_and_its_rows_have_a_share_of_the_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
