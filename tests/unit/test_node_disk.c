/* SPDX-License-Identifier: Apache-2.0 */
/* Versions of `blk` and `idx` tables: how they come up, what they take, and how they go. */
#include "unit.h"

#include "base/json.h"
#include "node/node_impl.h"
#include "node_fixture.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { N_KEYS = 20000 };

static int setup_in(void **state, void (*init)(struct node_fixture *fixture))
{
    struct node_fixture *fixture = calloc(1, sizeof *fixture);
    init(fixture);
    *state = fixture;
    return 0;
}

static int setup(void **state)
{
    return setup_in(state, node_fixture_init);
}

/* In memory, where direct reads may be refused. */
static int setup_fast(void **state)
{
    return setup_in(state, node_fixture_init_fast);
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

static uint64_t release_build(struct node_fixture *fixture, const struct build *build)
{
    uint64_t id = node_fixture_publish(fixture, "ads", build);
    node_fixture_activate(fixture, "ads", id, 0);
    return id;
}

static uint64_t release(struct node_fixture *fixture, enum table_kind kind, uint32_t tag)
{
    const struct build build = {.kind = kind, .tag = tag, .n_keys = N_KEYS, .n_shards = 3};
    return release_build(fixture, &build);
}

static uint64_t tails_of(const struct version *version)
{
    uint64_t len = 0;
    for (size_t i = 0; i < version->files->desc.n_parts; i++)
        len += memory_mapped_len(version->files->desc.parts[i].tail_len);
    return len;
}

static void assert_all_keys(struct node *node, int64_t tag)
{
    struct version *version = table_pin_current(node_table_find(node, "ads"));
    for (uint64_t key = 0; key < N_KEYS; key += 7)
        assert_int_equal(node_fixture_get_of(version, key), tag);
    assert_int_equal(node_fixture_get_of(version, N_KEYS), 0);
    version_unpin(version);
}

static void serve(struct node_fixture *fixture, enum table_kind kind)
{
    struct node *node = open_node(fixture, 0);
    uint64_t id = release(fixture, kind, 7);
    node_fixture_settle(node);
    assert_all_keys(node, 7);
    struct version *version = table_pin_current(node_table_find(node, "ads"));
    assert_int_equal(version_id(version), id);
    assert_null(version_mem(version));
    assert_non_null(version_disk(version));
    assert_true(version_is_loaded(version));
    assert_int_equal(version_schema(version)->kind, kind);
    assert_int_equal(version_memory(version), tails_of(version));
    assert_int_equal(part_memory_used(node->memory), tails_of(version));
    assert_true(version_memory(version) < version_desc_len(&version->files->desc) / 2);
    assert_int_equal(disk_parts_n_open(part_memory_disk(node->memory)), 3);
    version_unpin(version);
    assert_string_equal(fixture->warnings, "");
    node_close(node);
}

static void disk__blk_version_is_served_from_its_tails(void **state)
{
    serve(*state, KIND_BLK);
}

static void disk__idx_version_is_served_from_its_tails(void **state)
{
    serve(*state, KIND_IDX);
}

/* The i-th part of the version that answers, in the cache. */
static void cached_path(struct node_fixture *fixture, struct node *node, size_t i, char *out)
{
    char hex[DIGEST_HEX_LEN + 1];
    struct version *version = table_pin_current(node_table_find(node, "ads"));
    digest_to_hex(&version->files->desc.parts[i].digest, hex);
    version_unpin(version);
    snprintf(out, NODE_FIXTURE_PATH_MAX, "%s/cache/parts/%s.part", fixture->dir, hex);
}

static uint64_t tail_off(struct node *node, size_t i)
{
    struct version *version = table_pin_current(node_table_find(node, "ads"));
    const struct part_desc *part = &version->files->desc.parts[i];
    uint64_t off = part->len - part->tail_len;
    version_unpin(version);
    return off;
}

static json_t *status_of(struct node *node)
{
    struct buf text = {0};
    json_t *json = NULL;
    assert_int_equal(node_status(node, &text, NULL), 0);
    json = json_loadb((char *)text.data, text.len, 0, NULL);
    assert_non_null(json);
    buf_release(&text);
    return json;
}

static void disk__restart_reads_tails_only_and_needs_no_store(void **state)
{
    struct node_fixture *fixture = *state;
    struct node *node = open_node(fixture, 0);
    char path[NODE_FIXTURE_PATH_MAX];
    release(fixture, KIND_BLK, 7);
    node_fixture_settle(node);
    cached_path(fixture, node, 0, path);
    node_close(node);
    node_fixture_damage(path, 0); /* a block, which nobody reads now */
    node_fixture_hide_store(fixture);
    node = open_node(fixture, 0);
    struct version *version = table_pin_current(node_table_find(node, "ads"));
    assert_true(version_is_loaded(version));
    const struct slot *slot = node_table_find(node, "ads")->slots[0];
    uint64_t tails = 0;
    for (size_t i = 0; i < version_n_parts(version); i++)
        tails += version->files->desc.parts[i].tail_len;
    assert_int_equal(slot->progress.done, tails);
    assert_int_equal(slot->progress.total, tails);
    version_unpin(version);
    assert_string_equal(fixture->warnings, "");
    node_close(node);
    node_fixture_show_store(fixture);
}

static void deltas_of(struct node_fixture *fixture, enum table_kind kind)
{
    struct node *node = open_node(fixture, 0);
    uint64_t base = release(fixture, kind, 1);
    node_fixture_settle(node);
    uint64_t base_memory = part_memory_used(node->memory);
    struct build delta = {
        .kind = kind, .tag = 2, .n_keys = 100, .first = 50, .n_shards = 3, .base = base};
    uint64_t id = release_build(fixture, &delta);
    node_fixture_settle(node);
    assert_int_equal(node_fixture_get(node, "ads", 49), 1);
    assert_int_equal(node_fixture_get(node, "ads", 50), 2);
    assert_int_equal(node_fixture_get(node, "ads", 149), 2);
    assert_int_equal(node_fixture_get(node, "ads", 150), 1);
    struct version *version = table_pin_version(node_table_find(node, "ads"), id);
    assert_int_equal(version_disk(version)->n_levels, 2);
    assert_int_equal(version_memory(version), tails_of(version));
    assert_int_equal(part_memory_used(node->memory), tails_of(version)); /* the base's are shared */
    assert_true(part_memory_used(node->memory) > base_memory);
    assert_int_equal(disk_parts_n_open(part_memory_disk(node->memory)), 6);
    version_unpin(version);
    struct version *old = table_pin_version(node_table_find(node, "ads"), base);
    assert_int_equal(node_fixture_get_of(old, 50), 1);
    version_unpin(old);
    node_close(node);
}

static void disk__delta_shares_its_base(void **state)
{
    deltas_of(*state, KIND_BLK);
}

static void disk__delta_of_idx_shares_its_base(void **state)
{
    deltas_of(*state, KIND_IDX);
}

/* One of each kind of table beside the other. */
static void disk__kinds_live_side_by_side(void **state)
{
    struct node_fixture *fixture = *state;
    struct node *node = open_node(fixture, 0);
    const enum table_kind kinds[] = {KIND_MEM, KIND_BLK, KIND_IDX};
    const char *const names[] = {"m", "b", "i"};
    for (size_t i = 0; i < 3; i++) {
        struct build build = {.kind = kinds[i], .tag = 10 + (uint32_t)i, .n_keys = 500};
        uint64_t id = node_fixture_publish(fixture, names[i], &build);
        node_fixture_activate(fixture, names[i], id, 0);
    }
    node_fixture_settle(node);
    json_t *status = status_of(node);
    const json_t *tables = json_object_get(status, "tables");
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(node_fixture_get(node, names[i], 499), 10 + i);
        size_t at = table_index(node_table_find(node, names[i]));
        const json_t *version =
            json_array_get(json_object_get(json_array_get(tables, at), "versions"), 0);
        assert_string_equal(json_string_value(json_object_get(version, "kind")),
                            table_kind_name(kinds[i]));
    }
    json_decref(status);
    node_close(node);
}

static void disk__budget_counts_tails_and_refuses_by_figures(void **state)
{
    struct node_fixture *fixture = *state;
    struct node *node = open_node(fixture, 0);
    enum node_version_state heard = NODE_READY;
    char reason[1024];
    release(fixture, KIND_IDX, 7);
    node_fixture_settle(node);
    uint64_t used = part_memory_used(node->memory);
    node_close(node);
    node = open_node(fixture, used); /* just enough, a small part of the files' length */
    assert_int_equal(node_fixture_get(node, "ads", 5), 7);
    node_close(node);
    node = open_node(fixture, used - 4096);
    node_fixture_settle(node);
    assert_int_equal(node_fixture_get(node, "ads", 5), -1);
    assert_true(node_fixture_heard(fixture, "ads", 1, &heard, reason));
    assert_int_equal(heard, NODE_FAILED);
    assert_non_null(strstr(reason, "over by 4096"));
    node_close(node);
}

/* Of 200 descriptors parts may have 125. */
static void disk__version_of_too_many_files_is_refused(void **state)
{
    struct node_fixture *fixture = *state;
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    const struct rlimit low = {200, limit.rlim_max};
    struct build build = {.kind = KIND_BLK, .tag = 3, .n_keys = 2000, .n_shards = 126};
    struct node *node = open_node(fixture, 0);
    enum node_version_state heard = NODE_READY;
    char reason[1024];
    release_build(fixture, &build);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    node_fixture_settle(node);
    assert_int_equal(node_fixture_get(node, "ads", 5), -1);
    assert_true(node_fixture_heard(fixture, "ads", 1, &heard, reason));
    assert_int_equal(heard, NODE_FAILED);
    assert_non_null(strstr(reason, "need 126"));
    assert_non_null(strstr(reason, "LimitNOFILE"));
    assert_int_equal(disk_parts_n_open(part_memory_disk(node->memory)), 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    for (int n = 0; n < 200 && node_fixture_get(node, "ads", 5) != 3; n++) {
        usleep(50000); /* it tries again by itself */
        node_fixture_settle(node);
    }
    assert_int_equal(node_fixture_get(node, "ads", 5), 3);
    node_close(node);
}

static int lowest_free_fd(void)
{
    int fd = dup(0);
    close(fd);
    return fd;
}

/* The limit is reached in the middle of a load: nothing leaks, and it is tried again. */
static void disk__load_that_runs_out_of_descriptors_is_tried_again(void **state)
{
    struct node_fixture *fixture = *state;
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    struct build build = {.kind = KIND_BLK, .tag = 3, .n_keys = 2000, .n_shards = 40};
    struct node *node = open_node(fixture, 0);
    release_build(fixture, &build);
    node_fixture_settle(node);
    int before = lowest_free_fd();
    node_close(node);
    node = NULL;
    /* Room for most parts, by the count that is taken before; others hold the rest. */
    int held[256];
    int n_held = 0;
    const struct rlimit low = {200, limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    while (n_held < 256 && (held[n_held] = dup(0)) >= 0 && held[n_held] < 175)
        n_held++;
    close(held[n_held]);
    node = open_node(fixture, 0);
    assert_int_equal(node_fixture_get(node, "ads", 5), -1);
    assert_non_null(strstr(fixture->warnings, "Too many open files"));
    assert_int_equal(disk_parts_n_open(part_memory_disk(node->memory)), 0);
    assert_int_equal(part_memory_used(node->memory), 0);
    while (n_held > 0)
        close(held[--n_held]);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    for (int n = 0; n < 200 && node_fixture_get(node, "ads", 5) != 3; n++) {
        usleep(50000);
        node_fixture_settle(node);
    }
    assert_int_equal(node_fixture_get(node, "ads", 5), 3);
    assert_true(lowest_free_fd() <= before + 4);
    node_close(node);
}

/* What was cached is damaged where a load looks: it is fetched again, the good chunks are not. */
static void damaged_when_loaded(struct node_fixture *fixture,
                                void (*damage)(const char *path, uint64_t tail_off))
{
    struct build build = {.kind = KIND_BLK, .tag = 7, .n_keys = 150000};
    struct node *node = open_node(fixture, 0);
    char path[NODE_FIXTURE_PATH_MAX];
    release_build(fixture, &build);
    node_fixture_settle(node);
    cached_path(fixture, node, 0, path);
    uint64_t off = tail_off(node, 0);
    uint64_t len = off;
    assert_true(len > 2 * PART_CHUNK_LEN);
    node_close(node);
    damage(path, off);
    node = open_node(fixture, 0);
    assert_int_equal(node_fixture_get(node, "ads", 5), -1);
    node_fixture_settle(node);
    assert_int_equal(node_fixture_get(node, "ads", 5), 7);
    assert_int_equal(node_fixture_get(node, "ads", 149999), 7);
    assert_in_range(node->n_fetched_bytes, 0, PART_CHUNK_LEN);
    node_close(node);
}

static void damage_tail(const char *path, uint64_t tail_off)
{
    node_fixture_damage_at(path, tail_off + 5);
}

static void damage_footer(const char *path, uint64_t tail_off)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    node_fixture_damage_at(path, (uint64_t)st.st_size - PART_FOOTER_LEN + 20);
}

static void cut(const char *path, uint64_t tail_off)
{
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(truncate(path, (off_t)tail_off), 0);
}

static void disk__damaged_tail_is_fetched_again(void **state)
{
    damaged_when_loaded(*state, damage_tail);
    assert_non_null(strstr(((struct node_fixture *)*state)->warnings, "chunk"));
}

static void disk__damaged_footer_is_fetched_again(void **state)
{
    damaged_when_loaded(*state, damage_footer);
}

static void disk__cut_part_is_fetched_again(void **state)
{
    damaged_when_loaded(*state, cut);
    assert_non_null(strstr(((struct node_fixture *)*state)->warnings, "expected a file of"));
}

/* It is what was published, and no part: no fetch makes it better. */
static void disk__part_of_another_place_is_refused_as_published(void **state)
{
    struct node_fixture *fixture = *state;
    struct build build = {.kind = KIND_IDX, .tag = 7, .n_keys = 100};
    struct node *node = open_node(fixture, 0);
    build.lies_about_tail = true;
    release_build(fixture, &build);
    node_fixture_settle(node);
    assert_int_equal(node_fixture_get(node, "ads", 5), -1);
    assert_non_null(strstr(fixture->warnings, "as version.json says"));
    assert_null(strstr(fixture->warnings, "fetched again"));
    node_close(node);
}

static void train(struct buf *out)
{
    char samples[200 * 64];
    size_t lens[200];
    for (int i = 0; i < 200; i++) {
        snprintf(samples + i * 64, 64, "sample value number %06d of many that are alike %6d", i,
                 i * 7919);
        lens[i] = 64;
    }
    assert_int_equal(zstd_train(samples, lens, 200, 4096, out, NULL), 0);
    assert_true(out->len > 0);
}

static void disk__parts_share_equal_dictionaries(void **state)
{
    struct node_fixture *fixture = *state;
    struct buf dictionary = {0};
    struct node *node = open_node(fixture, 0);
    train(&dictionary);
    struct build build = {
        .kind = KIND_BLK, .tag = 4, .n_keys = 3000, .n_shards = 4, .dictionary = &dictionary};
    uint64_t base = release_build(fixture, &build);
    node_fixture_settle(node);
    build = (struct build){.kind = KIND_BLK, .tag = 5, .n_keys = 10, .n_shards = 4, .base = base};
    release_build(fixture, &build);
    node_fixture_settle(node);
    assert_int_equal(node_fixture_get(node, "ads", 2999), 4);
    assert_int_equal(node_fixture_get(node, "ads", 9), 5);
    struct version *version = table_pin_current(node_table_find(node, "ads"));
    const struct disk_table *table = version_disk(version);
    for (size_t i = 1; i < 4; i++)
        assert_ptr_equal(table->parts[i]->dictionary, table->parts[0]->dictionary);
    for (size_t i = 4; i < 8; i++) /* the delta has none */
        assert_null(table->parts[i]->dictionary);
    version_unpin(version);
    buf_release(&dictionary);
    node_close(node);
}

static void disk__cache_is_shared_between_blocks_and_values(void **state)
{
    static const struct {
        uint64_t bytes;
        unsigned percent;
        uint64_t of_values;
        uint64_t of_blocks;
    } cases[] = {
        {0, 50, 0, 0},
        {1 << 19, 100, 0, 0},
        {8 << 20, 100, 0, 8 << 20}, /* too little to be shared */
        {100 << 20, 0, 0, 100 << 20},
        {100 << 20, 50, 50 << 20, 50 << 20},
        {100 << 20, 100, 100 << 20, 0},
        {20 << 20, 1, 0, 20 << 20}, /* too few for a cache of values */
        {20 << 20, 99, (20 << 20) / 100 * 99, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct disk_parts *parts = NULL;
        struct block_cache_stats blocks = {0};
        struct value_cache_stats values = {0};
        assert_int_equal(disk_parts_new(cases[i].bytes, cases[i].percent, &parts, NULL), 0);
        const struct disk_shared *shared = disk_parts_shared(parts);
        if (shared->cache)
            block_cache_stats(shared->cache, &blocks);
        if (shared->values)
            value_cache_stats(shared->values, &values);
        assert_int_equal(blocks.max_bytes, cases[i].of_blocks);
        assert_int_equal(values.max_bytes, cases[i].of_values);
        disk_parts_free(parts);
    }
}

/* Serials are never used twice, files of the dead are closed, and their blocks forgotten. */
static void disk__retired_version_lets_go_of_files_and_blocks(void **state)
{
    struct node_fixture *fixture = *state;
    fixture->block_cache = 4 << 20;
    struct node *node = open_node(fixture, 0);
    struct disk_shared *shared = disk_parts_shared(part_memory_disk(node->memory));
    uint8_t page[4096] = {0};
    struct block_cache_stats stats = {0};
    assert_non_null(shared->cache);
    int before = lowest_free_fd();
    uint64_t last_serial = 0;
    for (uint32_t tag = 1; tag <= 8; tag++) {
        release(fixture, KIND_BLK, tag);
        node_fixture_settle(node);
        struct version *version = table_pin_current(node_table_find(node, "ads"));
        for (size_t i = 0; i < 3; i++) {
            const struct disk_part *part = version_disk(version)->parts[i];
            assert_true(part->serial > last_serial);
            last_serial = part->serial;
            assert_int_equal(block_cache_insert(shared->cache, part->serial, 0, page, 1), 0);
        }
        version_unpin(version);
    }
    node_fixture_settle(node);
    uint64_t n_open = disk_parts_n_open(part_memory_disk(node->memory));
    block_cache_stats(shared->cache, &stats);
    assert_in_range(n_open, 3, 9); /* current, previous */
    assert_int_equal(shared->n_closed, 24 - n_open);
    assert_int_equal(stats.n_blocks, n_open);
    assert_in_range(lowest_free_fd(), before, before + 12);
    node_close(node);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define DISK_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define FAST_TEST(name) cmocka_unit_test_setup_teardown(name, setup_fast, teardown)
        DISK_TEST(disk__blk_version_is_served_from_its_tails),
        DISK_TEST(disk__idx_version_is_served_from_its_tails),
        FAST_TEST(disk__idx_version_is_served_from_its_tails),
        FAST_TEST(disk__blk_version_is_served_from_its_tails),
        FAST_TEST(disk__restart_reads_tails_only_and_needs_no_store),
        FAST_TEST(disk__delta_shares_its_base),
        FAST_TEST(disk__delta_of_idx_shares_its_base),
        FAST_TEST(disk__kinds_live_side_by_side),
        FAST_TEST(disk__budget_counts_tails_and_refuses_by_figures),
        FAST_TEST(disk__version_of_too_many_files_is_refused),
        FAST_TEST(disk__load_that_runs_out_of_descriptors_is_tried_again),
        DISK_TEST(disk__damaged_tail_is_fetched_again),
        FAST_TEST(disk__damaged_footer_is_fetched_again),
        FAST_TEST(disk__cut_part_is_fetched_again),
        FAST_TEST(disk__part_of_another_place_is_refused_as_published),
        FAST_TEST(disk__parts_share_equal_dictionaries),
        cmocka_unit_test(disk__cache_is_shared_between_blocks_and_values),
        FAST_TEST(disk__retired_version_lets_go_of_files_and_blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
