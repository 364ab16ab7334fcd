/* SPDX-License-Identifier: Apache-2.0 */
/* A node without memory: whichever allocation fails, it lives on, serves nothing wrong, and ends well once there is memory again. */
#include "unit.h"

#include "failing_malloc.h"
#include "node_fixture.h"

#include <stdio.h>
#include <string.h>

/* Every allocation of the start, then ever fewer: all of them take minutes. */
enum { N_KEYS = 50, ROUNDS = 3, STRIDE = 50 };

/* As node_fixture_settle(), but failures are expected. */
static void live(struct node *node)
{
    for (int round = 0; round < ROUNDS; round++) {
        int64_t wait_ns = 0;
        struct buf text = {0};
        node_follow(node, &wait_ns, NULL);
        for (int n = 0; n < 20 && node_work(node); n++)
            ;
        node_status(node, &text, NULL);
        node_metrics(node, &text);
        buf_release(&text);
    }
}

/* One life of a node; the nth allocation of it fails. False when there were not so many. */
static bool live_short_of_memory(struct node_fixture *fixture, const char *cache, unsigned nth)
{
    struct node *node = NULL;
    struct err err = {0};
    failing_malloc_arm(nth);
    int ret = node_fixture_open(fixture, cache, 0, &node, &err);
    if (!ret) {
        live(node);
        struct table *table = node_table_find(node, "ads");
        if (table) {
            node_switch_local(node, table, 1, NULL);
            node_switch_local(node, table, 0, NULL);
        }
    }
    bool was_hit = failing_malloc_disarm();
    if (ret) {
        assert_true(was_hit);
        assert_null(node);
        return true;
    }
    int64_t tag = node_fixture_get(node, "ads", 3);
    assert_true(tag == -1 || tag == 1 || tag == 2);
    node_close(node);
    return was_hit;
}

static void node__lives_through_any_allocation_that_fails(void **state)
{
    struct node_fixture fixture;
    unsigned nth = 1;
    node_fixture_init_fast(&fixture);
    node_fixture_release_version(&fixture, "ads", 1, N_KEYS);
    struct build delta = {.tag = 2, .n_keys = 5, .base = 1};
    node_fixture_activate(&fixture, "ads", node_fixture_publish(&fixture, "ads", &delta), 0);
    for (bool was_hit = true; was_hit; nth += 1 + nth / STRIDE) {
        struct node *node = NULL;
        struct err err = {0};
        char cache[32];
        snprintf(cache, sizeof cache, "cache%u", nth);
        was_hit = live_short_of_memory(&fixture, cache, nth);
        /* The same cache, with memory. */
        assert_int_equal(node_fixture_open(&fixture, cache, 0, &node, &err), 0);
        node_fixture_settle(node);
        assert_int_equal(node_fixture_get(node, "ads", 3), 2);
        assert_int_equal(node_fixture_get(node, "ads", N_KEYS - 1), 1);
        node_close(node);
        fixture.warnings[0] = 0;
    }
    assert_true(nth > 100);
    node_fixture_release(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(node__lives_through_any_allocation_that_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
