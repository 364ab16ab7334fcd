/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "node_fixture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int setup(void **state)
{
    struct node_fixture *fixture = calloc(1, sizeof *fixture);
    node_fixture_init(fixture);
    *state = fixture;
    return 0;
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

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static void assert_links(struct node *node, uint64_t current, uint64_t previous)
{
    uint64_t is_current = 0;
    uint64_t is_previous = 0;
    table_links(node_table_find(node, "ads"), &is_current, &is_previous);
    assert_int_equal(is_current, current);
    assert_int_equal(is_previous, previous);
}

static bool is_loaded(struct node *node, uint64_t id)
{
    struct version *version = table_pin_version(node_table_find(node, "ads"), id);
    bool loaded = version && version_mem(version);
    version_unpin(version);
    return loaded;
}

static bool is_here(struct node *node, uint64_t id)
{
    struct version *version = table_pin_version(node_table_find(node, "ads"), id);
    version_unpin(version);
    return version != NULL;
}

static void node__serves_what_is_activated(void **state)
{
    struct node_fixture *fixture = *state;
    struct node *node = open_node(fixture, 0);
    node_fixture_settle(node);
    assert_int_equal(node_n_tables(node), 0);
    uint64_t id = node_fixture_release_version(fixture, "ads", 7, 1000);
    node_fixture_settle(node);
    assert_int_equal(node_n_tables(node), 1);
    assert_int_equal(fixture->n_tables, 1);
    assert_int_equal(fixture->n_switched, 1);
    assert_int_equal(node_fixture_get(node, "ads", 999), 7);
    assert_int_equal(node_fixture_get(node, "ads", 1000), 0);
    assert_links(node, id, 0);
    assert_string_equal(fixture->warnings, "");
    struct version *version = table_pin_current(node_table_at(node, 0));
    assert_int_equal(version_id(version), id);
    assert_int_equal(version_n_keys(version), 1000);
    assert_int_equal(version_n_parts(version), 1);
    assert_int_equal(version_time(version).tv_sec, 1767323045);
    int fd = version_part_open(version, 0);
    assert_true(fd >= 0);
    assert_int_equal(lseek(fd, 0, SEEK_END), version_part_len(version, 0));
    close(fd);
    version_unpin(version);
    node_close(node);
}

static void node__prepares_a_candidate_while_the_old_one_serves(void **state)
{
    struct node_fixture *fixture = *state;
    struct node *node = open_node(fixture, 0);
    node_fixture_release_version(fixture, "ads", 1, 1000);
    node_fixture_settle(node);
    uint64_t id = node_fixture_publish(fixture, "ads", &(struct build){.tag = 2, .n_keys = 1000});
    node_fixture_settle(node);
    enum node_version_state heard;
    char reason[1024];
    assert_true(node_fixture_heard(fixture, "ads", id, &heard, reason));
    assert_int_equal(heard, NODE_READY);
    assert_int_equal(node_fixture_get(node, "ads", 5), 1);
    node_fixture_activate(fixture, "ads", id, 0);
    int64_t wait_ns = 0;
    assert_int_equal(node_follow(node, &wait_ns, NULL), 0);
    assert_int_equal(node_fixture_get(node, "ads", 5), 2);
    assert_links(node, id, 1);
    assert_true(node_fixture_heard(fixture, "ads", id, &heard, reason));
    assert_int_equal(heard, NODE_SERVING);
    assert_true(is_loaded(node, 1)); /* the double buffer */
    node_close(node);
}

static void node__flips_at_the_instant_it_was_told(void **state)
{
    struct node_fixture *fixture = *state;
    struct node *node = open_node(fixture, 0);
    node_fixture_release_version(fixture, "ads", 1, 100);
    uint64_t id = node_fixture_publish(fixture, "ads", &(struct build){.tag = 2, .n_keys = 100});
    node_fixture_settle(node);
    int64_t at_ns = now_ns() + 200000000;
    node_fixture_activate(fixture, "ads", id, at_ns);
    int64_t wait_ns = 0;
    assert_int_equal(node_follow(node, &wait_ns, NULL), 0);
    assert_int_equal(node_fixture_get(node, "ads", 5), 1);
    assert_true(wait_ns > 0 && wait_ns <= 200000000);
    while (now_ns() < at_ns)
        usleep(1000);
    assert_int_equal(node_follow(node, &wait_ns, NULL), 0);
    assert_int_equal(node_fixture_get(node, "ads", 5), 2);
    node_close(node);
}

static void node__late_activation_is_prepared_before_its_instant(void **state)
{
    struct node_fixture *fixture = *state;
    node_fixture_release_version(fixture, "ads", 1, 100);
    uint64_t id = node_fixture_publish(fixture, "ads", &(struct build){.tag = 2, .n_keys = 100});
    node_fixture_activate(fixture, "ads", id, now_ns() + 3600 * 1000000000LL);
    struct node *node = open_node(fixture, 0);
    node_fixture_settle(node);
    assert_int_equal(node_fixture_get(node, "ads", 5), 1);
    assert_true(is_loaded(node, id));
    node_close(node);
}

static void node__rolls_back_at_once_and_to_older_ones_after_a_load(void **state)
{
    struct node_fixture *fixture = *state;
    struct node *node = open_node(fixture, 0);
    int64_t wait_ns = 0;
    for (uint32_t tag = 1; tag <= 4; tag++) {
        node_fixture_release_version(fixture, "ads", tag, 100);
        node_fixture_settle(node);
    }
    assert_links(node, 4, 3);
    assert_true(is_here(node, 1) && !is_loaded(node, 1));
    node_fixture_rollback(fixture, "ads", 4, 3);
    node_follow(node, &wait_ns, NULL); /* loaded: no work needed */
    assert_int_equal(node_fixture_get(node, "ads", 5), 3);
    assert_links(node, 3, 2);
    node_fixture_rollback(fixture, "ads", 3, 1);
    node_follow(node, &wait_ns, NULL);
    assert_int_equal(node_fixture_get(node, "ads", 5), 3); /* serves on while 1 is loaded */
    node_fixture_settle(node);
    assert_int_equal(node_fixture_get(node, "ads", 5), 1);
    node_close(node);
}

static void node__rolls_back_to_what_is_no_longer_cached(void **state)
{
    struct node_fixture *fixture = *state;
    struct node *node = open_node(fixture, 0);
    for (uint32_t tag = 1; tag <= 7; tag++) {
        node_fixture_release_version(fixture, "ads", tag, 100);
        node_fixture_settle(node);
    }
    assert_false(is_here(node, 1)); /* keep_cached is 3 */
    assert_true(is_here(node, 3));
    node_fixture_rollback(fixture, "ads", 7, 1);
    node_fixture_settle(node);
    assert_int_equal(node_fixture_get(node, "ads", 5), 1);
    node_close(node);
}

static void node__catches_up_after_being_away(void **state)
{
    struct node_fixture *fixture = *state;
    struct node *node = open_node(fixture, 0);
    node_fixture_release_version(fixture, "ads", 1, 100);
    node_fixture_settle(node);
    node_close(node);
    for (uint32_t tag = 2; tag <= 5; tag++)
        node_fixture_release_version(fixture, "ads", tag, 100);
    node = open_node(fixture, 0);
    assert_int_equal(node_fixture_get(node, "ads", 5), 1); /* at once, from the cache */
    node_fixture_settle(node);
    assert_int_equal(node_fixture_get(node, "ads", 5), 5);
    assert_links(node, 5, 4);
    node_close(node);
}

static void node__serves_on_without_its_store_and_across_restarts(void **state)
{
    struct node_fixture *fixture = *state;
    struct node *node = open_node(fixture, 0);
    node_fixture_release_version(fixture, "ads", 1, 100);
    node_fixture_settle(node);
    node_fixture_release_version(fixture, "ads", 2, 100);
    node_fixture_settle(node);
    node_close(node);
    node_fixture_hide_store(fixture);
    node = open_node(fixture, 0);
    assert_int_equal(node_fixture_get(node, "ads", 5), 2);
    node_fixture_settle(node);
    assert_int_equal(node_fixture_get(node, "ads", 5), 2);
    assert_links(node, 2, 1);
    assert_non_null(strstr(fixture->warnings, "store"));
    struct buf text = {0};
    assert_int_equal(node_status(node, &text, NULL), 0);
    buf_add_byte(&text, 0);
    assert_non_null(strstr((char *)text.data, "\"reachable\": false"));
    buf_release(&text);
    node_fixture_show_store(fixture);
    node_fixture_release_version(fixture, "ads", 3, 100);
    usleep(600000); /* the first retry is after half a second */
    node_fixture_settle(node);
    assert_int_equal(node_fixture_get(node, "ads", 5), 3);
    node_close(node);
}

static void node__starts_with_nothing_when_it_never_met_its_store(void **state)
{
    struct node_fixture *fixture = *state;
    node_fixture_hide_store(fixture);
    struct node *node = open_node(fixture, 0);
    node_fixture_settle(node);
    assert_int_equal(node_n_tables(node), 0);
    node_close(node);
    node_fixture_show_store(fixture);
}

static void node__second_one_on_a_cache_is_refused(void **state)
{
    struct node_fixture *fixture = *state;
    struct node *node = open_node(fixture, 0);
    struct node *second = NULL;
    struct err err = {0};
    assert_int_equal(node_fixture_open(fixture, "cache", 0, &second, &err), -EBUSY);
    assert_null(second);
    char pid[32];
    snprintf(pid, sizeof pid, "pid %ld", (long)getpid());
    assert_non_null(strstr(err.text, pid));
    node_close(node);
    node = open_node(fixture, 0);
    node_close(node);
}

static void node__delta_shares_the_memory_of_its_base(void **state)
{
    struct node_fixture *fixture = *state;
    struct node *node = open_node(fixture, 0);
    struct build full = {.tag = 1, .n_keys = 20000, .n_shards = 2};
    uint64_t base = node_fixture_publish(fixture, "ads", &full);
    node_fixture_activate(fixture, "ads", base, 0);
    node_fixture_settle(node);
    struct version *version = table_pin_current(node_table_find(node, "ads"));
    uint64_t base_memory = version_memory(version);
    version_unpin(version);
    struct build delta = {.tag = 2, .n_keys = 10, .first = 5, .n_shards = 2, .base = base};
    uint64_t id = node_fixture_publish(fixture, "ads", &delta);
    node_fixture_activate(fixture, "ads", id, 0);
    node_fixture_settle(node);
    assert_int_equal(node_fixture_get(node, "ads", 4), 1);
    assert_int_equal(node_fixture_get(node, "ads", 5), 2);
    assert_true(is_loaded(node, base));
    struct buf text = {0};
    assert_int_equal(node_metrics(node, &text), 0);
    buf_add_byte(&text, 0);
    const char *at = strstr((char *)text.data, "\nfkv_memory_used_bytes ");
    assert_non_null(at);
    assert_true(strtoull(at + 23, NULL, 10) < base_memory + 100000);
    buf_release(&text);
    node_close(node);
}

static void node__tables_change_together_and_are_found_by_index(void **state)
{
    struct node_fixture *fixture = *state;
    struct node *node = open_node(fixture, 0);
    node_fixture_release_version(fixture, "ads", 1, 10);
    node_fixture_settle(node);
    node_fixture_release_version(fixture, "abc", 2, 10);
    node_fixture_settle(node);
    assert_int_equal(node_n_tables(node), 2);
    assert_string_equal(table_name(node_table_at(node, 0)),
                        "ads"); /* stable, though abc sorts first */
    assert_int_equal(table_index(node_table_find(node, "abc")), 1);
    assert_null(node_table_at(node, 2));
    assert_null(node_table_find(node, "none"));
    struct version *version = table_pin_current(node_table_at(node, 1));
    assert_int_equal(version_table_index(version), 1);
    version_unpin(version);
    node_close(node);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define NODE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        NODE_TEST(node__serves_what_is_activated),
        NODE_TEST(node__prepares_a_candidate_while_the_old_one_serves),
        NODE_TEST(node__flips_at_the_instant_it_was_told),
        NODE_TEST(node__late_activation_is_prepared_before_its_instant),
        NODE_TEST(node__rolls_back_at_once_and_to_older_ones_after_a_load),
        NODE_TEST(node__rolls_back_to_what_is_no_longer_cached),
        NODE_TEST(node__catches_up_after_being_away),
        NODE_TEST(node__serves_on_without_its_store_and_across_restarts),
        NODE_TEST(node__starts_with_nothing_when_it_never_met_its_store),
        NODE_TEST(node__second_one_on_a_cache_is_refused),
        NODE_TEST(node__delta_shares_the_memory_of_its_base),
        NODE_TEST(node__tables_change_together_and_are_found_by_index),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
