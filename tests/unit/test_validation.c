/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "builder/validate_json.h"
#include "builder/validation.h"
#include "sealed_fixture.h"

#include <errno.h>
#include <stdlib.h>

/* ---- limits ---- */

static int decode(const char *text, struct validate_limits *limits, json_t **json, struct err *err)
{
    validate_limits_default(limits);
    assert_int_equal(json_parse(text, strlen(text), "job.json", json, err), 0);
    return validate_limits_decode((struct json_at){*json, "job.json"}, limits, err);
}

static void limits_json__says_nothing_and_means_the_defaults(void **state)
{
    scope_json json_t *json = NULL;
    struct validate_limits found, expected;
    validate_limits_default(&expected);
    assert_int_equal(decode("{}", &found, &json, NULL), 0);
    assert_int_equal(found.min_rows, expected.min_rows);
    assert_true(found.max_change_pct == 20 && found.max_norm_drift < 0 && found.max_empty_pct < 0);
    assert_int_equal(found.n_commands, 0);
    assert_true(found.command_timeout_ns == 600000000000);
}

static void limits_json__goes_there_and_back(void **state)
{
    static const char text[] =
        "{\"rows_min\":{\"min\":5},\"rows_change\":{\"max_pct\":30.0},"
        "\"duplicates\":{\"max_pct\":1.5},\"not_finite\":{\"max\":7,\"max_pct\":0.25},"
        "\"empty_values\":{\"max_pct\":0.0},\"bad_rows\":{\"max_pct\":3.5},"
        "\"norm_drift\":{\"max\":0.125},\"schema_change\":{\"allow\":true},"
        "\"command\":[\"./check.sh\",\"true\"],\"command_timeout\":\"1500000000ns\"}\n";
    scope_json json_t *json = NULL;
    struct validate_limits limits;
    struct buf again = {0};
    struct err err = {0};
    sealed_must(decode(text, &limits, &json, &err), &err, "limits");
    assert_int_equal(limits.min_rows, 5);
    assert_int_equal(limits.max_not_finite, 7);
    assert_true(limits.max_not_finite_pct == 0.25 && limits.max_change_pct == 30);
    assert_true(limits.max_duplicates_pct == 1.5 && limits.max_empty_pct == 0);
    assert_true(limits.max_bad_rows_pct == 3.5 && limits.max_norm_drift == 0.125);
    assert_true(limits.allow_schema_change);
    assert_int_equal(limits.n_commands, 2);
    assert_string_equal(limits.commands[1], "true");
    assert_true(limits.command_timeout_ns == 1500000000);
    scope_json json_t *made = NULL;
    assert_int_equal(validate_limits_encode(&limits, &made), 0);
    assert_int_equal(json_write(made, false, &again), 0);
    assert_int_equal(again.len, strlen(text));
    assert_memory_equal(again.data, text, again.len);
    buf_release(&again);
}

static void limits_json__defaults_go_there_and_back(void **state)
{
    struct validate_limits limits, back;
    struct err err = {0};
    validate_limits_default(&limits);
    limits.max_change_pct = 0;
    scope_json json_t *made = NULL;
    assert_int_equal(validate_limits_encode(&limits, &made), 0);
    validate_limits_default(&back);
    sealed_must(validate_limits_decode((struct json_at){made, "job.json"}, &back, &err), &err,
                "decode");
    assert_true(back.max_change_pct == 0 && back.max_not_finite_pct < 0);
    assert_true(back.max_duplicates_pct < 0 && back.max_bad_rows_pct < 0 &&
                back.max_norm_drift < 0 && back.max_empty_pct < 0);
}

static void limits_json__refuses_by_name(void **state)
{
    const struct {
        const char *text;
        const char *says;
    } bad[] = {
        {"{\"row_change\":{}}", "row_change"},
        {"{\"rows_change\":{\"max\":1}}", "rows_change.max"},
        {"{\"rows_change\":20}", "rows_change"},
        {"{\"rows_change\":null}", "rows_change"},
        {"{\"rows_change\":{\"max_pct\":-1}}", "rows_change.max_pct"},
        {"{\"rows_change\":{\"max_pct\":\"20\"}}", "rows_change.max_pct"},
        {"{\"rows_min\":{\"min\":-1}}", "rows_min.min"},
        {"{\"rows_min\":{\"min\":1,\"most\":2}}", "rows_min.most"},
        {"{\"norm_drift\":{\"max\":1.5}}", "norm_drift.max: expected a distance from 0 to 1"},
        {"{\"not_finite\":{\"max_pct\":101}}", "not_finite.max_pct"},
        {"{\"schema_change\":{\"allow\":1}}", "schema_change.allow"},
        {"{\"command\":\"./check.sh\"}", "command"},
        {"{\"command\":[1]}", "command[0]"},
        {"{\"command\":[\"\"]}", "command[0]"},
        {"{\"command\":[\"0\",\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\",\"10\",\"11\","
         "\"12\",\"13\",\"14\",\"15\",\"16\"]}",
         "at most 16"},
        {"{\"command_timeout\":0}", "command_timeout"},
        {"{\"command_timeout\":\"soon\"}", "command_timeout"},
        {"{\"commands\":[\"x\"]}", "commands"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        scope_json json_t *json = NULL;
        struct validate_limits limits;
        struct err err = {0};
        if (decode(bad[i].text, &limits, &json, &err) != -EBADMSG)
            fail_msg("taken: %s", bad[i].text);
        if (!strstr(err.text, bad[i].says))
            fail_msg("%s: %s", bad[i].text, err.text);
    }
}

/* ---- validation.json ---- */

static struct validation *make(void)
{
    struct validation *v = calloc(1, sizeof *v);
    assert_non_null(v);
    *v = (struct validation){.table = "ads",
                             .task = "t1",
                             .author = "ann@host",
                             .time_ns = 1795349575143920852,
                             .report = {.n_findings = 2, .has_figures = true}};
    v->report.findings[0] = (struct validate_finding){.name = "rows_min",
                                                      .has_figure = true,
                                                      .has_limit = true,
                                                      .figure = 5,
                                                      .limit = 1,
                                                      .text = "rows: 5"};
    v->report.findings[1] = (struct validate_finding){
        .name = "command", .verdict = VALIDATE_FAILED, .text = "command 'x': not text \303"};
    v->report.figures = (struct build_figures){.rows = 5, .keys = 5};
    return v;
}

static void validation__is_kept_and_read_back(void **state)
{
    struct fixture_store fs;
    struct err err = {0};
    struct validation *v = make();
    struct validation *back = calloc(1, sizeof *back);
    assert_non_null(back);
    fixture_store_init(&fs);
    assert_int_equal(store_mkdir(fs.store, "tables/ads/v/1", &err), 0);
    assert_int_equal(validation_read(fs.store, "tables/ads/v/1", back, &err), -ENOENT);
    sealed_must(validation_write(fs.store, "tables/ads/v/1", v, &err), &err, "write");
    sealed_must(validation_read(fs.store, "tables/ads/v/1", back, &err), &err, "read");
    assert_string_equal(back->report.findings[1].text, "command 'x': not text ");
    snprintf(v->report.findings[1].text, sizeof v->report.findings[1].text, "%s",
             back->report.findings[1].text);
    assert_memory_equal(v, back, sizeof *v);
    fixture_store_release(&fs);
    free(v);
    free(back);
}

static void validation__with_every_sentence_at_its_longest_can_be_read(void **state)
{
    struct fixture_store fs;
    struct err err = {0};
    struct validation *v = make();
    fixture_store_init(&fs);
    v->report.n_findings = VALIDATE_FINDINGS_MAX;
    v->report.has_figures = false;
    for (size_t i = 0; i < VALIDATE_FINDINGS_MAX; i++) {
        struct validate_finding *f = &v->report.findings[i];
        *f = (struct validate_finding){.name = "command", .verdict = VALIDATE_FAILED};
        memset(f->text, 0xE9, sizeof f->text - 1);
        for (size_t k = 0; k + 2 < sizeof f->text; k += 2)
            memcpy(f->text + k, "\303\251", 2);
    }
    assert_int_equal(store_mkdir(fs.store, "d", &err), 0);
    sealed_must(validation_write(fs.store, "d", v, &err), &err, "write");
    sealed_must(validation_read(fs.store, "d", v, &err), &err, "read");
    fixture_store_release(&fs);
    free(v);
}

#define HEAD "{\"format\":1,\"table\":\"ads\",\"task\":\"t\",\"author\":\"a@b\",\"time_ns\":5,"
#define GOOD                                                                                       \
    "\"validators\":[{\"name\":\"x\",\"verdict\":\"passed\",\"figure\":null,\"limit\":null,"       \
    "\"sentence\":\"s\"}]"

static void validation__refuses_hostile_files(void **state)
{
    static const char *const bad[] = {
        "",
        "{}",
        HEAD "\"passed\":false," GOOD ",\"figures\":null}",
        HEAD "\"passed\":true,\"validators\":[1],\"figures\":null}",
        HEAD "\"passed\":true,\"validators\":[{}],\"figures\":null}",
        HEAD "\"passed\":true,\"validators\":[{\"name\":\"x\",\"verdict\":\"good\",\"sentence\":"
             "\"s\"}]}",
        HEAD "\"passed\":true,\"validators\":[{\"name\":\"x\",\"verdict\":\"passed\","
             "\"sentence\":\"\\u001b[2J\"}]}",
        HEAD "\"passed\":true,\"validators\":[{\"name\":\"a name that is far too long\","
             "\"verdict\":\"passed\",\"sentence\":\"\"}]}",
        HEAD "\"passed\":true," GOOD ",\"figures\":{}}",
        HEAD "\"passed\":true," GOOD ",\"figures\":[]}",
        HEAD "\"passed\":true," GOOD ",\"else\":1}",
    };
    struct validation *out = calloc(1, sizeof *out);
    assert_non_null(out);
    static const char good[] = HEAD "\"passed\":true," GOOD ",\"figures\":null}";
    assert_int_equal(validation_decode(good, strlen(good), "v", out, NULL), 0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct err err = {0};
        if (validation_decode(bad[i], strlen(bad[i]), "validation.json", out, &err) != -EBADMSG)
            fail_msg("taken: %s", bad[i]);
        assert_non_null(strstr(err.text, "validation.json"));
    }
    assert_int_equal(validation_decode("{\"format\":9}", 12, "v", out, NULL), -ENOTSUP);
    free(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(limits_json__says_nothing_and_means_the_defaults),
        cmocka_unit_test(limits_json__goes_there_and_back),
        cmocka_unit_test(limits_json__defaults_go_there_and_back),
        cmocka_unit_test(limits_json__refuses_by_name),
        cmocka_unit_test(validation__is_kept_and_read_back),
        cmocka_unit_test(validation__with_every_sentence_at_its_longest_can_be_read),
        cmocka_unit_test(validation__refuses_hostile_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
