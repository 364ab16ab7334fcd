/* SPDX-License-Identifier: Apache-2.0 */
/* A task's stages give what a build gives, however inputs are cut, shards are grouped and stores fail. */
#include "unit.h"

#include "faulty_backend.h"
#include "task_fixture.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

enum { N_ROWS = 600 };

/* Rows of a file; each a key and a value that depends on it. */
static void add_tsv(struct build_fixture *f, const char *name, enum key_type key, unsigned first,
                    unsigned n)
{
    struct buf text = {0};
    for (unsigned i = first; i < first + n; i++)
        FIXTURE_MUST(buf_printf(&text, "%s%u\tvalue-%0*u\n", key == KEY_U64 ? "" : "key/", i,
                                (int)(i % 40), i) == 0);
    build_fixture_input(f, name, text.data, text.len);
    buf_release(&text);
}

static void must(int ret, const struct err *err)
{
    if (ret)
        fail_msg("%d: %s", ret, err->text);
}

static void build_reference(struct build_fixture *f, const struct task_spec *spec)
{
    struct job job = spec->job;
    struct build_result result = {0};
    struct err err = {0};
    job.task = "reference";
    must(build_fixture_run(f, &job, &result, &err), &err);
}

static void is_as_built(struct build_fixture *f, const struct task_spec *spec, const char *name)
{
    struct task task;
    struct err err = {0};
    must(task_fixture_run(f, spec, name, &task, &err), &err);
    assert_true(task_fixture_same(f->store, "reference", name));
}

/* ---- the same bytes ---- */

static void same_bytes(enum table_kind kind, enum key_type key)
{
    static const struct {
        uint64_t piece_len;
        uint32_t n_reduce;
    } cuts[] = {{1 << 20, 1}, {3000, 3}, {431, 7}, {97, 2}};
    struct build_fixture f;
    char name[32];
    build_fixture_kind = kind;
    build_fixture_init(&f);
    add_tsv(&f, "a.tsv", key, 0, N_ROWS);
    add_tsv(&f, "b.tsv", key, N_ROWS, 1);
    add_tsv(&f, "c.tsv", key, 2 * N_ROWS, N_ROWS / 3);
    struct task_spec spec = task_fixture_spec(&f, key, "bytes", 0);
    task_fixture_shards(&spec, 5, 0);
    build_reference(&f, &spec);
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
        spec.piece_len = cuts[i].piece_len;
        spec.n_reduce = cuts[i].n_reduce;
        snprintf(name, sizeof name, "cut%zu", i);
        is_as_built(&f, &spec, name);
    }
    build_fixture_release(&f);
    build_fixture_kind = KIND_MEM;
}

static void task__of_mem_gives_the_bytes_of_a_build(void **state)
{
    same_bytes(KIND_MEM, KEY_U64);
    same_bytes(KIND_MEM, KEY_BYTES);
}

static void task__of_blk_gives_the_bytes_of_a_build(void **state)
{
    same_bytes(KIND_BLK, KEY_U64);
    same_bytes(KIND_BLK, KEY_BYTES);
}

static void task__of_idx_gives_the_bytes_of_a_build(void **state)
{
    same_bytes(KIND_IDX, KEY_U64);
    same_bytes(KIND_IDX, KEY_BYTES);
}

/* Values long enough to be compressed, with a dictionary of a sample that is gathered from all pieces. */
static void task__trains_the_dictionary_that_a_build_trains(void **state)
{
    struct build_fixture f;
    struct buf text = {0};
    build_fixture_kind = KIND_BLK;
    build_fixture_init(&f);
    for (unsigned i = 0; i < 3000; i++)
        FIXTURE_MUST(buf_printf(&text,
                                "%u\t{\"name\":\"user-%u\",\"country\":\"%s\",\"score\":%u,"
                                "\"tags\":[\"alpha\",\"beta\",\"gamma-%u\"]}\n",
                                i, i * 7919 % 1000, i % 3 ? "Norway" : "Chile", i * 31 % 97,
                                i % 11) == 0);
    build_fixture_input(&f, "a.tsv", text.data, text.len);
    buf_release(&text);
    struct task_spec spec = task_fixture_spec(&f, KEY_U64, "bytes", 20000);
    build_reference(&f, &spec);
    is_as_built(&f, &spec, "t");
    build_fixture_release(&f);
    build_fixture_kind = KIND_MEM;
}

static void task__of_nothing_gives_what_a_build_gives(void **state)
{
    struct build_fixture f;
    build_fixture_init(&f);
    build_fixture_text(&f, "a.tsv", "");
    struct task_spec spec = task_fixture_spec(&f, KEY_U64, "bytes", 10);
    task_fixture_shards(&spec, 2, 2);
    build_reference(&f, &spec);
    is_as_built(&f, &spec, "t");
    build_fixture_release(&f);
}

static void task__tells_what_was_built(void **state)
{
    struct build_fixture f;
    struct task task;
    struct build_result result = {0};
    struct err err = {0};
    build_fixture_init(&f);
    build_fixture_text(&f, "a.tsv", "1\ta\n2\tb\nbad\n1\tc\n");
    struct task_spec spec = task_fixture_spec(&f, KEY_U64, "bytes", 4);
    spec.job.duplicates = DUPLICATE_LAST;
    spec.job.max_bad = 1;
    must(task_fixture_run(&f, &spec, "t", &task, &err), &err);
    must(task_result(&task, &result, &err), &err);
    assert_int_equal(result.n_keys, 2);
    assert_int_equal(result.rows, 4);
    assert_int_equal(result.bad_rows, 1);
    assert_int_equal(result.duplicates, 1);
    assert_string_equal(result.task, "t");
    build_fixture_release(&f);
}

static void task__of_a_delta_lies_on_its_base(void **state)
{
    struct build_fixture f;
    struct task task;
    struct build_result result = {0};
    struct version_desc built = {0}, made = {0};
    struct err err = {0};
    build_fixture_init(&f);
    add_tsv(&f, "a.tsv", KEY_U64, 0, N_ROWS);
    struct task_spec spec = task_fixture_spec(&f, KEY_U64, "bytes", 500);
    task_fixture_shards(&spec, 3, 2);
    must(build_fixture_run(&f, &spec.job, &result, &err), &err);
    assert_int_equal(build_fixture_publish(&f, &result), 1);
    build_fixture_no_inputs(&f);
    build_fixture_text(&f, "b.tsv", "5\n7\tseven\n9999\tnew\n8\n123456\n");
    spec.job = build_fixture_job(&f, KEY_U64, "bytes");
    spec.job.is_delta = true;
    spec.job.given = (struct schema_given){0};
    spec.job.schema.n_shards = 0;
    struct job job = spec.job;
    job.task = "reference";
    job.tombstones_file_mode = true;
    must(build_run(f.store, &f.state, &job, NULL, &result, &err), &err);
    spec.piece_len = 3;
    must(task_fixture_run(&f, &spec, "t", &task, &err), &err);
    assert_true(task_fixture_same(f.store, "reference", "t"));
    must(version_desc_read(f.store, "tables/t/staging/reference", NULL, &built, &err), &err);
    must(version_desc_read(f.store, "tables/t/staging/t", NULL, &made, &err), &err);
    assert_int_equal(made.base, 1);
    assert_int_equal(made.n_keys, built.n_keys);
    assert_int_equal(made.n_parts, built.n_parts);
    version_desc_release(&built);
    version_desc_release(&made);
    build_fixture_release(&f);
}

/* ---- borders ---- */

/* Rows whose quoted values hold what looks like rows, with quotes doubled: most guesses in them are wrong. */
static void add_quoted_csv(struct build_fixture *f)
{
    struct buf text = {0};
    FIXTURE_MUST(buf_printf(&text, "id,text\n") == 0);
    for (unsigned i = 0; i < 60; i++)
        FIXTURE_MUST(buf_printf(&text,
                                "%u,\"first\n%u,looks like a row\n%u,\"\"so does this\"\"\r\n\n"
                                "end of %u\"\n",
                                i, i + 1, i + 1000, i) == 0);
    build_fixture_input(f, "a.csv", text.data, text.len);
    buf_release(&text);
}

static void task__mends_borders_that_were_guessed_wrongly(void **state)
{
    struct build_fixture f;
    bool was_mended = false;
    build_fixture_init(&f);
    add_quoted_csv(&f);
    struct task_spec spec = task_fixture_spec(&f, KEY_U64, "bytes", 0);
    spec.job.header = true;
    task_fixture_shards(&spec, 2, 2);
    build_reference(&f, &spec);
    for (uint64_t len = 30; len < 300; len += 31) {
        char name[32], runs[64];
        struct task task;
        struct task_plan plan;
        struct err err = {0};
        spec.piece_len = len;
        snprintf(name, sizeof name, "t%u", (unsigned)len);
        snprintf(runs, sizeof runs, "tasks/%s/runs", name);
        must(task_fixture_run(&f, &spec, name, &task, &err), &err);
        assert_true(task_fixture_same(f.store, "reference", name));
        must(task_plan_open(&task, &plan, &err), &err);
        /* A piece that was mapped again has runs of either try. */
        was_mended |= task_fixture_count(f.store, runs) > plan.n_pieces;
        task_plan_release(&plan);
    }
    assert_true(was_mended);
    build_fixture_release(&f);
}

static void task__mended_pieces_meet(void **state)
{
    struct build_fixture f;
    struct task task;
    struct task_plan plan;
    struct err err = {0};
    uint64_t end = 0;
    build_fixture_init(&f);
    add_quoted_csv(&f);
    struct task_spec spec = task_fixture_spec(&f, KEY_U64, "bytes", 41);
    spec.job.header = true;
    must(task_fixture_run(&f, &spec, "t", &task, &err), &err);
    must(task_plan_open(&task, &plan, &err), &err);
    for (uint32_t i = 0; i < plan.n_pieces; i++) {
        struct task_mapped mapped;
        assert_int_equal(task_mapped_get(&task, i, &mapped, &err), 1);
        if (i)
            assert_int_equal(mapped.begin, end);
        end = mapped.end;
    }
    task_plan_release(&plan);
    build_fixture_release(&f);
}

/* ---- duplicates and bad rows across pieces ---- */

static void duplicates_as_built(enum duplicate_policy policy)
{
    struct build_fixture f;
    build_fixture_init(&f);
    add_tsv(&f, "a.tsv", KEY_U64, 0, 100);
    build_fixture_text(&f, "b.tsv", "7\tother\n7\tanother\n50\tthird\n");
    build_fixture_text(&f, "c.tsv", "7\tlast of all\n");
    struct task_spec spec = task_fixture_spec(&f, KEY_U64, "bytes", 25);
    spec.job.duplicates = policy;
    task_fixture_shards(&spec, 3, 3);
    build_reference(&f, &spec);
    is_as_built(&f, &spec, "t");
    build_fixture_release(&f);
}

static void task__keeps_the_first_or_last_of_duplicates_in_any_piece(void **state)
{
    duplicates_as_built(DUPLICATE_FIRST);
    duplicates_as_built(DUPLICATE_LAST);
}

/* The words of the task's refusal are those of the build's: the same two lines of the same files. */
static void refused_as_built(struct build_fixture *f, const struct task_spec *spec,
                             const char *place, const char *other_place)
{
    struct task task;
    struct build_result result = {0};
    struct err built = {0}, err = {0};
    struct job job = spec->job;
    assert_int_equal(build_fixture_run(f, &job, &result, &built), -EEXIST);
    assert_int_equal(task_fixture_run(f, spec, "t", &task, &err), -EEXIST);
    assert_string_equal(err.text, built.text);
    if (!strstr(err.text, place) || !strstr(err.text, other_place))
        fail_msg("expected %s and %s in: %s", place, other_place, err.text);
}

static void task__names_both_lines_of_a_duplicate(void **state)
{
    struct build_fixture f;
    struct buf text = {0};
    build_fixture_init(&f);
    FIXTURE_MUST(buf_printf(&text, "\xef\xbb\xbf") == 0);
    for (unsigned i = 0; i < 200; i++)
        FIXTURE_MUST(buf_printf(&text, "%s%u\tx\n", i % 7 ? "" : "\n", i == 170 ? 31 : i) == 0);
    build_fixture_input(&f, "a.tsv", text.data, text.len);
    buf_release(&text);
    struct task_spec spec = task_fixture_spec(&f, KEY_U64, "bytes", 33);
    /* Row 31 has the empty lines before 0, 7, 14, 21 and 28 before it. */
    refused_as_built(&f, &spec, "a.tsv:37", "a.tsv:196");
    build_fixture_release(&f);
}

static void task__names_both_files_of_a_duplicate(void **state)
{
    struct build_fixture f;
    build_fixture_init(&f);
    add_tsv(&f, "a.tsv", KEY_BYTES, 0, 90);
    build_fixture_text(&f, "b.tsv", "x\t1\ny\t1\nkey/33\ttwice\n");
    struct task_spec spec = task_fixture_spec(&f, KEY_BYTES, "bytes", 40);
    refused_as_built(&f, &spec, "a.tsv:34", "b.tsv:3");
    build_fixture_release(&f);
}

static void task__names_lines_of_quoted_rows(void **state)
{
    struct build_fixture f;
    build_fixture_init(&f);
    add_quoted_csv(&f);
    build_fixture_text(&f, "b.csv", "id,text\n77,\"a\nb\nc\"\n58,again\n");
    struct task_spec spec = task_fixture_spec(&f, KEY_U64, "bytes", 41);
    spec.job.header = true;
    /* A header line, and five lines a row. */
    refused_as_built(&f, &spec, "a.csv:292", "b.csv:5");
    build_fixture_release(&f);
}

static int run_with_bad_rows(uint64_t max_bad, struct build_result *result, struct err *err)
{
    struct build_fixture f;
    struct task task;
    build_fixture_init(&f);
    struct buf text = {0};
    for (unsigned i = 0; i < 100; i++)
        FIXTURE_MUST(buf_printf(&text, i % 20 == 13 ? "no number %u\tx\n" : "%u\tx\n", i) == 0);
    build_fixture_input(&f, "a.tsv", text.data, text.len);
    buf_release(&text);
    struct task_spec spec = task_fixture_spec(&f, KEY_U64, "bytes", 50);
    spec.job.max_bad = max_bad;
    int ret = task_fixture_run(&f, &spec, "t", &task, err);
    if (!ret)
        must(task_result(&task, result, err), err);
    build_fixture_release(&f);
    return ret;
}

static void task__counts_bad_rows_over_all_pieces(void **state)
{
    struct build_result result = {0};
    struct err err = {0};
    must(run_with_bad_rows(5, &result, &err), &err);
    assert_int_equal(result.bad_rows, 5);
    assert_int_equal(result.n_keys, 95);
    assert_int_equal(run_with_bad_rows(4, &result, &err), -EBADMSG);
    assert_non_null(strstr(err.text, "5 bad rows"));
    assert_int_equal(run_with_bad_rows(0, &result, &err), -EBADMSG);
    assert_non_null(strstr(err.text, "a.tsv:14"));
}

/* ---- stores that fail ---- */

struct trouble {
    struct build_fixture f;
    struct faulty *faulty;
    struct store *store;
    struct task_spec spec;
};

static void trouble_init(struct trouble *t)
{
    build_fixture_init(&t->f);
    add_tsv(&t->f, "a.tsv", KEY_U64, 0, 40);
    build_fixture_text(&t->f, "b.csv", "501,\"a\nb\"\n502,c\n503,\"\n504,e\n\"\n505,f\n");
    t->spec = task_fixture_spec(&t->f, KEY_U64, "bytes", 700);
    task_fixture_shards(&t->spec, 2, 2);
    build_reference(&t->f, &t->spec);
    t->faulty = faulty_new(t->f.memory, true);
    FIXTURE_MUST(store_open_backend(&t->faulty->backend, "faulty:", &t->store, NULL) == 0);
}

static void trouble_release(struct trouble *t)
{
    store_close(t->store);
    build_fixture_release(&t->f);
}

/* The nth call goes wrong; then a store that works, and another attempt. False when there is no nth call. */
static bool survives(struct trouble *t, unsigned nth, enum faulty_mode mode)
{
    char name[32], dir[64];
    struct task task;
    struct err err = {0};
    snprintf(name, sizeof name, "t%u-%d", nth, (int)mode);
    faulty_arm(t->faulty, nth, mode, -EIO);
    int ret = task_fixture_create(t->store, &t->spec, name, &task, &err);
    if (!ret)
        ret = task_fixture_stages(&task, &t->f.state, &err);
    faulty_disarm(t->faulty);
    assert_true(ret == 0 || err.text[0]);
    if (!t->faulty->was_hit) {
        must(ret, &err);
        return false;
    }
    if (task_open(t->store, name, &task, NULL)) {
        must(task_fixture_create(t->store, &t->spec, name, &task, &err), &err);
    } else if (ret) {
        must(task_begin_attempt(&task, "local", &err), &err);
    }
    ret = task_fixture_stages(&task, &t->f.state, &err);
    if (ret)
        fail_msg("call %u, mode %d: the retry says %d: %s", nth, (int)mode, ret, err.text);
    if (!task_fixture_same(t->f.store, "reference", name))
        fail_msg("call %u, mode %d: other bytes", nth, (int)mode);
    snprintf(dir, sizeof dir, "tables/t/staging/%s", name);
    FIXTURE_MUST(store_remove_tree(t->f.store, dir, NULL) == 0);
    snprintf(dir, sizeof dir, "tasks/%s", name);
    FIXTURE_MUST(store_remove_tree(t->f.store, dir, NULL) == 0);
    return true;
}

/* Where every call counts twenty times as much, some of them do. */
#ifdef __SANITIZE_THREAD__
enum { STRIDE = 16 };
#else
enum { STRIDE = 1 };
#endif

static void survives_all(enum faulty_mode mode, unsigned first, unsigned step)
{
    struct trouble t;
    unsigned nth = first;
    trouble_init(&t);
    while (survives(&t, nth, mode))
        nth += step * STRIDE;
    assert_true(nth > 100);
    trouble_release(&t);
}

static void task__any_failing_call_is_made_good_by_a_retry(void **state)
{
    survives_all(FAULTY_FAIL, 1, 1);
}

static void task__any_lost_reply_is_made_good_by_a_retry(void **state)
{
    survives_all(FAULTY_LOSE, 1, 2);
}

static void task__dying_at_any_call_is_made_good_by_a_retry(void **state)
{
    survives_all(FAULTY_DIE, 1, 2);
}

static void task__dying_at_any_lost_reply_is_made_good_by_a_retry(void **state)
{
    survives_all(FAULTY_LOSE_AND_DIE, 2, 2);
}

/* ---- stores that are slow ---- */

/* Runs become durable only once the worker has said again that it is alive. */
struct slow_commit {
    atomic_bool is_committing;
    atomic_uint n_marks; /* since then */
    bool was_silent;
};

static void commit_slowly(void *context, const char *op, const char *path)
{
    enum { STEP_US = 10000, STEPS = 3000 };
    struct slow_commit *slow = context;
    if (slow->is_committing && strcmp(op, "rename") == 0 && strstr(path, "/work/map-"))
        slow->n_marks++;
    if (strcmp(op, "link") || !strstr(path, "/runs/"))
        return;
    slow->is_committing = true;
    for (int i = 0; i < STEPS && !slow->n_marks; i++)
        usleep(STEP_US);
    slow->was_silent = slow->n_marks == 0;
}

static void task__worker_is_heard_of_while_runs_are_made_durable(void **state)
{
    struct trouble t;
    struct task task;
    struct task_plan plan;
    struct err err = {0};
    trouble_init(&t);
    struct slow_commit slow = {0};
    must(task_fixture_create(t.store, &t.spec, "slow", &task, &err), &err);
    must(task_plan_make(&task, &t.f.state, &err), &err);
    must(task_plan_open(&task, &plan, &err), &err);
    t.faulty->before = commit_slowly;
    t.faulty->context = &slow;
    must(task_map(&task, &plan, 0, NULL, &err), &err);
    t.faulty->before = NULL;
    assert_true(slow.is_committing);
    assert_false(slow.was_silent);
    task_plan_release(&plan);
    trouble_release(&t);
}

/* ---- what is read ---- */

static void count_markers(void *context, const char *op, const char *path)
{
    unsigned *n = context;
    *n += strcmp(op, "open") == 0 && strstr(path, "/map-") != NULL;
}

/* There may be a thousand pieces, and as many groups and retries. */
static void task__pieces_are_read_by_who_has_something_to_reduce(void **state)
{
    struct trouble t;
    struct task task;
    struct task_plan plan;
    struct err err = {0};
    unsigned n = 0;
    trouble_init(&t);
    must(task_fixture_create(t.store, &t.spec, "counted", &task, &err), &err);
    must(task_plan_make(&task, &t.f.state, &err), &err);
    must(task_plan_open(&task, &plan, &err), &err);
    for (uint32_t i = 0; i < plan.n_pieces; i++)
        must(task_map(&task, &plan, i, NULL, &err), &err);
    t.faulty->before = count_markers;
    t.faulty->context = &n;
    for (uint32_t i = 0; i < plan.n_groups; i++)
        must(task_reduce(&task, &plan, i, NULL, &err), &err);
    assert_int_equal(n, plan.n_groups * plan.n_pieces);
    for (uint32_t i = 0; i < plan.n_groups; i++)
        must(task_reduce(&task, &plan, i, NULL, &err), &err);
    must(task_stage_seal(&task, &plan, NULL, &err), &err);
    assert_int_equal(n, plan.n_groups * plan.n_pieces);
    t.faulty->before = NULL;
    assert_true(task_fixture_same(t.f.store, "reference", "counted"));
    task_plan_release(&plan);
    trouble_release(&t);
}

/* ---- many at once ---- */

struct worker {
    pthread_t thread;
    struct build_fixture *f;
    struct task task;
    int ret;
    struct err err;
};

static void *work(void *arg)
{
    struct worker *w = arg;
    w->ret = task_fixture_stages(&w->task, &w->f->state, &w->err);
    return NULL;
}

static void task__workers_at_the_same_steps_do_not_disturb_each_other(void **state)
{
    enum { N_WORKERS = 4, N_ROUNDS = 8 };
    struct build_fixture f;
    build_fixture_init(&f);
    add_quoted_csv(&f);
    struct task_spec spec = task_fixture_spec(&f, KEY_U64, "bytes", 300);
    spec.job.header = true;
    task_fixture_shards(&spec, 3, 2);
    build_reference(&f, &spec);
    for (int round = 0; round < N_ROUNDS; round++) {
        struct worker workers[N_WORKERS];
        struct task task;
        char name[16];
        snprintf(name, sizeof name, "t%d", round);
        must(task_fixture_create(f.store, &spec, name, &task, NULL), NULL);
        for (int i = 0; i < N_WORKERS; i++) {
            workers[i] = (struct worker){.f = &f, .task = task};
            assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
        }
        for (int i = 0; i < N_WORKERS; i++)
            pthread_join(workers[i].thread, NULL);
        for (int i = 0; i < N_WORKERS; i++)
            must(workers[i].ret, &workers[i].err);
        assert_true(task_fixture_same(f.store, "reference", name));
    }
    /* The directories of plans that came second are gone. */
    assert_int_equal(task_fixture_count(f.store, "tables/t/staging"), N_ROUNDS + 1);
    build_fixture_release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(task__of_mem_gives_the_bytes_of_a_build),
        cmocka_unit_test(task__of_blk_gives_the_bytes_of_a_build),
        cmocka_unit_test(task__of_idx_gives_the_bytes_of_a_build),
        cmocka_unit_test(task__trains_the_dictionary_that_a_build_trains),
        cmocka_unit_test(task__of_nothing_gives_what_a_build_gives),
        cmocka_unit_test(task__tells_what_was_built),
        cmocka_unit_test(task__of_a_delta_lies_on_its_base),
        cmocka_unit_test(task__mends_borders_that_were_guessed_wrongly),
        cmocka_unit_test(task__mended_pieces_meet),
        cmocka_unit_test(task__keeps_the_first_or_last_of_duplicates_in_any_piece),
        cmocka_unit_test(task__names_both_lines_of_a_duplicate),
        cmocka_unit_test(task__names_both_files_of_a_duplicate),
        cmocka_unit_test(task__names_lines_of_quoted_rows),
        cmocka_unit_test(task__counts_bad_rows_over_all_pieces),
        cmocka_unit_test(task__worker_is_heard_of_while_runs_are_made_durable),
        cmocka_unit_test(task__pieces_are_read_by_who_has_something_to_reduce),
        cmocka_unit_test(task__workers_at_the_same_steps_do_not_disturb_each_other),
        cmocka_unit_test(task__any_failing_call_is_made_good_by_a_retry),
        cmocka_unit_test(task__any_lost_reply_is_made_good_by_a_retry),
        cmocka_unit_test(task__dying_at_any_call_is_made_good_by_a_retry),
        cmocka_unit_test(task__dying_at_any_lost_reply_is_made_good_by_a_retry),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
