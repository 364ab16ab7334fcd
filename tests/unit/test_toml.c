/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "builder/toml.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void becomes(const char *toml, const char *json)
{
    struct buf out = {0};
    struct err err = {0};
    int ret = toml_to_json(toml, strlen(toml), "job.toml", &out, &err);
    if (ret)
        fail_msg("%s: %d %s", toml, ret, err.text);
    assert_int_equal(buf_add_byte(&out, 0), 0);
    assert_string_equal((const char *)out.data, json);
    buf_release(&out);
}

static void toml__becomes_json(void **state)
{
    becomes("", "{}\n");
    becomes("# only a comment: [a.b]\n", "{}\n");
    becomes("b = true\na = 1\n", "{\"a\":1,\"b\":true}\n");
    becomes("\xEF\xBB\xBF"
            "a = 0x1F\r\nb = 1_000\r\n",
            "{\"a\":31,\"b\":1000}\n");
    becomes("a = -9223372036854775808\nb = 9223372036854775807",
            "{\"a\":-9223372036854775808,\"b\":9223372036854775807}\n");
    becomes("a = 0.5\nb = 1e3\nc = 5.0\nd = -0.1\ne = 1e300",
            "{\"a\":0.5,\"b\":1000.0,\"c\":5.0,\"d\":-0.1,\"e\":1e+300}\n");
    becomes("[schema]\nkey = \"u64\"\n[slurm]\noptions = [\"a\", 'b\\c']\n",
            "{\"schema\":{\"key\":\"u64\"},\"slurm\":{\"options\":[\"a\",\"b\\\\c\"]}}\n");
    becomes("a.b = 1\na.c = {d = [], e = {}}", "{\"a\":{\"b\":1,\"c\":{\"d\":[],\"e\":{}}}}\n");
    becomes("[[a]]\nb = 1\n[[a]]\nb = 2\n", "{\"a\":[{\"b\":1},{\"b\":2}]}\n");
    becomes("a = [[1, 2], [], [\"x\"]]", "{\"a\":[[1,2],[],[\"x\"]]}\n");
}

static void toml__strings_keep_every_character(void **state)
{
    becomes("a = \"t\\tq\\\"b\\\\n\\nü\\u00fc\\U0001F600\"",
            "{\"a\":\"t\\u0009q\\\"b\\\\n\\u000aüü😀\"}\n");
    becomes("a = \"\"\"\nselect *\n  from 'x.y'\"\"\"",
            "{\"a\":\"select *\\u000a  from 'x.y'\"}\n");
    becomes("a = \"\"\"x\\\n   y\"\"\"\nb = '''it's\\'''", "{\"a\":\"xy\",\"b\":\"it's\\\\\"}\n");
    becomes("a = \"\"\"q\"\"\"\"\"\nb = 1", "{\"a\":\"q\\\"\\\"\",\"b\":1}\n");
    becomes("\"a \\\" b\" = 1", "{\"a \\\" b\":1}\n");
}

/* What stands in strings and comments counts as no level. */
static void toml__dots_and_brackets_in_text_do_not_nest(void **state)
{
    becomes("a = \".....................[[[[[[[[[[[[[[[[[[[[\"",
            "{\"a\":\".....................[[[[[[[[[[[[[[[[[[[[\"}\n");
    becomes("a = '[[[[[[[[[[[[[[[[[[[[[[[\"' # [[[[[[[[[[[[[[[[[[ ................... \"\nb = 1",
            "{\"a\":\"[[[[[[[[[[[[[[[[[[[[[[[\\\"\",\"b\":1}\n");
    becomes("a = '''\n[[[[[[[[[[[[[[[[[[[[[[\n....................''' # '''\nb = 1",
            "{\"a\":\"[[[[[[[[[[[[[[[[[[[[[[\\u000a....................\",\"b\":1}\n");
    becomes("a = \"\"\"\\\"\"\"[[[[[[[[[[[[[[[[[[[[[[[[\\\\\"\"\"",
            "{\"a\":\"\\\"\\\"\\\"[[[[[[[[[[[[[[[[[[[[[[[[\\\\\"}\n");
}

static void refuses(const char *toml, size_t len, const char *says)
{
    struct buf out = {0};
    struct err err = {0};
    assert_int_equal(buf_add(&out, "kept", 4), 0);
    int ret = toml_to_json(toml, len, "job.toml", &out, &err);
    if (ret != -EBADMSG || err.code != ret || strncmp(err.text, says, strlen(says)) != 0)
        fail_msg("%.100s: %d %s", toml, ret, err.text);
    assert_int_equal(out.len, 4);
    buf_release(&out);
}

static void toml__faults_have_a_line_and_a_column(void **state)
{
    static const struct {
        const char *toml;
        const char *says;
    } cases[] = {
        {"a = 1\nb == 2\n", "job.toml: line 2, column 4: "},
        {"a = 1\na = 2\n", "job.toml: line 2, column "},
        {"[a]\n[b]\n[a]\n", "job.toml: line 3, column "},
        {"a = 9223372036854775808", "job.toml: line 1, column "},
        {"a = \"\xff\"", "job.toml: line 1, column "},
        {"a = \"x\ny\"", "job.toml: line 1, column "},
        {"a = \"x", "job.toml: line 1, column "},
        {"{\"a\": 1}", "job.toml: line 1, column 1: "},
        {"a = 1e999", "job.toml: line 1, column "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        refuses(cases[i].toml, strlen(cases[i].toml), cases[i].says);
    refuses("[ =", 3, "job.toml: expected TOML, found what breaks the rule");
    refuses("a = \"x\0y\"", 9, "job.toml: line 1, column ");
}

static void toml__what_json_lacks_is_refused_by_name(void **state)
{
    static const struct {
        const char *toml;
        const char *says;
    } cases[] = {
        {"x = 1\ntime = 2026-01-02", "job.toml: line 2, column 8: time: expected a text, a number, "
                                     "true or false, found a date"},
        {"[slurm]\ntime = 01:00:00", "job.toml: line 2, column 8: slurm.time: expected a text, a "
                                     "number, true or false, found a time of day"},
        {"a = [1, 2026-01-02T03:04:05Z]", "job.toml: line 1, column 9: a[1]: expected a text, a "
                                          "number, true or false, found a date and time"},
        {"a = {b = [[inf]]}",
         "job.toml: line 1, column 12: a.b[0][0]: expected a number, found inf"},
        {"a = -nan", "job.toml: line 1, column 5: a: expected a number, found nan"},
        {"a = \"x\\u0000\"",
         "job.toml: line 1, column 5: a: expected a text, found one with a NUL"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        refuses(cases[i].toml, strlen(cases[i].toml), cases[i].says);
}

/* Also where the parser has no defined answer to whether they are white space. */
static void toml__letters_beyond_ascii_come_through(void **state)
{
    becomes("a = \"\"\"\nü\nˊ\"\"\" # ü ˊ", "{\"a\":\"ü\\u000aˊ\"}\n");
    becomes("\"ü\" = 'ˊ'", "{\"ü\":\"ˊ\"}\n");
    becomes("a = \"\"\"x\\\n  \\u00fc y\"\"\"", "{\"a\":\"xü y\"}\n");
    becomes("a = \"\"\"x\\\n  ü\"\"\"", "{\"a\":\"xü\"}\n");
    becomes("a = '\xC2\x80 ߿ ࠀ 中 \xEF\xBB\xBF \xEF\xBF\xBF 😀 \xF4\x8F\xBF\xBF'",
            "{\"a\":\"\xC2\x80 ߿ ࠀ 中 \xEF\xBB\xBF \xEF\xBF\xBF 😀 \xF4\x8F\xBF\xBF\"}\n");
    static const struct {
        const char *toml;
        const char *says;
    } cases[] = {
        {"a = 1\nü = 2", "job.toml: line 2, column 1: "},
        {"[t.ˊ]", "job.toml: line 1, column 4: "},
        {"a = 1ˊ", "job.toml: line 1, column 6: "},
        {"a = 0x1f\"\"\"ձˊ\"\"\"", "job.toml: line 1, column "},
        {"a = \"\"\"x\\ü\"\"\"", "job.toml: line 1, column "},
        {"a = '\xED\xA0\x80'", "job.toml: line 1, column 6: expected UTF-8, found other bytes"},
        {"\n'ü' = '\xFF'", "job.toml: line 2, column 8: expected UTF-8, found other bytes"},
        {"a = '\xF3\xB0\x81\x81'", "job.toml: line 1, column 6: expected no letters of plane 15"},
        {"a = \"\\U000f0041\"", "job.toml: line 1, column 6: expected no letters of plane 15"},
        {"ü = 2026-01-02", "job.toml: line 1, column 1: "},
        {"'ü' = 2026-01-02", "job.toml: line 1, column 7: ü: expected a text"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        refuses(cases[i].toml, strlen(cases[i].toml), cases[i].says);
}

static void toml__size_and_depth_are_bounded(void **state)
{
    char *long_text = malloc(TOML_LEN_MAX + 1);
    assert_non_null(long_text);
    memset(long_text, '\n', TOML_LEN_MAX + 1);
    refuses(long_text, TOML_LEN_MAX + 1, "job.toml: expected at most 1048576 bytes, found 1048577");
    static const char *const nests[] = {"a.",     "[",     "{a=",   "a . ",
                                        "\"b\".", "[a.\n", "a={b.", "\"\"\"x\"\"\"."};
    for (size_t i = 0; i < sizeof nests / sizeof *nests; i++) {
        size_t len = strlen(nests[i]);
        memcpy(long_text, "a = ", 4);
        for (size_t at = i == 1 ? 4 : 0; at + len <= TOML_LEN_MAX; at += len)
            memcpy(long_text + at, nests[i], len);
        refuses(long_text, TOML_LEN_MAX, "job.toml: line ");
    }
    free(long_text);
    becomes("a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p = 1",
            "{\"a\":{\"b\":{\"c\":{\"d\":{\"e\":{\"f\":{\"g\":{\"h\":{\"i\":{\"j\":{\"k\":{\"l\":{"
            "\"m\":"
            "{\"n\":{\"o\":{\"p\":1}}}}}}}}}}}}}}}}\n");
    static const char *const deep[] = {
        "[a.b.c.d.e.f.g.h]\ni.j.k.l.m.n.o.p.q = 1",
        "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q = 1",
        "a = [[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]",
    };
    for (size_t i = 0; i < sizeof deep / sizeof *deep; i++)
        refuses(deep[i], strlen(deep[i]), "job.toml: line ");
}

static void toml__a_megabyte_is_read(void **state)
{
    struct buf text = {0};
    struct buf json = {0};
    struct err err = {0};
    assert_int_equal(buf_printf(&text, "inputs = [\n"), 0);
    while (text.len < TOML_LEN_MAX - 100)
        assert_int_equal(buf_printf(&text, "  \"/data/part-%zu.tsv\",\n", text.len), 0);
    assert_int_equal(buf_printf(&text, "]\n"), 0);
    assert_int_equal(toml_to_json((const char *)text.data, text.len, "job.toml", &json, &err), 0);
    assert_true(json.len > TOML_LEN_MAX / 2);
    buf_release(&text);
    buf_release(&json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(toml__becomes_json),
        cmocka_unit_test(toml__strings_keep_every_character),
        cmocka_unit_test(toml__dots_and_brackets_in_text_do_not_nest),
        cmocka_unit_test(toml__faults_have_a_line_and_a_column),
        cmocka_unit_test(toml__what_json_lacks_is_refused_by_name),
        cmocka_unit_test(toml__letters_beyond_ascii_come_through),
        cmocka_unit_test(toml__size_and_depth_are_bounded),
        cmocka_unit_test(toml__a_megabyte_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
