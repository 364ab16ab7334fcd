/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting for nodes: who is expected, who is there, what is said of it. Fleets of generated heartbeats. */
#include "unit.h"

#include "builder/cli/canary_nodes.h"
#include "builder/cli/fleet_look.h"
#include "builder/cli/fleet_nodes.h"
#include "builder/cli/fleet_show.h"
#include "builder/cli/summary.h"
#include "log_fixture.h"

#include <stdio.h>

#define SECOND_NS 1000000000LL

static const int64_t now = 1700000000LL * SECOND_NS;

enum { NODES_MAX = 8, CURRENT = 6, CANDIDATE = 7 };

struct fleet_fixture {
    struct version_entry versions[2];
    struct pin_entry pins[4];
    struct table_state table;
    struct state state;
    struct heartbeat nodes[NODES_MAX];
    struct node_table on_node[NODES_MAX];
    struct node_version on_nodes[NODES_MAX][2];
    struct heartbeat_list list;
    struct fleet_target target;
};

/* ads: 6 current, 7 a candidate; nodes serve 6 and have not seen 7. */
static void fixture_init(struct fleet_fixture *f, size_t n_nodes)
{
    *f = (struct fleet_fixture){0};
    f->versions[0] = (struct version_entry){.version = CURRENT, .state = VERSION_CURRENT};
    f->versions[1] = (struct version_entry){.version = CANDIDATE, .state = VERSION_CANDIDATE};
    f->table = (struct table_state){.name = "ads",
                                    .versions = f->versions,
                                    .n_versions = 2,
                                    .current = CURRENT,
                                    .pins = f->pins};
    f->state = (struct state){.seq = 9, .tables = &f->table, .n_tables = 1};
    for (size_t i = 0; i < n_nodes; i++) {
        f->nodes[i] = (struct heartbeat){.time_ns = now - SECOND_NS, .poll_ns = SECOND_NS / 4};
        snprintf(f->nodes[i].node, sizeof f->nodes[i].node, "n%zu", i);
        f->on_nodes[i][0] = (struct node_version){.version = CURRENT, .state = NODE_SERVING};
        f->on_node[i] = (struct node_table){
            .name = "ads", .serving = CURRENT, .versions = f->on_nodes[i], .n_versions = 1};
        f->nodes[i].tables = &f->on_node[i];
        f->nodes[i].n_tables = 1;
    }
    f->list = (struct heartbeat_list){.nodes = f->nodes, .n_nodes = n_nodes};
    f->target = (struct fleet_target){"ads", CANDIDATE};
}

static void set(struct fleet_fixture *f, size_t node, enum node_version_state state)
{
    f->on_nodes[node][1] =
        (struct node_version){.version = CANDIDATE, .state = state, .reason = (char *)"no memory"};
    f->on_node[node].n_versions = 2;
    if (state == NODE_SERVING) {
        f->on_node[node].serving = CANDIDATE;
        f->on_node[node].switched_ns = now - SECOND_NS / 2 + (int64_t)node * 3000000;
    }
}

static void make_current(struct fleet_fixture *f)
{
    f->versions[0].state = VERSION_FORMER;
    f->versions[1].state = VERSION_CURRENT;
    f->table.current = CANDIDATE;
    f->table.previous = CURRENT;
}

static struct fleet_look look_at(const struct fleet_fixture *f, enum fleet_goal goal,
                                 uint32_t quorum)
{
    struct fleet_look look = {0};
    struct fleet_question question = {.state = &f->state,
                                      .targets = &f->target,
                                      .n_targets = 1,
                                      .goal = goal,
                                      .quorum = quorum,
                                      .since_ns = now - SECOND_NS};
    assert_int_equal(
        fleet_look(&question, &f->list, &(struct rollout_clock){.now_ns = now}, &look, NULL), 0);
    return look;
}

static void fleet_look__waits_until_every_live_node_is_ready(void **state)
{
    struct fleet_fixture f;
    fixture_init(&f, 3);
    set(&f, 0, NODE_READY);
    set(&f, 1, NODE_LOADING);
    struct fleet_look look = look_at(&f, FLEET_READY, 0);
    assert_int_equal(look.n_marks, 3);
    assert_int_equal(look.n_there, 1);
    assert_false(look.done);
    assert_false(look.blocked);
    assert_string_equal(look.worst->node->node, "n2"); /* it has not even begun */
    fleet_look_release(&look);
    look = look_at(&f, FLEET_READY, 1);
    assert_true(look.done);
    fleet_look_release(&look);
    f.nodes[1].time_ns = f.nodes[2].time_ns = now - HEARTBEAT_LIVE_NS;
    look = look_at(&f, FLEET_READY, 0);
    assert_true(look.done);
    assert_int_equal(look.n_live, 1);
    fleet_look_release(&look);
}

static void fleet_look__names_a_failure_first_and_ends_when_nobody_is_on_the_way(void **state)
{
    struct fleet_fixture f;
    fixture_init(&f, 3);
    set(&f, 0, NODE_READY);
    set(&f, 1, NODE_FAILED);
    set(&f, 2, NODE_FETCHING);
    struct fleet_look look = look_at(&f, FLEET_READY, 0);
    assert_false(look.done || look.blocked);
    assert_string_equal(look.worst->node->node, "n1");
    fleet_look_release(&look);
    set(&f, 2, NODE_READY);
    look = look_at(&f, FLEET_READY, 0);
    assert_true(look.blocked);
    fleet_look_release(&look);
    make_current(&f);
    set(&f, 0, NODE_SERVING);
    set(&f, 2, NODE_SERVING);
    look = look_at(&f, FLEET_SERVING, 0);
    assert_true(look.blocked);
    assert_int_equal(look.n_there, 2);
    fleet_look_release(&look);
}

static void fleet_look__does_not_wait_for_who_is_held_elsewhere(void **state)
{
    struct fleet_fixture f;
    fixture_init(&f, 4);
    char *label = (char *)"old";
    make_current(&f);
    f.pins[0] = (struct pin_entry){.name = "n1", .version = CURRENT};
    f.pins[1] = (struct pin_entry){.name = "label:old", .version = CURRENT};
    f.table.n_pins = 2;
    f.nodes[2].labels[f.nodes[2].n_labels++] = label;
    f.on_node[3].local_pin = CURRENT;
    set(&f, 0, NODE_SERVING);
    struct fleet_look look = look_at(&f, FLEET_SERVING, 0);
    assert_true(look.done);
    assert_int_equal(look.n_marks, 1);
    assert_int_equal(look.n_held, 3);
    fleet_look_release(&look);
}

static void fleet_look__waits_for_those_who_will_serve_at_the_instant(void **state)
{
    struct fleet_fixture f;
    fixture_init(&f, 2);
    make_current(&f);
    f.table.before = CURRENT;
    f.table.effective_ns = now + SECOND_NS;
    set(&f, 0, NODE_READY);
    set(&f, 1, NODE_READY);
    struct fleet_look look = look_at(&f, FLEET_SERVING, 0);
    assert_false(look.done);
    assert_int_equal(look.n_marks, 2);
    fleet_look_release(&look);
}

static void fleet_look__expects_only_those_who_try_a_canary(void **state)
{
    struct fleet_fixture f;
    fixture_init(&f, 3);
    f.pins[0] = (struct pin_entry){.name = "n1", .version = CANDIDATE, .canary = true};
    f.table.n_pins = 1;
    struct fleet_look look = look_at(&f, FLEET_SERVING, 0);
    assert_int_equal(look.n_marks, 1);
    assert_string_equal(look.worst->node->node, "n1");
    assert_false(look.done);
    fleet_look_release(&look);
    set(&f, 1, NODE_SERVING);
    look = look_at(&f, FLEET_SERVING, 0);
    assert_true(look.done);
    fleet_look_release(&look);
}

static void fleet_look__takes_only_switches_of_this_occasion(void **state)
{
    struct fleet_fixture f;
    fixture_init(&f, 3);
    make_current(&f);
    for (size_t i = 0; i < 3; i++)
        set(&f, i, NODE_SERVING);
    f.on_node[0].switched_ns = now - 100 * SECOND_NS;
    struct fleet_look look = look_at(&f, FLEET_SERVING, 0);
    assert_int_equal(look.n_switched, 2);
    assert_int_equal(look.last_switch_ns - look.first_switch_ns, 3000000);
    fleet_look_release(&look);
}

static void fleet_look__takes_nobodys_word_who_has_not_read_the_record(void **state)
{
    struct fleet_fixture f;
    struct fleet_look look = {0};
    struct buf text = {0};
    fixture_init(&f, 2);
    make_current(&f);
    set(&f, 0, NODE_SERVING);
    set(&f, 1, NODE_SERVING);
    f.on_node[1].local_pin = CANDIDATE; /* by hand, before */
    f.nodes[0].seq = 9;
    f.nodes[1].seq = 8;
    struct fleet_question question = {
        .state = &f.state, .targets = &f.target, .n_targets = 1, .goal = FLEET_SERVING, .seq = 9};
    assert_int_equal(
        fleet_look(&question, &f.list, &(struct rollout_clock){.now_ns = now}, &look, NULL), 0);
    assert_int_equal(look.n_there, 1);
    assert_false(look.done || look.blocked);
    fleet_mark_text(look.worst, &text);
    buf_add_byte(&text, 0);
    assert_string_equal(text.data, "n1: ads version 7 has not read the record yet");
    buf_release(&text);
    fleet_look_release(&look);
}

static void fleet_look__counts_whom_it_cannot_judge(void **state)
{
    struct fleet_fixture f;
    fixture_init(&f, 2);
    f.list.n_bad = 2;
    f.nodes[1].time_ns = now + 2 * HEARTBEAT_LIVE_NS;
    struct fleet_look look = look_at(&f, FLEET_READY, 0);
    assert_int_equal(look.n_unknown, 3);
    assert_int_equal(look.n_live, 1);
    fleet_look_release(&look);
}

static void node_version__says_its_rate_and_what_is_left(void **state)
{
    struct node_version v = {
        .state = NODE_FETCHING, .done = 100, .total = 400, .since_ns = now - 10 * SECOND_NS};
    double rate = 0;
    assert_int_equal(node_version_left_ns(&v, now, &rate), 30 * SECOND_NS);
    assert_true(rate > 9.9 && rate < 10.1);
    v.done = 0;
    assert_true(node_version_left_ns(&v, now, &rate) < 0);
    v = (struct node_version){.state = NODE_FETCHING, .done = 500, .total = 400, .since_ns = 1};
    assert_true(node_version_left_ns(&v, now, &rate) < 0);
    v = (struct node_version){.state = NODE_READY, .done = 5, .total = 400, .since_ns = 1};
    assert_true(node_version_left_ns(&v, now, &rate) < 0);
}

static void summary__claims_what_heartbeats_say(void **state)
{
    struct fleet_fixture f;
    struct buf text = {0};
    fixture_init(&f, 3);
    make_current(&f);
    for (size_t i = 0; i < 3; i++)
        set(&f, i, NODE_SERVING);
    struct fleet_look look = look_at(&f, FLEET_SERVING, 0);
    struct switch_result result = {.appended = true,
                                   .waited = true,
                                   .written_ns = now - SECOND_NS,
                                   .prepare_ns = 2100000000,
                                   .total_ns = 3200000000};
    summary_text(&look, &result, true, &text);
    assert_string_equal(text.data, "serving on 3 of 3 live nodes after 3.2 s: 2.1 s fetching and "
                                   "loading, 506 ms to the switch; switched within 6.0 ms of each "
                                   "other");
    fleet_look_release(&look);
    buf_clear(&text);
    /* An older fkvd says nothing of when it switched. */
    for (size_t i = 0; i < 3; i++)
        f.on_node[i].switched_ns = 0;
    f.on_node[2].local_pin = CURRENT;
    look = look_at(&f, FLEET_SERVING, 0);
    summary_text(&look, &result, false, &text);
    assert_string_equal(text.data,
                        "serving on 2 of 3 live nodes after 3.2 s; pinned elsewhere: n2");
    json_t *json = summary_json(&look, &result);
    assert_true(json_is_null(json_object_get(json, "skew_ms")));
    assert_int_equal(json_integer_value(json_object_get(json, "serving_nodes")), 2);
    assert_string_equal(json_string_value(json_array_get(json_object_get(json, "held_nodes"), 0)),
                        "n2");
    json_decref(json);
    fleet_look_release(&look);
    buf_release(&text);
}

static void canary_nodes__matches_by_name_and_label_unless_held(void **state)
{
    struct fleet_fixture f;
    struct err err = {0};
    char *labels[] = {(char *)"eu", (char *)"try"};
    fixture_init(&f, 3);
    f.nodes[1].labels[0] = labels[0];
    f.nodes[1].labels[1] = labels[1];
    f.nodes[1].n_labels = 2;
    assert_true(canary_node_matches(&f.nodes[1], "ads", &f.table, "n1"));
    assert_true(canary_node_matches(&f.nodes[1], "ads", &f.table, "label:try"));
    assert_false(canary_node_matches(&f.nodes[1], "ads", &f.table, "label:t"));
    assert_true(canary_node_matches(&f.nodes[1], "new", NULL, "n1"));
    /* A pin of an earlier label, or of the node itself, goes before. */
    f.pins[0] = (struct pin_entry){.name = "label:eu", .version = CURRENT};
    f.table.n_pins = 1;
    assert_false(canary_node_matches(&f.nodes[1], "ads", &f.table, "label:try"));
    assert_true(canary_node_matches(&f.nodes[1], "ads", &f.table, "n1"));
    f.on_node[1].local_pin = CURRENT;
    assert_false(canary_node_matches(&f.nodes[1], "ads", &f.table, "n1"));
    const char *names[] = {"n0", "label:nobody"};
    assert_int_equal(canary_nodes_check(&f.list, "ads", &f.table, names, 1, now, &err), 0);
    assert_int_equal(canary_nodes_check(&f.list, "ads", &f.table, names, 2, now, &err), -EPERM);
    assert_non_null(strstr(err.text, "n0, n1 (eu, try), n2"));
    f.nodes[0].time_ns = 0;
    assert_int_equal(canary_nodes_check(&f.list, "ads", &f.table, names, 1, now, &err), -EPERM);
}

static void fleet_nodes__reads_one_again_and_keeps_what_it_cannot_decode(void **state)
{
    struct log_fixture log;
    struct fleet_nodes nodes;
    struct heartbeat beat = {.node = "n1", .time_ns = now, .seq = 1};
    bool did = false;
    log_fixture_open(&log);
    assert_int_equal(heartbeat_put(log.plain, &beat, NULL), 0);
    fleet_nodes_init(&nodes, log.store);
    assert_int_equal(fleet_nodes_list(&nodes, SECOND_NS, &did, NULL), 0);
    assert_true(did);
    assert_int_equal(nodes.list.n_nodes, 1);
    assert_int_equal(fleet_nodes_list(&nodes, nodes.listed_ns + SECOND_NS, &did, NULL), 0);
    assert_false(did);
    beat.seq = 2;
    assert_int_equal(heartbeat_put(log.plain, &beat, NULL), 0);
    assert_int_equal(fleet_nodes_reread(&nodes, &nodes.list.nodes[0], NULL), 0);
    assert_int_equal(nodes.list.nodes[0].seq, 2);
    assert_int_equal(store_put(log.plain, "nodes/n1.json", "{", 1, NULL), 0);
    assert_int_equal(fleet_nodes_reread(&nodes, &nodes.list.nodes[0], NULL), 0);
    assert_int_equal(nodes.list.nodes[0].seq, 2);
    assert_int_equal(store_remove(log.plain, "nodes/n1.json", NULL), 0);
    assert_int_equal(fleet_nodes_reread(&nodes, &nodes.list.nodes[0], NULL), 0);
    assert_int_equal(nodes.list.nodes[0].seq, 2);
    assert_int_equal(fleet_nodes_list(&nodes, nodes.listed_ns + 60 * SECOND_NS, &did, NULL), 0);
    assert_true(did);
    assert_int_equal(nodes.list.n_nodes, 0);
    fleet_nodes_release(&nodes);
    log_fixture_close(&log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fleet_look__waits_until_every_live_node_is_ready),
        cmocka_unit_test(fleet_look__names_a_failure_first_and_ends_when_nobody_is_on_the_way),
        cmocka_unit_test(fleet_look__does_not_wait_for_who_is_held_elsewhere),
        cmocka_unit_test(fleet_look__waits_for_those_who_will_serve_at_the_instant),
        cmocka_unit_test(fleet_look__expects_only_those_who_try_a_canary),
        cmocka_unit_test(fleet_look__takes_only_switches_of_this_occasion),
        cmocka_unit_test(fleet_look__takes_nobodys_word_who_has_not_read_the_record),
        cmocka_unit_test(fleet_look__counts_whom_it_cannot_judge),
        cmocka_unit_test(node_version__says_its_rate_and_what_is_left),
        cmocka_unit_test(summary__claims_what_heartbeats_say),
        cmocka_unit_test(canary_nodes__matches_by_name_and_label_unless_held),
        cmocka_unit_test(fleet_nodes__reads_one_again_and_keeps_what_it_cannot_decode),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
