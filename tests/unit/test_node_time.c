/* SPDX-License-Identifier: Apache-2.0 */
/* The node's time is the store's, whatever its own clock says; and what its heartbeat tells of it. */
#include "unit.h"

#include "node/node_impl.h"
#include "node_fixture.h"
#include "store/clock.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SECOND_NS 1000000000LL
#define MS        1000000LL

/* This process believes that the time is so much later than it is. */
static _Atomic int64_t wrong_ns;

int __real_clock_gettime(clockid_t id, struct timespec *out);
int __wrap_clock_gettime(clockid_t id, struct timespec *out);

int __wrap_clock_gettime(clockid_t id, struct timespec *out)
{
    int ret = __real_clock_gettime(id, out);
    int64_t wrong = id == CLOCK_REALTIME ? atomic_load(&wrong_ns) : 0;
    int64_t ns = out->tv_sec * SECOND_NS + out->tv_nsec + wrong;
    *out = (struct timespec){.tv_sec = ns / SECOND_NS, .tv_nsec = ns % SECOND_NS};
    return ret;
}

static int64_t true_now_ns(void)
{
    struct timespec now;
    __real_clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * SECOND_NS + now.tv_nsec;
}

static int setup(void **state)
{
    struct node_fixture *fixture = calloc(1, sizeof *fixture);
    atomic_store(&wrong_ns, 0);
    node_fixture_init(fixture);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    atomic_store(&wrong_ns, 0);
    node_fixture_release(*state);
    free(*state);
    return 0;
}

static struct node *open_node(struct node_fixture *fixture, const char *cache)
{
    struct node *node = NULL;
    struct err err = {0};
    int ret = node_fixture_open(fixture, cache, 0, &node, &err);
    if (ret)
        fail_msg("node_open: %s", err_text(&err, ret));
    return node;
}

static void follow(struct node *node)
{
    int64_t wait_ns = SECOND_NS;
    assert_int_equal(node_follow(node, &wait_ns, NULL), 0);
}

static void store_time__closer_reading_wins(void **state)
{
    const struct store_clock old = {.offset_ns = 100 * MS, .error_ns = 10 * MS};
    const struct store_clock close = {.offset_ns = 105 * MS, .error_ns = 6 * MS};
    const struct store_clock far = {.offset_ns = 130 * MS, .error_ns = 40 * MS};
    struct store_clock out = store_clock_better(&old, SECOND_NS, &close);
    assert_int_equal(out.offset_ns, 105 * MS);
    assert_int_equal(out.error_ns, 6 * MS);
    out = store_clock_better(&old, SECOND_NS, &far);
    assert_int_equal(out.offset_ns, 100 * MS);
    assert_in_range(out.error_ns, 10 * MS + 1, 11 * MS); /* it ages */
}

static void store_time__old_reading_gives_way_at_last(void **state)
{
    const struct store_clock far = {.offset_ns = 130 * MS, .error_ns = 40 * MS};
    struct store_clock clock = {.offset_ns = 100 * MS, .error_ns = 10 * MS};
    int minutes = 0;
    for (; clock.offset_ns != far.offset_ns && minutes < 100; minutes++)
        clock = store_clock_better(&clock, 60 * SECOND_NS, &far);
    assert_in_range(minutes, 4, 6); /* 6 ms of drift a minute */
}

static void store_time__clock_that_was_set_is_followed_at_once(void **state)
{
    const struct store_clock old = {.offset_ns = 100 * MS, .error_ns = 5 * MS};
    const struct store_clock set = {.offset_ns = -7000 * MS, .error_ns = 60 * MS};
    assert_int_equal(store_clock_better(&old, SECOND_NS, &set).offset_ns, set.offset_ns);
}

/* The switch comes when it was meant, not by this host's clock, which is apart and is set meanwhile. */
static void flips_on_time(struct node_fixture *fixture, int64_t wrong, int64_t wrong_later)
{
    atomic_store(&wrong_ns, wrong);
    struct node *node = open_node(fixture, "cache");
    node_fixture_release_version(fixture, "ads", 1, 100);
    uint64_t id = node_fixture_publish(fixture, "ads", &(struct build){.tag = 2, .n_keys = 100});
    node_fixture_settle(node);
    int64_t at_ns = true_now_ns() + SECOND_NS / 2;
    node_fixture_activate(fixture, "ads", id, at_ns);
    follow(node);
    assert_int_equal(node_fixture_get(node, "ads", 5), 1);
    atomic_store(&wrong_ns, wrong_later);
    follow(node);
    assert_int_equal(node_fixture_get(node, "ads", 5), 1);
    assert_true(node_flip(node, 20 * SECOND_NS));
    int64_t late_ns = true_now_ns() - at_ns;
    assert_int_equal(node_fixture_get(node, "ads", 5), 2);
    assert_true(late_ns > -50 * MS && late_ns < 2 * SECOND_NS);
    follow(node);
    assert_int_equal(node_fixture_get(node, "ads", 5), 2);
    node_close(node);
}

static void node__flips_by_the_stores_clock_when_its_own_is_ahead(void **state)
{
    flips_on_time(*state, 7 * SECOND_NS, 7 * SECOND_NS);
}

static void node__flips_by_the_stores_clock_when_its_own_is_behind(void **state)
{
    flips_on_time(*state, -7 * SECOND_NS, -7 * SECOND_NS);
}

static void node__flips_on_time_when_its_own_clock_is_set(void **state)
{
    flips_on_time(*state, -30 * SECOND_NS, 3600 * SECOND_NS);
}

static void node__does_not_switch_back_when_the_clock_is_set_back(void **state)
{
    struct node_fixture *fixture = *state;
    struct node *node = open_node(fixture, "cache");
    node_fixture_release_version(fixture, "ads", 1, 100);
    uint64_t id = node_fixture_publish(fixture, "ads", &(struct build){.tag = 2, .n_keys = 100});
    node_fixture_settle(node);
    node_fixture_activate(fixture, "ads", id, true_now_ns() + SECOND_NS / 10);
    follow(node);
    assert_true(node_flip(node, 20 * SECOND_NS));
    assert_int_equal(node_fixture_get(node, "ads", 5), 2);
    atomic_fetch_sub(&node->clock_offset_ns, 10 * SECOND_NS);
    follow(node);
    assert_int_equal(node_fixture_get(node, "ads", 5), 2);
    node_close(node);
}

/* The heartbeat of n1. */
static struct heartbeat hear(struct node_fixture *fixture)
{
    struct heartbeat_list list = {0};
    struct err err = {0};
    int ret = heartbeat_list_read(fixture->store, &list, &err);
    if (ret || list.n_nodes != 1)
        fail_msg("%zu heartbeats: %s", list.n_nodes, err_text(&err, ret));
    struct heartbeat heard = list.nodes[0];
    free(list.nodes);
    return heard;
}

static void node__tells_who_and_when_it_is(void **state)
{
    struct node_fixture *fixture = *state;
    atomic_store(&wrong_ns, 5 * SECOND_NS);
    int64_t before_ns = true_now_ns();
    struct node *node = open_node(fixture, "cache");
    uint64_t id = node_fixture_release_version(fixture, "ads", 1, 100);
    node_fixture_settle(node);
    struct heartbeat heard = hear(fixture);
    assert_string_equal(heard.instance, node->instance);
    assert_int_equal(strlen(heard.instance), RECORD_NONCE_LEN);
    assert_int_equal(heard.poll_ns, NODE_FIXTURE_POLL_NS);
    assert_in_range(heard.clock_ahead_ns, 5 * SECOND_NS - 100 * MS, 5 * SECOND_NS + 100 * MS);
    assert_in_range(heard.time_ns, before_ns - 50 * MS, true_now_ns() + 50 * MS);
    assert_in_range(heard.started_ns, before_ns - 50 * MS, heard.time_ns);
    const struct node_table *table = heartbeat_find_table(&heard, "ads");
    const struct node_version *version = node_table_find_version(table, id);
    assert_int_equal(version->state, NODE_SERVING);
    assert_in_range(version->since_ns, heard.started_ns, heard.time_ns);
    assert_in_range(table->switched_ns, heard.started_ns, heard.time_ns);
    int64_t since_ns = version->since_ns;
    heartbeat_release(&heard);
    node_fixture_release_version(fixture, "other", 1, 100);
    node_fixture_settle(node);
    heard = hear(fixture);
    version = node_table_find_version(heartbeat_find_table(&heard, "ads"), id);
    assert_true(llabs(version->since_ns - since_ns) < 50 * MS); /* it was in that state since */
    heartbeat_release(&heard);
    node_close(node);
}

static void node__tells_once_of_another_daemon_with_its_name(void **state)
{
    struct node_fixture *fixture = *state;
    struct node *one = open_node(fixture, "one");
    struct node *two = open_node(fixture, "two");
    follow(one);
    assert_string_equal(fixture->warnings, "");
    usleep(50000); /* further apart than the clock is exact */
    follow(two);
    node_fixture_release_version(fixture, "ads", 1, 100);
    node_fixture_settle(one);
    assert_non_null(strstr(fixture->warnings, "calls itself node n1 too"));
    assert_int_equal(one->n_namesakes, 1);
    fixture->warnings[0] = 0;
    node_fixture_settle(two);
    assert_int_equal(two->n_namesakes, 1);
    fixture->warnings[0] = 0;
    node_fixture_settle(one);
    node_fixture_release_version(fixture, "ads", 2, 100);
    node_fixture_settle(one);
    assert_string_equal(fixture->warnings, "");
    node_close(one);
    node_close(two);
}

static void node__own_former_life_is_no_namesake(void **state)
{
    struct node_fixture *fixture = *state;
    struct node *node = open_node(fixture, "cache");
    follow(node);
    node_close(node);
    usleep(50000);
    node = open_node(fixture, "cache");
    follow(node);
    assert_int_equal(node->n_namesakes, 0);
    assert_string_equal(fixture->warnings, "");
    node_close(node);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define NODE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        cmocka_unit_test(store_time__closer_reading_wins),
        cmocka_unit_test(store_time__old_reading_gives_way_at_last),
        cmocka_unit_test(store_time__clock_that_was_set_is_followed_at_once),
        NODE_TEST(node__flips_by_the_stores_clock_when_its_own_is_ahead),
        NODE_TEST(node__flips_by_the_stores_clock_when_its_own_is_behind),
        NODE_TEST(node__flips_on_time_when_its_own_clock_is_set),
        NODE_TEST(node__does_not_switch_back_when_the_clock_is_set_back),
        NODE_TEST(node__tells_who_and_when_it_is),
        NODE_TEST(node__tells_once_of_another_daemon_with_its_name),
        NODE_TEST(node__own_former_life_is_no_namesake),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
