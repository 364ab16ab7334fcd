/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "builder/validate.h"
#include "codec/vector.h"
#include "sealed_fixture.h"

#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

static struct version_reader *open_build(struct fixture_store *fs, const char *table,
                                         const char *task)
{
    char dir[LAYOUT_PATH_MAX];
    struct version_reader *reader = NULL;
    struct err err = {0};
    layout_staging_dir(table, task, dir);
    sealed_must(version_reader_open(fs->store, dir, NULL, &reader, &err), &err, "open build");
    return reader;
}

/* As publish does: with the build's figures when it has some. is_read_back: without reading its parts. */
static int judge(struct fixture_store *fs, const char *task, bool is_read_back,
                 const struct table_state *table, const struct validate_limits *limits,
                 struct validate_report *report, struct err *err)
{
    char dir[LAYOUT_PATH_MAX];
    struct build_figures figures;
    struct version_reader *reader = open_build(fs, "t", task);
    struct validate_input input = {.table = "t",
                                   .task = task,
                                   .dir = dir,
                                   .desc = version_reader_desc(reader),
                                   .is_read_back = is_read_back,
                                   .build = is_read_back ? NULL : reader,
                                   .state = table};
    layout_staging_dir("t", task, dir);
    if (figures_read(fs->store, dir, &figures, NULL) == 0)
        input.figures = &figures;
    int rc = validate_run(fs->store, &input, limits, report, err);
    version_reader_close(reader);
    return rc;
}

static struct validate_report run(struct fixture_store *fs, const char *task,
                                  const struct table_state *table,
                                  const struct validate_limits *limits)
{
    struct validate_report report = {0};
    struct err err = {0};
    sealed_must(judge(fs, task, false, table, limits, &report, &err), &err, "validate");
    return report;
}

static struct validate_report run_read_back(struct fixture_store *fs, const char *task,
                                            const struct table_state *table,
                                            const struct validate_limits *limits)
{
    struct validate_report report = {0};
    struct err err = {0};
    sealed_must(judge(fs, task, true, table, limits, &report, &err), &err, "validate");
    return report;
}

static const struct validate_finding *of(const struct validate_report *report, const char *name)
{
    for (size_t i = 0; i < report->n_findings; i++) {
        if (!strcmp(report->findings[i].name, name))
            return &report->findings[i];
    }
    fail_msg("no validator %s", name);
    return NULL;
}

static enum validate_verdict verdict(const struct validate_report *report, const char *name)
{
    return of(report, name)->verdict;
}

/* Moves a sealed build to v/<version>. */
static void publish_as(struct fixture_store *fs, const char *task, uint64_t version,
                       uint64_t n_keys, struct version_entry *entry)
{
    char dir[LAYOUT_PATH_MAX], to[LAYOUT_PATH_MAX], json[LAYOUT_PATH_MAX];
    struct buf text = {0};
    struct err err = {0};
    layout_staging_dir("t", task, dir);
    layout_version_dir("t", version, to);
    sealed_must(store_mkdir(fs->store, "tables/t/v", &err), &err, "mkdir");
    sealed_must(store_rename(fs->store, dir, to, &err), &err, "rename");
    layout_version_json(to, json);
    sealed_must(store_get(fs->store, json, VERSION_JSON_MAX, &text, &err), &err, "get");
    *entry = (struct version_entry){.version = version, .state = VERSION_CURRENT, .n_keys = n_keys};
    digest_of(text.data, text.len, &entry->digest);
    buf_release(&text);
}

/* As v/1, and returns the state of a table that has it as current. */
static struct table_state publish_as_1(struct fixture_store *fs, const char *task, uint64_t n_keys,
                                       struct version_entry *entry)
{
    publish_as(fs, task, 1, n_keys, entry);
    return (struct table_state){.name = "t", .versions = entry, .n_versions = 1, .current = 1};
}

static void validate__passes_a_good_first_build(void **state)
{
    struct fixture_store fs;
    struct validate_limits limits;
    fixture_store_init(&fs);
    validate_limits_default(&limits);
    fixture_seal_numbers(&fs, "t", "a", 100, 1);
    struct validate_report report = run(&fs, "a", NULL, &limits);
    assert_true(report.passed);
    assert_int_equal(verdict(&report, "rows_change"), VALIDATE_SKIPPED);
    assert_int_equal(verdict(&report, "schema_change"), VALIDATE_SKIPPED);
    assert_int_equal(verdict(&report, "read_back"), VALIDATE_PASSED);
    assert_non_null(strstr(of(&report, "read_back")->text, "100 of 100 keys"));
    fixture_store_release(&fs);
}

static void validate__wants_the_rows_asked_for(void **state)
{
    struct fixture_store fs;
    struct validate_limits limits;
    fixture_store_init(&fs);
    validate_limits_default(&limits);
    fixture_seal_numbers(&fs, "t", "none", 0, 1);
    fixture_seal_numbers(&fs, "t", "some", 9, 1);
    assert_false(run(&fs, "none", NULL, &limits).passed);
    limits.min_rows = 10;
    struct validate_report report = run(&fs, "some", NULL, &limits);
    assert_false(report.passed);
    assert_int_equal(verdict(&report, "rows_min"), VALIDATE_FAILED);
    assert_string_equal(of(&report, "rows_min")->text, "rows: 9 (at least 10)");
    limits.min_rows = 9;
    assert_true(run(&fs, "some", NULL, &limits).passed);
    fixture_store_release(&fs);
}

static void validate__compares_rows_with_the_current_version(void **state)
{
    struct fixture_store fs;
    struct validate_limits limits;
    struct version_entry entry;
    fixture_store_init(&fs);
    validate_limits_default(&limits);
    fixture_seal_numbers(&fs, "t", "first", 100, 1);
    struct table_state table = publish_as_1(&fs, "first", 100, &entry);
    fixture_seal_numbers(&fs, "t", "at_limit", 120, 2);
    fixture_seal_numbers(&fs, "t", "above", 121, 2);
    fixture_seal_numbers(&fs, "t", "below", 79, 2);
    assert_true(run(&fs, "at_limit", &table, &limits).passed);
    struct validate_report report = run(&fs, "above", &table, &limits);
    assert_false(report.passed);
    assert_string_equal(of(&report, "rows_change")->text,
                        "row change: +21.0 % since version 1 with 100 rows (limit 20 %)");
    assert_false(run(&fs, "below", &table, &limits).passed);
    limits.max_change_pct = 0;
    assert_true(run(&fs, "below", &table, &limits).passed);
    fixture_store_release(&fs);
}

static void seal_vector(struct fixture_store *fs, const char *task, const char *type, float bad)
{
    float floats[2][4] = {{1, 2, 3, 4}, {1, bad, 3, 4}};
    uint8_t stored[2][32];
    struct sealed_build build = {
        .table = "t", .task = task, .schema = fixture_schema(KEY_U64, type, 1), .n = 2};
    struct part_entry entries[2];
    for (int i = 0; i < 2; i++) {
        if (build.schema.elem == ELEM_I8) {
            memcpy(stored[i], i ? &bad : &floats[0][0], 4);
            memset(stored[i] + 4, 1, 4);
        } else {
            assert_int_equal(vector_encode(build.schema.elem, floats[i], 4, stored[i]), 0);
        }
        entries[i] = fixture_u64(&build.schema, (uint64_t)i, stored[i], build.schema.value_len);
    }
    build.entries = entries;
    fixture_seal(fs, &build);
}

static void validate__counts_nan_and_inf_in_every_vector_type(void **state)
{
    static const char *const types[] = {"f32[4]", "f16[4]", "bf16[4]", "i8[4]"};
    struct fixture_store fs;
    struct validate_limits limits;
    fixture_store_init(&fs);
    validate_limits_default(&limits);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        char nan_task[32], inf_task[32], good_task[32];
        snprintf(nan_task, sizeof nan_task, "nan%zu", i);
        snprintf(inf_task, sizeof inf_task, "inf%zu", i);
        snprintf(good_task, sizeof good_task, "good%zu", i);
        seal_vector(&fs, nan_task, types[i], NAN);
        seal_vector(&fs, inf_task, types[i], -INFINITY);
        seal_vector(&fs, good_task, types[i], 65504);
        limits.max_not_finite = 0;
        assert_true(run(&fs, good_task, NULL, &limits).passed);
        struct validate_report report = run(&fs, nan_task, NULL, &limits);
        assert_false(report.passed);
        assert_string_equal(of(&report, "not_finite")->text,
                            "NaN or Inf: 1 vectors (limit 0), 50.00 %");
        assert_false(run(&fs, inf_task, NULL, &limits).passed);
        limits.max_not_finite = 1;
        assert_true(run(&fs, nan_task, NULL, &limits).passed);
    }
    fixture_store_release(&fs);
}

static void validate__refuses_another_schema_unless_allowed(void **state)
{
    struct fixture_store fs;
    struct validate_limits limits;
    struct version_entry entry;
    fixture_store_init(&fs);
    validate_limits_default(&limits);
    seal_vector(&fs, "first", "f32[4]", 0);
    struct table_state table = publish_as_1(&fs, "first", 2, &entry);
    seal_vector(&fs, "same", "f32[4]", 0);
    seal_vector(&fs, "other", "f16[4]", 0);
    assert_true(run(&fs, "same", &table, &limits).passed);
    struct validate_report report = run(&fs, "other", &table, &limits);
    assert_false(report.passed);
    assert_non_null(strstr(of(&report, "schema_change")->text, "u64 -> f16[4]"));
    assert_non_null(strstr(of(&report, "schema_change")->text, "f32[4] in version 1"));
    limits.allow_schema_change = true;
    assert_true(run(&fs, "other", &table, &limits).passed);
    fixture_store_release(&fs);
}

static void validate__fails_when_the_last_version_is_damaged(void **state)
{
    struct fixture_store fs;
    struct validate_limits limits;
    struct version_entry entry;
    struct validate_report report;
    struct err err = {0};
    fixture_store_init(&fs);
    validate_limits_default(&limits);
    fixture_seal_numbers(&fs, "t", "first", 10, 1);
    struct table_state table = publish_as_1(&fs, "first", 10, &entry);
    entry.digest.b[3] ^= 1;
    fixture_seal_numbers(&fs, "t", "next", 10, 2);
    assert_int_equal(judge(&fs, "next", false, &table, &limits, &report, &err), -EBADMSG);
    assert_non_null(strstr(err.text, "version 1"));
    fixture_store_release(&fs);
}

/* The offset of value i's 8 bytes in a part, values being unique. */
static uint8_t *find_value(struct buf *part, uint64_t value)
{
    for (size_t i = 0; i + 8 <= part->len; i++) {
        if (load_le64(part->data + i) == value)
            return part->data + i;
    }
    return NULL;
}

/* A slot is a key's hash and its value side by side. One whose hash leads elsewhere belongs to no key, so the key is lost. */
static void forge_key(struct buf *part, const struct sealed_build *build)
{
    uint8_t *value = find_value(part, (uint64_t)7 << 32 | 3);
    if (value)
        value[-8] ^= 1;
}

static void forge_double(struct buf *part, const struct sealed_build *build)
{
    uint8_t *a = find_value(part, (uint64_t)7 << 32 | 3);
    uint8_t *b = find_value(part, (uint64_t)7 << 32 | 5);
    if (a && b)
        memcpy(a - 8, b - 8, 16);
}

static void seal_forged(struct fixture_store *fs, const char *task,
                        void (*forge)(struct buf *, const struct sealed_build *))
{
    struct sealed_build build = {.table = "t",
                                 .task = task,
                                 .schema = fixture_schema(KEY_U64, "bytes[8]", 1),
                                 .n = 50,
                                 .forge = forge};
    uint64_t values[50];
    struct part_entry entries[50];
    for (uint64_t i = 0; i < 50; i++) {
        values[i] = (uint64_t)7 << 32 | i;
        entries[i] = fixture_u64(&build.schema, i, &values[i], 8);
    }
    build.entries = entries;
    fixture_seal(fs, &build);
}

static void validate__finds_a_key_that_lookups_would_miss(void **state)
{
    struct fixture_store fs;
    struct validate_limits limits;
    fixture_store_init(&fs);
    validate_limits_default(&limits);
    seal_forged(&fs, "forged", forge_key);
    struct validate_report report = run(&fs, "forged", NULL, &limits);
    assert_false(report.passed);
    assert_int_equal(verdict(&report, "read_back"), VALIDATE_FAILED);
    assert_non_null(strstr(of(&report, "read_back")->text, "49 of 50 keys"));
    fixture_store_release(&fs);
}

static void validate__finds_a_key_that_stands_in_for_another(void **state)
{
    struct fixture_store fs;
    struct validate_limits limits;
    fixture_store_init(&fs);
    validate_limits_default(&limits);
    seal_forged(&fs, "forged", forge_double);
    struct validate_report report = run(&fs, "forged", NULL, &limits);
    assert_false(report.passed);
    assert_int_equal(verdict(&report, "read_back"), VALIDATE_FAILED);
    assert_non_null(strstr(of(&report, "read_back")->text, "49 of 50 keys"));
    fixture_store_release(&fs);
}

static void validate__folds_a_delta_with_tombstones(void **state)
{
    struct fixture_store fs;
    struct validate_limits limits;
    struct version_entry entry;
    uint64_t value = 9;
    fixture_store_init(&fs);
    validate_limits_default(&limits);
    fixture_seal_numbers(&fs, "t", "first", 10, 1);
    struct table_state table = publish_as_1(&fs, "first", 10, &entry);
    struct sealed_build build = {.table = "t",
                                 .task = "delta",
                                 .schema = fixture_schema(KEY_U64, "bytes[8]", 2),
                                 .n = 3,
                                 .base = 1,
                                 .n_removed = 1,
                                 .n_added = 1};
    struct part_entry entries[3] = {fixture_u64(&build.schema, 0, &value, 8),
                                    fixture_u64(&build.schema, 1, NULL, 0),
                                    fixture_u64(&build.schema, 99, &value, 8)};
    build.entries = entries;
    fixture_seal(&fs, &build);
    struct validate_report report = run(&fs, "delta", &table, &limits);
    assert_true(report.passed);
    assert_non_null(strstr(of(&report, "read_back")->text, "10 of 10 keys"));
    fixture_store_release(&fs);
}

/* ---- shares ---- */

/* A build of n keys, of which n_empty have no value, that says what it read. */
static void seal_counted(struct fixture_store *fs, const char *task, size_t n, size_t n_empty,
                         uint64_t bad_rows, uint64_t duplicates)
{
    struct sealed_build build = {.table = "t",
                                 .task = task,
                                 .schema = fixture_schema(KEY_U64, "bytes", 3),
                                 .n = n,
                                 .rows = n + bad_rows + duplicates,
                                 .bad_rows = bad_rows,
                                 .duplicates = duplicates};
    struct part_entry entries[1000];
    assert_true(n <= 1000);
    for (size_t i = 0; i < n; i++)
        entries[i] = fixture_u64(&build.schema, i, "value", i < n_empty ? 0 : 5);
    build.entries = entries;
    fixture_seal(fs, &build);
}

static void validate__limits_shares_when_told_to(void **state)
{
    static const struct {
        const char *name;
        size_t offset;
    } shares[] = {{"empty_values", offsetof(struct validate_limits, max_empty_pct)},
                  {"bad_rows", offsetof(struct validate_limits, max_bad_rows_pct)},
                  {"duplicates", offsetof(struct validate_limits, max_duplicates_pct)}};
    struct fixture_store fs;
    fixture_store_init(&fs);
    /* 8 rows in 16 are bad, 2 dropped; of 6 keys 3 are empty. */
    seal_counted(&fs, "a", 6, 3, 8, 2);
    static const double pct[] = {50, 50, 12.5};
    for (size_t i = 0; i < 3; i++) {
        struct validate_limits limits;
        validate_limits_default(&limits);
        double *limit = (double *)(void *)((char *)&limits + shares[i].offset);
        struct validate_report report = run(&fs, "a", NULL, &limits);
        assert_true(report.passed);
        const struct validate_finding *finding = of(&report, shares[i].name);
        assert_true(finding->has_figure && finding->figure == pct[i] && !finding->has_limit);
        assert_non_null(strstr(finding->text, "no limit"));
        *limit = pct[i];
        assert_true(run(&fs, "a", NULL, &limits).passed);
        assert_true(run_read_back(&fs, "a", NULL, &limits).passed);
        *limit = pct[i] - 0.1;
        report = run(&fs, "a", NULL, &limits);
        assert_false(report.passed);
        finding = of(&report, shares[i].name);
        assert_int_equal(finding->verdict, VALIDATE_FAILED);
        assert_true(finding->has_limit && finding->limit == *limit);
        assert_false(run_read_back(&fs, "a", NULL, &limits).passed);
    }
    fixture_store_release(&fs);
}

static void validate__allows_a_share_of_vectors_that_are_not_finite(void **state)
{
    struct fixture_store fs;
    struct validate_limits limits;
    fixture_store_init(&fs);
    validate_limits_default(&limits);
    seal_vector(&fs, "nan", "f32[4]", NAN);
    limits.max_not_finite_pct = 49.9;
    assert_false(run(&fs, "nan", NULL, &limits).passed);
    limits.max_not_finite_pct = 50;
    struct validate_report report = run(&fs, "nan", NULL, &limits);
    assert_true(report.passed);
    assert_true(of(&report, "not_finite")->figure == 1);
    limits.max_not_finite_pct = 1;
    limits.max_not_finite = 1;
    assert_true(run(&fs, "nan", NULL, &limits).passed);
    fixture_store_release(&fs);
}

static void validate__without_figures_skips_what_it_cannot_tell(void **state)
{
    struct fixture_store fs;
    struct validate_limits limits;
    fixture_store_init(&fs);
    validate_limits_default(&limits);
    seal_vector(&fs, "old", "f32[4]", NAN);
    limits.max_bad_rows_pct = limits.max_norm_drift = limits.max_empty_pct = 0;
    struct validate_report report = run_read_back(&fs, "old", NULL, &limits);
    assert_true(report.passed);
    assert_false(report.has_figures);
    assert_int_equal(verdict(&report, "not_finite"), VALIDATE_SKIPPED);
    assert_int_equal(verdict(&report, "empty_values"), VALIDATE_SKIPPED);
    assert_int_equal(verdict(&report, "bad_rows"), VALIDATE_SKIPPED);
    assert_int_equal(verdict(&report, "norm_drift"), VALIDATE_SKIPPED);
    /* Reading it counts what was written, but not what was read. */
    report = run(&fs, "old", NULL, &limits);
    assert_true(report.has_figures);
    assert_int_equal(report.figures.keys, 2);
    assert_int_equal(verdict(&report, "not_finite"), VALIDATE_FAILED);
    assert_int_equal(verdict(&report, "bad_rows"), VALIDATE_SKIPPED);
    fixture_store_release(&fs);
}

static void validate__takes_no_figures_of_another_build(void **state)
{
    struct fixture_store fs;
    struct validate_limits limits;
    struct validate_report report;
    struct build_figures figures;
    fixture_store_init(&fs);
    validate_limits_default(&limits);
    seal_counted(&fs, "a", 5, 0, 0, 0);
    seal_counted(&fs, "b", 6, 0, 0, 0);
    assert_int_equal(figures_read(fs.store, "tables/t/staging/a", &figures, NULL), 0);
    assert_int_equal(figures_write(fs.store, "tables/t/staging/b", &figures, NULL), 0);
    for (int i = 0; i < 2; i++) {
        struct err err = {0};
        assert_int_equal(judge(&fs, "b", i, NULL, &limits, &report, &err), -EBADMSG);
        assert_non_null(strstr(err.text, "expected figures of 6 keys"));
    }
    fixture_store_release(&fs);
}

static void validate__counts_what_the_build_counted(void **state)
{
    struct fixture_store fs;
    struct validate_limits limits;
    struct build_figures kept;
    fixture_store_init(&fs);
    validate_limits_default(&limits);
    seal_counted(&fs, "a", 100, 7, 3, 2);
    assert_int_equal(figures_read(fs.store, "tables/t/staging/a", &kept, NULL), 0);
    struct validate_report walked = run(&fs, "a", NULL, &limits);
    struct validate_report told = run_read_back(&fs, "a", NULL, &limits);
    assert_true(walked.has_figures && told.has_figures);
    assert_memory_equal(&walked.figures, &kept, sizeof kept);
    assert_memory_equal(&told.figures, &kept, sizeof kept);
    fixture_store_release(&fs);
}

/* ---- drift ---- */

enum { N_NORMS = 2000 };

/* The first n_long of n vectors have norm 4, the others norm 1. */
static void seal_norms(struct fixture_store *fs, const char *task, size_t n, size_t n_long,
                       uint64_t base)
{
    struct sealed_build build = {.table = "t",
                                 .task = task,
                                 .schema = fixture_schema(KEY_U64, "f32[2]", 2),
                                 .n = n,
                                 .rows = n,
                                 .base = base};
    float(*values)[2] = calloc(n, sizeof *values);
    build.entries = calloc(n, sizeof *build.entries);
    assert_true(values && build.entries);
    for (size_t i = 0; i < n; i++) {
        values[i][0] = i < n_long ? 4 : 1;
        build.entries[i] = fixture_u64(&build.schema, i, values[i], sizeof values[i]);
    }
    fixture_seal(fs, &build);
    free(build.entries);
    free(values);
}

static void validate__refuses_norms_that_drifted(void **state)
{
    struct fixture_store fs;
    struct validate_limits limits;
    struct version_entry entry;
    fixture_store_init(&fs);
    validate_limits_default(&limits);
    seal_norms(&fs, "first", N_NORMS, 0, 0);
    struct table_state table = publish_as_1(&fs, "first", N_NORMS, &entry);
    seal_norms(&fs, "same", N_NORMS, 0, 0);
    seal_norms(&fs, "moved", N_NORMS, N_NORMS / 4, 0);
    struct validate_report report = run(&fs, "moved", &table, &limits);
    assert_true(report.passed);
    assert_true(of(&report, "norm_drift")->figure == 0.25);
    limits.max_norm_drift = 0.25;
    assert_true(run(&fs, "moved", &table, &limits).passed);
    limits.max_norm_drift = 0.249;
    report = run(&fs, "moved", &table, &limits);
    assert_false(report.passed);
    assert_int_equal(verdict(&report, "norm_drift"), VALIDATE_FAILED);
    assert_non_null(
        strstr(of(&report, "norm_drift")->text, "0.2500 since version 1 (limit 0.249)"));
    assert_false(run_read_back(&fs, "moved", &table, &limits).passed);
    limits.max_norm_drift = 0;
    assert_true(run(&fs, "same", &table, &limits).passed);
    fixture_store_release(&fs);
}

static void validate__skips_drift_that_nothing_tells_of(void **state)
{
    struct fixture_store fs;
    struct validate_limits limits;
    struct version_entry entry;
    fixture_store_init(&fs);
    validate_limits_default(&limits);
    limits.max_norm_drift = 0;
    limits.max_change_pct = 0;
    limits.allow_schema_change = true;
    seal_norms(&fs, "first", N_NORMS, 0, 0);
    struct validate_report report = run(&fs, "first", NULL, &limits);
    assert_non_null(strstr(of(&report, "norm_drift")->text, "no version to compare with"));
    struct table_state table = publish_as_1(&fs, "first", N_NORMS, &entry);
    seal_norms(&fs, "few", VALIDATE_NORMS_MIN - 1, 500, 0);
    seal_norms(&fs, "enough", VALIDATE_NORMS_MIN, 500, 0);
    report = run(&fs, "few", &table, &limits);
    assert_int_equal(verdict(&report, "norm_drift"), VALIDATE_SKIPPED);
    assert_non_null(strstr(of(&report, "norm_drift")->text, "too few"));
    assert_false(run(&fs, "enough", &table, &limits).passed);
    fixture_seal_numbers(&fs, "t", "bytes", 10, 1);
    report = run(&fs, "bytes", &table, &limits);
    assert_non_null(strstr(of(&report, "norm_drift")->text, "not vectors"));
    assert_int_equal(store_remove(fs.store, "tables/t/v/1/figures.json", NULL), 0);
    report = run(&fs, "enough", &table, &limits);
    assert_int_equal(verdict(&report, "norm_drift"), VALIDATE_SKIPPED);
    assert_non_null(strstr(of(&report, "norm_drift")->text, "version 1 has no figures"));
    fixture_store_release(&fs);
}

static void validate__does_not_trust_damaged_figures_of_the_last_version(void **state)
{
    struct fixture_store fs;
    struct validate_limits limits;
    struct validate_report report;
    struct version_entry entry;
    struct err err = {0};
    fixture_store_init(&fs);
    validate_limits_default(&limits);
    seal_norms(&fs, "first", N_NORMS, 0, 0);
    struct table_state table = publish_as_1(&fs, "first", N_NORMS, &entry);
    seal_norms(&fs, "next", N_NORMS, 0, 0);
    assert_int_equal(store_put(fs.store, "tables/t/v/1/figures.json", "{}", 2, NULL), 0);
    report = run(&fs, "next", &table, &limits);
    assert_int_equal(verdict(&report, "norm_drift"), VALIDATE_SKIPPED);
    limits.max_norm_drift = 0.5;
    assert_int_equal(judge(&fs, "next", true, &table, &limits, &report, &err), -EBADMSG);
    assert_non_null(strstr(err.text, "tables/t/v/1/figures.json"));
    fixture_store_release(&fs);
}

static void validate__compares_norms_with_the_whole_chain(void **state)
{
    struct fixture_store fs;
    struct validate_limits limits;
    struct version_entry entries[2];
    fixture_store_init(&fs);
    validate_limits_default(&limits);
    seal_norms(&fs, "first", 3 * N_NORMS, 0, 0);
    publish_as_1(&fs, "first", 3 * N_NORMS, &entries[0]);
    seal_norms(&fs, "delta", N_NORMS, N_NORMS, 1);
    publish_as(&fs, "delta", 2, 3 * N_NORMS, &entries[1]);
    entries[1].base = 1;
    struct table_state table = {.name = "t", .versions = entries, .n_versions = 2, .current = 2};
    seal_norms(&fs, "next", 3 * N_NORMS, N_NORMS, 0);
    struct validate_report report = run(&fs, "next", &table, &limits);
    /* A third is long, and was a quarter of all that the chain holds. */
    assert_true(fabs(of(&report, "norm_drift")->figure - (1.0 / 3 - 0.25)) < 1e-12);
    fixture_store_release(&fs);
}

/* ---- commands ---- */

static void validate__runs_commands_with_what_they_need(void **state)
{
    static const char command[] =
        "test \"$FKV_TABLE $FKV_TASK\" = 't next' && test \"$FKV_CURRENT\" = 1 && test -z "
        "\"$FKV_BASE\" && "
        "test \"$FKV_BUILD_DIR\" = \"$FKV_STORE/tables/t/staging/next\" && "
        "grep -q '\"keys\":10,' \"$FKV_FIGURES\" && echo $FKV_FIGURES";
    struct fixture_store fs;
    struct validate_limits limits;
    struct version_entry entry;
    fixture_store_init(&fs);
    validate_limits_default(&limits);
    fixture_seal_numbers(&fs, "t", "first", 10, 1);
    struct table_state table = publish_as_1(&fs, "first", 10, &entry);
    fixture_seal_numbers(&fs, "t", "next", 10, 2);
    limits.commands[limits.n_commands++] = command;
    struct validate_report report = run(&fs, "next", &table, &limits);
    const struct validate_finding *finding = of(&report, "command");
    if (!report.passed)
        fail_msg("%s", finding->text);
    assert_true(finding->has_figure && finding->figure == 0);
    /* The file is gone with the command. */
    const char *path = strrchr(finding->text, '/');
    assert_non_null(path);
    while (path > finding->text && path[-1] != ' ')
        path--;
    assert_int_equal(access(path, F_OK), -1);
    fixture_store_release(&fs);
}

static void validate__refuses_when_a_command_fails_or_hangs(void **state)
{
    struct fixture_store fs;
    struct validate_limits limits;
    fixture_store_init(&fs);
    validate_limits_default(&limits);
    fixture_seal_numbers(&fs, "t", "a", 10, 1);
    limits.commands[0] = "true";
    limits.commands[1] = "echo clicks are down; exit 2";
    limits.commands[2] = "echo waiting; sleep 60";
    limits.n_commands = 3;
    limits.command_timeout_ns = 300000000;
    struct validate_report report = run(&fs, "a", NULL, &limits);
    const struct validate_finding *last = &report.findings[report.n_findings - 1];
    assert_false(report.passed);
    assert_int_equal(last[-2].verdict, VALIDATE_PASSED);
    assert_int_equal(last[-1].verdict, VALIDATE_FAILED);
    assert_true(last[-1].figure == 2);
    assert_string_equal(last[-1].text,
                        "command 'echo clicks are down; exit 2': exit status 2: clicks are down");
    assert_int_equal(last[0].verdict, VALIDATE_FAILED);
    assert_false(last[0].has_figure);
    assert_non_null(strstr(last[0].text, "did not end within 0.3 s, and was killed: waiting"));
    /* Nothing is run for a build that is refused anyway. */
    limits.min_rows = 11;
    report = run(&fs, "a", NULL, &limits);
    assert_int_equal(verdict(&report, "command"), VALIDATE_SKIPPED);
    fixture_store_release(&fs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(validate__passes_a_good_first_build),
        cmocka_unit_test(validate__wants_the_rows_asked_for),
        cmocka_unit_test(validate__compares_rows_with_the_current_version),
        cmocka_unit_test(validate__counts_nan_and_inf_in_every_vector_type),
        cmocka_unit_test(validate__refuses_another_schema_unless_allowed),
        cmocka_unit_test(validate__fails_when_the_last_version_is_damaged),
        cmocka_unit_test(validate__finds_a_key_that_lookups_would_miss),
        cmocka_unit_test(validate__finds_a_key_that_stands_in_for_another),
        cmocka_unit_test(validate__folds_a_delta_with_tombstones),
        cmocka_unit_test(validate__limits_shares_when_told_to),
        cmocka_unit_test(validate__allows_a_share_of_vectors_that_are_not_finite),
        cmocka_unit_test(validate__without_figures_skips_what_it_cannot_tell),
        cmocka_unit_test(validate__takes_no_figures_of_another_build),
        cmocka_unit_test(validate__counts_what_the_build_counted),
        cmocka_unit_test(validate__refuses_norms_that_drifted),
        cmocka_unit_test(validate__skips_drift_that_nothing_tells_of),
        cmocka_unit_test(validate__does_not_trust_damaged_figures_of_the_last_version),
        cmocka_unit_test(validate__compares_norms_with_the_whole_chain),
        cmocka_unit_test(validate__runs_commands_with_what_they_need),
        cmocka_unit_test(validate__refuses_when_a_command_fails_or_hangs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
