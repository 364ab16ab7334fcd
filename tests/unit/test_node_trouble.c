/* SPDX-License-Identifier: Apache-2.0 */
/* The node when its store hangs, its cache is bad, or two people give orders at once. */
#include "unit.h"

#include "node/node_impl.h"
#include "node_fixture.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECOND_NS 1000000000LL

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

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * SECOND_NS + now.tv_nsec;
}

static void wait_till(int64_t at_ns)
{
    while (now_ns() < at_ns)
        usleep(1000);
}

/* What state.json says is served, by its text. */
static bool is_saved_as_serving(const char *dir, uint64_t id)
{
    char path[NODE_FIXTURE_PATH_MAX];
    char text[4096];
    char expected[64];
    snprintf(path, sizeof path, "%s/cache/state.json", dir);
    FILE *file = fopen(path, "r");
    if (!file)
        return false;
    text[fread(text, 1, sizeof text - 1, file)] = 0;
    fclose(file);
    snprintf(expected, sizeof expected, "\"serving\": %llu,", (unsigned long long)id);
    return strstr(text, expected) != NULL;
}

/* Version 1 serves, version 2 is loaded and follows at the instant returned. */
static int64_t prepare_flip(struct node_fixture *fixture, struct node *node)
{
    node_fixture_release_version(fixture, "ads", 1, 100);
    uint64_t id = node_fixture_publish(fixture, "ads", &(struct build){.tag = 2, .n_keys = 100});
    node_fixture_settle(node);
    int64_t at_ns = now_ns() + SECOND_NS / 5;
    node_fixture_activate(fixture, "ads", id, at_ns);
    int64_t wait_ns = SECOND_NS;
    assert_int_equal(node_follow(node, &wait_ns, NULL), 0);
    assert_int_equal(node_fixture_get(node, "ads", 5), 1);
    return at_ns;
}

static void node__flips_at_its_instant_while_follow_waits_for_the_store(void **state)
{
    struct node_fixture *fixture = *state;
    struct node *node = open_node(fixture);
    int64_t at_ns = prepare_flip(fixture, node);
    assert_false(node_flip(node, 1000000)); /* not yet */
    assert_int_equal(node_fixture_get(node, "ads", 5), 1);
    assert_true(node_flip(node, 10 * SECOND_NS)); /* no node_follow(): it hangs */
    assert_int_equal(node_fixture_get(node, "ads", 5), 2);
    assert_true(now_ns() - at_ns < SECOND_NS);
    node_work(node);
    assert_true(is_saved_as_serving(fixture->dir, 2));
    node_fixture_settle(node);
    assert_int_equal(node_fixture_get(node, "ads", 5), 2);
    node_close(node);
}

static void node__local_pin_holds_through_a_flip(void **state)
{
    struct node_fixture *fixture = *state;
    struct node *node = open_node(fixture);
    prepare_flip(fixture, node);
    struct table *table = node_table_find(node, "ads");
    assert_int_equal(node_switch_local(node, table, 1, NULL), 0);
    assert_true(node_flip(node, 10 * SECOND_NS));
    assert_int_equal(node_fixture_get(node, "ads", 5), 1);
    assert_int_equal(node_switch_local(node, table, 0, NULL), 0);
    assert_int_equal(node_fixture_get(node, "ads", 5), 2); /* where the fleet is by now */
    node_close(node);
}

static void node__rollback_takes_a_flip_to_come_back(void **state)
{
    struct node_fixture *fixture = *state;
    struct node *node = open_node(fixture);
    int64_t at_ns = prepare_flip(fixture, node);
    node_fixture_rollback(fixture, "ads", 2, 1);
    int64_t wait_ns = SECOND_NS;
    assert_int_equal(node_follow(node, &wait_ns, NULL), 0);
    wait_till(at_ns);
    assert_false(node_flip(node, 1000000));
    assert_int_equal(node_fixture_get(node, "ads", 5), 1);
    node_close(node);
}

struct witness {
    const char *dir;
    bool is_told;
    bool was_saved; /* when the store was found to be bad */
};

static void see_warning(void *context, enum node_event_kind kind, struct table *table,
                        uint64_t version, const char *text)
{
    struct witness *witness = context;
    if (kind != NODE_EVENT_WARNING || witness->is_told)
        return;
    witness->is_told = true;
    witness->was_saved = is_saved_as_serving(witness->dir, 2);
}

static void node__saves_a_flip_before_it_asks_the_store(void **state)
{
    struct node_fixture *fixture = *state;
    struct witness witness = {.dir = fixture->dir};
    char cache_dir[NODE_FIXTURE_PATH_MAX];
    snprintf(cache_dir, sizeof cache_dir, "%s/cache", fixture->dir);
    struct node_config config = {.store_url = fixture->store_dir,
                                 .cache_dir = cache_dir,
                                 .name = "n1",
                                 .memory_budget = 1ULL << 30,
                                 .keep_cached = 3};
    struct node *node = NULL;
    assert_int_equal(node_open(&config, see_warning, &witness, &node, NULL), 0);
    wait_till(prepare_flip(fixture, node) + SECOND_NS / 20); /* the store's clock may be behind */
    uint64_t seq = manifest_state(fixture->manifest)->seq + 1;
    char record[STORE_PATH_MAX];
    snprintf(record, sizeof record, "log/%010llu.json", (unsigned long long)seq);
    assert_int_equal(store_put_new(fixture->store, record, "bad", 3, NULL), 0);
    int64_t wait_ns = SECOND_NS;
    assert_int_equal(node_follow(node, &wait_ns, NULL), 0);
    assert_true(witness.is_told);
    assert_true(witness.was_saved);
    node_close(node);
}

static void node__pause_is_the_callers_unless_something_is_due(void **state)
{
    struct node_fixture *fixture = *state;
    struct node *node = open_node(fixture);
    int64_t wait_ns = 7 * SECOND_NS;
    node_fixture_release_version(fixture, "ads", 1, 100);
    node_fixture_settle(node);
    assert_int_equal(node_follow(node, &wait_ns, NULL), 0);
    assert_int_equal(wait_ns, 7 * SECOND_NS);
    char nodes[NODE_FIXTURE_PATH_MAX];
    snprintf(nodes, sizeof nodes, "%s/nodes", fixture->store_dir);
    char away[NODE_FIXTURE_PATH_MAX];
    snprintf(away, sizeof away, "%s/gone", fixture->store_dir);
    assert_int_equal(rename(nodes, away), 0);
    node_fixture_release_version(fixture, "ads", 2, 100); /* to be told in a heartbeat */
    assert_int_equal(node_follow(node, &wait_ns, NULL), 0);
    assert_true(wait_ns > 0 && wait_ns <= SECOND_NS / 2); /* the next try to reach it */
    node_close(node);
}

static size_t count_parts_in_cache(struct node_fixture *fixture)
{
    char path[NODE_FIXTURE_PATH_MAX];
    size_t n = 0;
    snprintf(path, sizeof path, "%s/cache/parts", fixture->dir);
    DIR *dir = opendir(path);
    const struct dirent *entry;
    while (dir && (entry = readdir(dir)))
        n += entry->d_name[0] != '.';
    closedir(dir);
    return n;
}

/* Damages the first part of the version that answers, in the cache. */
static void damage_cached_part(struct node *node)
{
    char link[64];
    char path[NODE_FIXTURE_PATH_MAX];
    struct version *version = table_pin_current(node_table_find(node, "ads"));
    int fd = version_part_open(version, 0);
    version_unpin(version);
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    assert_true(n > 0);
    path[n] = 0;
    close(fd);
    node_fixture_damage(path, 0);
}

static void node__bad_part_does_not_cost_the_good_ones(void **state)
{
    struct node_fixture *fixture = *state;
    struct build build = {.tag = 1, .n_keys = 400, .n_shards = 4};
    char json[NODE_FIXTURE_PATH_MAX];
    char away[NODE_FIXTURE_PATH_MAX];
    node_fixture_activate(fixture, "ads", node_fixture_publish(fixture, "ads", &build), 0);
    struct node *node = open_node(fixture);
    node_fixture_settle(node);
    assert_int_equal(count_parts_in_cache(fixture), 4);
    damage_cached_part(node);
    node_close(node);
    /* Fetching it again fails before it is known what it is made of. */
    snprintf(json, sizeof json, "%s/tables/ads/v/1/version.json", fixture->store_dir);
    snprintf(away, sizeof away, "%s/away", fixture->store_dir);
    assert_int_equal(rename(json, away), 0);
    node = open_node(fixture);
    node_fixture_settle(node);
    assert_int_equal(node_fixture_get(node, "ads", 5), -1);
    assert_int_equal(count_parts_in_cache(fixture), 3);
    assert_int_equal(rename(away, json), 0);
    node_fixture_append(fixture, &(struct op){.kind = OP_KEEP, .table = "ads", .keep = 2});
    node_fixture_settle(node); /* news: it is tried again at once */
    assert_int_equal(node_fixture_get(node, "ads", 5), 1);
    node_close(node);
}

static void node__unpin_that_comes_late_does_not_end_a_later_local_switch(void **state)
{
    struct node_fixture *fixture = *state;
    struct op unpin = {.kind = OP_UNPIN, .table = "ads", .name = "n1"};
    struct node *node = open_node(fixture);
    for (uint32_t tag = 1; tag <= 2; tag++) {
        node_fixture_release_version(fixture, "ads", tag, 100);
        node_fixture_settle(node);
    }
    node_fixture_append(fixture, &unpin); /* made before the switch, found after it */
    usleep(50000);                        /* the store's clock is read to some ten milliseconds */
    assert_int_equal(node_switch_local(node, node_table_at(node, 0), 1, NULL), 0);
    node_close(node);
    node = open_node(fixture);
    node_fixture_settle(node);
    assert_int_equal(node_fixture_get(node, "ads", 5), 1);
    usleep(50000);
    node_fixture_append(fixture, &unpin);
    node_fixture_settle(node);
    assert_int_equal(node_fixture_get(node, "ads", 5), 2);
    node_close(node);
}

/* Version 1 is loaded beside version 2, which serves. */
static struct slot *prepare_former(struct node_fixture *fixture, struct node *node)
{
    for (uint32_t tag = 1; tag <= 2; tag++) {
        node_fixture_release_version(fixture, "ads", tag, 100);
        node_fixture_settle(node);
    }
    struct slot *slot = table_find_slot(node_table_find(node, "ads"), 1);
    assert_non_null(slot);
    assert_non_null(slot->loaded);
    return slot;
}

static void node__local_switch_to_a_loaded_version_waits_for_no_load(void **state)
{
    struct node_fixture *fixture = *state;
    struct node *node = open_node(fixture);
    prepare_former(fixture, node);
    pthread_mutex_lock(&node->lock);
    assert_int_equal(node_take_loader(node, false, INT64_MAX), 0); /* a long load goes on */
    pthread_mutex_unlock(&node->lock);
    int64_t start_ns = clock_now_ns(CLOCK_MONOTONIC);
    assert_int_equal(node_switch_local(node, node_table_at(node, 0), 1, NULL), 0);
    assert_true(clock_now_ns(CLOCK_MONOTONIC) - start_ns < 10 * SECOND_NS);
    assert_int_equal(node_fixture_get(node, "ads", 5), 1);
    pthread_mutex_lock(&node->lock);
    node_leave_loader(node);
    pthread_mutex_unlock(&node->lock);
    node_close(node);
}

static void *switch_to_1(void *context)
{
    struct node *node = context;
    return (void *)(intptr_t)node_switch_local(node, node_table_at(node, 0), 1, NULL);
}

static void wait_for_brake(struct node *node)
{
    unsigned n = 0;
    while (n == 0) {
        usleep(1000);
        pthread_mutex_lock(&node->lock);
        n = node->n_brakes;
        pthread_mutex_unlock(&node->lock);
    }
}

static void node__local_switch_that_has_to_load_comes_before_work(void **state)
{
    struct node_fixture *fixture = *state;
    struct node *node = open_node(fixture);
    struct slot *slot = prepare_former(fixture, node);
    pthread_t thread;
    void *ret = NULL;
    pthread_mutex_lock(&node->lock);
    node_drop_loaded(node, node_table_at(node, 0), slot);
    assert_int_equal(node_take_loader(node, false, INT64_MAX), 0);
    pthread_mutex_unlock(&node->lock);
    assert_int_equal(pthread_create(&thread, NULL, switch_to_1, node), 0);
    wait_for_brake(node);
    pthread_mutex_lock(&node->lock);
    node_leave_loader(node);
    /* Free as it is, work does not get it before the switch had it. */
    assert_int_equal(node_take_loader(node, false, INT64_MAX), 0);
    assert_int_equal(node->n_brakes, 0);
    assert_int_equal(table_find_slot(node_table_at(node, 0), 1)->n_held, 0);
    node_leave_loader(node);
    pthread_mutex_unlock(&node->lock);
    pthread_join(thread, &ret);
    assert_null(ret);
    assert_int_equal(node_fixture_get(node, "ads", 5), 1);
    node_close(node);
}

static void node__local_switch_that_waits_ends_with_the_daemon(void **state)
{
    struct node_fixture *fixture = *state;
    struct node *node = open_node(fixture);
    struct slot *slot = prepare_former(fixture, node);
    pthread_t thread;
    void *ret = NULL;
    pthread_mutex_lock(&node->lock);
    node_drop_loaded(node, node_table_at(node, 0), slot);
    assert_int_equal(node_take_loader(node, false, INT64_MAX), 0);
    pthread_mutex_unlock(&node->lock);
    assert_int_equal(pthread_create(&thread, NULL, switch_to_1, node), 0);
    wait_for_brake(node);
    node_cancel(node);
    pthread_join(thread, &ret);
    assert_int_equal((intptr_t)ret, -ECANCELED);
    node_close(node);
}

/* A hidden store gives ENOENT, which is a failure only of a version in a store that is there. */
static void node__store_that_is_away_is_no_failure_of_a_version(void **state)
{
    struct node_fixture *fixture = *state;
    struct node *node = open_node(fixture);
    int64_t wait_ns = 0;
    node_fixture_release_version(fixture, "ads", 1, 100);
    node_fixture_settle(node);
    uint64_t id = node_fixture_publish(fixture, "ads", &(struct build){.tag = 2, .n_keys = 100});
    assert_int_equal(node_follow(node, &wait_ns, NULL), 0);
    node_fixture_hide_store(fixture);
    store_close(node->work_store);
    node->work_store = NULL;
    node_lose_contact(node, NULL, -ENOENT); /* both were open and would not notice */
    const struct slot *slot = table_find_slot(node_table_at(node, 0), id);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(node_follow(node, &wait_ns, NULL), 0);
        node_work(node);
        assert_false(slot_has_failed(slot));
        ((struct slot *)slot)->retry_ns = 0; /* the time has come */
    }
    node_work(node);
    assert_true(slot->lacks_store);
    assert_int_equal(slot->n_failures, 0);
    assert_true(slot->retry_ns > clock_now_ns(CLOCK_MONOTONIC));
    node_fixture_show_store(fixture);
    node->follower.retry_ns = 0;
    assert_int_equal(node_follow(node, &wait_ns, NULL), 0);
    assert_int_equal(slot->retry_ns, 0); /* at once */
    node_fixture_settle(node);
    assert_non_null(slot->loaded);
    assert_false(slot->lacks_store);
    node_close(node);
}

/* Events of one kind, and who told them. */
struct hearing {
    unsigned n_switched;
};

static void hear_switched(void *context, enum node_event_kind kind, struct table *table,
                          uint64_t version, const char *text)
{
    struct hearing *hearing = context;
    hearing->n_switched += kind == NODE_EVENT_SWITCHED;
}

static void node__flip_leaves_telling_to_others(void **state)
{
    struct node_fixture *fixture = *state;
    struct hearing hearing = {0};
    struct node *node = open_node(fixture);
    prepare_flip(fixture, node);
    node->event = hear_switched;
    node->event_context = &hearing;
    assert_true(node_flip(node, 10 * SECOND_NS));
    assert_int_equal(node_fixture_get(node, "ads", 5), 2);
    assert_int_equal(hearing.n_switched, 0); /* a log that stalls would hold it up */
    node_tell_notes(node);
    assert_int_equal(hearing.n_switched, 1);
    node_close(node);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define NODE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        NODE_TEST(node__flips_at_its_instant_while_follow_waits_for_the_store),
        NODE_TEST(node__local_pin_holds_through_a_flip),
        NODE_TEST(node__rollback_takes_a_flip_to_come_back),
        NODE_TEST(node__saves_a_flip_before_it_asks_the_store),
        NODE_TEST(node__pause_is_the_callers_unless_something_is_due),
        NODE_TEST(node__bad_part_does_not_cost_the_good_ones),
        NODE_TEST(node__unpin_that_comes_late_does_not_end_a_later_local_switch),
        NODE_TEST(node__local_switch_to_a_loaded_version_waits_for_no_load),
        NODE_TEST(node__local_switch_that_has_to_load_comes_before_work),
        NODE_TEST(node__local_switch_that_waits_ends_with_the_daemon),
        NODE_TEST(node__store_that_is_away_is_no_failure_of_a_version),
        NODE_TEST(node__flip_leaves_telling_to_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
