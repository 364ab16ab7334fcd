/* SPDX-License-Identifier: Apache-2.0 */
/* `fkv status` over generated fleets: what is counted, what is told, and that a large one stays readable and fast. */
#include "unit.h"

#include "builder/cli/status_json.h"
#include "builder/cli/status_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SECOND_NS STATUS_SECOND_NS

static const int64_t now = 1700000000LL * SECOND_NS;

enum { BAD = 41, PREVIOUS = 42, CURRENT = 43, CANDIDATE = 44, N_VERSIONS = 4 };

struct world {
    struct state state;
    struct heartbeat_list list;
    struct heartbeat_list before;
};

static void table_init(struct table_state *table, size_t i)
{
    static const enum version_state states[] = {VERSION_FORMER, VERSION_FORMER, VERSION_CURRENT,
                                                VERSION_CANDIDATE};
    *table = (struct table_state){.current = CURRENT, .previous = PREVIOUS};
    snprintf(table->name, sizeof table->name, i ? "table%zu" : "ads", i);
    table->versions = calloc(N_VERSIONS, sizeof *table->versions);
    table->pins = calloc(4, sizeof *table->pins);
    assert_non_null(table->versions);
    table->n_versions = N_VERSIONS;
    for (uint64_t j = 0; j < N_VERSIONS; j++)
        table->versions[j] =
            (struct version_entry){.version = BAD + j,
                                   .state = states[j],
                                   .quarantined = j == 0,
                                   .len = 1 << 20,
                                   .published_ns = now - 7200 * SECOND_NS,
                                   .activated_ns = j < 3 ? now - 7200 * SECOND_NS : 0};
    table->versions[3].published_ns = now - 180 * SECOND_NS;
}

static void node_init(struct heartbeat *node, const struct state *state, size_t i)
{
    *node = (struct heartbeat){.time_ns = now - SECOND_NS / 2,
                               .started_ns = now - 86400 * SECOND_NS,
                               .poll_ns = SECOND_NS / 4,
                               .memory_used = 1 << 30,
                               .memory_budget = 4ULL << 30,
                               .seq = 9,
                               .n_tables = state->n_tables};
    snprintf(node->node, sizeof node->node, "n%04zu", i);
    snprintf(node->instance, sizeof node->instance, "%032zx", i);
    node->tables = calloc(state->n_tables, sizeof *node->tables);
    assert_non_null(node->tables);
    for (size_t j = 0; j < state->n_tables; j++) {
        struct node_table *table = &node->tables[j];
        *table = (struct node_table){.serving = CURRENT, .n_versions = 3};
        snprintf(table->name, sizeof table->name, "%s", state->tables[j].name);
        table->versions = calloc(4, sizeof *table->versions);
        assert_non_null(table->versions);
        table->versions[0] = (struct node_version){.version = PREVIOUS, .state = NODE_READY};
        table->versions[1] = (struct node_version){.version = CURRENT, .state = NODE_SERVING};
        table->versions[2] = (struct node_version){.version = CANDIDATE, .state = NODE_READY};
    }
}

static void world_init(struct world *w, size_t n_nodes, size_t n_tables)
{
    *w = (struct world){.state = {.seq = 9, .n_tables = n_tables}};
    w->state.tables = calloc(n_tables, sizeof *w->state.tables);
    w->list.nodes = calloc(n_nodes, sizeof *w->list.nodes);
    assert_non_null(w->state.tables);
    assert_non_null(w->list.nodes);
    w->list.n_nodes = n_nodes;
    for (size_t i = 0; i < n_tables; i++)
        table_init(&w->state.tables[i], i);
    for (size_t i = 0; i < n_nodes; i++)
        node_init(&w->list.nodes[i], &w->state, i);
}

static void world_release(struct world *w)
{
    state_release(&w->state);
    heartbeat_list_release(&w->list);
}

static struct status make(const struct world *w)
{
    struct status status = {0};
    struct status_input input = {.state = &w->state,
                                 .nodes = &w->list,
                                 .before = w->before.n_nodes ? &w->before : NULL,
                                 .now_ns = now};
    assert_int_equal(status_make(&input, &status, NULL), 0);
    return status;
}

/* The picture; freed by the caller. */
static char *text_of(const struct status *status, size_t max_issues)
{
    char *text = NULL;
    size_t len = 0;
    FILE *file = open_memstream(&text, &len);
    assert_non_null(file);
    status_show(status, &(struct status_layout){.max_issues = max_issues}, file);
    fclose(file);
    return text;
}

static void nodes_say(const struct status_table *table, const char *expected)
{
    struct buf text = {0};
    status_nodes_text(table, &text);
    buf_add_byte(&text, 0);
    assert_string_equal(text.data, expected);
    buf_release(&text);
}

static const struct status_issue *find(const struct status *status, const char *kind)
{
    for (size_t i = 0; i < status->n_issues; i++)
        if (!strcmp(status->issues[i].kind, kind))
            return &status->issues[i];
    return NULL;
}

static void expect(const struct world *w, const char *kind, bool is_problem, const char *text)
{
    struct status status = make(w);
    const struct status_issue *issue = find(&status, kind);
    assert_non_null(issue);
    assert_int_equal(issue->is_problem, is_problem);
    if (!strstr(issue->text, text))
        fail_msg("expected \"%s\" in \"%s\"", text, issue->text);
    status_release(&status);
}

static void status__of_a_fleet_that_is_well_has_nothing_below_the_tables(void **state)
{
    struct world w;
    world_init(&w, 8, 2);
    struct status status = make(&w);
    assert_int_equal(status.n_issues, 0);
    assert_int_equal(status.n_live, 8);
    nodes_say(&status.tables[0], "all 8 serve 43; 44: 8 ready");
    char *text = text_of(&status, 40);
    assert_non_null(strstr(text, "nodes  8 live; 0 problems\n"));
    assert_null(strstr(text, "NODE "));
    assert_non_null(strstr(text, "ads          43    2 h        42  44, 3 min old  41"));
    free(text);
    status_release(&status);
    world_release(&w);
}

static void status__counts_those_on_their_way_and_how_long_they_take(void **state)
{
    struct world w;
    world_init(&w, 1000, 1);
    w.list.nodes[3].tables[0].versions[2] = (struct node_version){.version = CANDIDATE,
                                                                  .state = NODE_FETCHING,
                                                                  .done = 62,
                                                                  .total = 100,
                                                                  .since_ns = now - 31 * SECOND_NS};
    w.list.nodes[4].tables[0].versions[2] =
        (struct node_version){.version = CANDIDATE, .state = NODE_FAILED};
    struct status status = make(&w);
    nodes_say(&status.tables[0],
              "all 1,000 serve 43; 44: 998 ready, 1 fetching (62 %, 19 s left), 1 FAILING");
    assert_int_equal(status.n_problems, 1);
    assert_string_equal(find(&status, "failing")->text, "44 failed: no reason given");
    status_release(&status);
    world_release(&w);
}

static void status__tells_who_is_behind_and_when_that_is_a_problem(void **state)
{
    struct world w;
    world_init(&w, 3, 1);
    struct node_table *table = &w.list.nodes[1].tables[0];
    table->serving = PREVIOUS;
    table->versions[1].state = NODE_LOADING;
    expect(&w, "behind", true, "behind: 43 loading");
    w.state.tables[0].versions[2].activated_ns = now - SECOND_NS;
    expect(&w, "behind", false, "behind: 43 loading");
    table->versions[1].state = NODE_FAILED;
    expect(&w, "failing", true, "FAILING: 43");
    table->n_versions = 1;
    expect(&w, "behind", false, "not seen yet");
    /* A node that started just now has had no time yet. */
    w.state.tables[0].versions[2].activated_ns = now - 7200 * SECOND_NS;
    w.list.nodes[1].started_ns = now - SECOND_NS;
    expect(&w, "behind", false, "not seen yet");
    world_release(&w);
}

static void status__waits_for_the_instant(void **state)
{
    struct world w;
    world_init(&w, 3, 1);
    struct table_state *table = &w.state.tables[0];
    table->effective_ns = now + SECOND_NS / 2;
    table->before = PREVIOUS;
    for (size_t i = 0; i < 3; i++)
        w.list.nodes[i].tables[0].serving = PREVIOUS;
    struct status status = make(&w);
    assert_int_equal(status.n_issues, 0);
    char *text = text_of(&status, 40);
    assert_non_null(strstr(text, "in 0.5 s"));
    free(text);
    status_release(&status);
    world_release(&w);
}

static void status__tells_of_each_thing_that_is_odd(void **state)
{
    struct world w;
    world_init(&w, 4, 1);
    struct heartbeat *node = &w.list.nodes[2];
    node->time_ns = now - 720 * SECOND_NS;
    expect(&w, "gone", true, "gone: silent for 12 min");
    node->time_ns = now + 720 * SECOND_NS;
    expect(&w, "ahead", true, "12 min ahead");
    node->time_ns = now;
    node->clock_ahead_ns = -3 * SECOND_NS;
    expect(&w, "clock", false, "3.0 s behind");
    node->memory_used = 5ULL << 30;
    expect(&w, "memory", true, "over its budget of 4.0 GiB");
    node->cache_limit = 100 << 20;
    node->cache_used = 96 << 20;
    expect(&w, "cache", false, "almost full");
    node->instance[0] = '\0';
    expect(&w, "old", false, "older fkvd");
    node->tables[0].local_pin = PREVIOUS;
    node->tables[0].serving = PREVIOUS;
    expect(&w, "pinned-on-host", false, "pinned on its host");
    node->tables[0].local_pin = 0;
    node->tables[0].serving = 99;
    expect(&w, "unknown-version", true, "serves version 99");
    w.list.n_bad = 2;
    expect(&w, "unreadable", true, "2 heartbeats cannot be read");
    struct pin_entry *pins = w.state.tables[0].pins;
    pins[0] = (struct pin_entry){.name = "n0001", .version = CANDIDATE, .canary = true};
    pins[1] = (struct pin_entry){.name = "n0003", .version = PREVIOUS};
    w.state.tables[0].n_pins = 2;
    w.list.nodes[1].tables[0].serving = CANDIDATE;
    w.list.nodes[3].tables[0].serving = PREVIOUS;
    expect(&w, "canary", false, "canary");
    expect(&w, "pinned", false, "pinned");
    struct status status = make(&w);
    nodes_say(&status.tables[0], "1 of 4 serve 43, 1 ready, 1 pinned, 1 on canary; 44: 4 ready");
    status_release(&status);
    world_release(&w);
}

static void status__knows_two_daemons_of_one_name(void **state)
{
    struct world w, before;
    world_init(&w, 2, 1);
    world_init(&before, 2, 1);
    w.before = before.list;
    struct status status = make(&w);
    assert_null(find(&status, "double"));
    status_release(&status);
    strcpy(w.list.nodes[1].instance, "other");
    strcpy(w.list.nodes[1].host, "web7");
    expect(&w, "double", true, "web7");
    /* One that was started since is a restart. */
    w.list.nodes[1].started_ns = now;
    status = make(&w);
    assert_null(find(&status, "double"));
    status_release(&status);
    world_release(&w);
    world_release(&before);
}

static void status__without_a_current_version_or_nodes(void **state)
{
    struct world w;
    world_init(&w, 1, 1);
    w.state.tables[0].current = w.state.tables[0].previous = 0;
    w.state.tables[0].versions[2].state = VERSION_CANDIDATE;
    struct status status = make(&w);
    nodes_say(&status.tables[0], "no version is current; 44: 1 ready");
    status_release(&status);
    w.list.n_nodes = 0;
    status = make(&w);
    nodes_say(&status.tables[0], "no live node");
    status_release(&status);
    w.list.n_nodes = 1;
    world_release(&w);
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static size_t count_lines(const char *text)
{
    size_t n = 0;
    for (; *text; text++)
        n += *text == '\n';
    return n;
}

static void status__of_a_large_fleet_is_short_and_quick(void **state)
{
    struct world w;
    world_init(&w, 1000, 100);
    for (size_t i = 0; i < 500; i++)
        w.list.nodes[i].tables[i % 100].serving = PREVIOUS;
    double begin = seconds();
    struct status status = make(&w);
    char *text = text_of(&status, 40);
    assert_true(seconds() - begin < 10); /* some 0.1 s; sanitizers and a busy machine take longer */
    assert_int_equal(status.n_problems, 500);
    assert_true(count_lines(text) < 150);
    assert_non_null(
        strstr(text, "… and 460 more")); /* five nodes in each table: not too many yet */
    assert_non_null(strstr(text, "995 of 1,000 serve 43, 5 ready"));
    free(text);
    status_release(&status);
    for (size_t i = 0; i < 1000; i++)
        w.list.nodes[i].instance[0] = '\0';
    status = make(&w);
    text = text_of(&status, 600);
    assert_non_null(strstr(text, "n0000 and 999 more"));
    free(text);
    for (size_t i = 0; i < 1000; i++)
        w.list.nodes[i].instance[0] = 'x';
    status_release(&status);
    status = make(&w);
    json_t *json = status_json(&status, "memory:", NULL);
    assert_int_equal(json_array_size(json_object_get(json, "nodes")), 1000);
    assert_int_equal(json_array_size(json_object_get(json, "tables")), 100);
    assert_int_equal(json_array_size(json_object_get(json, "issues")), 500);
    assert_true(seconds() - begin < 30);
    json_decref(json);
    status_release(&status);
    world_release(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(status__of_a_fleet_that_is_well_has_nothing_below_the_tables),
        cmocka_unit_test(status__counts_those_on_their_way_and_how_long_they_take),
        cmocka_unit_test(status__tells_who_is_behind_and_when_that_is_a_problem),
        cmocka_unit_test(status__waits_for_the_instant),
        cmocka_unit_test(status__tells_of_each_thing_that_is_odd),
        cmocka_unit_test(status__knows_two_daemons_of_one_name),
        cmocka_unit_test(status__without_a_current_version_or_nodes),
        cmocka_unit_test(status__of_a_large_fleet_is_short_and_quick),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
