/* SPDX-License-Identifier: Apache-2.0 */
/* The rollout rule by example, and as a fleet lives: nodes that die, come late, fail and return. Every case: test_rollout_all.c. */
#include "unit.h"

#include "manifest/rollout.h"

#include <stdio.h>
#include <string.h>

#define NOW_NS 1700000000000000000
static const int64_t now = NOW_NS;
static const struct rollout_clock at = {.now_ns = NOW_NS};

enum { FLEET_MAX = 3, CANDIDATE = 7 };

/* What a node may say of the candidate. The first ones are enum node_version_state. */
enum {
    SAYS_NO_VERSION = NODE_FAILED + 1, /* knows the table, not the version */
    SAYS_NO_TABLE,
    SAYS_LATE_READY, /* ready, but not heard of for long */
    SAYS_LATE_FAILED,
};

static const struct table_state ads = {.name = "ads", .current = 6};

struct fleet {
    struct heartbeat nodes[FLEET_MAX];
    struct node_table tables[FLEET_MAX];
    struct node_version versions[FLEET_MAX];
    struct heartbeat_list list;
};

static void fleet_set(struct fleet *fleet, size_t i, int says)
{
    struct heartbeat *node = &fleet->nodes[i];
    struct node_table *table = &fleet->tables[i];
    struct node_version *version = &fleet->versions[i];
    bool is_late = says == SAYS_LATE_READY || says == SAYS_LATE_FAILED;
    *node = (struct heartbeat){.time_ns = is_late ? now - HEARTBEAT_LIVE_NS : now - 1000};
    snprintf(node->node, sizeof node->node, "host-%zu", i);
    *table = (struct node_table){.name = "ads", .serving = 6};
    *version = (struct node_version){.version = CANDIDATE, .reason = (char *)"no memory"};
    version->state = says == SAYS_LATE_READY    ? NODE_READY
                     : says == SAYS_LATE_FAILED ? NODE_FAILED
                                                : (enum node_version_state)says;
    if (says == SAYS_NO_VERSION)
        version->version = 6;
    table->versions = version;
    table->n_versions = 1;
    if (says == SAYS_NO_TABLE)
        strcpy(table->name, "user");
    node->tables = table;
    node->n_tables = 1;
}

static struct heartbeat_list *fleet_of(struct fleet *fleet, int a, int b, int c)
{
    fleet_set(fleet, 0, a);
    fleet_set(fleet, 1, b);
    fleet_set(fleet, 2, c);
    fleet->list = (struct heartbeat_list){.nodes = fleet->nodes, .n_nodes = 3};
    return &fleet->list;
}

static void rollout__counts_and_names_a_failed_node(void **state)
{
    struct fleet fleet = {0};
    struct heartbeat_list *list = fleet_of(&fleet, NODE_READY, NODE_FAILED, NODE_SERVING);
    struct rollout got = rollout_decide(list, &ads, CANDIDATE, 0, &at);
    assert_int_equal(got.verdict, ROLLOUT_BLOCKED);
    assert_int_equal(got.n_live, 3);
    assert_int_equal(got.n_ready, 2);
    assert_int_equal(got.n_failed, 1);
    assert_string_equal(got.failed->node, "host-1");
    assert_string_equal(got.reason, "no memory");
    assert_int_equal(rollout_decide(list, &ads, CANDIDATE, 2, &at).verdict, ROLLOUT_GO);
}

static void rollout__a_quorum_is_never_undercut(void **state)
{
    struct fleet fleet = {0};
    struct heartbeat_list *list =
        fleet_of(&fleet, SAYS_LATE_READY, SAYS_LATE_READY, SAYS_LATE_READY);
    assert_int_equal(rollout_decide(list, &ads, CANDIDATE, 0, &at).verdict, ROLLOUT_GO);
    assert_int_equal(rollout_decide(list, &ads, CANDIDATE, 3, &at).verdict, ROLLOUT_WAIT);
    list->n_nodes = 0;
    assert_int_equal(rollout_decide(list, &ads, CANDIDATE, 1, &at).verdict, ROLLOUT_WAIT);
}

static void rollout__counts_what_it_cannot_know_of(void **state)
{
    struct fleet fleet = {0};
    struct heartbeat_list *list = fleet_of(&fleet, NODE_READY, NODE_READY, SAYS_LATE_READY);
    assert_int_equal(rollout_decide(list, &ads, CANDIDATE, 0, &at).n_unknown, 0);
    fleet.nodes[1].time_ns = now + HEARTBEAT_LIVE_NS;
    list->n_bad = 2;
    struct rollout got = rollout_decide(list, &ads, CANDIDATE, 0, &at);
    assert_int_equal(got.verdict, ROLLOUT_GO);
    assert_int_equal(got.n_live, 1);
    assert_int_equal(got.n_unknown, 3);
}

static void rollout__a_dead_node_never_blocks(void **state)
{
    struct fleet fleet = {0};
    struct heartbeat_list *list = fleet_of(&fleet, NODE_READY, SAYS_LATE_FAILED, NODE_READY);
    struct rollout got = rollout_decide(list, &ads, CANDIDATE, 0, &at);
    assert_int_equal(got.verdict, ROLLOUT_GO);
    assert_int_equal(got.n_live, 2);
    assert_int_equal(got.n_failed, 0);
    /* The moment that it dies, those that wait for it may go. */
    fleet_of(&fleet, NODE_READY, NODE_FETCHING, NODE_READY);
    assert_int_equal(rollout_decide(list, &ads, CANDIDATE, 0, &at).verdict, ROLLOUT_WAIT);
    fleet.nodes[1].time_ns = now - HEARTBEAT_LIVE_NS;
    assert_int_equal(rollout_decide(list, &ads, CANDIDATE, 0, &at).verdict, ROLLOUT_GO);
}

/* A node that its host or the log keeps elsewhere neither holds a rollout up nor helps a quorum. */
static void rollout__passes_over_nodes_held_elsewhere(void **state)
{
    struct fleet fleet = {0};
    struct pin_entry pins[] = {{"label:eu", 5, false}};
    struct table_state table = {.name = "ads", .current = 6, .pins = pins, .n_pins = 1};
    struct heartbeat_list *list = fleet_of(&fleet, NODE_READY, NODE_FAILED, NODE_FETCHING);
    fleet.tables[1].local_pin = 6;
    fleet.nodes[2].labels[0] = (char *)"eu";
    fleet.nodes[2].n_labels = 1;
    struct rollout got = rollout_decide(list, &table, CANDIDATE, 0, &at);
    assert_int_equal(got.verdict, ROLLOUT_GO);
    assert_int_equal(got.n_live, 1);
    assert_int_equal(got.n_elsewhere, 2);
    assert_null(got.failed);
    assert_true(rollout_counts(&fleet.nodes[0], &table, CANDIDATE, now));
    assert_false(rollout_counts(&fleet.nodes[1], &table, CANDIDATE, now));
    assert_false(rollout_counts(&fleet.nodes[2], &table, CANDIDATE, now));
    fleet_of(&fleet, NODE_READY, NODE_READY, NODE_READY);
    fleet.tables[1].local_pin = 6;
    assert_int_equal(rollout_decide(list, &table, CANDIDATE, 3, &at).verdict, ROLLOUT_WAIT);
}

/* One node's life through a rollout, beside two that are ready; what is decided at each step. */
static void rollout__follows_a_node_that_dies_and_returns(void **state)
{
    static const struct {
        int64_t silent_s;
        int says;
        enum rollout_verdict all; /* without a quorum */
        enum rollout_verdict two; /* with a quorum of two */
        enum rollout_verdict three;
    } steps[] = {
        {1, SAYS_NO_VERSION, ROLLOUT_WAIT, ROLLOUT_GO, ROLLOUT_WAIT}, /* has not read the record */
        {1, NODE_FETCHING, ROLLOUT_WAIT, ROLLOUT_GO, ROLLOUT_WAIT},
        {29, NODE_FETCHING, ROLLOUT_WAIT, ROLLOUT_GO, ROLLOUT_WAIT}, /* killed, but who knows */
        {30, NODE_FETCHING, ROLLOUT_GO, ROLLOUT_GO, ROLLOUT_WAIT},   /* dead */
        {1, SAYS_NO_TABLE, ROLLOUT_WAIT, ROLLOUT_GO, ROLLOUT_WAIT},  /* started again */
        {1, NODE_CACHED, ROLLOUT_WAIT, ROLLOUT_GO, ROLLOUT_WAIT},
        {1, NODE_LOADING, ROLLOUT_WAIT, ROLLOUT_GO, ROLLOUT_WAIT},
        {1, NODE_FAILED, ROLLOUT_BLOCKED, ROLLOUT_GO, ROLLOUT_BLOCKED}, /* a bad chunk */
        {1, NODE_FETCHING, ROLLOUT_WAIT, ROLLOUT_GO, ROLLOUT_WAIT},     /* tries again */
        {1, NODE_FAILED, ROLLOUT_BLOCKED, ROLLOUT_GO, ROLLOUT_BLOCKED},
        {31, NODE_FAILED, ROLLOUT_GO, ROLLOUT_GO, ROLLOUT_WAIT}, /* and dies of it */
        {0, NODE_READY, ROLLOUT_GO, ROLLOUT_GO, ROLLOUT_GO},     /* back, and good */
        {0, NODE_SERVING, ROLLOUT_GO, ROLLOUT_GO, ROLLOUT_GO},
    };
    struct fleet fleet = {0};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        struct heartbeat_list *list = fleet_of(&fleet, NODE_READY, steps[i].says, NODE_READY);
        fleet.nodes[1].time_ns = now - steps[i].silent_s * 1000000000;
        assert_int_equal(rollout_decide(list, &ads, CANDIDATE, 0, &at).verdict, steps[i].all);
        assert_int_equal(rollout_decide(list, &ads, CANDIDATE, 2, &at).verdict, steps[i].two);
        assert_int_equal(rollout_decide(list, &ads, CANDIDATE, 3, &at).verdict, steps[i].three);
    }
}

/* The fleet dies one by one while a version is fetched: the last one alive decides, and then nobody. */
static void rollout__of_a_dying_fleet_goes_on(void **state)
{
    struct fleet fleet = {0};
    struct heartbeat_list *list = fleet_of(&fleet, NODE_FETCHING, NODE_FETCHING, NODE_READY);
    assert_int_equal(rollout_decide(list, &ads, CANDIDATE, 0, &at).verdict, ROLLOUT_WAIT);
    fleet.nodes[0].time_ns = 0;
    assert_int_equal(rollout_decide(list, &ads, CANDIDATE, 0, &at).verdict, ROLLOUT_WAIT);
    fleet.nodes[1].time_ns = 0;
    assert_int_equal(rollout_decide(list, &ads, CANDIDATE, 0, &at).verdict, ROLLOUT_GO);
    fleet.nodes[2].time_ns = 0;
    assert_int_equal(rollout_decide(list, &ads, CANDIDATE, 0, &at).verdict, ROLLOUT_GO);
    assert_int_equal(rollout_decide(list, &ads, CANDIDATE, 1, &at).verdict, ROLLOUT_WAIT);
}

static void canary__is_judged_by_the_nodes_that_try_it(void **state)
{
    struct fleet fleet = {0};
    struct pin_entry pins[] = {{"host-1", CANDIDATE, true}, {"label:eu", CANDIDATE, true}};
    struct table_state table = {.name = "ads", .current = 6, .pins = pins, .n_pins = 2};
    struct heartbeat_list *list = fleet_of(&fleet, NODE_FAILED, NODE_SERVING, NODE_LOADING);
    struct rollout got = rollout_decide_canary(list, &table, CANDIDATE, 0, &at);
    assert_int_equal(got.verdict, ROLLOUT_GO);
    assert_int_equal(got.n_live, 1);
    assert_int_equal(got.n_elsewhere, 2);
    fleet.nodes[2].labels[0] = (char *)"eu";
    fleet.nodes[2].n_labels = 1;
    assert_int_equal(rollout_decide_canary(list, &table, CANDIDATE, 0, &at).verdict, ROLLOUT_WAIT);
    assert_int_equal(rollout_decide_canary(list, &table, CANDIDATE, 1, &at).verdict, ROLLOUT_GO);
    fleet.versions[2].state = NODE_FAILED;
    got = rollout_decide_canary(list, &table, CANDIDATE, 0, &at);
    assert_int_equal(got.verdict, ROLLOUT_BLOCKED);
    assert_string_equal(got.failed->node, "host-2");
    /* For the whole fleet those that try it count like any other. */
    got = rollout_decide(list, &table, CANDIDATE, 0, &at);
    assert_int_equal(got.n_live, 3);
    assert_int_equal(got.n_elsewhere, 0);
    /* Nobody tries it: that is no success. */
    fleet.nodes[1].time_ns = 0;
    fleet.nodes[2].time_ns = 0;
    assert_int_equal(rollout_decide_canary(list, &table, CANDIDATE, 0, &at).verdict, ROLLOUT_WAIT);
}

static void effective__is_when_the_slowest_live_node_has_read_the_record(void **state)
{
    static const int64_t ms = 1000000;
    struct fleet fleet = {0};
    struct heartbeat_list *list = fleet_of(&fleet, NODE_READY, NODE_READY, NODE_READY);
    for (size_t i = 0; i < FLEET_MAX; i++)
        fleet.nodes[i].poll_ns = 250 * ms;
    assert_int_equal(rollout_effective_ns(list, now, 0), now + 400 * ms);
    fleet.nodes[1].poll_ns = 700 * ms;
    assert_int_equal(rollout_effective_ns(list, now, 0), now + 850 * ms);
    fleet.nodes[2].poll_ns = 0; /* an older daemon: a second */
    assert_int_equal(rollout_effective_ns(list, now, 0), now + 1150 * ms);
    fleet.nodes[2].poll_ns = INT64_MAX; /* a slow one does not hold the fleet up for ever */
    assert_int_equal(rollout_effective_ns(list, now, 0), now + ROLLOUT_AHEAD_MAX_NS + 150 * ms);
    fleet.nodes[2].time_ns = now - HEARTBEAT_LIVE_NS; /* a dead one does not at all */
    assert_int_equal(rollout_effective_ns(list, now, 0), now + 850 * ms);
    /* On a store that is slow to write, the record is read later. */
    assert_int_equal(rollout_effective_ns(list, now, 75 * ms), now + 850 * ms);
    assert_int_equal(rollout_effective_ns(list, now, 200 * ms), now + 1100 * ms);
    assert_int_equal(rollout_effective_ns(list, now, INT64_MAX), now + 2700 * ms);
    /* One node alone, or none, has nobody to wait for. */
    fleet.nodes[1].time_ns = 0;
    assert_int_equal(rollout_effective_ns(list, now, 0), 0);
    fleet.nodes[0].time_ns = 0;
    assert_int_equal(rollout_effective_ns(list, now, 0), 0);
    list->n_nodes = 0;
    assert_int_equal(rollout_effective_ns(list, now, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rollout__counts_and_names_a_failed_node),
        cmocka_unit_test(rollout__a_quorum_is_never_undercut),
        cmocka_unit_test(rollout__counts_what_it_cannot_know_of),
        cmocka_unit_test(rollout__a_dead_node_never_blocks),
        cmocka_unit_test(rollout__passes_over_nodes_held_elsewhere),
        cmocka_unit_test(rollout__follows_a_node_that_dies_and_returns),
        cmocka_unit_test(rollout__of_a_dying_fleet_goes_on),
        cmocka_unit_test(canary__is_judged_by_the_nodes_that_try_it),
        cmocka_unit_test(effective__is_when_the_slowest_live_node_has_read_the_record),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
