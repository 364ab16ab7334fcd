/* SPDX-License-Identifier: Apache-2.0 */
/* The directory of a build: its name, its mark, and others who want either. */
#include "unit.h"

#include "build_fixture.h"
#include "builder/meter.h"
#include "faulty_backend.h"

#include <errno.h>
#include <unistd.h>

static void build__a_task_name_is_sealed_once(void **state)
{
    struct build_fixture f;
    char task[TASK_NAME_MAX + 1];
    build_fixture_init(&f);
    assert_int_equal(build_fixture_sealed(f.store, task), -ENOENT);
    build_fixture_text(&f, "a.tsv", "a\t1\n");
    struct job job = build_fixture_job(&f, KEY_BYTES, "bytes");
    job.task = "monday";
    struct build_result result = {0};
    struct err err = {0};
    assert_int_equal(build_fixture_run(&f, &job, &result, &err), 0);
    assert_int_equal(build_fixture_run(&f, &job, &result, &err), -EEXIST);
    assert_non_null(strstr(err.text, "monday"));
    usleep(2000);
    job.task = "friday";
    assert_int_equal(build_fixture_run(&f, &job, &result, &err), 0);
    assert_int_equal(store_mkdir(f.store, "tables/t/staging/zunsealed/parts", NULL), 0);
    assert_int_equal(build_fixture_sealed(f.store, task), 0);
    assert_string_equal(task, "friday"); /* sealed last, whatever its name */
    build_fixture_release(&f);
}

/* Somebody else at the store, in the middle of a build. */
struct second {
    struct build_fixture *f;
    struct job job;
    int ret;
    bool done;
};

static void build_first(void *context, const char *op, const char *path)
{
    struct second *second = context;
    if (second->done || !strstr(path, "/parts/"))
        return;
    second->done = true;
    struct build_result result = {0};
    second->ret = build_fixture_run(second->f, &second->job, &result, NULL);
}

/* Two builds of one name at once: the slower one goes, and takes nothing of the other's with it. */
static void build__of_two_with_one_task_name_the_first_sealed_stays(void **state)
{
    struct build_fixture f;
    char task[TASK_NAME_MAX + 1];
    struct store *store = NULL;
    struct build_result result = {0};
    struct err err = {0};
    build_fixture_init(&f);
    build_fixture_text(&f, "a.tsv", "a\t1\n");
    struct job job = build_fixture_job(&f, KEY_BYTES, "bytes");
    job.task = "monday";
    struct second second = {.f = &f, .job = job, .ret = 1};
    struct faulty *faulty = faulty_new(f.memory, true);
    assert_int_equal(store_open_backend(&faulty->backend, "faulty:", &store, NULL), 0);
    faulty->before = build_first;
    faulty->context = &second;
    assert_int_equal(build_run(store, &f.state, &job, NULL, &result, &err), -EEXIST);
    assert_int_equal(second.ret, 0);
    assert_non_null(strstr(err.text, "--task"));
    assert_int_equal(build_fixture_sealed(f.store, task), 0);
    struct version_reader *reader = NULL;
    assert_int_equal(version_reader_open(f.store, "tables/t/staging/monday", NULL, &reader, NULL),
                     0);
    version_reader_close(reader);
    struct store_list left = {0};
    assert_int_equal(store_list(f.store, "tables/t/staging", &left, NULL), 0);
    assert_int_equal(left.n_names, 1);
    store_list_release(&left);
    store_close(store);
    build_fixture_release(&f);
}

/* What somebody else, a gc, does to a build under way. */
static void remove_work(void *context, const char *op, const char *path)
{
    struct second *second = context;
    if (second->done || !strstr(path, "/parts/"))
        return;
    second->done = true;
    assert_int_equal(store_remove_tree(second->f->store, "tables/t/staging", NULL), 0);
}

static void build__says_that_its_directory_was_removed(void **state)
{
    struct build_fixture f;
    struct store *store = NULL;
    struct build_result result = {0};
    struct err err = {0};
    build_fixture_init(&f);
    build_fixture_text(&f, "a.tsv", "a\t1\n");
    struct job job = build_fixture_job(&f, KEY_BYTES, "bytes");
    struct second second = {.f = &f};
    struct faulty *faulty = faulty_new(f.memory, true);
    assert_int_equal(store_open_backend(&faulty->backend, "faulty:", &store, NULL), 0);
    faulty->before = remove_work;
    faulty->context = &second;
    assert_int_equal(build_run(store, &f.state, &job, NULL, &result, &err), -ESTALE);
    assert_non_null(strstr(err.text, "build again"));
    store_close(store);
    build_fixture_release(&f);
}

static void count_call(void *context)
{
    ++*(unsigned *)context;
}

/* A map that takes hours writes nothing to the store but this. */
static void build__a_tick_marks_the_directory_every_minute(void **state)
{
    unsigned n_calls = 0;
    struct meter meter;
    meter_init(&meter, NULL);
    meter.keep = count_call;
    meter.keep_context = &n_calls;
    meter_tick(&meter);
    assert_int_equal(n_calls, 0);
    meter.began -= METER_KEEP_S;
    meter_tick(&meter);
    meter_tick(&meter);
    assert_int_equal(n_calls, 1);
    meter.began -= METER_KEEP_S;
    meter_tick(&meter);
    assert_int_equal(n_calls, 2);
}

static struct store *marked_store;

static void look_for_mark(void *context, const struct build_progress *progress)
{
    bool *was_marked = context;
    struct store_list list = {0};
    char path[LAYOUT_PATH_MAX];
    if (progress->stage != BUILD_MAP || store_list(marked_store, "tables/t/staging", &list, NULL))
        return;
    snprintf(path, sizeof path, "tables/t/staging/%s/.in-use", list.names[0]);
    *was_marked = *was_marked || layout_exists(marked_store, path, NULL) == 1;
    store_list_release(&list);
}

static void build__is_marked_while_it_lasts_only(void **state)
{
    struct build_fixture f;
    bool was_marked = false;
    struct build_hooks hooks = {.progress = look_for_mark, .context = &was_marked};
    struct build_result result = {0};
    build_fixture_init(&f);
    build_fixture_text(&f, "a.tsv", "a\t1\n");
    struct job job = build_fixture_job(&f, KEY_BYTES, "bytes");
    job.task = "monday";
    marked_store = f.store;
    assert_int_equal(build_run(f.store, &f.state, &job, &hooks, &result, NULL), 0);
    assert_true(was_marked);
    assert_int_equal(layout_exists(f.store, "tables/t/staging/monday/.in-use", NULL), 0);
    build_fixture_release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(build__a_task_name_is_sealed_once),
        cmocka_unit_test(build__of_two_with_one_task_name_the_first_sealed_stays),
        cmocka_unit_test(build__says_that_its_directory_was_removed),
        cmocka_unit_test(build__a_tick_marks_the_directory_every_minute),
        cmocka_unit_test(build__is_marked_while_it_lasts_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
