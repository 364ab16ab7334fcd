/* SPDX-License-Identifier: Apache-2.0 */
/* The node under all its threads at once; meant to be run under ThreadSanitizer too. */
#include "unit.h"

#include "base/bytes.h"
#include "node/disk_table.h"
#include "node_fixture.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { N_READERS = 3, N_KEYS = 500, N_VERSIONS = 24 };

struct race {
    struct node *node;
    enum table_kind kind;
    _Atomic bool is_over;
    _Atomic uint64_t n_reads;
    _Atomic uint64_t n_wrong;
};

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static bool is_over(struct race *race)
{
    return atomic_load_explicit(&race->is_over, memory_order_relaxed);
}

static void *follow_on(void *context)
{
    struct race *race = context;
    while (!is_over(race)) {
        int64_t wait_ns = 0;
        node_follow(race->node, &wait_ns, NULL);
        usleep(2000);
    }
    return NULL;
}

static void *work_on(void *context)
{
    struct race *race = context;
    while (!is_over(race))
        if (!node_work(race->node))
            usleep(1000);
    return NULL;
}

static void *flip_on(void *context)
{
    struct race *race = context;
    while (!is_over(race))
        node_flip(race->node, 1000000000);
    return NULL;
}

/* Every key of a pinned version must be of that version: its tag is its number. */
static void check_version(struct race *race, struct version *version)
{
    if (!version_is_loaded(version))
        return;
    int64_t id = (int64_t)version_id(version);
    for (uint64_t key = 0; key < N_KEYS; key += 7)
        if (node_fixture_get_of(version, key) != id)
            atomic_fetch_add(&race->n_wrong, 1);
    atomic_fetch_add(&race->n_reads, 1);
}

/* Lookups that meet bad blocks, some of which are gone when node looks. */
static void report(struct race *race, struct version *version, uint64_t n)
{
    const struct disk_table *table = version_disk(version);
    if (!table || n % 8)
        return;
    struct disk_part *part = table->parts[0];
    const struct cached_block *block = block_cache_find(table->shared->cache, part->serial, 0);
    uint8_t page[BLOCK_CACHE_PAGE] = {0};
    if (block)
        block_cache_release(table->shared->cache, block);
    else
        block_cache_insert(table->shared->cache, part->serial, 0, page, 1);
    disk_part_report(table, part, (uint32_t)(n % 16), n % 16 == 0);
}

static void *read_on(void *context)
{
    struct race *race = context;
    uint64_t n = 0;
    while (!is_over(race)) {
        struct table *table = node_table_find(race->node, "ads");
        if (!table)
            continue;
        struct version *version =
            ++n % 4 ? table_pin_current(table) : table_pin_version(table, n % N_VERSIONS + 1);
        if (!version)
            continue;
        check_version(race, version);
        report(race, version, n);
        if (n % 64 == 0)
            usleep(3000); /* a slow reader holds on while versions come and go */
        version_unpin(version);
    }
    return NULL;
}

static void *look_on(void *context)
{
    struct race *race = context;
    uint64_t ids[64];
    while (!is_over(race)) {
        struct buf text = {0};
        uint64_t current = 0;
        uint64_t previous = 0;
        node_status(race->node, &text, NULL);
        node_metrics(race->node, &text);
        buf_release(&text);
        struct table *table = node_table_find(race->node, "ads");
        if (table) {
            uid_t uid;
            gid_t gid;
            uint32_t mode;
            table_links(table, &current, &previous);
            table_versions(table, ids, 64);
            table_access(table, &uid, &gid, &mode);
        }
        usleep(500);
    }
    return NULL;
}

static void *switch_on(void *context)
{
    struct race *race = context;
    unsigned seed = 1;
    while (!is_over(race)) {
        struct table *table = node_table_find(race->node, "ads");
        if (table)
            node_switch_local(race->node, table, (uint64_t)(rand_r(&seed) % N_VERSIONS), NULL);
        usleep(5000);
    }
    return NULL;
}

static void run(struct race *race, struct node_fixture *fixture)
{
    pthread_t threads[N_READERS + 5];
    size_t n = 0;
    assert_int_equal(pthread_create(&threads[n++], NULL, follow_on, race), 0);
    assert_int_equal(pthread_create(&threads[n++], NULL, work_on, race), 0);
    assert_int_equal(pthread_create(&threads[n++], NULL, flip_on, race), 0);
    assert_int_equal(pthread_create(&threads[n++], NULL, look_on, race), 0);
    assert_int_equal(pthread_create(&threads[n++], NULL, switch_on, race), 0);
    for (int i = 0; i < N_READERS; i++)
        assert_int_equal(pthread_create(&threads[n++], NULL, read_on, race), 0);
    for (uint32_t tag = 1; tag <= N_VERSIONS; tag++) {
        uint64_t id = node_fixture_publish(
            fixture, "ads",
            &(struct build){.tag = tag, .n_keys = N_KEYS, .kind = race->kind, .n_shards = 2});
        assert_int_equal(id, tag);
        node_fixture_activate(fixture, "ads", id, tag % 2 ? 0 : now_ns() + 20000000);
        if (tag % 5 == 0)
            node_fixture_rollback(fixture, "ads", tag, tag - 1);
        usleep(30000);
    }
    usleep(200000);
    atomic_store(&race->is_over, true);
    node_cancel(race->node);
    for (size_t i = 0; i < n; i++)
        pthread_join(threads[i], NULL);
}

static void race_of(enum table_kind kind)
{
    struct node_fixture fixture;
    struct race race = {.kind = kind};
    struct err err = {0};
    node_fixture_init(&fixture);
    fixture.block_cache = 4 << 20;
    assert_int_equal(node_fixture_open(&fixture, "cache", 0, &race.node, &err), 0);
    run(&race, &fixture);
    assert_int_equal(race.n_wrong, 0);
    assert_true(race.n_reads > 100);
    node_close(race.node);
    /* And all of it can be taken up again. */
    assert_int_equal(node_fixture_open(&fixture, "cache", 0, &race.node, &err), 0);
    struct table *table = node_table_find(race.node, "ads");
    assert_non_null(table);
    assert_int_equal(node_switch_local(race.node, table, 0, &err), 0);
    node_fixture_settle(race.node);
    assert_int_equal(node_fixture_get(race.node, "ads", 3), N_VERSIONS);
    node_close(race.node);
    node_fixture_release(&fixture);
}

static void node__readers_never_see_a_mixed_or_freed_version(void **state)
{
    race_of(KIND_MEM);
}

static void node__readers_of_disk_tables_never_see_a_mixed_or_freed_version(void **state)
{
    race_of(KIND_BLK);
}

/* A daemon of its own process, killed while it fetches, loads, switches and writes its state. */
static void run_until_killed(struct node_fixture *fixture)
{
    struct race race = {0};
    pthread_t worker;
    if (node_fixture_open(fixture, "cache", 0, &race.node, NULL) ||
        pthread_create(&worker, NULL, work_on, &race))
        _exit(1);
    follow_on(&race);
}

static void node__killed_anywhere_starts_again_and_goes_on(void **state)
{
    enum { N_KILLS = 12, LARGE = 12000 };
    struct node_fixture fixture;
    struct node *node = NULL;
    struct err err = {0};
    node_fixture_init(&fixture);
    for (uint32_t tag = 1; tag <= N_KILLS; tag++) {
        struct build build = {.tag = tag, .n_keys = LARGE, .value_len = 1000};
        node_fixture_activate(&fixture, "ads", node_fixture_publish(&fixture, "ads", &build), 0);
        pid_t pid = fork();
        if (pid == 0)
            run_until_killed(&fixture);
        usleep(2000 + tag * tag * 700);
        kill(pid, SIGKILL);
        int status = 0;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        /* Whatever it left, what is served is whole. */
        assert_int_equal(node_fixture_open(&fixture, "cache", 0, &node, &err), 0);
        int64_t served = node_fixture_get(node, "ads", 11);
        assert_true(served == -1 || (served >= 1 && served <= (int64_t)tag));
        if (tag % 3 == 0) {
            node_fixture_settle(node);
            assert_int_equal(node_fixture_get(node, "ads", LARGE - 1), tag);
        }
        node_close(node);
    }
    assert_string_equal(fixture.warnings, "");
    node_fixture_release(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(node__killed_anywhere_starts_again_and_goes_on),
        cmocka_unit_test(node__readers_never_see_a_mixed_or_freed_version),
        cmocka_unit_test(node__readers_of_disk_tables_never_see_a_mixed_or_freed_version),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
