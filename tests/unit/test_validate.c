/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "builder/validate.h"
#include "codec/vector.h"
#include "sealed_fixture.h"

#include <errno.h>
#include <math.h>

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

/* Moves a sealed build to v/1 and returns the state of a table that has it as current. */
static struct table_state publish_as_1(struct fixture_store *fs, const char *task, uint64_t n_keys,
                                       struct version_entry *entry)
{
    char dir[LAYOUT_PATH_MAX], to[LAYOUT_PATH_MAX], json[LAYOUT_PATH_MAX];
    struct buf text = {0};
    struct err err = {0};
    layout_staging_dir("t", task, dir);
    layout_version_dir("t", 1, to);
    sealed_must(store_mkdir(fs->store, "tables/t/v", &err), &err, "mkdir");
    sealed_must(store_rename(fs->store, dir, to, &err), &err, "rename");
    layout_version_json(to, json);
    sealed_must(store_get(fs->store, json, VERSION_JSON_MAX, &text, &err), &err, "get");
    *entry = (struct version_entry){.version = 1, .state = VERSION_CURRENT, .n_keys = n_keys};
    digest_of(text.data, text.len, &entry->digest);
    buf_release(&text);
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
