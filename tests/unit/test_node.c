/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "node_fixture.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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

static void hear(struct node_fixture *fixture, uint64_t id, enum node_version_state expected,
                 const char *part_of_reason)
{
    enum node_version_state heard;
    char reason[1024];
    assert_true(node_fixture_heard(fixture, "ads", id, &heard, reason));
    assert_int_equal(heard, expected);
    if (part_of_reason && !strstr(reason, part_of_reason))
        fail_msg("expected \"%s\" in the reason, found \"%s\"", part_of_reason, reason);
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

static void node__version_on_its_way_is_not_called_failed(void **state)
{
    struct node_fixture *fixture = *state;
    struct node *node = open_node(fixture, 0);
    int64_t wait_ns = 0;
    uint64_t id = node_fixture_publish(fixture, "ads", &(struct build){.tag = 1, .n_keys = 10});
    node_follow(node, &wait_ns, NULL);
    hear(fixture, id, NODE_FETCHING, "");
    assert_true(node_work(node)); /* fetched */
    node_fixture_append(fixture, &(struct op){.kind = OP_KEEP, .table = "ads", .keep = 2});
    node_follow(node, &wait_ns, NULL);
    hear(fixture, id, NODE_LOADING, "");
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
    int64_t wait_ns = 1000000000;
    assert_int_equal(node_follow(node, &wait_ns, NULL), 0);
    assert_int_equal(node_fixture_get(node, "ads", 5), 1);
    assert_true(node_flip(node, 10000000000LL));
    assert_int_equal(node_fixture_get(node, "ads", 5), 2);
    assert_true(now_ns() > at_ns - 50000000);
    node_close(node);
}

static void node__late_activation_is_prepared_before_its_instant(void **state)
{
    struct node_fixture *fixture = *state;
    node_fixture_release_version(fixture, "ads", 1, 100);
    uint64_t id = node_fixture_publish(fixture, "ads", &(struct build){.tag = 2, .n_keys = 100});
    node_fixture_activate(fixture, "ads", id, now_ns() + 3000 * 1000000000LL);
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
    node_close(node);
}

static void node__corrupt_chunk_in_the_store_fails_that_version_only(void **state)
{
    struct node_fixture *fixture = *state;
    struct node *node = open_node(fixture, 0);
    char path[NODE_FIXTURE_PATH_MAX];
    node_fixture_release_version(fixture, "ads", 1, 100);
    node_fixture_settle(node);
    uint64_t id = node_fixture_publish(fixture, "ads", &(struct build){.tag = 2, .n_keys = 100});
    node_fixture_part_path(fixture, "ads", id, 0, path);
    node_fixture_damage(path, 0);
    node_fixture_settle(node);
    hear(fixture, id, NODE_FAILED, "chunk 0 of 1 is corrupt");
    assert_int_equal(node_fixture_get(node, "ads", 5), 1);
    node_fixture_activate(fixture, "ads", id, 0); /* news: tried again, bad again */
    node_fixture_settle(node);
    hear(fixture, id, NODE_FAILED, "chunk 0 of 1 is corrupt");
    assert_int_equal(node_fixture_get(node, "ads", 5), 1);
    node_fixture_damage(path, 0); /* turned back */
    usleep(2100000);              /* the second back-off is two seconds */
    node_fixture_settle(node);
    assert_int_equal(node_fixture_get(node, "ads", 5), 2);
    node_close(node);
}

static void node__altered_version_json_in_the_store_is_refused(void **state)
{
    struct node_fixture *fixture = *state;
    struct node *node = open_node(fixture, 0);
    uint64_t id = node_fixture_release_version(fixture, "ads", 1, 100);
    char path[NODE_FIXTURE_PATH_MAX];
    snprintf(path, sizeof path, "%s/tables/ads/v/%d/version.json", fixture->store_dir, (int)id);
    node_fixture_damage(path, 0);
    node_fixture_settle(node);
    hear(fixture, id, NODE_FAILED, "from the manifest");
    assert_int_equal(node_fixture_get(node, "ads", 5), -1);
    node_close(node);
}

/* The one part in the cache. */
static void cached_part(struct node_fixture *fixture, struct node *node, uint64_t id,
                        char out[NODE_FIXTURE_PATH_MAX])
{
    char link[64];
    struct version *version = table_pin_version(node_table_find(node, "ads"), id);
    int fd = version_part_open(version, 0);
    version_unpin(version);
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, out, NODE_FIXTURE_PATH_MAX - 1);
    assert_true(n > 0);
    out[n] = 0;
    close(fd);
}

static void node__bad_cached_part_is_fetched_again(void **state)
{
    struct node_fixture *fixture = *state;
    struct node *node = open_node(fixture, 0);
    char path[NODE_FIXTURE_PATH_MAX];
    uint64_t id = node_fixture_release_version(fixture, "ads", 1, 100);
    node_fixture_settle(node);
    cached_part(fixture, node, id, path);
    node_close(node);
    node_fixture_damage(path, 0);
    node = open_node(fixture, 0);
    assert_int_equal(node_fixture_get(node, "ads", 5), -1); /* nothing wrong is served */
    assert_non_null(strstr(fixture->warnings, "corrupt"));
    assert_int_not_equal(access(path, F_OK), 0);
    node_fixture_settle(node);
    assert_int_equal(node_fixture_get(node, "ads", 5), 1);
    node_close(node);
    assert_int_equal(truncate(path, 4096), 0); /* and a cut one */
    node = open_node(fixture, 0);
    node_fixture_settle(node);
    assert_int_equal(node_fixture_get(node, "ads", 5), 1);
    node_close(node);
}

static void node__bad_cached_version_falls_back_to_the_one_before_without_a_store(void **state)
{
    struct node_fixture *fixture = *state;
    struct node *node = open_node(fixture, 0);
    char path[NODE_FIXTURE_PATH_MAX];
    node_fixture_release_version(fixture, "ads", 1, 100);
    uint64_t id = node_fixture_release_version(fixture, "ads", 2, 100);
    node_fixture_settle(node);
    cached_part(fixture, node, id, path);
    node_close(node);
    node_fixture_damage(path, 0);
    node_fixture_hide_store(fixture);
    node = open_node(fixture, 0);
    assert_int_equal(node_fixture_get(node, "ads", 5), 1);
    assert_links(node, 1, 0);
    node_fixture_settle(node);
    node_fixture_show_store(fixture);
    usleep(600000);
    node_fixture_settle(node);
    assert_int_equal(node_fixture_get(node, "ads", 5), 2);
    node_close(node);
}

static void node__corrupt_state_starts_anew(void **state)
{
    struct node_fixture *fixture = *state;
    struct node *node = open_node(fixture, 0);
    char path[NODE_FIXTURE_PATH_MAX];
    node_fixture_release_version(fixture, "ads", 1, 100);
    node_fixture_settle(node);
    node_close(node);
    snprintf(path, sizeof path, "%s/cache/state.json", fixture->dir);
    assert_int_equal(truncate(path, 30), 0);
    node = open_node(fixture, 0);
    assert_non_null(strstr(fixture->warnings, "starting anew"));
    node_fixture_settle(node);
    assert_int_equal(node_fixture_get(node, "ads", 5), 1);
    node_close(node);
}

static uint64_t memory_of(uint64_t n_keys, uint32_t value_len)
{
    struct node_fixture fixture;
    struct node *node = NULL;
    node_fixture_init_fast(&fixture);
    struct build build = {.tag = 1, .n_keys = n_keys, .value_len = value_len};
    node_fixture_activate(&fixture, "ads", node_fixture_publish(&fixture, "ads", &build), 0);
    assert_int_equal(node_fixture_open(&fixture, "cache", 0, &node, NULL), 0);
    node_fixture_settle(node);
    struct version *version = table_pin_current(node_table_find(node, "ads"));
    uint64_t memory = version_memory(version);
    version_unpin(version);
    node_close(node);
    node_fixture_release(&fixture);
    return memory;
}

static void node__version_over_budget_is_refused_with_its_figures(void **state)
{
    struct node_fixture *fixture = *state;
    uint64_t small = memory_of(1000, 64);
    uint64_t large = memory_of(50000, 64);
    struct node *node = open_node(fixture, small * 2);
    node_fixture_release_version(fixture, "ads", 1, 1000);
    node_fixture_settle(node);
    uint64_t id = node_fixture_release_version(fixture, "ads", 2, 50000);
    node_fixture_settle(node);
    char figures[256];
    snprintf(figures, sizeof figures, "needs %llu bytes, budget %llu, used %llu: over by %llu",
             (unsigned long long)large, (unsigned long long)(small * 2), (unsigned long long)small,
             (unsigned long long)(large - small));
    hear(fixture, id, NODE_FAILED, figures);
    assert_int_equal(node_fixture_get(node, "ads", 5), 1);
    node_close(node);
}

static void node__budget_for_two_gives_up_the_previous_version_first(void **state)
{
    struct node_fixture *fixture = *state;
    uint64_t one = memory_of(1000, 64);
    struct node *node = open_node(fixture, one * 2);
    for (uint32_t tag = 1; tag <= 4; tag++) {
        uint64_t id =
            node_fixture_publish(fixture, "ads", &(struct build){.tag = tag, .n_keys = 1000});
        node_fixture_settle(node);
        hear(fixture, id, NODE_READY, NULL);
        assert_int_equal(node_fixture_get(node, "ads", 5), tag == 1 ? -1 : (int64_t)tag - 1);
        node_fixture_activate(fixture, "ads", id, 0);
        node_fixture_settle(node);
        assert_int_equal(node_fixture_get(node, "ads", 5), tag);
    }
    assert_true(is_loaded(node, 3));
    assert_string_equal(fixture->warnings, "");
    node_close(node);
}

static void node__pinned_version_keeps_its_memory_until_the_last_pin(void **state)
{
    struct node_fixture *fixture = *state;
    uint64_t one = memory_of(1000, 64);
    struct node *node = open_node(fixture, one * 2);
    node_fixture_release_version(fixture, "ads", 1, 1000);
    node_fixture_settle(node);
    struct version *first = table_pin_current(node_table_find(node, "ads"));
    node_fixture_release_version(fixture, "ads", 2, 1000);
    node_fixture_settle(node);
    uint64_t id = node_fixture_release_version(fixture, "ads", 3, 1000);
    node_fixture_settle(node);
    assert_int_equal(node_fixture_get_of(first, 5), 1);
    assert_int_equal(node_fixture_get(node, "ads", 5), 2);
    hear(fixture, id, NODE_FAILED, "over by");
    version_unpin(first); /* room at last: tried again without waiting for the back-off */
    node_fixture_settle(node);
    assert_int_equal(node_fixture_get(node, "ads", 5), 3);
    node_close(node);
}

static void node__open_version_keeps_its_files(void **state)
{
    struct node_fixture *fixture = *state;
    struct node *node = open_node(fixture, 0);
    char path[NODE_FIXTURE_PATH_MAX];
    node_fixture_release_version(fixture, "ads", 1, 100);
    node_fixture_settle(node);
    cached_part(fixture, node, 1, path);
    struct version *first = table_pin_version(node_table_find(node, "ads"), 1);
    for (uint32_t tag = 2; tag <= 8; tag++) {
        node_fixture_release_version(fixture, "ads", tag, 100);
        node_fixture_settle(node);
    }
    assert_true(is_loaded(node, 1)); /* whole, for those below it */
    assert_false(is_here(node, 2));
    int fd = version_part_open(first, 0);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(node_fixture_get_of(first, 5), 1);
    unsigned n_listed = fixture->n_listed;
    version_unpin(first);
    node_fixture_settle(node);
    assert_false(is_here(node, 1));
    assert_true(fixture->n_listed > n_listed);
    assert_int_not_equal(access(path, F_OK), 0);
    node_close(node);
}

static void node__local_switch_holds_across_restarts_without_a_store(void **state)
{
    struct node_fixture *fixture = *state;
    struct node *node = open_node(fixture, 0);
    struct err err = {0};
    for (uint32_t tag = 1; tag <= 3; tag++) {
        node_fixture_release_version(fixture, "ads", tag, 100);
        node_fixture_settle(node);
    }
    struct table *table = node_table_find(node, "ads");
    assert_int_equal(node_switch_local(node, table, 99, &err), -ENOENT);
    assert_int_equal(node_fixture_get(node, "ads", 5), 3);
    assert_int_equal(node_switch_local(node, table, 1, &err),
                     0); /* cached only: loaded here and now */
    assert_int_equal(node_fixture_get(node, "ads", 5), 1);
    assert_links(node, 1, 3);
    node_fixture_settle(node);
    assert_int_equal(node_fixture_get(node, "ads", 5), 1);
    node_close(node);
    node_fixture_hide_store(fixture);
    node = open_node(fixture, 0);
    assert_int_equal(node_fixture_get(node, "ads", 5), 1);
    table = node_table_find(node, "ads");
    assert_int_equal(node_switch_local(node, table, 2, &err),
                     0); /* and again with no store at all */
    assert_int_equal(node_fixture_get(node, "ads", 5), 2);
    node_fixture_show_store(fixture);
    node_fixture_release_version(fixture, "ads", 4, 100);
    node_fixture_settle(node);
    assert_int_equal(node_fixture_get(node, "ads", 5), 2); /* the fleet goes on without us */
    assert_int_equal(node_switch_local(node, table, 0, &err), 0);
    node_fixture_settle(node);
    assert_int_equal(node_fixture_get(node, "ads", 5), 4);
    node_close(node);
}

static void node__unpin_record_ends_a_local_switch_made_before_it(void **state)
{
    struct node_fixture *fixture = *state;
    struct node *node = open_node(fixture, 0);
    struct op unpin = {.kind = OP_UNPIN, .table = "ads", .name = "n1"};
    node_fixture_release_version(fixture, "ads", 1, 100);
    node_fixture_settle(node);
    node_fixture_release_version(fixture, "ads", 2, 100);
    node_fixture_append(fixture, &unpin); /* before the switch: not meant for it */
    node_fixture_settle(node);
    assert_int_equal(node_switch_local(node, node_table_at(node, 0), 1, NULL), 0);
    node_fixture_settle(node);
    snprintf(unpin.name, sizeof unpin.name, "n2"); /* another node */
    node_fixture_append(fixture, &unpin);
    node_fixture_settle(node);
    assert_int_equal(node_fixture_get(node, "ads", 5), 1);
    node_close(node); /* the record comes while we are away */
    snprintf(unpin.name, sizeof unpin.name, "n1");
    usleep(50000); /* the store's clock is read to some ten milliseconds */
    node_fixture_append(fixture, &unpin);
    node = open_node(fixture, 0);
    assert_int_equal(node_fixture_get(node, "ads", 5), 1);
    node_fixture_settle(node);
    assert_int_equal(node_fixture_get(node, "ads", 5), 2);
    node_close(node);
}

static void node__local_switch_to_a_bad_version_changes_nothing(void **state)
{
    struct node_fixture *fixture = *state;
    struct node *node = open_node(fixture, 0);
    char path[NODE_FIXTURE_PATH_MAX];
    struct err err = {0};
    for (uint32_t tag = 1; tag <= 3; tag++) {
        node_fixture_release_version(fixture, "ads", tag, 100);
        node_fixture_settle(node);
    }
    cached_part(fixture, node, 1, path);
    node_fixture_damage(path, 0);
    assert_int_equal(node_switch_local(node, node_table_at(node, 0), 1, &err), -EBADMSG);
    assert_int_equal(err.code, -EBADMSG);
    assert_non_null(strstr(err.text, "corrupt"));
    assert_int_equal(node_fixture_get(node, "ads", 5), 3);
    node_fixture_settle(node);
    assert_int_equal(node_fixture_get(node, "ads", 5), 3);
    node_close(node);
}

static void node__cache_of_another_store_is_not_mixed(void **state)
{
    struct node_fixture *fixture = *state;
    struct node_fixture other;
    struct node *node = open_node(fixture, 0);
    node_fixture_release_version(fixture, "ads", 1, 100);
    node_fixture_settle(node);
    node_close(node);
    node_fixture_init_fast(&other);
    node_fixture_release_version(&other, "ads", 9, 100);
    node_fixture_release_version(&other, "ads", 9, 100);
    node_fixture_hide_store(fixture);
    assert_int_equal(rename(other.store_dir, fixture->store_dir), 0);
    node = open_node(fixture, 0);
    node_fixture_settle(node);
    assert_int_equal(node_fixture_get(node, "ads", 5), 1);
    assert_non_null(strstr(fixture->warnings, "belongs to store"));
    node_close(node);
    assert_int_equal(rename(fixture->store_dir, other.store_dir), 0);
    node_fixture_show_store(fixture);
    node_fixture_release(&other);
}

static void node__loses_and_finds_its_store_while_it_runs(void **state)
{
    struct node_fixture *fixture = *state;
    struct node *node = open_node(fixture, 0);
    char nodes[NODE_FIXTURE_PATH_MAX];
    char away[NODE_FIXTURE_PATH_MAX];
    node_fixture_release_version(fixture, "ads", 1, 100);
    node_fixture_settle(node);
    snprintf(nodes, sizeof nodes, "%s/nodes", fixture->store_dir);
    snprintf(away, sizeof away, "%s/gone", fixture->store_dir);
    assert_int_equal(rename(nodes, away), 0);
    node_fixture_release_version(fixture, "ads", 2,
                                 100); /* a change, so a heartbeat, which fails */
    node_fixture_settle(node);
    assert_string_not_equal(fixture->warnings, "");
    assert_int_equal(node_fixture_get(node, "ads", 5), 2);
    assert_int_equal(rename(away, nodes), 0);
    usleep(600000);
    node_fixture_settle(node);
    hear(fixture, 2, NODE_SERVING, NULL);
    node_close(node);
}

static void node__fleet_pin_holds_this_node_only(void **state)
{
    struct node_fixture *fixture = *state;
    struct node *node = open_node(fixture, 0);
    struct op pin = {.kind = OP_PIN, .table = "ads", .version = 1, .name = "n1"};
    node_fixture_release_version(fixture, "ads", 1, 100);
    node_fixture_append(fixture, &pin);
    uint64_t id = node_fixture_release_version(fixture, "ads", 2, 100);
    node_fixture_settle(node);
    assert_int_equal(node_fixture_get(node, "ads", 5), 1);
    hear(fixture, id, NODE_READY,
         NULL); /* at hand for the unpin, and for whoever waits for all nodes */
    pin.kind = OP_UNPIN;
    pin.version = 0;
    node_fixture_append(fixture, &pin);
    int64_t wait_ns = 0;
    node_follow(node, &wait_ns, NULL);
    assert_int_equal(node_fixture_get(node, "ads", 5), 2);
    node_close(node);
}

static void node__unwritable_state_is_told_once_and_not_fatal(void **state)
{
    struct node_fixture *fixture = *state;
    struct node *node = open_node(fixture, 0);
    char path[NODE_FIXTURE_PATH_MAX];
    snprintf(path, sizeof path, "%s/cache/state.json", fixture->dir);
    assert_int_equal(mkdir(path, 0700), 0);
    node_fixture_release_version(fixture, "ads", 1, 100);
    node_fixture_settle(node);
    assert_int_equal(node_fixture_get(node, "ads", 5), 1);
    const char *first = strstr(fixture->warnings, "could not be written");
    assert_non_null(first);
    assert_null(strstr(first + 1, "could not be written"));
    assert_int_equal(rmdir(path), 0);
    node_close(node); /* writes it after all */
    node_fixture_hide_store(fixture);
    node = open_node(fixture, 0);
    assert_int_equal(node_fixture_get(node, "ads", 5), 1);
    node_close(node);
    node_fixture_show_store(fixture);
}

static void node__owner_and_mode_come_from_the_schema(void **state)
{
    struct node_fixture *fixture = *state;
    struct node *node = open_node(fixture, 0);
    struct build build = {.tag = 1, .n_keys = 10, .owner = "1234", .mode = 0640};
    uid_t uid = 0;
    gid_t gid = 0;
    uint32_t mode = 0;
    node_fixture_activate(fixture, "ads", node_fixture_publish(fixture, "ads", &build), 0);
    node_fixture_settle(node);
    table_access(node_table_at(node, 0), &uid, &gid, &mode);
    assert_int_equal(uid, 1234);
    assert_int_equal(gid, getegid());
    assert_int_equal(mode, 0750);
    struct version *version = table_pin_current(node_table_at(node, 0));
    version_access(version, &uid, &gid, &mode);
    assert_int_equal(mode, 0640);
    version_unpin(version);
    build.owner = "no-such-user-here";
    node_fixture_activate(fixture, "ads", node_fixture_publish(fixture, "ads", &build), 0);
    node_fixture_settle(node);
    assert_non_null(strstr(fixture->warnings, "unknown on this host"));
    table_access(node_table_at(node, 0), &uid, &gid, &mode);
    assert_int_equal(uid, geteuid());
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

static void node__version_that_never_comes_does_not_keep_others_on_disk(void **state)
{
    struct node_fixture *fixture = *state;
    struct node *node = open_node(fixture, 0);
    char path[NODE_FIXTURE_PATH_MAX];
    node_fixture_release_version(fixture, "ads", 1, 100);
    uint64_t bad = node_fixture_publish(fixture, "other", &(struct build){.tag = 2, .n_keys = 100});
    node_fixture_part_path(fixture, "other", bad, 0, path);
    node_fixture_damage(path, 0);
    for (uint32_t tag = 2; tag <= 9; tag++) {
        node_fixture_release_version(fixture, "ads", tag, 100 + tag);
        node_fixture_settle(node);
    }
    /* Current, previous, three former ones; and the half part of the bad one is not thrown away each time. */
    assert_int_equal(count_parts_in_cache(fixture), 6);
    node_close(node);
}

static void node__cancelled_work_ends_and_is_resumed_by_the_next_start(void **state)
{
    struct node_fixture *fixture = *state;
    struct node *node = open_node(fixture, 0);
    int64_t wait_ns = 0;
    node_fixture_release_version(fixture, "ads", 1, 100);
    node_follow(node, &wait_ns, NULL);
    node_cancel(node);
    assert_false(node_work(node));
    node_close(node);
    node = open_node(fixture, 0);
    node_fixture_settle(node);
    assert_int_equal(node_fixture_get(node, "ads", 5), 1);
    node_close(node);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define NODE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        NODE_TEST(node__serves_what_is_activated),
        NODE_TEST(node__prepares_a_candidate_while_the_old_one_serves),
        NODE_TEST(node__version_on_its_way_is_not_called_failed),
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
        NODE_TEST(node__corrupt_chunk_in_the_store_fails_that_version_only),
        NODE_TEST(node__altered_version_json_in_the_store_is_refused),
        NODE_TEST(node__bad_cached_part_is_fetched_again),
        NODE_TEST(node__bad_cached_version_falls_back_to_the_one_before_without_a_store),
        NODE_TEST(node__corrupt_state_starts_anew),
        NODE_TEST(node__version_over_budget_is_refused_with_its_figures),
        NODE_TEST(node__budget_for_two_gives_up_the_previous_version_first),
        NODE_TEST(node__pinned_version_keeps_its_memory_until_the_last_pin),
        NODE_TEST(node__open_version_keeps_its_files),
        NODE_TEST(node__local_switch_holds_across_restarts_without_a_store),
        NODE_TEST(node__unpin_record_ends_a_local_switch_made_before_it),
        NODE_TEST(node__local_switch_to_a_bad_version_changes_nothing),
        NODE_TEST(node__cache_of_another_store_is_not_mixed),
        NODE_TEST(node__loses_and_finds_its_store_while_it_runs),
        NODE_TEST(node__fleet_pin_holds_this_node_only),
        NODE_TEST(node__unwritable_state_is_told_once_and_not_fatal),
        NODE_TEST(node__owner_and_mode_come_from_the_schema),
        NODE_TEST(node__version_that_never_comes_does_not_keep_others_on_disk),
        NODE_TEST(node__cancelled_work_ends_and_is_resumed_by_the_next_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
