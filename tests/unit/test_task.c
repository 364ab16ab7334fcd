/* SPDX-License-Identifier: Apache-2.0 */
/* A task's documents, its state as read from them, and documents that others forged. */
#include "unit.h"

#include "builder/task_status.h"
#include "builder/task_work.h"
#include "task_fixture.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

struct world {
    struct build_fixture f;
    struct task_spec spec;
    struct task task;
};

static void must(int ret, const struct err *err)
{
    if (ret)
        fail_msg("%d: %s", ret, err->text);
}

static void world_init(struct world *w)
{
    struct buf text = {0};
    struct err err = {0};
    *w = (struct world){0};
    build_fixture_init(&w->f);
    for (unsigned i = 0; i < 100; i++)
        FIXTURE_MUST(buf_printf(&text, "%u\tvalue-%u\n", i, i) == 0);
    build_fixture_input(&w->f, "a.tsv", text.data, text.len);
    buf_release(&text);
    w->spec = task_fixture_spec(&w->f, KEY_U64, "bytes", 400);
    task_fixture_shards(&w->spec, 2, 2);
    must(task_fixture_create(w->f.store, &w->spec, "t", &w->task, &err), &err);
}

static void world_release(struct world *w)
{
    build_fixture_release(&w->f);
}

/* As far as all pieces are mapped. */
static void map_all(struct world *w)
{
    struct task_plan plan;
    struct err err = {0};
    must(task_plan_make(&w->task, &w->f.state, &err), &err);
    must(task_plan_open(&w->task, &plan, &err), &err);
    for (uint32_t i = 0; i < plan.n_pieces; i++)
        must(task_map(&w->task, &plan, i, NULL, &err), &err);
    task_plan_release(&plan);
}

static enum task_state state_of(const struct task *task)
{
    struct task_status status;
    struct err err = {0};
    must(task_status_read(task, true, &status, &err), &err);
    enum task_state state = status.state;
    task_status_release(&status);
    return state;
}

static void put_text(struct world *w, const char *file, const char *text)
{
    char path[STORE_PATH_MAX];
    must(task_path(&w->task, file, path, NULL), NULL);
    must(store_put(w->f.store, path, text, strlen(text), NULL), NULL);
}

/* ---- names, attempts, states ---- */

static void task__names_sort_by_age_and_differ(void **state)
{
    char names[3][TASK_NAME_MAX + 1];
    for (int i = 0; i < 3; i++) {
        task_name_new(names[i]);
        assert_int_equal(task_name_check(names[i], NULL), 0);
        usleep(2000);
    }
    assert_true(strcmp(names[0], names[1]) < 0 && strcmp(names[1], names[2]) < 0);
}

static void checkpoint_of(const char *name, char out[TASK_NAME_MAX + 1])
{
    struct task task = {0};
    snprintf(task.name, sizeof task.name, "%s", name);
    task_checkpoint_name(&task, out);
    assert_int_equal(task_name_check(out, NULL), 0);
    assert_non_null(strstr(out, "-checkpoint"));
}

static void task__checkpoints_of_two_have_two_names(void **state)
{
    enum { LONGEST_WHOLE = TASK_NAME_MAX - 11 };
    char one[TASK_NAME_MAX + 1] = "";
    char other[TASK_NAME_MAX + 1] = "";
    char names[2][TASK_NAME_MAX + 1];
    checkpoint_of("ads", names[0]);
    assert_string_equal(names[0], "ads-checkpoint");
    for (int len = 1; len <= TASK_NAME_MAX; len++) {
        memset(one, 'a', (size_t)len);
        memcpy(other, one, sizeof one);
        other[len - 1] = 'b';
        checkpoint_of(one, names[0]);
        checkpoint_of(other, names[1]);
        assert_string_not_equal(names[0], names[1]);
        checkpoint_of(one, names[1]);
        assert_string_equal(names[0], names[1]);
        if (len <= LONGEST_WHOLE)
            assert_int_equal(strlen(names[0]), len + 11);
    }
}

static void task__is_recorded_once(void **state)
{
    struct world w;
    struct task task;
    struct err err = {0};
    world_init(&w);
    assert_int_equal(w.task.attempt, 1);
    assert_int_equal(task_fixture_create(w.f.store, &w.spec, "t", &task, &err), -EEXIST);
    assert_non_null(strstr(err.text, "fkv task show t"));
    assert_int_equal(task_open(w.f.store, "none", &task, &err), -ENOENT);
    assert_int_equal(task_open(w.f.store, "../t", &task, &err), -EINVAL);
    world_release(&w);
}

static void task__attempts_count_up_and_are_one_s_own(void **state)
{
    struct world w;
    struct task other;
    struct err err = {0};
    world_init(&w);
    must(task_open(w.f.store, "t", &other, &err), &err);
    must(task_begin_attempt(&w.task, "local", &err), &err);
    assert_int_equal(task_begin_attempt(&other, "local", &err), -EEXIST);
    put_text(&w, "attempt-7x.json", "{}");
    put_text(&w, "attempt-.json", "{}");
    must(task_open(w.f.store, "t", &other, &err), &err);
    assert_int_equal(other.attempt, 2);
    world_release(&w);
}

/* Attempt numbers are counted on from the highest, and gone through when a task's jobs are stopped. */
static void task__refuses_an_attempt_that_was_made_up(void **state)
{
    static const char *const names[] = {"attempt-999999999.json", "attempt-10001.json",
                                        "attempt-4294967297.json",
                                        "attempt-99999999999999999999999.json"};
    static const char *const none[] = {"attempt-0.json",  "attempt-007.json", "attempt--7.json",
                                       "attempt-+7.json", "attempt- 7.json",  "attempt-7.json.x"};
    struct world w;
    struct task task;
    world_init(&w);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct err err = {0};
        char path[64];
        snprintf(path, sizeof path, "tasks/t/%s", names[i]);
        put_text(&w, names[i], "{}");
        assert_int_equal(task_open(w.f.store, "t", &task, &err), -EBADMSG);
        if (!strstr(err.text, path) || !strstr(err.text, "remove the file"))
            fail_msg("expected %s and what to do in: %s", path, err.text);
        must(store_remove(w.f.store, path, NULL), NULL);
    }
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        put_text(&w, none[i], "{}");
    must(task_open(w.f.store, "t", &task, NULL), NULL);
    assert_int_equal(task.attempt, 1);
    world_release(&w);
}

static void task__attempts_come_to_an_end(void **state)
{
    struct world w;
    struct task task;
    struct err err = {0};
    world_init(&w);
    put_text(&w, "attempt-9999.json", "{}");
    must(task_open(w.f.store, "t", &task, &err), &err);
    must(task_begin_attempt(&task, "local", &err), &err);
    must(task_open(w.f.store, "t", &task, &err), &err);
    assert_int_equal(task.attempt, TASK_ATTEMPTS_MAX);
    assert_int_equal(task_begin_attempt(&task, "local", &err), -E2BIG);
    assert_int_equal(task_attempts_check(&task, NULL), -E2BIG);
    assert_non_null(strstr(err.text, "submit a new task"));
    assert_int_equal(task.attempt, TASK_ATTEMPTS_MAX);
    world_release(&w);
}

static void task__state_follows_from_documents(void **state)
{
    struct world w;
    struct task_plan plan;
    struct err err = {0};
    world_init(&w);
    assert_int_equal(state_of(&w.task), TASK_QUEUED);
    must(task_plan_make(&w.task, &w.f.state, &err), &err);
    assert_int_equal(state_of(&w.task), TASK_MAPPING);
    map_all(&w);
    assert_int_equal(state_of(&w.task), TASK_REDUCING);
    must(task_plan_open(&w.task, &plan, &err), &err);
    for (uint32_t i = 0; i < plan.n_groups; i++)
        must(task_reduce(&w.task, &plan, i, NULL, &err), &err);
    assert_int_equal(state_of(&w.task), TASK_SEALING);
    must(task_stage_seal(&w.task, &plan, NULL, &err), &err);
    assert_int_equal(state_of(&w.task), TASK_SEALED);
    /* Too late. */
    put_text(&w, "cancelled.json", "{}");
    assert_int_equal(state_of(&w.task), TASK_SEALED);
    task_plan_release(&plan);
    world_release(&w);
}

static void task__tells_why_it_failed_whatever_the_text(void **state)
{
    struct world w;
    struct task_status status;
    struct err err = {0};
    struct err why = {0};
    world_init(&w);
    /* The end of a path, cut within a character, and a terminal's orders. */
    err_set(&why, -EBADMSG, "\x83\x87ー/in.tsv:2: \x1b[2Jbad\n");
    task_work_fail(&w.task, STAGE_MAP, 3, -EBADMSG, &why);
    must(task_status_read(&w.task, false, &status, &err), &err);
    assert_int_equal(status.state, TASK_FAILED);
    assert_int_equal(status.failed_index, 3);
    assert_string_equal(status.reason, "??ー/in.tsv:2:  [2Jbad ");
    task_status_release(&status);
    world_release(&w);
}

/* A step that somebody else ends at the nth look. */
struct race {
    int done_at; /* 0: never */
    int n_looks;
};

static bool race_is_done(void *context)
{
    struct race *race = context;
    return ++race->n_looks == race->done_at;
}

/* Fails at a step; what the task is told to be then. */
static enum task_state state_after_race(int done_at, int *ret)
{
    struct world w;
    struct task_work work;
    struct race race = {.done_at = done_at};
    struct err why = {0};
    world_init(&w);
    err_set(&why, -ENOENT, "its directory is gone");
    task_work_begin(&work, &w.task, STAGE_SEAL, 0, NULL);
    work.is_done = race_is_done;
    work.done_context = &race;
    *ret = task_work_end(&work, -ENOENT, &why);
    enum task_state state = state_of(&w.task);
    world_release(&w);
    return state;
}

static void task__that_somebody_else_finished_has_not_failed(void **state)
{
    int ret = 0;
    assert_int_equal(state_after_race(1, &ret), TASK_QUEUED);
    assert_int_equal(ret, 0);
    /* Finished just when it was told as failed. */
    assert_int_equal(state_after_race(2, &ret), TASK_QUEUED);
    assert_int_equal(ret, 0);
    assert_int_equal(state_after_race(0, &ret), TASK_FAILED);
    assert_int_equal(ret, -ENOENT);
}

static void task__of_a_submitter_that_died_is_queued(void **state)
{
    struct world w;
    struct task task;
    struct task_status status;
    struct err err = {0};
    world_init(&w);
    assert_int_equal(store_remove(w.f.store, "tasks/t/attempt-1.json", NULL), 0);
    must(task_open(w.f.store, "t", &task, &err), &err);
    must(task_status_read(&task, true, &status, &err), &err);
    assert_int_equal(status.state, TASK_QUEUED);
    assert_int_equal(status.attempt, 0);
    assert_string_equal(status.engine, "local");
    task_status_release(&status);
    must(task_begin_attempt(&task, "local", &err), &err);
    must(task_fixture_stages(&task, &w.f.state, &err), &err);
    world_release(&w);
}

static void task__cancelled_is_not_sealed(void **state)
{
    struct world w;
    struct err err = {0};
    world_init(&w);
    map_all(&w);
    put_text(&w, "cancelled.json", "{}");
    assert_int_equal(task_fixture_stages(&w.task, &w.f.state, &err), -ECANCELED);
    assert_int_equal(state_of(&w.task), TASK_CANCELLED);
    task_give_up(&w.task, false);
    assert_int_equal(task_fixture_count(w.f.store, "tables/t/staging"), 0);
    world_release(&w);
}

static void task__given_up_when_sealed_takes_its_build_along(void **state)
{
    struct world w;
    struct err err = {0};
    world_init(&w);
    must(task_fixture_stages(&w.task, &w.f.state, &err), &err);
    task_give_up(&w.task, true);
    assert_int_equal(task_fixture_count(w.f.store, "tables/t/staging"), 1);
    task_give_up(&w.task, false);
    assert_int_equal(task_fixture_count(w.f.store, "tables/t/staging"), 0);
    world_release(&w);
}

/* ---- damaged runs, other inputs ---- */

static void damage_a_run(struct world *w)
{
    struct store_list list = {0};
    struct buf text = {0};
    char path[STORE_PATH_MAX];
    must(store_list(w->f.store, "tasks/t/runs", &list, NULL), NULL);
    snprintf(path, sizeof path, "tasks/t/runs/%.200s", list.names[0]);
    task_fixture_get(w->f.store, "tasks/t/runs", list.names[0], &text);
    text.data[100] ^= 1;
    must(store_put(w->f.store, path, text.data, text.len, NULL), NULL);
    buf_release(&text);
    store_list_release(&list);
}

static void build_reference(struct world *w)
{
    struct job job = w->spec.job;
    struct build_result result = {0};
    struct err err = {0};
    job.task = "reference";
    must(build_fixture_run(&w->f, &job, &result, &err), &err);
}

static void task__damaged_runs_are_mapped_again_on_demand(void **state)
{
    struct world w;
    struct err err = {0};
    world_init(&w);
    build_reference(&w);
    map_all(&w);
    damage_a_run(&w);
    assert_int_equal(task_fixture_stages(&w.task, &w.f.state, &err), -EBADMSG);
    assert_non_null(strstr(err.text, "--remap"));
    must(task_forget(&w.task, &err), &err);
    must(task_fixture_stages(&w.task, &w.f.state, &err), &err);
    assert_true(task_fixture_same(w.f.store, "reference", "t"));
    world_release(&w);
}

/* Pieces mapped again begin where they are guessed to: a shape that stayed would take that for proven. */
static void task__mapped_again_is_mended_again(void **state)
{
    struct world w;
    struct buf text = {0};
    struct err err = {0};
    world_init(&w);
    build_fixture_no_inputs(&w.f);
    for (unsigned i = 0; i < 40; i++)
        FIXTURE_MUST(buf_printf(&text, "%u,\"a\n%u,b\n%u,c\"\n", i, i + 500, i + 900) == 0);
    build_fixture_input(&w.f, "q.csv", text.data, text.len);
    buf_release(&text);
    w.spec = task_fixture_spec(&w.f, KEY_U64, "bytes", 50);
    task_fixture_shards(&w.spec, 2, 2);
    build_reference(&w);
    must(task_fixture_run(&w.f, &w.spec, "u", &w.task, &err), &err);
    assert_true(task_fixture_same(w.f.store, "reference", "u"));
    /* Back to where only one shard was reduced. */
    must(store_rename(w.f.store, "tables/t/staging/u", "tables/t/staging/kept", NULL), NULL);
    must(store_remove(w.f.store, "tasks/u/sealed.json", NULL), NULL);
    must(store_remove(w.f.store, "tasks/u/reduce-1.json", NULL), NULL);
    struct task_plan plan;
    must(task_plan_open(&w.task, &plan, &err), &err);
    must(store_rename(w.f.store, "tables/t/staging/kept", plan.staging.dir, NULL), NULL);
    char json[LAYOUT_PATH_MAX];
    layout_version_json(plan.staging.dir, json);
    must(store_remove(w.f.store, json, NULL), NULL);
    task_plan_release(&plan);
    must(task_forget(&w.task, &err), &err);
    must(task_fixture_stages(&w.task, &w.f.state, &err), &err);
    assert_true(task_fixture_same(w.f.store, "reference", "u"));
    world_release(&w);
}

static void task__with_mended_inputs_is_planned_anew(void **state)
{
    struct world w;
    struct err err = {0};
    world_init(&w);
    map_all(&w);
    build_fixture_no_inputs(&w.f);
    build_fixture_text(&w.f, "a.tsv", "1\tone\n2\ttwo\n");
    w.spec.job.inputs = (const char *const *)w.f.inputs;
    build_reference(&w);
    must(store_remove(w.f.store, "tasks/t/map-0.json", NULL), NULL);
    assert_int_equal(task_fixture_stages(&w.task, &w.f.state, &err), -ESTALE);
    assert_non_null(strstr(err.text, "--remap"));
    must(task_forget(&w.task, &err), &err);
    must(task_fixture_stages(&w.task, &w.f.state, &err), &err);
    assert_true(task_fixture_same(w.f.store, "reference", "t"));
    /* The reference and this one: the directory of the first plan is gone. */
    assert_int_equal(task_fixture_count(w.f.store, "tables/t/staging"), 2);
    world_release(&w);
}

/* As when a validator refused what was sealed; was_killed: whoever forgot it before got no further than to its document. */
static void forget_sealed(bool was_killed)
{
    struct world w;
    struct err err = {0};
    world_init(&w);
    must(task_fixture_stages(&w.task, &w.f.state, &err), &err);
    task_clean(&w.task);
    if (was_killed)
        must(store_remove(w.f.store, "tasks/t/sealed.json", NULL), NULL);
    build_fixture_no_inputs(&w.f);
    build_fixture_text(&w.f, "a.tsv", "1\tone\n2\ttwo\n");
    w.spec.job.inputs = (const char *const *)w.f.inputs;
    build_reference(&w);
    must(task_forget(&w.task, &err), &err);
    assert_int_equal(state_of(&w.task), TASK_QUEUED);
    assert_int_equal(task_fixture_count(w.f.store, "tables/t/staging"), 1);
    must(task_fixture_stages(&w.task, &w.f.state, &err), &err);
    assert_true(task_fixture_same(w.f.store, "reference", "t"));
    world_release(&w);
}

static void task__that_is_sealed_is_forgotten_whole(void **state)
{
    forget_sealed(false);
    forget_sealed(true);
}

static void task__whose_directory_is_gone_says_so(void **state)
{
    struct world w;
    struct err err = {0};
    world_init(&w);
    map_all(&w);
    must(store_remove_tree(w.f.store, "tables/t/staging", NULL), NULL);
    assert_int_equal(task_fixture_stages(&w.task, &w.f.state, &err), -ESTALE);
    assert_non_null(strstr(err.text, "expected the directory of this build"));
    must(task_forget(&w.task, &err), &err);
    must(task_fixture_stages(&w.task, &w.f.state, &err), &err);
    world_release(&w);
}

/* A file may be older than 1970. */
static void task__takes_inputs_of_any_age(void **state)
{
    struct world w;
    struct err err = {0};
    world_init(&w);
    struct timespec times[2] = {{-1000000, 5}, {-1000000, 5}};
    assert_int_equal(utimensat(AT_FDCWD, w.f.inputs[0], times, 0), 0);
    must(task_fixture_stages(&w.task, &w.f.state, &err), &err);
    world_release(&w);
}

/* ---- forged documents ---- */

/* All that lies on the store but the task: what a forged document must not change. */
static void watch_store(struct world *w, struct buf *out)
{
    static const char *const dirs[] = {"",
                                       "log",
                                       "nodes",
                                       "tables",
                                       "tables/other/staging",
                                       "tables/other/staging/precious/parts"};
    buf_clear(out);
    for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++) {
        struct store_list list = {0};
        if (layout_list(w->f.store, dirs[i], &list, NULL))
            continue;
        for (size_t k = 0; k < list.n_names; k++)
            FIXTURE_MUST(buf_printf(out, "%s/%s\n", dirs[i], list.names[k]) == 0);
        store_list_release(&list);
    }
}

/* The document with one member replaced; NULL: left out. path is "member", or "member.member", or "member.0". */
static json_t *forge(json_t *document, const char *path, const char *value)
{
    json_t *at = document;
    char name[64];
    json_t *to = value ? json_loads(value, JSON_DECODE_ANY, NULL) : NULL;
    FIXTURE_MUST(!value || to);
    for (;;) {
        size_t len = strcspn(path, ".");
        FIXTURE_MUST(len < sizeof name);
        memcpy(name, path, len);
        name[len] = 0;
        path += len;
        if (!*path)
            break;
        at = json_object_get(at, name);
        path++;
    }
    if (to)
        json_object_set_new(at, name, to);
    else
        json_object_del(at, name);
    return document;
}

struct forgery {
    const char *file;
    const char *member;
    const char *value;
};

/* Whatever the stages and the status say to it, they come back, and nothing else on the store is touched. */
static void try_forgery(struct world *w, const struct forgery *forgery, bool is_refused)
{
    json_t *document = NULL;
    struct task_status status;
    struct buf before = {0}, after = {0};
    struct err err = {0};
    must(task_get(&w->task, forgery->file, &document, &err), &err);
    json_t *kept = json_deep_copy(document);
    must(task_put(&w->task, forgery->file, forge(document, forgery->member, forgery->value), &err),
         &err);
    watch_store(w, &before);
    int ret = task_fixture_stages(&w->task, &w->f.state, &err);
    if (is_refused && !ret)
        fail_msg("%s with \"%s\": %s was taken", forgery->file, forgery->member,
                 forgery->value ? forgery->value : "nothing");
    assert_true(ret == 0 || err.text[0]);
    if (!task_status_read(&w->task, true, &status, NULL))
        task_status_release(&status);
    task_give_up(&w->task, false);
    watch_store(w, &after);
    if (before.len != after.len || memcmp(before.data, after.data, before.len) != 0)
        fail_msg("%s with \"%s\": %s: the store was changed:\n%.*s", forgery->file, forgery->member,
                 forgery->value, (int)after.len, (const char *)after.data);
    must(task_put(&w->task, forgery->file, kept, &err), &err);
    buf_release(&before);
    buf_release(&after);
}

/* Each in a world of its own, as far as the document is there. */
static void try_all(const struct forgery *forgeries, size_t n, bool is_mapped, bool is_reduced)
{
    for (size_t i = 0; i < n; i++) {
        struct world w;
        struct task_plan plan;
        struct err err = {0};
        world_init(&w);
        FIXTURE_MUST(store_mkdir(w.f.store, "tables/other/staging/precious/parts", NULL) == 0);
        FIXTURE_MUST(store_put(w.f.store, "tables/other/staging/precious/parts/a", "x", 1, NULL) ==
                     0);
        if (is_mapped)
            map_all(&w);
        if (is_reduced) {
            must(task_plan_open(&w.task, &plan, &err), &err);
            must(task_reduce(&w.task, &plan, 0, NULL, &err), &err);
            task_plan_release(&plan);
        }
        try_forgery(&w, &forgeries[i], true);
        world_release(&w);
    }
}

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void task__refuses_a_forged_job(void **state)
{
    static const struct forgery forgeries[] = {
        {"job.json", "table", NULL},
        {"job.json", "table", "\"../../log\""},
        {"job.json", "table", "7"},
        {"job.json", "inputs", NULL},
        {"job.json", "inputs", "[]"},
        {"job.json", "inputs", "[7]"},
        {"job.json", "inputs", "\"a\""},
        {"job.json", "memory", "1"},
        {"job.json", "memory", "1e300"},
        {"job.json", "piece", "-1"},
        {"job.json", "reduce_tasks", "99999999999"},
        {"job.json", "schema", "[]"},
        {"job.json", "schema.shards", "0"},
        {"job.json", "schema.shards", "4097"},
        {"job.json", "schema.value", "\"f32[99999999]\""},
        {"job.json", "nonsense", "true"},
    };
    try_all(forgeries, COUNT(forgeries), false, false);
}

static void task__refuses_a_forged_plan(void **state)
{
    static const struct forgery forgeries[] = {
        {"plan.json", "job", NULL},
        {"plan.json", "job", "[]"},
        {"plan.json", "job.table", "\"other\""},
        {"plan.json", "job.table", "\"..\""},
        {"plan.json", "job.inputs", "[]"},
        {"plan.json", "job.delta", "true"},
        {"plan.json", "staging", NULL},
        {"plan.json", "staging", "7"},
        {"plan.json", "staging", "\"tables/other/staging/precious\""},
        {"plan.json", "staging", "\"tables/t/staging/.work-t-0123456789abcdef/../../../other\""},
        {"plan.json", "staging", "\"tables/t/staging/.work-t-../../../other/st\""},
        {"plan.json", "staging", "\"tables/t/staging/.work-t-0123456789ABCDEF\""},
        {"plan.json", "staging", "\"/tables/t/staging/.work-t-0123456789abcdef\""},
        {"plan.json", "staging", "\"../tables/t/staging/.work-t-0123456789abcdef\""},
        {"plan.json", "staging", "\"\""},
        {"plan.json", "base", "1"},
        {"plan.json", "base", "-1"},
        {"plan.json", "base_digest", "\"xyz\""},
        {"plan.json", "base_digest", "null"},
        {"plan.json", "groups", "0"},
        {"plan.json", "groups", "99999999"},
        {"plan.json", "groups", "1.5"},
        {"plan.json", "inputs", "[]"},
        {"plan.json", "inputs", "[[1]]"},
        {"plan.json", "inputs", "[[-1,0]]"},
        {"plan.json", "pieces", "[]"},
        {"plan.json", "pieces", "{}"},
        {"plan.json", "pieces", "[7]"},
        {"plan.json", "pieces", "[[0,0]]"},
        {"plan.json", "pieces", "[[1,0,0]]"},
        {"plan.json", "pieces", "[[4294967296,0,0]]"},
        {"plan.json", "pieces", "[[0,-1,0]]"},
        {"plan.json", "pieces", "[[0,9,5]]"},
        /* Not all of the input, or some of it twice. */
        {"plan.json", "pieces", "[[0,5,0]]"},
        {"plan.json", "pieces", "[[0,0,400]]"},
        {"plan.json", "pieces", "[[0,0,400],[0,500,0]]"},
        {"plan.json", "pieces", "[[0,0,400],[0,300,0]]"},
        {"plan.json", "pieces", "[[0,0,0],[0,0,0]]"},
    };
    try_all(forgeries, COUNT(forgeries), true, false);
}

static void task__refuses_a_forged_map(void **state)
{
    static const struct forgery forgeries[] = {
        {"map-1.json", "file", NULL},
        {"map-1.json", "file", "7"},
        {"map-1.json", "file", "\"plan.json\""},
        {"map-1.json", "file", "\"runs/../plan.json\""},
        {"map-1.json", "file", "\"runs/..\""},
        {"map-1.json", "file", "\"runs/\""},
        {"map-1.json", "file", "\"../../log/0000000001.json\""},
        {"map-1.json", "file", "\"/etc/passwd\""},
        {"map-1.json", "digest", "\"\""},
        {"map-1.json", "digest", "\"00000000000000000000000000000000\""},
        {"map-1.json", "bytes", "-1"},
        {"map-1.json", "rows", "1e99"},
        {"map-1.json", "bad_rows", "9223372036854775807"},
        {"map-1.json", "lines", "[]"},
        {"map-1.json", "value_max", "4294967296"},
        {"map-1.json", "entries", NULL},
    };
    try_all(forgeries, COUNT(forgeries), true, false);
}

static void task__refuses_a_forged_shape(void **state)
{
    static const struct forgery forgeries[] = {
        {"shape.json", "shards", "0"},           {"shape.json", "shards", "1"},
        {"shape.json", "shards", "4096"},        {"shape.json", "shards", "99999"},
        {"shape.json", "shards", NULL},          {"shape.json", "rows", "-1"},
        {"shape.json", "compressed", "7"},       {"shape.json", "level", "20"},
        {"shape.json", "ratio", "\"x\""},        {"shape.json", "ratio", "-1"},
        {"shape.json", "dictionary", "\"abc\""}, {"shape.json", "dictionary", "\"zz\""},
        {"shape.json", "dictionary", "7"},
    };
    try_all(forgeries, COUNT(forgeries), true, true);
}

static void task__refuses_a_forged_reduce(void **state)
{
    static const struct forgery forgeries[] = {
        {"reduce-0.json", "part", NULL},         {"reduce-0.json", "part", "7"},
        {"reduce-0.json", "part.shard", "1"},    {"reduce-0.json", "part.shard", "-1"},
        {"reduce-0.json", "part.bytes", "1e99"}, {"reduce-0.json", "duplicates", "-1"},
        {"reduce-0.json", "added", "\"\""},      {"reduce-0.json", "removed", NULL},
    };
    try_all(forgeries, COUNT(forgeries), true, true);
}

/* Documents that are no JSON, or another kind of JSON. */
static void task__refuses_documents_that_are_none(void **state)
{
    static const char *const texts[] = {"", "{", "[]", "7", "null", "\"x\"", "{}", "\xff\xfe"};
    static const char *const files[] = {"job.json", "plan.json", "map-0.json", "shape.json",
                                        "reduce-0.json"};
    for (size_t i = 0; i < COUNT(files); i++) {
        for (size_t k = 0; k < COUNT(texts); k++) {
            struct world w;
            struct task_plan plan;
            struct task_status status;
            struct err err = {0};
            world_init(&w);
            if (i) {
                map_all(&w);
                must(task_plan_open(&w.task, &plan, &err), &err);
                must(task_reduce(&w.task, &plan, 0, NULL, &err), &err);
                task_plan_release(&plan);
            }
            put_text(&w, files[i], texts[k]);
            if (!task_fixture_stages(&w.task, &w.f.state, &err))
                fail_msg("%s holding %s was taken", files[i], texts[k]);
            assert_true(err.text[0]);
            if (!task_status_read(&w.task, true, &status, NULL))
                task_status_release(&status);
            task_give_up(&w.task, false);
            world_release(&w);
        }
    }
}

/* What workers said is for people only. */
static void task__status_stands_any_marks(void **state)
{
    static const char *const names[] = {
        "work/map-0.json",      "work/reduce-99999999999.json", "work/x",
        "work/seal-0.json",     "failed-1-map-0.json",          "failed-1-map-.json",
        "failed-1-dance-0.json"};
    static const char *const texts[] = {"{}", "7",
                                        "{\"rows\":-1,\"seconds\":\"x\",\"errno\":99999}"};
    struct world w;
    world_init(&w);
    for (size_t i = 0; i < COUNT(names); i++) {
        for (size_t k = 0; k < COUNT(texts); k++) {
            struct task_status status;
            struct err err = {0};
            char path[64];
            snprintf(path, sizeof path, "tasks/t/%s", names[i]);
            put_text(&w, names[i], texts[k]);
            if (task_status_read(&w.task, true, &status, &err) == 0)
                task_status_release(&status);
            else
                assert_true(err.text[0]);
            must(store_remove(w.f.store, path, NULL), NULL);
        }
    }
    world_release(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(task__names_sort_by_age_and_differ),
        cmocka_unit_test(task__checkpoints_of_two_have_two_names),
        cmocka_unit_test(task__is_recorded_once),
        cmocka_unit_test(task__attempts_count_up_and_are_one_s_own),
        cmocka_unit_test(task__refuses_an_attempt_that_was_made_up),
        cmocka_unit_test(task__attempts_come_to_an_end),
        cmocka_unit_test(task__state_follows_from_documents),
        cmocka_unit_test(task__tells_why_it_failed_whatever_the_text),
        cmocka_unit_test(task__that_somebody_else_finished_has_not_failed),
        cmocka_unit_test(task__of_a_submitter_that_died_is_queued),
        cmocka_unit_test(task__cancelled_is_not_sealed),
        cmocka_unit_test(task__given_up_when_sealed_takes_its_build_along),
        cmocka_unit_test(task__damaged_runs_are_mapped_again_on_demand),
        cmocka_unit_test(task__mapped_again_is_mended_again),
        cmocka_unit_test(task__with_mended_inputs_is_planned_anew),
        cmocka_unit_test(task__that_is_sealed_is_forgotten_whole),
        cmocka_unit_test(task__whose_directory_is_gone_says_so),
        cmocka_unit_test(task__takes_inputs_of_any_age),
        cmocka_unit_test(task__refuses_a_forged_job),
        cmocka_unit_test(task__refuses_a_forged_plan),
        cmocka_unit_test(task__refuses_a_forged_map),
        cmocka_unit_test(task__refuses_a_forged_shape),
        cmocka_unit_test(task__refuses_a_forged_reduce),
        cmocka_unit_test(task__refuses_documents_that_are_none),
        cmocka_unit_test(task__status_stands_any_marks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
