/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "builder/collect.h"
#include "builder/publish.h"
#include "sealed_fixture.h"

#include <errno.h>
#include <time.h>
#include <unistd.h>

#define SECOND_NS 1000000000LL

static char said[8192];

static void say(void *context, const char *line)
{
    size_t len = strlen(said);
    snprintf(said + len, sizeof said - len, "%s\n", line);
}

static struct collect_options now_options(void)
{
    struct collect_options options;
    collect_options_default(&options);
    options.wait_ns = 0;
    options.say = say;
    said[0] = '\0';
    return options;
}

static struct collect_result run(struct fixture_store *fs, const struct collect_options *options)
{
    struct collect_result result = {0};
    struct err err = {0};
    sealed_must(collect_run(fs->store, fs->manifest, options, &result, &err), &err, "collect");
    return result;
}

static void add_version(struct fixture_store *fs, const char *task, bool is_delta, uint64_t tag)
{
    struct validate_limits limits;
    struct publish_item item = {.table = "ads", .task = task};
    struct publish_version out;
    struct err err = {0};
    uint64_t seq = 0;
    const struct table_state *table = state_find_table(manifest_state(fs->manifest), "ads");
    validate_limits_default(&limits);
    if (is_delta)
        fixture_seal_delta(fs, "ads", task, table_state_newest(table), tag);
    else
        fixture_seal_numbers(fs, "ads", task, 10, tag);
    sealed_must(publish_run(fs->store, fs->manifest,
                            &(struct publish_request){
                                .items = &item, .n_items = 1, .limits = &limits, .reason = ""},
                            &out, &seq, &err),
                &err, "publish");
    fixture_activate(fs, "ads", out.version);
}

/* ads with versions 1 to n, each activated once; the last is current. Every third is a delta. */
static void make_versions(struct fixture_store *fs, uint64_t n)
{
    fixture_store_init(fs);
    for (uint64_t i = 1; i <= n; i++) {
        char task[16];
        snprintf(task, sizeof task, "t%02u", (unsigned)i);
        add_version(fs, task, i % 3 == 0, i);
    }
}

static bool has_version(struct fixture_store *fs, uint64_t id)
{
    char dir[LAYOUT_PATH_MAX];
    layout_version_dir("ads", id, dir);
    return fixture_exists(fs, dir);
}

static const struct version_entry *entry(struct fixture_store *fs, uint64_t id)
{
    return table_state_find(state_find_table(manifest_state(fs->manifest), "ads"), id);
}

static void record(struct fixture_store *fs, enum op_kind kind, uint64_t version, const char *name)
{
    struct op op = {.kind = kind, .version = version};
    snprintf(op.table, sizeof op.table, "ads");
    snprintf(op.name, sizeof op.name, "%s", name);
    fixture_record(fs, op);
}

static int64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return ts.tv_sec * SECOND_NS + ts.tv_nsec;
}

static void put_heartbeat(struct fixture_store *fs, const char *node, int64_t age_ns, uint64_t seq,
                          uint64_t version, enum node_version_state version_state)
{
    struct node_version on = {.version = version, .state = version_state};
    struct node_table table = {.name = "ads", .versions = &on, .n_versions = 1};
    struct heartbeat beat = {
        .time_ns = now_ns() - age_ns, .seq = seq, .tables = &table, .n_tables = 1};
    struct err err = {0};
    snprintf(beat.node, sizeof beat.node, "%s", node);
    sealed_must(heartbeat_put(fs->store, &beat, &err), &err, "heartbeat");
}

static void collect__removes_what_is_beyond_the_keep_rule(void **state)
{
    struct fixture_store fs;
    struct collect_options options = now_options();
    make_versions(&fs, 8);
    struct collect_result result = run(&fs, &options);
    /* current 8, and the last three former ones 7 6 5; 6 is a delta on 5 */
    for (uint64_t id = 1; id <= 8; id++) {
        assert_int_equal(has_version(&fs, id), id >= 5);
        assert_int_equal(entry(&fs, id)->state == VERSION_FORGOTTEN, id < 5);
        if (id >= 5)
            assert_int_equal(fixture_tag(&fs, "ads", id), id);
    }
    assert_int_equal(result.n_versions, 4);
    assert_int_equal(result.n_held, 0);
    assert_true(result.bytes > 0);
    assert_non_null(strstr(said, "remove ads/v/1\n"));
    result = run(&fs, &options);
    assert_int_equal(result.n_versions, 0);
    fixture_store_release(&fs);
}

static void collect__counts_bytes_that_no_other_version_links_once(void **state)
{
    struct fixture_store fs;
    struct collect_options options = now_options();
    make_versions(&fs, 3);
    record(&fs, OP_RETIRE, 2, "");
    /* 3 is a delta on 2 and links its parts: they stay, so nothing but the directory goes. */
    struct collect_result result = run(&fs, &options);
    assert_int_equal(result.n_versions, 1);
    assert_int_equal(result.bytes, 0);
    assert_int_equal(fixture_tag(&fs, "ads", 3), 3);
    record(&fs, OP_RETIRE, 1, "");
    result = run(&fs, &options);
    assert_true(result.bytes > 0);
    fixture_store_release(&fs);
}

static void collect__keeps_tagged_and_pinned_versions_and_candidates(void **state)
{
    struct fixture_store fs;
    struct collect_options options = now_options();
    struct validate_limits limits;
    struct publish_item item = {.table = "ads", .task = "zz"};
    struct publish_version out;
    uint64_t seq = 0;
    make_versions(&fs, 8);
    validate_limits_default(&limits);
    fixture_seal_numbers(&fs, "ads", "zz", 10, 9);
    assert_int_equal(publish_run(fs.store, fs.manifest,
                                 &(struct publish_request){
                                     .items = &item, .n_items = 1, .limits = &limits, .reason = ""},
                                 &out, &seq, NULL),
                     0);
    record(&fs, OP_TAG, 1, "golden");
    record(&fs, OP_PIN, 2, "node7");
    run(&fs, &options);
    assert_int_equal(fixture_tag(&fs, "ads", 1), 1);
    assert_int_equal(fixture_tag(&fs, "ads", 2), 2);
    assert_int_equal(fixture_tag(&fs, "ads", 9), 9);
    assert_false(has_version(&fs, 4));
    record(&fs, OP_UNTAG, 0, "golden");
    run(&fs, &options);
    assert_false(has_version(&fs, 1));
    fixture_store_release(&fs);
}

static void collect__leaves_what_a_live_node_uses(void **state)
{
    static const struct {
        enum node_version_state state;
        bool holds;
    } cases[] = {{NODE_FETCHING, true}, {NODE_LOADING, true}, {NODE_READY, true},
                 {NODE_SERVING, true},  {NODE_CACHED, true},  {NODE_FAILED, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct fixture_store fs;
        struct collect_options options = now_options();
        make_versions(&fs, 7);
        put_heartbeat(&fs, "web1", 0, 1000, 1, cases[i].state);
        struct collect_result result = run(&fs, &options);
        assert_int_equal(has_version(&fs, 1), cases[i].holds);
        assert_false(has_version(&fs, 2));
        assert_int_equal(result.n_held, cases[i].holds);
        assert_int_equal(strstr(said, "node web1 still uses it") != NULL, cases[i].holds);
        assert_int_equal(entry(&fs, 1)->state,
                         cases[i].holds ? VERSION_RETIRED : VERSION_FORGOTTEN);
        put_heartbeat(&fs, "web1", 31 * SECOND_NS, 1000, 1, cases[i].state);
        run(&fs, &options);
        assert_false(has_version(&fs, 1));
        fixture_store_release(&fs);
    }
}

static void collect__forgets_nothing_while_a_heartbeat_is_damaged(void **state)
{
    struct fixture_store fs;
    struct collect_options options = now_options();
    make_versions(&fs, 7);
    put_heartbeat(&fs, "web1", 0, 1000, 7, NODE_SERVING);
    assert_int_equal(store_put(fs.store, "nodes/web2.json", "{", 1, NULL), 0);
    run(&fs, &options);
    assert_true(has_version(&fs, 1));
    assert_int_equal(entry(&fs, 1)->state, VERSION_RETIRED);
    assert_non_null(strstr(said, "nodes/web2.json cannot be read"));
    assert_int_equal(store_remove(fs.store, "nodes/web2.json", NULL), 0);
    run(&fs, &options);
    assert_false(has_version(&fs, 1));
    fixture_store_release(&fs);
}

static void collect__waits_for_nodes_that_have_not_read_the_log(void **state)
{
    struct fixture_store fs;
    struct collect_options options = now_options();
    make_versions(&fs, 7);
    put_heartbeat(&fs, "web1", 0, manifest_state(fs.manifest)->seq, 7, NODE_SERVING);
    struct collect_result result = run(&fs, &options);
    assert_true(has_version(&fs, 1));
    assert_int_equal(result.n_held, 3);
    assert_non_null(strstr(said, "node web1 has not read that yet"));
    put_heartbeat(&fs, "web1", 0, manifest_state(fs.manifest)->seq, 7, NODE_SERVING);
    run(&fs, &options);
    assert_false(has_version(&fs, 1));
    fixture_store_release(&fs);
}

static void collect__removes_orphans_by_age(void **state)
{
    struct fixture_store fs;
    struct collect_options options = now_options();
    make_versions(&fs, 1);
    assert_int_equal(store_mkdir(fs.store, "tables/ads/v/2/parts", NULL), 0);
    assert_int_equal(store_put(fs.store, "tables/ads/v/2/parts/x", "x", 1, NULL), 0);
    assert_int_equal(run(&fs, &options).n_orphans, 0);
    assert_true(has_version(&fs, 2));
    options.staging_age_ns = 0;
    assert_int_equal(run(&fs, &options).n_orphans, 1);
    assert_false(has_version(&fs, 2));
    assert_true(has_version(&fs, 1));
    assert_false(fixture_exists(&fs, "tables/ads/staging/.gc-2"));
    fixture_store_release(&fs);
}

static void collect__removes_builds_by_age(void **state)
{
    struct fixture_store fs;
    struct collect_options options = now_options();
    make_versions(&fs, 1);
    fixture_seal_numbers(&fs, "ads", "sealed", 10, 1);
    assert_int_equal(store_mkdir(fs.store, "tables/new/staging/stopped/parts", NULL), 0);
    assert_int_equal(store_put(fs.store, "tables/new/staging/stopped/parts/x", "x", 1, NULL), 0);
    assert_int_equal(run(&fs, &options).n_staging, 0);
    options.staging_age_ns = 0;
    assert_int_equal(run(&fs, &options).n_staging, 1);
    assert_false(fixture_exists(&fs, "tables/new/staging/stopped"));
    assert_true(fixture_exists(&fs, "tables/ads/staging/sealed/version.json"));
    options.sealed_age_ns = 0;
    assert_int_equal(run(&fs, &options).n_staging, 1);
    assert_false(fixture_exists(&fs, "tables/ads/staging/sealed"));
    fixture_store_release(&fs);
}

/* A publisher must find a build whole or not at all. */
static void see_removal(void *context, const char *op, const char *path)
{
    static const char own[] = "tables/ads/staging/sealed";
    if (!strcmp(op, "remove"))
        assert_int_not_equal(strncmp(path, own, strlen(own)), 0);
}

static void collect__takes_a_build_away_before_it_removes_it(void **state)
{
    struct fixture_store fs;
    struct collect_options options = now_options();
    make_versions(&fs, 1);
    fixture_seal_numbers(&fs, "ads", "sealed", 10, 1);
    options.sealed_age_ns = 0;
    fs.faulty->before = see_removal;
    assert_int_equal(run(&fs, &options).n_staging, 1);
    fs.faulty->before = NULL;
    struct store_list left = {0};
    assert_int_equal(layout_list(fs.store, "tables/ads/staging", &left, NULL), 0);
    assert_int_equal(left.n_names, 0);
    store_list_release(&left);
    fixture_store_release(&fs);
}

/* Somebody begins to work on the build when gc has found it old. */
static void mark_late(void *context, const char *op, const char *path)
{
    struct fixture_store *other = context;
    if (!strcmp(op, "rename") && strstr(path, ".gc-build-sealed"))
        layout_mark(other->store, "tables/ads/staging/sealed", NULL);
}

static void collect__looks_again_before_it_removes_a_build(void **state)
{
    struct fixture_store fs, other;
    struct collect_options options = now_options();
    make_versions(&fs, 1);
    fixture_seal_numbers(&fs, "ads", "sealed", 10, 1);
    fixture_store_other(&fs, &other);
    options.sealed_age_ns = SECOND_NS;
    sleep(1);
    fs.faulty->before = mark_late;
    fs.faulty->context = &other;
    assert_int_equal(run(&fs, &options).n_staging, 0);
    fs.faulty->before = NULL;
    assert_true(fixture_exists(&fs, "tables/ads/staging/sealed/version.json"));
    fixture_store_release(&other);
    fixture_store_release(&fs);
}

static void collect__leaves_a_build_that_a_publisher_looks_at(void **state)
{
    struct fixture_store fs;
    struct collect_options options = now_options();
    struct validate_limits limits;
    struct publish_item item = {.table = "ads", .task = "few"};
    struct publish_version out;
    uint64_t seq = 0;
    make_versions(&fs, 1);
    fixture_seal_numbers(&fs, "ads", "few", 0, 1);
    options.sealed_age_ns = SECOND_NS;
    sleep(1);
    validate_limits_default(&limits);
    assert_int_equal(publish_run(fs.store, fs.manifest,
                                 &(struct publish_request){
                                     .items = &item, .n_items = 1, .limits = &limits, .reason = ""},
                                 &out, &seq, NULL),
                     -EPERM);
    assert_int_equal(run(&fs, &options).n_staging, 0);
    assert_true(fixture_exists(&fs, "tables/ads/staging/few/version.json"));
    fixture_store_release(&fs);
}

static void collect__finishes_builds_that_a_killed_run_took(void **state)
{
    static const char *const away[] = {"tables/ads/staging/.gc-build-half",
                                       "tables/ads/staging/.gc-build-.work-dead-1"};
    struct fixture_store fs;
    struct collect_options options = now_options();
    make_versions(&fs, 1);
    fixture_seal_numbers(&fs, "ads", "2", 10, 1);
    assert_int_equal(
        store_rename(fs.store, "tables/ads/staging/2", "tables/ads/staging/.gc-build-2", NULL), 0);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(store_mkdir(fs.store, away[i], NULL), 0);
    run(&fs, &options);
    for (size_t i = 0; i < 2; i++)
        assert_false(fixture_exists(&fs, away[i]));
    /* A fresh one that is whole may still be wanted. */
    assert_true(fixture_exists(&fs, "tables/ads/staging/2/version.json"));
    assert_int_equal(store_mkdir(fs.store, "tables/ads/staging/.work-t-1/parts", NULL), 0);
    assert_int_equal(layout_mark(fs.store, "tables/ads/staging/.work-t-1", NULL), 0);
    options.staging_age_ns = 0;
    assert_int_equal(run(&fs, &options).n_staging, 1);
    assert_false(fixture_exists(&fs, "tables/ads/staging/.work-t-1"));
    fixture_store_release(&fs);
}

static void collect__removes_temporary_files_by_age(void **state)
{
    static const char *const files[] = {
        "log/.tmp-12-0123456789abcdef", "nodes/.tmp-12-0123456789abcdef",
        "tables/ads/v/1/.tmp-12-0123456789abcdef", "tables/ads/v/1/parts/.tmp-12-0123456789abcdef",
        "tables/ads/staging/.tmp-12-0123456789abcdef"};
    enum { N = sizeof files / sizeof *files };
    struct fixture_store fs;
    struct collect_options options = now_options();
    make_versions(&fs, 1);
    for (int i = 0; i < N; i++)
        assert_int_equal(store_put(fs.store, files[i], "x", 1, NULL), 0);
    assert_int_equal(store_put(fs.store, "log/notes", "x", 1, NULL), 0);
    assert_int_equal(run(&fs, &options).n_temporary, 0);
    options.staging_age_ns = 0;
    assert_int_equal(run(&fs, &options).n_temporary, N);
    for (int i = 0; i < N; i++)
        assert_false(fixture_exists(&fs, files[i]));
    assert_true(fixture_exists(&fs, "log/notes"));
    assert_int_equal(fixture_tag(&fs, "ads", 1), 1);
    fixture_store_release(&fs);
}

static void collect__changes_nothing_in_a_dry_run(void **state)
{
    struct fixture_store fs;
    struct collect_options options = now_options();
    make_versions(&fs, 7);
    fixture_seal_numbers(&fs, "ads", "zz", 10, 1);
    assert_int_equal(store_mkdir(fs.store, "tables/ads/v/99/parts", NULL), 0);
    assert_int_equal(store_put(fs.store, "tables/ads/v/99/version.json", "x", 1, NULL), 0);
    options.dry_run = true;
    options.staging_age_ns = options.sealed_age_ns = 0;
    uint64_t seq = manifest_state(fs.manifest)->seq;
    struct collect_result result = run(&fs, &options);
    assert_int_equal(result.n_versions, 3);
    assert_int_equal(result.n_orphans, 1);
    assert_int_equal(result.n_staging, 1);
    assert_non_null(strstr(said, "would remove ads/v/1\n"));
    assert_int_equal(manifest_state(fs.manifest)->seq, seq);
    assert_true(has_version(&fs, 1) && has_version(&fs, 99));
    assert_true(fixture_exists(&fs, "tables/ads/staging/zz"));
    fixture_store_release(&fs);
}

static void collect__finishes_what_a_killed_run_withdrew(void **state)
{
    struct fixture_store fs;
    struct collect_options options = now_options();
    make_versions(&fs, 2);
    /* Killed after taking v/2 away, while its publisher's record came: it must come back. */
    assert_int_equal(store_mkdir(fs.store, "tables/ads/staging", NULL), 0);
    assert_int_equal(store_rename(fs.store, "tables/ads/v/2", "tables/ads/staging/.gc-2", NULL), 0);
    assert_int_equal(store_mkdir(fs.store, "tables/ads/staging/.gc-7/parts", NULL), 0);
    run(&fs, &options);
    assert_int_equal(fixture_tag(&fs, "ads", 2), 2);
    assert_false(fixture_exists(&fs, "tables/ads/staging/.gc-7"));
    fixture_store_release(&fs);
}

/* Wherever it dies, what is kept stays whole, and the next run ends the work. */
static void survive(enum faulty_mode mode)
{
    for (unsigned nth = 1;; nth += 3) {
        struct fixture_store fs;
        struct collect_options options = now_options();
        struct collect_result result = {0};
        struct err err = {0};
        make_versions(&fs, 7);
        assert_int_equal(store_mkdir(fs.store, "tables/ads/v/99/parts", NULL), 0);
        assert_int_equal(store_put(fs.store, "tables/ads/v/99/version.json", "x", 1, NULL), 0);
        options.staging_age_ns = 0;
        faulty_arm(fs.faulty, nth, mode, -EIO);
        collect_run(fs.store, fs.manifest, &options, &result, &err);
        bool hit = fs.faulty->was_hit;
        faulty_disarm(fs.faulty);
        fixture_store_reopen(&fs);
        for (uint64_t id = 4; id <= 7; id++)
            assert_int_equal(fixture_tag(&fs, "ads", id), id);
        run(&fs, &options);
        for (uint64_t id = 1; id <= 7; id++)
            assert_int_equal(has_version(&fs, id), id >= 4);
        assert_false(has_version(&fs, 99));
        fixture_store_release(&fs);
        if (!hit) {
            assert_true(nth > 30);
            break;
        }
    }
}

static void collect__survives_a_failure_at_every_step(void **state)
{
    survive(FAULTY_FAIL);
}
static void collect__survives_death_at_every_step(void **state)
{
    survive(FAULTY_DIE);
}

struct rival {
    struct fixture_store fs;
    unsigned calls_left;
    void (*act)(struct fixture_store *fs);
};

static void rival_strikes(void *context, const char *op, const char *path)
{
    struct rival *rival = context;
    if (rival->calls_left && --rival->calls_left == 0)
        rival->act(&rival->fs);
}

static void collect_too(struct fixture_store *fs)
{
    struct collect_options options;
    struct collect_result result;
    collect_options_default(&options);
    options.wait_ns = options.staging_age_ns = 0;
    collect_run(fs->store, fs->manifest, &options, &result, NULL);
}

/* Whatever the publisher's luck, what it published is whole. */
static void publish_too(struct fixture_store *fs)
{
    struct validate_limits limits;
    struct publish_item item = {.table = "ads", .task = "old"};
    struct publish_version out;
    uint64_t seq = 0;
    validate_limits_default(&limits);
    publish_run(
        fs->store, fs->manifest,
        &(struct publish_request){.items = &item, .n_items = 1, .limits = &limits, .reason = ""},
        &out, &seq, NULL);
}

static void race(void (*act)(struct fixture_store *fs))
{
    for (unsigned nth = 1;; nth += 2) {
        struct fixture_store fs;
        struct rival rival = {.calls_left = nth, .act = act};
        struct collect_options options = now_options();
        struct collect_result result = {0};
        make_versions(&fs, 7);
        fixture_seal_numbers(&fs, "ads", "old", 10, 8);
        fixture_store_other(&fs, &rival.fs);
        options.staging_age_ns = 0;
        fs.faulty->before = rival_strikes;
        fs.faulty->context = &rival;
        collect_run(fs.store, fs.manifest, &options, &result, NULL);
        fs.faulty->before = NULL;
        bool struck = rival.calls_left == 0;
        fixture_store_reopen(&fs);
        const struct table_state *table = state_find_table(manifest_state(fs.manifest), "ads");
        for (size_t i = 0; i < table->n_versions; i++) {
            if (table->versions[i].state != VERSION_FORGOTTEN &&
                table->versions[i].state != VERSION_RETIRED)
                assert_int_equal(fixture_tag(&fs, "ads", table->versions[i].version), i + 1);
        }
        fixture_store_release(&rival.fs);
        fixture_store_release(&fs);
        if (!struck)
            break;
    }
}

static void collect__may_run_twice_at_once(void **state)
{
    race(collect_too);
}
static void collect__never_takes_a_version_from_its_publisher(void **state)
{
    race(publish_too);
}

static void collect__drops_heartbeats_of_nodes_that_are_gone_for_good(void **state)
{
    struct fixture_store fs;
    const int64_t day_ns = 24 * 3600 * SECOND_NS;
    struct collect_options options = now_options();
    make_versions(&fs, 1);
    put_heartbeat(&fs, "live", 0, 1, 1, NODE_SERVING);
    put_heartbeat(&fs, "away", 29 * day_ns, 1, 1, NODE_SERVING);
    put_heartbeat(&fs, "gone", 31 * day_ns, 1, 1, NODE_SERVING);
    put_heartbeat(&fs, "ahead", -31 * day_ns, 1, 1, NODE_SERVING);
    assert_int_equal(store_put(fs.store, "nodes/bad.json", "{", 1, NULL), 0);
    options.dry_run = true;
    assert_int_equal(run(&fs, &options).n_nodes, 2);
    assert_true(fixture_exists(&fs, "nodes/gone.json"));
    options = now_options();
    assert_int_equal(run(&fs, &options).n_nodes, 2);
    assert_non_null(strstr(said, "nodes/gone.json (gone for 31 days)"));
    assert_false(fixture_exists(&fs, "nodes/gone.json"));
    assert_false(fixture_exists(&fs, "nodes/ahead.json"));
    assert_true(fixture_exists(&fs, "nodes/away.json"));
    assert_true(fixture_exists(&fs, "nodes/live.json"));
    assert_true(fixture_exists(&fs, "nodes/bad.json"));
    assert_int_equal(run(&fs, &options).n_nodes, 0);
    fixture_store_release(&fs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(collect__removes_what_is_beyond_the_keep_rule),
        cmocka_unit_test(collect__counts_bytes_that_no_other_version_links_once),
        cmocka_unit_test(collect__keeps_tagged_and_pinned_versions_and_candidates),
        cmocka_unit_test(collect__leaves_what_a_live_node_uses),
        cmocka_unit_test(collect__forgets_nothing_while_a_heartbeat_is_damaged),
        cmocka_unit_test(collect__waits_for_nodes_that_have_not_read_the_log),
        cmocka_unit_test(collect__removes_orphans_by_age),
        cmocka_unit_test(collect__removes_builds_by_age),
        cmocka_unit_test(collect__takes_a_build_away_before_it_removes_it),
        cmocka_unit_test(collect__looks_again_before_it_removes_a_build),
        cmocka_unit_test(collect__leaves_a_build_that_a_publisher_looks_at),
        cmocka_unit_test(collect__finishes_builds_that_a_killed_run_took),
        cmocka_unit_test(collect__removes_temporary_files_by_age),
        cmocka_unit_test(collect__changes_nothing_in_a_dry_run),
        cmocka_unit_test(collect__finishes_what_a_killed_run_withdrew),
        cmocka_unit_test(collect__survives_a_failure_at_every_step),
        cmocka_unit_test(collect__survives_death_at_every_step),
        cmocka_unit_test(collect__may_run_twice_at_once),
        cmocka_unit_test(collect__never_takes_a_version_from_its_publisher),
        cmocka_unit_test(collect__drops_heartbeats_of_nodes_that_are_gone_for_good),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
