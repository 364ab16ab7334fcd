/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "builder/publish.h"
#include "sealed_fixture.h"
#include "temp_dir.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static struct validate_limits limits;

static int publish(struct fixture_store *fs, const char *table, const char *task, uint64_t *version,
                   struct err *err)
{
    struct publish_item item = {table, task};
    struct publish_version out = {0};
    uint64_t seq = 0;
    int rc = publish_run(
        fs->store, fs->manifest,
        &(struct publish_request){.items = &item, .n_items = 1, .limits = &limits, .reason = "why"},
        &out, &seq, err);
    if (version)
        *version = out.version;
    return rc;
}

static uint64_t must_publish(struct fixture_store *fs, const char *table, const char *task)
{
    struct err err = {0};
    uint64_t version = 0;
    sealed_must(publish(fs, table, task, &version, &err), &err, "publish");
    return version;
}

static void publish__numbers_versions_from_1(void **state)
{
    struct fixture_store fs;
    fixture_store_init(&fs);
    fixture_seal_numbers(&fs, "ads", "a", 100, 1);
    fixture_seal_numbers(&fs, "ads", "b", 100, 2);
    assert_int_equal(must_publish(&fs, "ads", "a"), 1);
    assert_int_equal(must_publish(&fs, "ads", NULL), 2);
    assert_int_equal(fixture_tag(&fs, "ads", 1), 1);
    assert_int_equal(fixture_tag(&fs, "ads", 2), 2);
    assert_false(fixture_exists(&fs, "tables/ads/staging/a"));
    const struct table_state *table = state_find_table(manifest_state(fs.manifest), "ads");
    assert_int_equal(table->versions[1].state, VERSION_CANDIDATE);
    assert_int_equal(table->versions[1].n_keys, 100);
    assert_int_equal(table->current, 0);
    fixture_store_release(&fs);
}

static void publish__takes_the_last_sealed_build(void **state)
{
    struct fixture_store fs;
    fixture_store_init(&fs);
    fixture_seal_numbers(&fs, "ads", "20260102", 100, 2);
    fixture_seal_numbers(&fs, "ads", "20260101", 100, 1);
    assert_int_equal(store_mkdir(fs.store, "tables/ads/staging/20260103/parts", NULL), 0);
    assert_int_equal(fixture_tag(&fs, "ads", must_publish(&fs, "ads", NULL)), 2);
    fixture_store_release(&fs);
}

static void publish__takes_the_build_sealed_last_whatever_its_name(void **state)
{
    struct fixture_store fs;
    fixture_store_init(&fs);
    sealed_created = "2026-01-02T00:00:00.001Z";
    fixture_seal_numbers(&fs, "ads", "afternoon", 100, 2);
    sealed_created = "2026-01-02T00:00:00.000Z";
    fixture_seal_numbers(&fs, "ads", "morning", 100, 1);
    sealed_created = "2026-01-01T00:00:00Z";
    fixture_seal_numbers(&fs, "ads", "yesterday", 100, 3);
    assert_int_equal(store_mkdir(fs.store, "tables/ads/staging/zz", NULL), 0);
    assert_int_equal(store_put(fs.store, "tables/ads/staging/zz/version.json", "{}", 2, NULL), 0);
    assert_int_equal(fixture_tag(&fs, "ads", must_publish(&fs, "ads", NULL)), 2);
    assert_int_equal(fixture_tag(&fs, "ads", must_publish(&fs, "ads", NULL)), 1);
    fixture_store_release(&fs);
}

static void publish__says_what_is_missing(void **state)
{
    struct fixture_store fs;
    struct err err = {0};
    fixture_store_init(&fs);
    assert_int_equal(publish(&fs, "ads", NULL, NULL, &err), -ENOENT);
    assert_non_null(strstr(err.text, "fkv build ads"));
    assert_int_equal(publish(&fs, "ads", "nope", NULL, &err), -ENOENT);
    assert_non_null(strstr(err.text, "nope"));
    assert_int_equal(store_mkdir(fs.store, "tables/ads/staging/open/parts", NULL), 0);
    assert_int_equal(publish(&fs, "ads", "open", NULL, &err), -ENOENT);
    fixture_seal_numbers(&fs, "ads", "a", 10, 1);
    must_publish(&fs, "ads", "a");
    assert_int_equal(publish(&fs, "ads", "a", NULL, &err), -EEXIST);
    assert_non_null(strstr(err.text, "as version 1"));
    fixture_store_release(&fs);
}

static void publish__refuses_names_that_climb(void **state)
{
    static const char *const bad[] = {"../x", "a/b", "", ".", "..", "Ads", "a b"};
    struct fixture_store fs;
    struct err err = {0};
    fixture_store_init(&fs);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(publish(&fs, bad[i], NULL, NULL, &err), -EINVAL);
    assert_int_equal(publish(&fs, "ads", "../../v/1", NULL, &err), -EINVAL);
    struct publish_item twice[2] = {{"ads", NULL}, {"ads", NULL}};
    struct publish_version out[2];
    uint64_t seq = 0;
    assert_int_equal(publish_run(fs.store, fs.manifest,
                                 &(struct publish_request){
                                     .items = twice, .n_items = 2, .limits = &limits, .reason = ""},
                                 out, &seq, &err),
                     -EINVAL);
    assert_int_equal(publish_run(fs.store, fs.manifest,
                                 &(struct publish_request){
                                     .items = twice, .n_items = 0, .limits = &limits, .reason = ""},
                                 out, &seq, &err),
                     -EINVAL);
    fixture_store_release(&fs);
}

static void publish__leaves_a_refused_build_in_staging(void **state)
{
    struct fixture_store fs;
    struct err err = {0};
    struct publish_item item = {"ads", "b"};
    struct publish_version out = {0};
    uint64_t seq = 0;
    fixture_store_init(&fs);
    fixture_seal_numbers(&fs, "ads", "a", 100, 1);
    fixture_seal_numbers(&fs, "ads", "b", 10, 2);
    must_publish(&fs, "ads", "a");
    fixture_activate(&fs, "ads", 1);
    assert_int_equal(publish_run(fs.store, fs.manifest,
                                 &(struct publish_request){
                                     .items = &item, .n_items = 1, .limits = &limits, .reason = ""},
                                 &out, &seq, &err),
                     -EPERM);
    assert_non_null(strstr(err.text, "row change: -90.0 %"));
    assert_true(out.validated);
    assert_false(out.report.passed);
    assert_true(fixture_exists(&fs, "tables/ads/staging/b/version.json"));
    struct validate_limits wide = limits;
    wide.max_change_pct = 95;
    assert_int_equal(publish_run(fs.store, fs.manifest,
                                 &(struct publish_request){
                                     .items = &item, .n_items = 1, .limits = &wide, .reason = ""},
                                 &out, &seq, &err),
                     0);
    assert_int_equal(out.version, 2);
    fixture_store_release(&fs);
}

static void publish__refuses_a_damaged_build(void **state)
{
    struct fixture_store fs;
    struct err err = {0};
    fixture_store_init(&fs);
    fixture_seal_numbers(&fs, "ads", "a", 100, 1);
    struct store_list parts = {0};
    char path[STORE_PATH_MAX];
    struct buf bytes = {0};
    assert_int_equal(layout_list(fs.store, "tables/ads/staging/a/parts", &parts, &err), 0);
    snprintf(path, sizeof path, "tables/ads/staging/a/parts/%s", parts.names[0]);
    assert_int_equal(store_get(fs.store, path, 1 << 20, &bytes, &err), 0);
    bytes.data[100] ^= 4;
    assert_int_equal(store_put(fs.store, path, bytes.data, bytes.len, &err), 0);
    assert_int_equal(publish(&fs, "ads", "a", NULL, &err), -EBADMSG);
    assert_non_null(strstr(err.text, parts.names[0]));
    assert_int_equal(store_put(fs.store, "tables/ads/staging/a/version.json", "{}", 2, &err), 0);
    assert_int_equal(publish(&fs, "ads", "a", NULL, &err), -EBADMSG);
    assert_null(state_find_table(manifest_state(fs.manifest), "ads"));
    buf_release(&bytes);
    store_list_release(&parts);
    fixture_store_release(&fs);
}

static void publish__refuses_a_delta_on_an_older_version(void **state)
{
    struct fixture_store fs;
    struct err err = {0};
    fixture_store_init(&fs);
    fixture_seal_numbers(&fs, "ads", "a", 100, 1);
    must_publish(&fs, "ads", "a");
    fixture_seal_delta(&fs, "ads", "d1", 1, 2);
    fixture_seal_delta(&fs, "ads", "d2", 1, 3);
    assert_int_equal(must_publish(&fs, "ads", "d1"), 2);
    assert_int_equal(fixture_tag(&fs, "ads", 2), 2);
    assert_int_equal(publish(&fs, "ads", "d2", NULL, &err), -ESTALE);
    assert_non_null(strstr(err.text, "lies on version 1, but the newest is 2"));
    assert_true(fixture_exists(&fs, "tables/ads/staging/d2/version.json"));
    fixture_store_release(&fs);
}

/* A checkpoint of version 1 with the same rows. */
static void seal_checkpoint(struct fixture_store *fs, const char *task)
{
    uint64_t values[100];
    struct part_entry entries[100];
    struct sealed_build build = {.table = "ads",
                                 .task = task,
                                 .schema = fixture_schema(KEY_U64, "bytes[8]", 2),
                                 .entries = entries,
                                 .n = 100,
                                 .checkpoint_of = 1};
    for (uint64_t i = 0; i < 100; i++) {
        values[i] = 1ULL << 32 | i;
        entries[i] = fixture_u64(&build.schema, i, &values[i], 8);
    }
    fixture_seal(fs, &build);
}

static void publish__refuses_a_checkpoint_that_would_undo_a_version(void **state)
{
    struct fixture_store fs;
    struct err err = {0};
    fixture_store_init(&fs);
    fixture_seal_numbers(&fs, "ads", "a", 100, 1);
    must_publish(&fs, "ads", "a");
    seal_checkpoint(&fs, "c1");
    seal_checkpoint(&fs, "c2");
    assert_int_equal(must_publish(&fs, "ads", "c1"), 2);
    assert_int_equal(publish(&fs, "ads", "c2", NULL, &err), -ESTALE);
    assert_non_null(strstr(err.text, "checkpoint of version 1, but the table moved on to 2"));
    assert_non_null(strstr(err.text, "fkv checkpoint ads"));
    assert_true(fixture_exists(&fs, "tables/ads/staging/c2/version.json"));
    fixture_store_release(&fs);
}

static void publish__puts_several_tables_in_one_record(void **state)
{
    struct fixture_store fs;
    struct publish_item items[2] = {{"ads", NULL}, {"users", NULL}};
    struct publish_version out[2];
    struct err err = {0};
    uint64_t seq = 0;
    fixture_store_init(&fs);
    fixture_seal_numbers(&fs, "ads", "a", 10, 1);
    fixture_seal_numbers(&fs, "users", "u", 0, 1);
    assert_int_equal(publish_run(fs.store, fs.manifest,
                                 &(struct publish_request){
                                     .items = items, .n_items = 2, .limits = &limits, .reason = ""},
                                 out, &seq, &err),
                     -EPERM);
    assert_true(fixture_exists(&fs, "tables/ads/staging/a/version.json"));
    assert_int_equal(manifest_state(fs.manifest)->seq, 0);
    fixture_seal_numbers(&fs, "users", "w", 5, 7);
    assert_int_equal(
        publish_run(fs.store, fs.manifest,
                    &(struct publish_request){
                        .items = items, .n_items = 2, .limits = &limits, .reason = "both"},
                    out, &seq, &err),
        0);
    assert_int_equal(seq, 1);
    struct record record = {0};
    assert_int_equal(manifest_read_record(fs.manifest, 1, &record, &err), 0);
    assert_int_equal(record.n_ops, 2);
    assert_string_equal(record.reason, "both");
    assert_int_equal(fixture_tag(&fs, "ads", 1), 1);
    assert_int_equal(fixture_tag(&fs, "users", 1), 7);
    record_release(&record);
    fixture_store_release(&fs);
}

/* What a publisher leaves that dies between the rename and the record. */
static void make_orphan(struct fixture_store *fs, const char *task, uint64_t id)
{
    char from[LAYOUT_PATH_MAX], to[LAYOUT_PATH_MAX];
    layout_staging_dir("ads", task, from);
    layout_version_dir("ads", id, to);
    assert_int_equal(store_mkdir(fs->store, "tables/ads/v", NULL), 0);
    assert_int_equal(store_rename(fs->store, from, to, NULL), 0);
}

static void publish__adopts_an_orphan_of_a_dead_publisher(void **state)
{
    struct fixture_store fs;
    fixture_store_init(&fs);
    fixture_seal_numbers(&fs, "ads", "b", 10, 2);
    make_orphan(&fs, "b", 1);
    assert_int_equal(must_publish(&fs, "ads", "b"), 1);
    assert_int_equal(fixture_tag(&fs, "ads", 1), 2);
    fixture_seal_numbers(&fs, "ads", "c", 10, 3);
    fixture_seal_numbers(&fs, "ads", "a", 10, 9);
    make_orphan(&fs, "c", 2);
    assert_int_equal(must_publish(&fs, "ads", NULL), 2); /* c is newer than a */
    assert_int_equal(fixture_tag(&fs, "ads", 2), 3);
    fixture_store_release(&fs);
}

static void publish__steps_over_orphans_and_renumbers_them_later(void **state)
{
    struct fixture_store fs;
    fixture_store_init(&fs);
    fixture_seal_numbers(&fs, "ads", "a", 10, 1);
    fixture_seal_numbers(&fs, "ads", "b", 10, 2);
    make_orphan(&fs, "a", 1);
    assert_int_equal(must_publish(&fs, "ads", "b"), 2);
    assert_int_equal(must_publish(&fs, "ads", "a"), 3);
    assert_int_equal(fixture_tag(&fs, "ads", 2), 2);
    assert_int_equal(fixture_tag(&fs, "ads", 3), 1);
    assert_false(fixture_exists(&fs, "tables/ads/v/1"));
    assert_int_equal(store_mkdir(fs.store, "tables/ads/v/9/parts", NULL), 0);
    fixture_seal_numbers(&fs, "ads", "c", 10, 3);
    assert_int_equal(must_publish(&fs, "ads", "c"), 10);
    fixture_store_release(&fs);
}

/* Everything published is whole, and both tables or none are. */
static void check_whole(struct fixture_store *fs)
{
    const struct state *now = manifest_state(fs->manifest);
    for (size_t i = 0; i < now->n_tables; i++) {
        for (size_t j = 0; j < now->tables[i].n_versions; j++)
            assert_int_not_equal(
                fixture_tag(fs, now->tables[i].name, now->tables[i].versions[j].version), 0);
    }
    assert_int_equal(state_find_table(now, "ads") == NULL, state_find_table(now, "users") == NULL);
}

/*
 * Publishing two tables goes wrong at every call there is, then is tried again by another process: nothing published is
 * harmed, and in the end both are there once.
 */
static void survive(enum faulty_mode mode)
{
    struct publish_item items[2] = {{"ads", "a"}, {"users", "u"}};
    for (unsigned nth = 1;; nth++) {
        struct fixture_store fs;
        struct publish_version out[2];
        struct err err = {0};
        uint64_t seq = 0;
        fixture_store_init(&fs);
        fixture_seal_numbers(&fs, "ads", "a", 10, 1);
        fixture_seal_numbers(&fs, "users", "u", 10, 2);
        faulty_arm(fs.faulty, nth, mode, -EIO);
        int rc = publish_run(fs.store, fs.manifest,
                             &(struct publish_request){
                                 .items = items, .n_items = 2, .limits = &limits, .reason = ""},
                             out, &seq, &err);
        bool hit = fs.faulty->was_hit;
        faulty_disarm(fs.faulty);
        fixture_store_reopen(&fs);
        check_whole(&fs);
        bool done = state_find_table(manifest_state(fs.manifest), "ads") != NULL;
        assert_true(rc || done);
        int again = publish_run(fs.store, fs.manifest,
                                &(struct publish_request){
                                    .items = items, .n_items = 2, .limits = &limits, .reason = ""},
                                out, &seq, &err);
        if (again != (done ? -EEXIST : 0))
            print_error("call %u, mode %d: %s\n", nth, (int)mode, err.text);
        assert_int_equal(again, done ? -EEXIST : 0);
        check_whole(&fs);
        assert_int_equal(state_find_table(manifest_state(fs.manifest), "ads")->n_versions, 1);
        assert_int_equal(state_find_table(manifest_state(fs.manifest), "users")->n_versions, 1);
        fixture_store_release(&fs);
        if (!hit) {
            assert_true(nth > 20);
            break;
        }
    }
}

static void publish__survives_a_failure_at_every_step(void **state)
{
    survive(FAULTY_FAIL);
}
static void publish__survives_a_lost_reply_at_every_step(void **state)
{
    survive(FAULTY_LOSE);
}
static void publish__survives_death_at_every_step(void **state)
{
    survive(FAULTY_DIE);
}

/* Counts down to the call before which this process dies. */
static void die_in_time(void *context, const char *op, const char *path)
{
    unsigned *left = context;
    if (--*left == 0)
        kill(getpid(), SIGKILL);
}

/* Publishes in a process of its own that is killed before its nth call; false when it came to its end. */
static bool kill_publisher(const char *dir, unsigned nth)
{
    pid_t pid = fork();
    if (pid == 0) {
        struct fixture_store fs;
        fixture_store_in(&fs, dir);
        fs.faulty->before = die_in_time;
        fs.faulty->context = &nth;
        _exit(publish(&fs, "ads", "a", NULL, NULL) ? 1 : 0);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!WIFSIGNALED(status))
        assert_int_equal(status, 0);
    return WIFSIGNALED(status);
}

static void publish__survives_kill_9_at_every_step_on_a_disk(void **state)
{
    bool killed = true;
    for (unsigned nth = 1; killed; nth++) {
        struct fixture_store fs;
        struct err err = {0};
        char dir[TEMP_DIR_MAX];
        temp_dir_make(dir);
        fixture_store_in(&fs, dir);
        fixture_seal_numbers(&fs, "ads", "0", 3, 9);
        assert_int_equal(must_publish(&fs, "ads", "0"), 1);
        fixture_seal_numbers(&fs, "ads", "a", 3, 1);
        killed = kill_publisher(dir, nth);
        fixture_store_reopen(&fs);
        assert_int_equal(fixture_tag(&fs, "ads", 1), 9);
        const struct table_state *table = state_find_table(manifest_state(fs.manifest), "ads");
        bool done = table->n_versions == 2;
        assert_true(done || killed);
        assert_int_equal(publish(&fs, "ads", "a", NULL, &err), done ? -EEXIST : 0);
        table = state_find_table(manifest_state(fs.manifest), "ads");
        assert_int_equal(table->n_versions, 2);
        assert_int_equal(fixture_tag(&fs, "ads", table->versions[1].version), 1);
        fixture_store_release(&fs);
        temp_dir_remove(dir);
        assert_true(killed || nth > 20);
    }
}

/* A rival acts just before the nth call. */
struct rival {
    struct fixture_store fs;
    unsigned calls_left;
    const char *task;
    int rc;
    uint64_t version;
};

static void rival_strikes(void *context, const char *op, const char *path)
{
    struct rival *rival = context;
    if (rival->calls_left && --rival->calls_left == 0)
        rival->rc = publish(&rival->fs, "ads", rival->task, &rival->version, NULL);
}

/* Two publishers, the second at work in the middle of the first one, at every step; of the same build or another one. */
static void race(const char *rival_task, uint64_t base)
{
    for (unsigned nth = 1;; nth++) {
        struct fixture_store fs;
        struct rival rival = {.calls_left = nth, .task = rival_task, .rc = 1};
        uint64_t version = 0;
        struct err err = {0};
        fixture_store_init(&fs);
        fixture_seal_numbers(&fs, "ads", "0", 10, 9);
        assert_int_equal(must_publish(&fs, "ads", "0"), 1);
        if (base) {
            fixture_seal_delta(&fs, "ads", "mine", base, 1);
            fixture_seal_delta(&fs, "ads", "theirs", base, 2);
        } else {
            fixture_seal_numbers(&fs, "ads", "mine", 10, 1);
            fixture_seal_numbers(&fs, "ads", "theirs", 10, 2);
        }
        fixture_store_other(&fs, &rival.fs);
        fs.faulty->before = rival_strikes;
        fs.faulty->context = &rival;
        int rc = publish(&fs, "ads", "mine", &version, &err);
        fs.faulty->before = NULL;
        bool struck = rival.calls_left == 0;
        fixture_store_reopen(&fs);
        const struct table_state *table = state_find_table(manifest_state(fs.manifest), "ads");
        size_t expected = 1 + (rc == 0) + (struck && rival.rc == 0);
        assert_int_equal(table->n_versions, expected);
        for (size_t i = 0; i < table->n_versions; i++)
            assert_int_not_equal(fixture_tag(&fs, "ads", table->versions[i].version), 0);
        if (rc == 0)
            assert_int_equal(fixture_tag(&fs, "ads", version), 1);
        if (!strcmp(rival_task, "mine") || base)
            assert_int_equal(expected, 2); /* one of them, and only one */
        else
            assert_int_equal(expected, struck ? 3 : 2);
        fixture_store_release(&rival.fs);
        fixture_store_release(&fs);
        if (!struck) {
            assert_true(nth > 15);
            break;
        }
    }
}

static void publish__loses_nothing_to_a_rival_with_another_build(void **state)
{
    race("theirs", 0);
}
static void publish__publishes_a_build_once_when_two_try(void **state)
{
    race("mine", 0);
}
static void publish__lets_one_of_two_deltas_through(void **state)
{
    race("theirs", 1);
}

/* What a gc that is killed, or worse, does to a version between the check and the record. */
struct thief {
    struct fixture_store *fs;
    const char *to; /* NULL: removed */
    bool done;
};

static void steal(void *context, const char *op, const char *path)
{
    struct thief *thief = context;
    if (thief->done || strncmp(path, "log/", 4) != 0 || strcmp(op, "link") != 0)
        return;
    thief->done = true;
    struct backend *inner = thief->fs->faulty->inner;
    struct err err = {0};
    const char *to = thief->to ? thief->to : "tables/ads/lost";
    sealed_must(inner->ops->rename(inner, "tables/ads/v/1", to, false, &err), &err, "steal");
}

static int publish_with_a_thief(struct fixture_store *fs, const char *to, struct err *err)
{
    struct thief thief = {.fs = fs, .to = to};
    fixture_store_init(fs);
    fixture_seal_numbers(fs, "ads", "a", 10, 1);
    fs->faulty->before = steal;
    fs->faulty->context = &thief;
    int rc = publish(fs, "ads", "a", NULL, err);
    fs->faulty->before = NULL;
    assert_true(thief.done);
    return rc;
}

static void publish__brings_back_what_a_dead_gc_took_before_the_record(void **state)
{
    struct fixture_store fs;
    struct err err = {0};
    assert_int_equal(publish_with_a_thief(&fs, "tables/ads/staging/.gc-1", &err), 0);
    assert_int_equal(fixture_tag(&fs, "ads", 1), 1);
    fixture_store_release(&fs);
}

static void publish__is_loud_when_its_directory_is_gone(void **state)
{
    struct fixture_store fs;
    struct err err = {0};
    assert_int_equal(publish_with_a_thief(&fs, NULL, &err), -EBADMSG);
    assert_non_null(strstr(err.text, "fkv retire ads 1"));
    fixture_store_release(&fs);
}

static void overtake(void *context, const char *op, const char *path)
{
    struct rival *rival = context;
    if (!rival->calls_left || strncmp(path, "log/", 4) != 0 || strcmp(op, "link") != 0)
        return;
    rival->calls_left = 0;
    rival->rc = publish(&rival->fs, "ads", rival->task, &rival->version, NULL);
}

/* A delta that is published between a checkpoint's claim and its record. */
static void publish__an_overtaken_checkpoint_is_refused_at_its_record(void **state)
{
    struct fixture_store fs;
    struct err err = {0};
    struct rival rival = {.calls_left = 1, .task = "theirs", .rc = 1};
    fixture_store_init(&fs);
    fixture_seal_numbers(&fs, "ads", "0", 100, 1);
    assert_int_equal(must_publish(&fs, "ads", "0"), 1);
    seal_checkpoint(&fs, "mine");
    fixture_seal_delta(&fs, "ads", "theirs", 1, 2);
    fixture_store_other(&fs, &rival.fs);
    fs.faulty->before = overtake;
    fs.faulty->context = &rival;
    assert_int_equal(publish(&fs, "ads", "mine", NULL, &err), -ESTALE);
    assert_int_equal(rival.rc, 0);
    assert_non_null(strstr(err.text, "moved on"));
    fixture_store_release(&rival.fs);
    fixture_store_release(&fs);
}

/* Somebody may have adopted it, so nobody takes it away; it can still be found. */
static void publish__leaves_an_overtaken_claim_where_it_is(void **state)
{
    struct fixture_store fs;
    struct err err = {0};
    struct rival rival = {.calls_left = 1, .task = "theirs", .rc = 1};
    fixture_store_init(&fs);
    fixture_seal_numbers(&fs, "ads", "0", 10, 9);
    assert_int_equal(must_publish(&fs, "ads", "0"), 1);
    fixture_seal_delta(&fs, "ads", "mine", 1, 1);
    fixture_seal_delta(&fs, "ads", "theirs", 1, 2);
    fixture_store_other(&fs, &rival.fs);
    fs.faulty->before = overtake;
    fs.faulty->context = &rival;
    assert_int_equal(publish(&fs, "ads", "mine", NULL, &err), -ESTALE);
    fs.faulty->before = NULL;
    assert_int_equal(rival.rc, 0);
    assert_int_equal(rival.version, 3);
    assert_true(fixture_exists(&fs, "tables/ads/v/2/version.json"));
    assert_false(fixture_exists(&fs, "tables/ads/staging/mine"));
    fixture_store_release(&rival.fs);
    fixture_store_release(&fs);
}

static int publish_canary(struct fixture_store *fs, const char *const *names, size_t n_names,
                          struct err *err)
{
    struct publish_item items[2] = {{"ads", NULL}, {"users", NULL}};
    struct publish_version out[2];
    struct publish_request request = {.items = items,
                                      .n_items = 2,
                                      .limits = &limits,
                                      .reason = "try",
                                      .canaries = names,
                                      .n_canaries = n_names};
    uint64_t seq = 0;
    return publish_run(fs->store, fs->manifest, &request, out, &seq, err);
}

static void publish__pins_canaries_in_the_same_record(void **state)
{
    struct fixture_store fs;
    struct record record = {0};
    const char *names[] = {"web1", "label:eu"};
    fixture_store_init(&fs);
    fixture_seal_numbers(&fs, "ads", "a", 100, 1);
    fixture_seal_numbers(&fs, "users", "a", 100, 1);
    assert_int_equal(publish_canary(&fs, names, 2, NULL), 0);
    uint64_t seq = manifest_state(fs.manifest)->seq;
    assert_int_equal(manifest_read_record(fs.manifest, seq, &record, NULL), 0);
    assert_int_equal(record.n_ops, 6);
    assert_int_equal(record.ops[0].kind, OP_PUBLISH);
    assert_int_equal(record.ops[2].kind, OP_PIN);
    assert_true(record.ops[2].canary);
    assert_string_equal(record.ops[2].name, "label:eu");
    assert_string_equal(record.ops[5].table, "users");
    record_release(&record);
    const struct table_state *table = state_find_table(manifest_state(fs.manifest), "ads");
    assert_int_equal(table_state_canary(table), 1);
    fixture_store_release(&fs);
}

static void publish__refuses_a_second_canary_and_pinned_nodes(void **state)
{
    struct fixture_store fs;
    struct err err = {0};
    const char *names[] = {"web1"};
    fixture_store_init(&fs);
    fixture_seal_numbers(&fs, "ads", "a", 100, 1);
    fixture_seal_numbers(&fs, "users", "a", 100, 1);
    assert_int_equal(publish_canary(&fs, names, RECORD_OPS_MAX, &err), -EINVAL);
    assert_int_equal(publish_canary(&fs, names, 1, NULL), 0);
    fixture_seal_numbers(&fs, "ads", "b", 100, 2);
    fixture_seal_numbers(&fs, "users", "b", 100, 2);
    assert_int_equal(publish_canary(&fs, names, 1, &err), -EPERM);
    assert_non_null(strstr(err.text, "version 1 is on canary already"));
    assert_true(fixture_exists(&fs, "tables/ads/staging/b/version.json"));
    fixture_activate(&fs, "ads", 1);
    fixture_activate(&fs, "users", 1);
    struct op pin = {.kind = OP_PIN, .table = "users", .version = 1, .name = "web1"};
    fixture_record(&fs, pin);
    assert_int_equal(publish_canary(&fs, names, 1, &err), -EPERM);
    assert_non_null(strstr(err.text, "fkv unpin users --node web1"));
    assert_true(fixture_exists(&fs, "tables/ads/staging/b/version.json"));
    fixture_store_release(&fs);
}

static int setup(void **state)
{
    validate_limits_default(&limits);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(publish__numbers_versions_from_1),
        cmocka_unit_test(publish__takes_the_last_sealed_build),
        cmocka_unit_test(publish__takes_the_build_sealed_last_whatever_its_name),
        cmocka_unit_test(publish__says_what_is_missing),
        cmocka_unit_test(publish__refuses_names_that_climb),
        cmocka_unit_test(publish__leaves_a_refused_build_in_staging),
        cmocka_unit_test(publish__refuses_a_damaged_build),
        cmocka_unit_test(publish__refuses_a_delta_on_an_older_version),
        cmocka_unit_test(publish__refuses_a_checkpoint_that_would_undo_a_version),
        cmocka_unit_test(publish__an_overtaken_checkpoint_is_refused_at_its_record),
        cmocka_unit_test(publish__puts_several_tables_in_one_record),
        cmocka_unit_test(publish__adopts_an_orphan_of_a_dead_publisher),
        cmocka_unit_test(publish__steps_over_orphans_and_renumbers_them_later),
        cmocka_unit_test(publish__survives_a_failure_at_every_step),
        cmocka_unit_test(publish__survives_a_lost_reply_at_every_step),
        cmocka_unit_test(publish__survives_death_at_every_step),
        cmocka_unit_test(publish__survives_kill_9_at_every_step_on_a_disk),
        cmocka_unit_test(publish__loses_nothing_to_a_rival_with_another_build),
        cmocka_unit_test(publish__publishes_a_build_once_when_two_try),
        cmocka_unit_test(publish__lets_one_of_two_deltas_through),
        cmocka_unit_test(publish__brings_back_what_a_dead_gc_took_before_the_record),
        cmocka_unit_test(publish__is_loud_when_its_directory_is_gone),
        cmocka_unit_test(publish__leaves_an_overtaken_claim_where_it_is),
        cmocka_unit_test(publish__pins_canaries_in_the_same_record),
        cmocka_unit_test(publish__refuses_a_second_canary_and_pinned_nodes),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
