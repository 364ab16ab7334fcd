/* SPDX-License-Identifier: Apache-2.0 */
/* The disk cache has a limit: what goes for a new version, and what never does. */
#include "unit.h"

#include "node/node_impl.h"
#include "node_fixture.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* About 3 MB a version. */
enum { N_KEYS = 40000 };

static int setup(void **state)
{
    struct node_fixture *fixture = calloc(1, sizeof *fixture);
    node_fixture_init_fast(fixture);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    node_fixture_release(*state);
    free(*state);
    return 0;
}

static struct node *open_node(struct node_fixture *fixture)
{
    struct node *node = NULL;
    struct err err = {0};
    int ret = node_fixture_open(fixture, "cache", 0, &node, &err);
    if (ret)
        fail_msg("node_open: %s", err_text(&err, ret));
    return node;
}

/* Which versions of a table are here, as bits. */
static unsigned versions(struct node *node, const char *name)
{
    uint64_t ids[32];
    unsigned mask = 0;
    size_t n = table_versions(node_table_find(node, name), ids, 32);
    for (size_t i = 0; i < n; i++)
        mask |= 1u << ids[i];
    return mask;
}

static uint64_t release(struct node_fixture *fixture, struct node *node, uint32_t tag)
{
    uint64_t id = node_fixture_release_version(fixture, "ads", tag, N_KEYS);
    node_fixture_settle(node);
    return id;
}

/* A node that serves version 3 and has 1 and 2 too, in a cache that has no room for a fourth. */
static struct node *open_full(struct node_fixture *fixture)
{
    struct node *node = open_node(fixture);
    for (uint32_t tag = 1; tag <= 3; tag++)
        release(fixture, node, tag);
    assert_int_equal(versions(node, "ads"), 0xe);
    fixture->cache_limit = cache_used(node->cache) / 3 * 7 / 2;
    node_close(node);
    node = open_node(fixture);
    node_fixture_settle(node);
    assert_int_equal(node_fixture_get(node, "ads", 5), 3);
    return node;
}

static void evict__oldest_former_version_goes_for_a_new_one(void **state)
{
    struct node_fixture *fixture = *state;
    struct node *node = open_full(fixture);
    release(fixture, node, 4);
    assert_int_equal(node_fixture_get(node, "ads", 5), 4);
    assert_int_equal(versions(node, "ads"), 0x1c);
    assert_int_equal(node->n_evictions, 1);
    assert_true(cache_used(node->cache) <= fixture->cache_limit);
    release(fixture, node, 5);
    assert_int_equal(versions(node, "ads"), 0x38);
    assert_string_equal(fixture->warnings, "");
    node_close(node);
    node = open_node(fixture); /* and it is as well after a restart */
    assert_int_equal(node_fixture_get(node, "ads", 5), 5);
    assert_int_equal(versions(node, "ads"), 0x38);
    node_close(node);
}

static void evict__version_that_somebody_has_open_stays_and_the_new_one_is_refused(void **state)
{
    struct node_fixture *fixture = *state;
    struct node *node = open_full(fixture);
    enum node_version_state heard = NODE_READY;
    char reason[1024];
    struct version *open = table_pin_version(node_table_find(node, "ads"), 1);
    uint64_t fetched = node->n_fetched_bytes;
    uint64_t id = release(fixture, node, 4);
    assert_int_equal(node_fixture_get(node, "ads", 5), 3);
    assert_int_equal(versions(node, "ads"), 0xe);
    assert_int_equal(node->n_fetched_bytes, fetched); /* refused before the first byte */
    assert_true(node_fixture_heard(fixture, "ads", id, &heard, reason));
    assert_int_equal(heard, NODE_FAILED);
    assert_non_null(strstr(reason, "allowed (--cache-limit): over by "));
    version_unpin(open);
    for (int n = 0; n < 200 && node_fixture_get(node, "ads", 5) != 4; n++) {
        usleep(50000); /* it tries again by itself */
        node_fixture_settle(node);
    }
    assert_int_equal(node_fixture_get(node, "ads", 5), 4);
    assert_int_equal(versions(node, "ads"), 0x1c);
    node_close(node);
}

static void evict__takes_nothing_when_it_is_not_enough(void **state)
{
    struct node_fixture *fixture = *state;
    struct node *node = open_full(fixture);
    struct build build = {.tag = 9, .n_keys = 4 * N_KEYS};
    node_fixture_publish(fixture, "ads", &build);
    node_fixture_settle(node);
    assert_int_equal(versions(node, "ads"), 0xe);
    assert_int_equal(node->n_evictions, 0);
    assert_non_null(strstr(fixture->warnings, "over by"));
    node_close(node);
}

static void evict__version_pinned_here_stays(void **state)
{
    struct node_fixture *fixture = *state;
    struct node *node = open_full(fixture);
    assert_int_equal(node_switch_local(node, node_table_find(node, "ads"), 1, NULL), 0);
    release(fixture, node, 4);
    assert_int_equal(node_fixture_get(node, "ads", 5), 1);
    assert_true(versions(node, "ads") & 1 << 1);
    assert_int_equal(node_switch_local(node, node_table_find(node, "ads"), 0, NULL), 0);
    node_close(node);
}

static void evict__other_tables_give_too_oldest_first(void **state)
{
    struct node_fixture *fixture = *state;
    struct node *node = open_full(fixture);
    uint64_t id = node_fixture_release_version(fixture, "other", 7, N_KEYS);
    node_fixture_settle(node);
    assert_int_equal(node_fixture_get(node, "other", 5), 7);
    assert_int_equal(versions(node, "other"), 1u << id);
    assert_int_equal(versions(node, "ads"), 0xc);
    node_close(node);
}

/* Version 2 is a delta on 1, 3 a full one, 4 another: dropping 1 alone would free nothing. */
static void evict__shared_parts_count_once_and_go_with_their_last_version(void **state)
{
    struct node_fixture *fixture = *state;
    struct node *node = open_node(fixture);
    release(fixture, node, 1);
    struct build delta = {.tag = 2, .n_keys = 100, .base = 1};
    uint64_t id = node_fixture_publish(fixture, "ads", &delta);
    node_fixture_activate(fixture, "ads", id, 0);
    node_fixture_settle(node);
    uint64_t shared = cache_used(node->cache);
    release(fixture, node, 3);
    release(fixture, node, 4);
    uint64_t one = cache_used(node->cache) - shared;
    assert_int_equal(versions(node, "ads"), 0x1e);
    fixture->cache_limit = cache_used(node->cache) + one / 4;
    node_close(node);
    node = open_node(fixture);
    node_fixture_settle(node);
    release(fixture, node, 5);
    assert_int_equal(node_fixture_get(node, "ads", 5), 5);
    assert_int_equal(versions(node, "ads"), 0x38); /* both went: neither alone gives the room */
    assert_int_equal(node->n_evictions, 2);
    assert_true(cache_used(node->cache) <= fixture->cache_limit);
    node_close(node);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define ROOM_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        ROOM_TEST(evict__oldest_former_version_goes_for_a_new_one),
        ROOM_TEST(evict__version_that_somebody_has_open_stays_and_the_new_one_is_refused),
        ROOM_TEST(evict__takes_nothing_when_it_is_not_enough),
        ROOM_TEST(evict__version_pinned_here_stays),
        ROOM_TEST(evict__other_tables_give_too_oldest_first),
        ROOM_TEST(evict__shared_parts_count_once_and_go_with_their_last_version),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
