/* SPDX-License-Identifier: Apache-2.0 */
/* Versions of `blk` and `idx` tables: how they come up, what they take, and how they go. */
#include "unit.h"

#include "node/node_impl.h"
#include "node_fixture.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { N_KEYS = 20000 };

static int setup_in(void **state, void (*init)(struct node_fixture *fixture))
{
    struct node_fixture *fixture = calloc(1, sizeof *fixture);
    init(fixture);
    *state = fixture;
    return 0;
}

static int setup(void **state)
{
    return setup_in(state, node_fixture_init);
}

/* In memory, where direct reads may be refused. */
static int setup_fast(void **state)
{
    return setup_in(state, node_fixture_init_fast);
}

static int teardown(void **state)
{
    node_fixture_release(*state);
    free(*state);
    return 0;
}

static struct node *open_node(struct node_fixture *fixture, uint64_t budget)
{
    struct node *node = NULL;
    struct err err = {0};
    int ret = node_fixture_open(fixture, "cache", budget, &node, &err);
    if (ret)
        fail_msg("node_open: %s", err_text(&err, ret));
    return node;
}

static uint64_t release_build(struct node_fixture *fixture, const struct build *build)
{
    uint64_t id = node_fixture_publish(fixture, "ads", build);
    node_fixture_activate(fixture, "ads", id, 0);
    return id;
}

static uint64_t release(struct node_fixture *fixture, enum table_kind kind, uint32_t tag)
{
    const struct build build = {.kind = kind, .tag = tag, .n_keys = N_KEYS, .n_shards = 3};
    return release_build(fixture, &build);
}

static uint64_t tails_of(const struct version *version)
{
    uint64_t len = 0;
    for (size_t i = 0; i < version->files->desc.n_parts; i++)
        len += memory_mapped_len(version->files->desc.parts[i].tail_len);
    return len;
}

static void assert_all_keys(struct node *node, int64_t tag)
{
    struct version *version = table_pin_current(node_table_find(node, "ads"));
    for (uint64_t key = 0; key < N_KEYS; key += 7)
        assert_int_equal(node_fixture_get_of(version, key), tag);
    assert_int_equal(node_fixture_get_of(version, N_KEYS), 0);
    version_unpin(version);
}

static void serve(struct node_fixture *fixture, enum table_kind kind)
{
    struct node *node = open_node(fixture, 0);
    uint64_t id = release(fixture, kind, 7);
    node_fixture_settle(node);
    assert_all_keys(node, 7);
    struct version *version = table_pin_current(node_table_find(node, "ads"));
    assert_int_equal(version_id(version), id);
    assert_null(version_mem(version));
    assert_non_null(version_disk(version));
    assert_true(version_is_loaded(version));
    assert_int_equal(version_schema(version)->kind, kind);
    assert_int_equal(version_memory(version), tails_of(version));
    assert_int_equal(part_memory_used(node->memory), tails_of(version));
    assert_true(version_memory(version) < version_desc_len(&version->files->desc) / 2);
    assert_int_equal(disk_parts_n_open(part_memory_disk(node->memory)), 3);
    version_unpin(version);
    assert_string_equal(fixture->warnings, "");
    node_close(node);
}

static void disk__blk_version_is_served_from_its_tails(void **state)
{
    serve(*state, KIND_BLK);
}

static void disk__idx_version_is_served_from_its_tails(void **state)
{
    serve(*state, KIND_IDX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define DISK_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define FAST_TEST(name) cmocka_unit_test_setup_teardown(name, setup_fast, teardown)
        DISK_TEST(disk__blk_version_is_served_from_its_tails),
        DISK_TEST(disk__idx_version_is_served_from_its_tails),
        FAST_TEST(disk__idx_version_is_served_from_its_tails),
        FAST_TEST(disk__blk_version_is_served_from_its_tails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
