/* SPDX-License-Identifier: Apache-2.0 */
/* The rollout rule, over every fleet of up to three nodes in every state, and by example. */
#include "unit.h"

#include "manifest/rollout.h"

#include <stdio.h>
#include <string.h>

static const int64_t now = 1700000000000000000;

enum { FLEET_MAX = 3, CANDIDATE = 7 };

/* What a node may say of the candidate. The first ones are enum node_version_state. */
enum {
    SAYS_NO_VERSION = NODE_FAILED + 1, /* knows the table, not the version */
    SAYS_NO_TABLE,
    SAYS_LATE_READY, /* ready, but not heard of for long */
    SAYS_LATE_FAILED,
    N_SAYS,
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

/* The rule once more, in other words: by counting. */
static enum rollout_verdict expected_verdict(const int *says, size_t n, uint32_t quorum)
{
    uint32_t n_live = 0;
    uint32_t n_good = 0;
    uint32_t n_failed = 0;
    for (size_t i = 0; i < n; i++) {
        n_live += says[i] != SAYS_LATE_READY && says[i] != SAYS_LATE_FAILED;
        n_good += says[i] == NODE_READY || says[i] == NODE_SERVING;
        n_failed += says[i] == NODE_FAILED;
    }
    if (n_live == 0)
        return quorum ? ROLLOUT_WAIT : ROLLOUT_GO;
    if (quorum ? n_good >= quorum : n_good == n_live)
        return ROLLOUT_GO;
    bool all_done = n_good + n_failed == n_live;
    return all_done && n_failed ? ROLLOUT_BLOCKED : ROLLOUT_WAIT;
}

static void rollout__decides_every_small_fleet_by_the_rule(void **state)
{
    struct fleet fleet = {0};
    unsigned n_seen[3] = {0};
    for (size_t n = 0; n <= FLEET_MAX; n++) {
        int n_combinations = 1;
        for (size_t i = 0; i < n; i++)
            n_combinations *= N_SAYS;
        for (int combination = 0; combination < n_combinations; combination++) {
            int says[FLEET_MAX] = {0};
            int rest = combination;
            for (size_t i = 0; i < n; i++, rest /= N_SAYS) {
                says[i] = rest % N_SAYS;
                fleet_set(&fleet, i, says[i]);
            }
            fleet.list = (struct heartbeat_list){.nodes = fleet.nodes, .n_nodes = n};
            for (uint32_t quorum = 0; quorum <= 4; quorum++) {
                struct rollout got = rollout_decide(&fleet.list, &ads, CANDIDATE, quorum, now);
                assert_int_equal(got.verdict, expected_verdict(says, n, quorum));
                assert_int_equal(got.failed != NULL, got.n_failed > 0);
                n_seen[got.verdict]++;
            }
        }
    }
    assert_true(n_seen[ROLLOUT_WAIT] && n_seen[ROLLOUT_GO] && n_seen[ROLLOUT_BLOCKED]);
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
    struct rollout got = rollout_decide(list, &ads, CANDIDATE, 0, now);
    assert_int_equal(got.verdict, ROLLOUT_BLOCKED);
    assert_int_equal(got.n_live, 3);
    assert_int_equal(got.n_ready, 2);
    assert_int_equal(got.n_failed, 1);
    assert_string_equal(got.failed->node, "host-1");
    assert_string_equal(got.reason, "no memory");
    assert_int_equal(rollout_decide(list, &ads, CANDIDATE, 2, now).verdict, ROLLOUT_GO);
}

static void rollout__a_quorum_is_never_undercut(void **state)
{
    struct fleet fleet = {0};
    struct heartbeat_list *list =
        fleet_of(&fleet, SAYS_LATE_READY, SAYS_LATE_READY, SAYS_LATE_READY);
    assert_int_equal(rollout_decide(list, &ads, CANDIDATE, 0, now).verdict, ROLLOUT_GO);
    assert_int_equal(rollout_decide(list, &ads, CANDIDATE, 3, now).verdict, ROLLOUT_WAIT);
    list->n_nodes = 0;
    assert_int_equal(rollout_decide(list, &ads, CANDIDATE, 1, now).verdict, ROLLOUT_WAIT);
}

static void rollout__counts_what_it_cannot_know_of(void **state)
{
    struct fleet fleet = {0};
    struct heartbeat_list *list = fleet_of(&fleet, NODE_READY, NODE_READY, SAYS_LATE_READY);
    assert_int_equal(rollout_decide(list, &ads, CANDIDATE, 0, now).n_unknown, 0);
    fleet.nodes[1].time_ns = now + HEARTBEAT_LIVE_NS;
    list->n_bad = 2;
    struct rollout got = rollout_decide(list, &ads, CANDIDATE, 0, now);
    assert_int_equal(got.verdict, ROLLOUT_GO);
    assert_int_equal(got.n_live, 1);
    assert_int_equal(got.n_unknown, 3);
}

static void rollout__a_dead_node_never_blocks(void **state)
{
    struct fleet fleet = {0};
    struct heartbeat_list *list = fleet_of(&fleet, NODE_READY, SAYS_LATE_FAILED, NODE_READY);
    struct rollout got = rollout_decide(list, &ads, CANDIDATE, 0, now);
    assert_int_equal(got.verdict, ROLLOUT_GO);
    assert_int_equal(got.n_live, 2);
    assert_int_equal(got.n_failed, 0);
    /* The moment that it dies, those that wait for it may go. */
    fleet_of(&fleet, NODE_READY, NODE_FETCHING, NODE_READY);
    assert_int_equal(rollout_decide(list, &ads, CANDIDATE, 0, now).verdict, ROLLOUT_WAIT);
    fleet.nodes[1].time_ns = now - HEARTBEAT_LIVE_NS;
    assert_int_equal(rollout_decide(list, &ads, CANDIDATE, 0, now).verdict, ROLLOUT_GO);
}

static void serving__counts_live_nodes_that_are_free_to_switch(void **state)
{
    struct fleet fleet = {0};
    uint32_t n_live = 0;
    struct heartbeat_list *list = fleet_of(&fleet, NODE_SERVING, NODE_READY, SAYS_LATE_READY);
    fleet.tables[0].serving = CANDIDATE;
    assert_int_equal(rollout_serving(list, "ads", CANDIDATE, now, &n_live), 1);
    assert_int_equal(n_live, 2);
    fleet.tables[1].local_pin = 6;
    assert_int_equal(rollout_serving(list, "ads", CANDIDATE, now, &n_live), 1);
    assert_int_equal(n_live, 1);
    fleet.tables[1].local_pin = CANDIDATE;
    assert_int_equal(rollout_serving(list, "ads", CANDIDATE, now, &n_live), 1);
    assert_int_equal(n_live, 2);
    strcpy(fleet.tables[0].name, "user");
    assert_int_equal(rollout_serving(list, "ads", CANDIDATE, now, &n_live), 0);
    assert_int_equal(n_live, 2);
}

static void settled__minds_the_pins_of_the_log(void **state)
{
    struct fleet fleet = {0};
    uint32_t n_live = 0;
    struct pin_entry pins[] = {{"host-1", 5, false}, {"label:canary", 4, false}};
    struct table_state table = {.name = "ads",
                                .current = CANDIDATE,
                                .before = 6,
                                .pins = pins,
                                .n_pins = 2,
                                .effective_ns = now};
    struct heartbeat_list *list = fleet_of(&fleet, NODE_SERVING, NODE_READY, NODE_READY);
    fleet.nodes[2].labels[0] = (char *)"canary";
    fleet.nodes[2].n_labels = 1;
    fleet.tables[0].serving = CANDIDATE;
    assert_int_equal(rollout_settled(list, &table, now, &n_live), 1);
    assert_int_equal(n_live, 3);
    fleet.tables[1].serving = 5;
    fleet.tables[2].serving = 4;
    assert_int_equal(rollout_settled(list, &table, now, &n_live), 3);
    /* Before the moment of the switch the one ahead of it is the odd one. */
    assert_int_equal(rollout_settled(list, &table, now - 1, &n_live), 2);
    fleet.tables[2].local_pin = 3;
    assert_int_equal(rollout_settled(list, &table, now, &n_live), 2);
    assert_int_equal(n_live, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rollout__decides_every_small_fleet_by_the_rule),
        cmocka_unit_test(rollout__counts_and_names_a_failed_node),
        cmocka_unit_test(rollout__a_quorum_is_never_undercut),
        cmocka_unit_test(rollout__counts_what_it_cannot_know_of),
        cmocka_unit_test(rollout__a_dead_node_never_blocks),
        cmocka_unit_test(serving__counts_live_nodes_that_are_free_to_switch),
        cmocka_unit_test(settled__minds_the_pins_of_the_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
