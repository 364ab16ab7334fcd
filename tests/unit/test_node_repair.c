/* SPDX-License-Identifier: Apache-2.0 */
/* Parts on disk that are damaged while they serve. */
#include "unit.h"

#include "base/json.h"
#include "node/node_impl.h"
#include "node_fixture.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Some 11 MB: three chunks. */
enum { N_KEYS = 150000 };

struct world {
    struct node_fixture fixture;
    struct node *node;
    char path[NODE_FIXTURE_PATH_MAX]; /* of the part in the cache */
    uint64_t id;
    uint64_t len;
};

static int setup_of(void **state, enum table_kind kind, void (*init)(struct node_fixture *fixture))
{
    struct world *world = calloc(1, sizeof *world);
    struct build build = {.kind = kind, .tag = 7, .n_keys = N_KEYS};
    char hex[DIGEST_HEX_LEN + 1];
    init(&world->fixture);
    assert_int_equal(node_fixture_open(&world->fixture, "cache", 0, &world->node, NULL), 0);
    world->id = node_fixture_publish(&world->fixture, "ads", &build);
    node_fixture_activate(&world->fixture, "ads", world->id, 0);
    node_fixture_settle(world->node);
    struct version *version = table_pin_current(node_table_find(world->node, "ads"));
    assert_non_null(version);
    digest_to_hex(&version->files->desc.parts[0].digest, hex);
    snprintf(world->path, sizeof world->path, "%s/cache/parts/%s.part", world->fixture.dir, hex);
    world->len = version->files->desc.parts[0].len;
    assert_int_equal(version->files->desc.parts[0].n_chunks, 3);
    version_unpin(version);
    *state = world;
    return 0;
}

static int setup(void **state)
{
    return setup_of(state, KIND_BLK, node_fixture_init_fast);
}

/* A disk, with direct reads. */
static int setup_on_disk(void **state)
{
    return setup_of(state, KIND_BLK, node_fixture_init);
}

static int setup_idx(void **state)
{
    return setup_of(state, KIND_IDX, node_fixture_init_fast);
}

static int teardown(void **state)
{
    struct world *world = *state;
    node_close(world->node);
    node_fixture_release(&world->fixture);
    free(world);
    return 0;
}

/* Reads keys of every block as lookups would; counts those whose block is bad. All others are
 * right. */
static unsigned count_bad(struct world *world)
{
    unsigned n_bad = 0;
    struct version *version = table_pin_current(node_table_find(world->node, "ads"));
    assert_int_equal(version_id(version), world->id);
    for (uint64_t key = 0; key < N_KEYS; key += 17) {
        int64_t tag = node_fixture_get_of(version, key);
        n_bad += tag == -2;
        assert_true(tag == 7 || tag == -2);
    }
    version_unpin(version);
    return n_bad;
}

static void work(struct node *node)
{
    for (int n = 0; node_work(node); n++)
        assert_true(n < 1000);
}

static struct disk_shared *shared_of(struct world *world)
{
    return disk_parts_shared(part_memory_disk(world->node->memory));
}

static bool is_as_published(struct world *world)
{
    char path[NODE_FIXTURE_PATH_MAX];
    char command[3 * NODE_FIXTURE_PATH_MAX];
    node_fixture_part_path(&world->fixture, "ads", world->id, 0, path);
    snprintf(command, sizeof command, "cmp -s %s %s", path, world->path);
    return system(command) == 0;
}

static void repair__damaged_block_is_fetched_again_into_the_file_that_serves(void **state)
{
    struct world *world = *state;
    uint64_t fetched = world->node->n_fetched_bytes;
    uint64_t switches = world->node->n_switches;
    struct version *before = table_pin_current(node_table_find(world->node, "ads"));
    node_fixture_damage(world->path, 1);
    unsigned n_bad = count_bad(world);
    assert_in_range(n_bad, 1, 200);
    assert_int_equal(shared_of(world)->n_bad_blocks, n_bad);
    assert_false(is_as_published(world));
    work(world->node);
    assert_true(is_as_published(world));
    assert_int_equal(count_bad(world), 0);
    assert_int_equal(world->node->n_fetched_bytes - fetched, PART_CHUNK_LEN);
    assert_int_equal(world->node->n_repairs, 1);
    assert_int_equal(world->node->n_switches, switches);
    assert_non_null(strstr(world->fixture.warnings, "table ads version 1: L00-S0000-"));
    assert_non_null(strstr(world->fixture.warnings, "chunk 1 of 3: expected"));
    assert_non_null(strstr(world->fixture.warnings, "the block at page 1024)"));
    struct version *after = table_pin_current(node_table_find(world->node, "ads"));
    assert_ptr_equal(before, after);
    assert_null(repair_damage(after));
    version_unpin(before);
    version_unpin(after);
    struct stat st;
    assert_int_equal(stat(world->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0400);
    /* And it is as well after a restart. */
    node_close(world->node);
    assert_int_equal(node_fixture_open(&world->fixture, "cache", 0, &world->node, NULL), 0);
    assert_int_equal(count_bad(world), 0);
}

/* One lookup tells of one block; the whole file is looked at. */
static void repair__finds_what_no_lookup_has_met_yet(void **state)
{
    struct world *world = *state;
    for (uint32_t i = 0; i < 3; i++)
        node_fixture_damage(world->path, i);
    struct version *version = table_pin_current(node_table_find(world->node, "ads"));
    uint64_t key = 0;
    while (node_fixture_get_of(version, key) != -2)
        assert_true(++key < N_KEYS);
    version_unpin(version);
    assert_int_equal(shared_of(world)->n_bad_blocks, 1);
    work(world->node);
    assert_true(is_as_published(world));
    assert_int_equal(count_bad(world), 0);
}

static void repair__serves_what_is_good_until_the_store_is_back(void **state)
{
    struct world *world = *state;
    enum node_version_state heard = NODE_READY;
    char reason[1024];
    struct buf text = {0};
    node_fixture_damage(world->path, 2);
    node_fixture_hide_store(&world->fixture);
    unsigned n_bad = count_bad(world);
    assert_in_range(n_bad, 1, 200);
    work(world->node);
    world->node->repair.due_ns = 0;
    work(world->node); /* not at every call, and told once */
    assert_int_equal(count_bad(world), n_bad);
    const char *first = strstr(world->fixture.warnings, "cannot be repaired now");
    assert_non_null(first);
    assert_null(strstr(first + 1, "cannot be repaired now"));
    assert_int_equal(node_status(world->node, &text, NULL), 0);
    json_t *status = json_loadb((char *)text.data, text.len, 0, NULL);
    buf_release(&text);
    const json_t *version = json_array_get(
        json_object_get(json_array_get(json_object_get(status, "tables"), 0), "versions"), 0);
    assert_string_equal(json_string_value(json_object_get(version, "state")), "serving");
    assert_non_null(
        strstr(json_string_value(json_object_get(version, "damage")), "what is good in it"));
    assert_int_equal(
        json_integer_value(json_object_get(json_object_get(status, "disk"), "bad_blocks")),
        2 * n_bad);
    json_decref(status);
    node_fixture_show_store(&world->fixture);
    for (int n = 0; n < 400 && !is_as_published(world); n++) {
        usleep(50000); /* it tries again by itself */
        node_fixture_settle(world->node);
        if (!is_as_published(world) &&
            node_fixture_heard(&world->fixture, "ads", world->id, &heard, reason)) {
            assert_int_equal(heard, NODE_SERVING);
        }
    }
    assert_int_equal(count_bad(world), 0);
    node_fixture_settle(world->node);
    assert_true(node_fixture_heard(&world->fixture, "ads", world->id, &heard, reason));
    assert_string_equal(reason, "");
}

/* A restart without the store, with the damage still there: tails are good, so it serves. */
static void repair__damage_outlives_a_restart_and_is_repaired_then(void **state)
{
    struct world *world = *state;
    node_fixture_damage(world->path, 0);
    node_fixture_hide_store(&world->fixture);
    unsigned n_bad = count_bad(world);
    work(world->node);
    node_close(world->node);
    assert_int_equal(node_fixture_open(&world->fixture, "cache", 0, &world->node, NULL), 0);
    assert_int_equal(count_bad(world), n_bad);
    node_fixture_show_store(&world->fixture);
    work(world->node);
    assert_int_equal(count_bad(world), 0);
}

static void repair__file_that_was_cut_while_it_serves_is_whole_again(void **state)
{
    struct world *world = *state;
    assert_int_equal(chmod(world->path, 0600), 0);
    assert_int_equal(truncate(world->path, PART_CHUNK_LEN + 5000), 0);
    assert_true(count_bad(world) > N_KEYS / 100);
    assert_true(shared_of(world)->n_read_errors > 0);
    work(world->node);
    assert_true(is_as_published(world));
    assert_int_equal(count_bad(world), 0);
}

/* Unlinked files serve on; they are repaired all the same. */
static void repair__needs_no_name(void **state)
{
    struct world *world = *state;
    node_fixture_damage(world->path, 1);
    assert_int_equal(unlink(world->path), 0);
    assert_true(count_bad(world) > 0);
    work(world->node);
    assert_int_equal(count_bad(world), 0);
}

static void repair__error_that_has_passed_is_told_once_and_not_looked_into_for_ever(void **state)
{
    struct world *world = *state;
    struct version *version = table_pin_current(node_table_find(world->node, "ads"));
    const struct disk_table *table = version_disk(version);
    uint64_t fetched = world->node->n_fetched_bytes;
    for (int n = 0; n < 3; n++) {
        disk_part_report(table, table->parts[0], 40, false);
        work(world->node);
    }
    assert_int_equal(shared_of(world)->n_read_errors, 3);
    assert_int_equal(world->node->n_fetched_bytes, fetched);
    assert_int_equal(world->node->n_repairs, 0);
    const char *first = strstr(world->fixture.warnings, "the block at page 40 could not be read");
    assert_non_null(first);
    assert_null(strstr(first + 20, "at page 40"));
    assert_true(version->parts[0]->health.is_waiting); /* the second report, for a minute */
    assert_null(repair_damage(version));
    version_unpin(version);
}

/* The store's copy is bad too: no worse than before, and it says why. */
static void repair__store_that_is_damaged_too_makes_nothing_worse(void **state)
{
    struct world *world = *state;
    char path[NODE_FIXTURE_PATH_MAX];
    node_fixture_part_path(&world->fixture, "ads", world->id, 0, path);
    node_fixture_damage(path, 1);
    node_fixture_damage_at(world->path, PART_CHUNK_LEN + 30000);
    unsigned n_bad = count_bad(world);
    assert_in_range(n_bad, 1, 200);
    work(world->node);
    assert_int_equal(count_bad(world), n_bad);
    assert_non_null(strstr(world->fixture.warnings, "in the store"));
    assert_int_equal(world->node->n_bad_chunks, 1);
    struct version *version = table_pin_current(node_table_find(world->node, "ads"));
    assert_non_null(strstr(repair_damage(version), "in the store"));
    version_unpin(version);
}

/* The version it looks at goes: it lets go of it. */
static void repair__ends_with_its_version(void **state)
{
    struct world *world = *state;
    node_fixture_damage(world->path, 1);
    node_fixture_hide_store(&world->fixture);
    count_bad(world);
    work(world->node);
    node_fixture_show_store(&world->fixture);
    for (uint32_t tag = 8; tag < 14; tag++) {
        struct build build = {.kind = KIND_BLK, .tag = tag, .n_keys = 100};
        uint64_t id = node_fixture_publish(&world->fixture, "ads", &build);
        node_fixture_activate(&world->fixture, "ads", id, 0);
        node_fixture_settle(world->node);
    }
    assert_null(world->node->repair.version);
    assert_in_range(disk_parts_n_open(part_memory_disk(world->node->memory)), 1, 3);
}

static void repair__metrics_tell(void **state)
{
    struct world *world = *state;
    struct buf text = {0};
    node_fixture_damage(world->path, 1);
    unsigned n_bad = count_bad(world);
    work(world->node);
    char expected[64];
    assert_int_equal(node_metrics(world->node, &text), 0);
    assert_int_equal(buf_add(&text, "", 1), 0);
    snprintf(expected, sizeof expected, "\nfkv_disk_bad_blocks_total %u\n", n_bad);
    assert_non_null(strstr((char *)text.data, expected));
    assert_non_null(strstr((char *)text.data, "\nfkv_disk_repairs_total 1\n"));
    assert_non_null(strstr((char *)text.data, "\nfkv_disk_open_parts 1\n"));
    assert_non_null(strstr((char *)text.data, "\nfkv_block_cache_max_bytes 0\n"));
    buf_release(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define REPAIR_TEST(name, setup) cmocka_unit_test_setup_teardown(name, setup, teardown)
        REPAIR_TEST(repair__damaged_block_is_fetched_again_into_the_file_that_serves, setup),
        REPAIR_TEST(repair__damaged_block_is_fetched_again_into_the_file_that_serves,
                    setup_on_disk),
        REPAIR_TEST(repair__damaged_block_is_fetched_again_into_the_file_that_serves, setup_idx),
        REPAIR_TEST(repair__finds_what_no_lookup_has_met_yet, setup),
        REPAIR_TEST(repair__serves_what_is_good_until_the_store_is_back, setup),
        REPAIR_TEST(repair__damage_outlives_a_restart_and_is_repaired_then, setup),
        REPAIR_TEST(repair__file_that_was_cut_while_it_serves_is_whole_again, setup_on_disk),
        REPAIR_TEST(repair__needs_no_name, setup_on_disk),
        REPAIR_TEST(repair__error_that_has_passed_is_told_once_and_not_looked_into_for_ever, setup),
        REPAIR_TEST(repair__store_that_is_damaged_too_makes_nothing_worse, setup),
        REPAIR_TEST(repair__ends_with_its_version, setup),
        REPAIR_TEST(repair__metrics_tell, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
