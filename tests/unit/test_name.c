/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "manifest/author.h"
#include "manifest/log_name.h"
#include "manifest/name.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

typedef int (*check_fn)(const char *name, struct err *err);

static void assert_all(check_fn check, const char *const *names, size_t n, int expected)
{
    for (size_t i = 0; i < n; i++) {
        struct err err = {0};
        int ret = check(names[i], &err);
        if (ret != expected)
            print_error("\"%s\" gave %d\n", names[i], ret);
        assert_int_equal(ret, expected);
        assert_int_equal(err.text[0] != 0, expected != 0);
    }
}
#define ASSERT_ALL(check, names, expected)                                                         \
    assert_all(check, names, sizeof names / sizeof *names, expected)

/* What no name may be: each would be a path, a flag, or a mess on a terminal. */
static const char *const never[] = {"",   ".",  "..",   "../x",  "a/b",  "/a", "-a",
                                    "_a", ".a", "a b",  "a\n",   "a\"",  "a%", "ä",
                                    "a:", "a*", "a\\b", "a\x7f", "\x01", " a"};

static void name__tables_are_lower_case(void **state)
{
    static const char *const good[] = {"a", "0", "ads", "ads-2024_v2", "9lives", "a--__"};
    static const char *const bad[] = {"Ads", "a.b", "aD"};
    ASSERT_ALL(table_name_check, good, 0);
    ASSERT_ALL(table_name_check, bad, -EINVAL);
    ASSERT_ALL(table_name_check, never, -EINVAL);
}

static void name__nodes_and_tasks_are_host_names(void **state)
{
    static const char *const good[] = {"a", "Host-1.example.com", "0", "A_b"};
    ASSERT_ALL(node_name_check, good, 0);
    ASSERT_ALL(task_name_check, good, 0);
    ASSERT_ALL(label_name_check, good, 0);
    ASSERT_ALL(node_name_check, never, -EINVAL);
    ASSERT_ALL(label_name_check, never, -EINVAL);
    ASSERT_ALL(task_name_check, never, -EINVAL);
}

static void name__tags_are_no_numbers_nor_words_of_ours(void **state)
{
    static const char *const good[] = {"stable", "v42", "4-2", "golden_1"};
    static const char *const bad[] = {"42", "0", "current", "previous", "Stable"};
    ASSERT_ALL(tag_name_check, good, 0);
    ASSERT_ALL(tag_name_check, bad, -EINVAL);
    ASSERT_ALL(tag_name_check, never, -EINVAL);
}

static void name__pins_are_nodes_or_labels(void **state)
{
    static const char *const good[] = {"host-1", "label:canary", "label:EU.west"};
    static const char *const bad[] = {"label:", "label:-", "label:a:b", "labels:a", "label:a b"};
    ASSERT_ALL(pin_name_check, good, 0);
    ASSERT_ALL(pin_name_check, bad, -EINVAL);
    ASSERT_ALL(pin_name_check, never, -EINVAL);
}

static void assert_limit(check_fn check, const char *prefix, size_t max)
{
    char name[400];
    memset(name, 'a', sizeof name);
    memcpy(name, prefix, strlen(prefix));
    name[max] = '\0';
    assert_int_equal(check(name, NULL), 0);
    name[max] = 'a';
    name[max + 1] = '\0';
    assert_int_equal(check(name, NULL), -EINVAL);
    name[max + 1] = 'a';
    name[sizeof name - 1] = '\0';
    assert_int_equal(check(name, NULL), -EINVAL);
}

static void name__lengths_are_limited(void **state)
{
    assert_limit(table_name_check, "", TABLE_NAME_MAX);
    assert_limit(node_name_check, "", NODE_NAME_MAX);
    assert_limit(label_name_check, "", LABEL_NAME_MAX);
    assert_limit(tag_name_check, "", TAG_NAME_MAX);
    assert_limit(task_name_check, "", TASK_NAME_MAX);
    assert_limit(pin_name_check, "", NODE_NAME_MAX);
    assert_limit(pin_name_check, "label:", NODE_NAME_MAX);
}

static int reason_check(const char *text, struct err *err)
{
    return text_check("reason", text, 20, err);
}

static void text__is_utf8_without_control_characters(void **state)
{
    static const char *const good[] = {"",
                                       "hourly build",
                                       "süß",
                                       "日本",
                                       "😀",
                                       "\"quoted\\",
                                       "\xF4\x8F\xBF\xBF",
                                       "12345678901234567890"};
    static const char *const bad[] = {"a\nb",
                                      "tab\there",
                                      "\x1b[31m",
                                      "\x7f",
                                      "\xff",
                                      "\xC3",
                                      "\xC0\x80",
                                      "\xE2\x82",
                                      "\xED\xA0\x80",
                                      "\xF4\x90\x80\x80",
                                      "\xE0\x80\x80",
                                      "\xF0\x80\x80\x80",
                                      "\x80",
                                      "\xF8\x88\x80\x80\x80",
                                      "123456789012345678901"};
    ASSERT_ALL(reason_check, good, 0);
    ASSERT_ALL(reason_check, bad, -EINVAL);
}

static void log_name__round_trips_and_knows_strangers(void **state)
{
    char path[LOG_NAME_MAX];
    static const uint64_t seqs[] = {1, 99, 100, 9999999999ULL};
    for (size_t i = 0; i < sizeof seqs / sizeof *seqs; i++) {
        log_record_path(seqs[i], path);
        assert_memory_equal(path, "log/", 4);
        assert_int_equal(log_record_seq(path + 4), seqs[i]);
        assert_int_equal(log_snapshot_seq(path + 4), 0);
        log_snapshot_path(seqs[i], path);
        assert_int_equal(log_snapshot_seq(path + 4), seqs[i]);
        assert_int_equal(log_record_seq(path + 4), 0);
    }
    log_record_path(7, path);
    assert_string_equal(path, "log/0000000007.json");
    static const char *const strangers[] = {"",
                                            "7.json",
                                            "0000000007",
                                            "0000000007.json~",
                                            "00000000007.json",
                                            "000000000a.json",
                                            "+000000007.json",
                                            "snapshot-7.json",
                                            ".tmp-1-0123456789abcdef",
                                            "0000000000.json"};
    for (size_t i = 0; i < sizeof strangers / sizeof *strangers; i++) {
        assert_int_equal(log_record_seq(strangers[i]), 0);
        assert_int_equal(log_snapshot_seq(strangers[i]), 0);
    }
}

static void author__is_somebody_somewhere(void **state)
{
    char author[AUTHOR_MAX];
    author_current(author);
    const char *at = strchr(author, '@');
    assert_non_null(at);
    assert_true(at > author && at[1]);
    assert_int_equal(text_check("author", author, AUTHOR_MAX, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(name__tables_are_lower_case),
        cmocka_unit_test(name__nodes_and_tasks_are_host_names),
        cmocka_unit_test(name__tags_are_no_numbers_nor_words_of_ours),
        cmocka_unit_test(name__pins_are_nodes_or_labels),
        cmocka_unit_test(name__lengths_are_limited),
        cmocka_unit_test(text__is_utf8_without_control_characters),
        cmocka_unit_test(log_name__round_trips_and_knows_strangers),
        cmocka_unit_test(author__is_somebody_somewhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
