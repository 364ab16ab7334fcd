/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "fuse/tree.h"

#include <string.h>

static void comes_back(struct tree_node node)
{
    struct tree_node back;
    memset(&back, 0xff, sizeof back);
    assert_true(tree_node_of(tree_ino(&node), &back));
    assert_int_equal(back.kind, node.kind);
    assert_int_equal(back.table, node.table);
    assert_int_equal(back.part, node.part);
    assert_int_equal(back.version, node.version);
    assert_int_equal(back.serial, node.serial);
}

static void tree__a_number_gives_its_node_back(void **state)
{
    comes_back((struct tree_node){.kind = TREE_ROOT});
    comes_back((struct tree_node){.kind = TREE_STATUS});
    comes_back((struct tree_node){.kind = TREE_TABLE, .table = TREE_TABLES_MAX - 1});
    comes_back((struct tree_node){.kind = TREE_VERSION, .table = 7, .version = TREE_VERSION_MAX});
    comes_back((struct tree_node){.kind = TREE_PART,
                                  .table = TREE_TABLES_MAX - 1,
                                  .part = TREE_PARTS_MAX - 1,
                                  .version = TREE_VERSION_MAX});
    comes_back((struct tree_node){.kind = TREE_KEY, .serial = TREE_SERIAL_MAX});
}

static void tree__the_root_is_one_and_zero_is_nothing(void **state)
{
    struct tree_node node = {.kind = TREE_ROOT};
    assert_int_equal(tree_ino(&node), TREE_ROOT_INO);
    assert_false(tree_node_of(0, &node));
    assert_false(tree_node_of(2, &node));
    assert_false(tree_node_of(UINT64_MAX, &node));
    assert_false(tree_node_of((uint64_t)TREE_KIND_COUNT << 59, &node));
}

static void tree__different_nodes_have_different_numbers(void **state)
{
    uint64_t seen[TREE_KIND_COUNT * 2 * 2 * 2];
    size_t n = 0;
    for (int kind = 1; kind < TREE_KEY; kind++)
        for (unsigned table = 0; table < 2; table++)
            for (unsigned part = 0; part < 2; part++)
                for (unsigned version = 0; version < 2; version++) {
                    struct tree_node node = {.kind = (enum tree_kind)kind,
                                             .table = table,
                                             .part = part,
                                             .version = version};
                    seen[n++] = tree_ino(&node);
                }
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < i; j++)
            assert_true(seen[i] != seen[j]);
}

static void tree__fixed_names_lead_to_their_kinds(void **state)
{
    enum tree_kind kind = TREE_ROOT;
    assert_true(tree_child_kind(TREE_TABLE, "current", &kind));
    assert_int_equal(kind, TREE_CURRENT);
    assert_true(tree_child_kind(TREE_VERSION, "batch", &kind));
    assert_int_equal(kind, TREE_VERSION_BATCH);
    assert_false(tree_child_kind(TREE_ROOT, "current", &kind));
    assert_false(tree_child_kind(TREE_TABLE, "..", &kind));
    assert_false(tree_child_kind(TREE_TABLE, "", &kind));
    assert_string_equal(tree_name(TREE_VERSIONS), "v");
    assert_null(tree_name(TREE_PART));
}

static void tree__a_version_has_one_spelling(void **state)
{
    static const char *const bad[] = {
        "",   "0",  "01", "-1", "+1", " 1",        "1 ",
        "1a", "0x", "..", "1/", "٣",  "536870912", "99999999999999999999"};
    uint64_t version = 77;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(tree_version_of(bad[i], &version));
    assert_int_equal(version, 77);
    assert_true(tree_version_of("1", &version));
    assert_int_equal(version, 1);
    assert_true(tree_version_of("536870911", &version));
    assert_int_equal(version, TREE_VERSION_MAX);
}

static void tree__a_link_points_at_a_version_and_nowhere_else(void **state)
{
    static const char *const bad[] = {"v/",    "v/0",     "v/041",    "/v/41", "./v/41",
                                      "v/41/", "v/../41", "../x/v/1", "v//41", "41",
                                      "v",     "",        "V/41",     "v/41 ", "previous"};
    uint64_t version = 0;
    char text[TREE_LINK_TEXT_MAX];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(tree_target_of(bad[i], &version));
    assert_true(tree_target_of("v/41", &version));
    assert_int_equal(version, 41);
    tree_target_text(41, text);
    assert_string_equal(text, "v/41");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tree__a_number_gives_its_node_back),
        cmocka_unit_test(tree__the_root_is_one_and_zero_is_nothing),
        cmocka_unit_test(tree__different_nodes_have_different_numbers),
        cmocka_unit_test(tree__fixed_names_lead_to_their_kinds),
        cmocka_unit_test(tree__a_version_has_one_spelling),
        cmocka_unit_test(tree__a_link_points_at_a_version_and_nowhere_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
