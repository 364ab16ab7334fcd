/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "builder/job_file.h"
#include "builder/job_inputs.h"
#include "builder/toml.h"
#include "temp_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct fixture {
    char dir[TEMP_DIR_MAX];
    char path[TEMP_DIR_MAX + 64];
};

static const char *path_of(struct fixture *f, const char *name)
{
    snprintf(f->path, sizeof f->path, "%s/%s", f->dir, name);
    return f->path;
}

static void put(struct fixture *f, const char *name, const char *text)
{
    FILE *file = fopen(path_of(f, name), "w");
    assert_non_null(file);
    assert_int_equal(fputs(text, file) >= 0, 1);
    assert_int_equal(fclose(file), 0);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    temp_dir_make(f->dir);
    assert_int_equal(mkdir(path_of(f, "in"), 0755), 0);
    assert_int_equal(mkdir(path_of(f, "in [x]"), 0755), 0);
    static const char *const files[] = {"in/b.tsv",  "in/a.tsv",     "in/B.tsv",       "in/c.csv",
                                        "in/.h.tsv", "in [x]/1.tsv", "in [x]/2\\3.tsv"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        put(f, files[i], "1\t2\n");
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    temp_dir_remove(f->dir);
    free(f);
    return 0;
}

static void reads(struct fixture *f, const char *name, struct task_document *out)
{
    struct err err = {0};
    int ret = job_file_read(path_of(f, name), out, &err);
    if (ret)
        fail_msg("%d %s", ret, err.text);
}

static void fails(struct fixture *f, const char *name, int code, const char *says)
{
    struct task_document document = {0};
    struct err err = {0};
    int ret = job_file_read(path_of(f, name), &document, &err);
    if (ret != code || err.code != code || !strstr(err.text, says) || !strstr(err.text, f->path))
        fail_msg("expected %d %s, found %d %d %s", code, says, ret, err.code, err.text);
    assert_null(document.json);
}

/* The inputs, without the directory, one after the other. */
static void has_inputs(struct fixture *f, const struct task_document *document,
                       const char *expected)
{
    char all[512] = "";
    for (size_t i = 0; i < document->spec.job.n_inputs; i++) {
        const char *input = document->spec.job.inputs[i];
        size_t len = strlen(f->dir);
        bool is_ours = !strncmp(input, f->dir, len) && input[len] == '/';
        strcat(all, i ? "|" : "");
        strcat(all, is_ours ? input + len + 1 : input);
    }
    assert_string_equal(all, expected);
}

static void job_file__toml_and_json_say_the_same(void **state)
{
    struct fixture *f = *state;
    struct task_document toml = {0}, json = {0};
    struct buf a = {0}, b = {0};
    put(f, "job.toml",
        "table = 'ads'\ninputs = ['in/a.tsv']\n[schema]\nkey = 'u64'\n[checkpoint]\nshare = 0.5\n");
    put(f, "job.json",
        "{\"checkpoint\": {\"share\": 0.5}, \"inputs\": [\"in/a.tsv\"], \"table\": \"ads\", "
        "\"schema\": {\"key\": \"u64\"}}");
    reads(f, "job.toml", &toml);
    reads(f, "job.json", &json);
    assert_int_equal(task_spec_encode(&toml.spec, &a, NULL), 0);
    assert_int_equal(task_spec_encode(&json.spec, &b, NULL), 0);
    assert_int_equal(a.len, b.len);
    assert_memory_equal(a.data, b.data, a.len);
    assert_string_equal(toml.spec.job.table, "ads");
    has_inputs(f, &toml, "in/a.tsv");
    task_document_release(&toml);
    task_document_release(&json);
    buf_release(&a);
    buf_release(&b);
}

static void job_file__paths_are_seen_from_its_directory(void **state)
{
    struct fixture *f = *state;
    struct task_document document = {0};
    put(f, "job.toml",
        "inputs = ['in/a.tsv', './x', '/abs/y', 's3://bucket/k?*']\nscratch = 'tmp'\n");
    reads(f, "job.toml", &document);
    has_inputs(f, &document, "in/a.tsv|./x|/abs/y|s3://bucket/k?*");
    assert_string_equal(document.spec.job.scratch, path_of(f, "tmp"));
    task_document_release(&document);
    put(f, "job.toml", "scratch = '/ssd'\nsql = 'from a.parquet'\n");
    reads(f, "job.toml", &document);
    assert_string_equal(document.spec.job.scratch, "/ssd");
    has_inputs(f, &document, "from a.parquet");
    task_document_release(&document);
}

static void job_file__its_own_path_may_be_relative(void **state)
{
    struct fixture *f = *state;
    struct task_document document = {0};
    char was[4096];
    put(f, "in/job.toml", "inputs = ['a.tsv', '[bB].tsv']\n");
    assert_non_null(getcwd(was, sizeof was));
    assert_int_equal(chdir(f->dir), 0);
    int ret = job_file_read("in/job.toml", &document, NULL);
    if (!ret)
        has_inputs(f, &document, "in/a.tsv|in/B.tsv|in/b.tsv");
    task_document_release(&document);
    int again = chdir("in");
    again = again ? again : job_file_read("job.toml", &document, NULL);
    if (!again)
        has_inputs(f, &document, "in/a.tsv|in/B.tsv|in/b.tsv");
    task_document_release(&document);
    assert_int_equal(chdir(was), 0);
    assert_int_equal(ret, 0);
    assert_int_equal(again, 0);
}

static void job_file__patterns_become_files_in_the_order_of_their_bytes(void **state)
{
    struct fixture *f = *state;
    struct task_document document = {0};
    put(f, "job.toml", "inputs = ['in/*.tsv', 'in/c.csv', 'in/?.csv']\n");
    reads(f, "job.toml", &document);
    has_inputs(f, &document, "in/B.tsv|in/a.tsv|in/b.tsv|in/c.csv|in/c.csv");
    task_document_release(&document);
    char text[512];
    snprintf(text, sizeof text, "inputs = ['%s/in/[a-b].tsv', 'i*/a.tsv']\n", f->dir);
    put(f, "job.toml", text);
    reads(f, "job.toml", &document);
    has_inputs(f, &document, "in/a.tsv|in/b.tsv|in/a.tsv");
    task_document_release(&document);
}

/* Only what the job itself says is a pattern, and a backslash is a letter like any other. */
static void job_file__its_directory_may_look_like_a_pattern(void **state)
{
    struct fixture *f = *state;
    struct task_document document = {0};
    put(f, "in [x]/job.toml", "inputs = ['*.tsv', '2\\?.tsv', '1.tsv']\n");
    reads(f, "in [x]/job.toml", &document);
    has_inputs(f, &document, "in [x]/1.tsv|in [x]/2\\3.tsv|in [x]/2\\3.tsv|in [x]/1.tsv");
    task_document_release(&document);
    put(f, "job.toml", "inputs = ['in [[]x]/*.tsv']\n");
    reads(f, "job.toml", &document);
    has_inputs(f, &document, "in [x]/1.tsv|in [x]/2\\3.tsv");
    task_document_release(&document);
}

static void job_file__refuses_what_it_cannot_find(void **state)
{
    struct fixture *f = *state;
    put(f, "job.toml", "inputs = ['in/*.parquet']\n");
    fails(f, "job.toml", -ENOENT, "inputs: expected files that match in/*.parquet, found none");
    put(f, "job.toml", "inputs = ['in/a.tsv', '-']\n");
    fails(f, "job.toml", -EINVAL, "inputs: expected files, found \"-\"");
    put(f, "in/x\xff.txt", "");
    put(f, "job.toml", "inputs = ['in/*.txt']\n");
    fails(f, "job.toml", -EINVAL, "inputs: expected file names in UTF-8");
    fails(f, "none.toml", -ENOENT, "none.toml");
    fails(f, "in/a.tsv", -EINVAL, "expected a job file, .toml or .json");
    fails(f, ".toml", -ENOENT, ".toml");
    assert_int_equal(mkdir(path_of(f, "dir.toml"), 0755), 0);
    fails(f, "dir.toml", -EISDIR, "dir.toml: reading");
}

static void job_file__mistakes_are_the_writers(void **state)
{
    struct fixture *f = *state;
    put(f, "job.toml", "table = 'ads'\n\nschema.value = 8\n");
    fails(f, "job.toml", -EINVAL, "job.toml: schema.value: expected \"bytes\"");
    put(f, "job.toml", "table = 'ads'\ntable = 'b'\n");
    fails(f, "job.toml", -EINVAL, "job.toml: line 2, column ");
    put(f, "job.json", "{\"table\": ");
    fails(f, "job.json", -EINVAL, "job.json: expected a JSON object, found a fault at line 1");
    put(f, "job.toml", "inputs = [1]\n");
    fails(f, "job.toml", -EINVAL, "inputs[0]: expected a text");
    put(f, "job.toml", "inputs = 'in/a.tsv'\nscratch = 5\n");
    fails(f, "job.toml", -EINVAL, "inputs: expected a list");
    put(f, "job.toml", "scratch = 5\n");
    fails(f, "job.toml", -EINVAL, "scratch: expected a text");
    put(f, "job.json", "[]");
    fails(f, "job.json", -EINVAL, "expected a JSON object");
}

static void job_file__sizes_are_bounded(void **state)
{
    struct fixture *f = *state;
    put(f, "big.toml", "");
    put(f, "big.json", "");
    assert_int_equal(truncate(path_of(f, "big.toml"), TOML_LEN_MAX + 1), 0);
    fails(f, "big.toml", -EINVAL, "expected at most 1048576 bytes, found more");
    assert_int_equal(truncate(path_of(f, "big.json"), TASK_JSON_MAX + 1), 0);
    fails(f, "big.json", -EINVAL, "expected at most 67108864 bytes, found more");
}

/* What comes in on standard input is JSON when it begins as JSON does. */
static void job_file__standard_input_may_be_either(void **state)
{
    struct fixture *f = *state;
    static const char *const texts[] = {"\n {\"table\": \"ads\"}", "\n table = \"ads\"\n"};
    int was = dup(STDIN_FILENO);
    for (size_t i = 0; i < 2; i++) {
        struct task_document document = {0};
        put(f, "text", texts[i]);
        int fd = open(path_of(f, "text"), O_RDONLY | O_CLOEXEC);
        assert_true(fd >= 0 && dup2(fd, STDIN_FILENO) == STDIN_FILENO);
        close(fd);
        assert_int_equal(job_file_read("-", &document, NULL), 0);
        assert_string_equal(document.spec.job.table, "ads");
        task_document_release(&document);
    }
    if (was >= 0) {
        dup2(was, STDIN_FILENO);
        close(was);
    }
}

/* Those that come with fkv are right, and the one that builds names files that are there. */
static void job_file__the_examples_are_jobs(void **state)
{
    struct task_document document = {0};
    struct err err = {0};
    if (job_file_read(FKV_SOURCE_DIR "/examples/job.toml", &document, &err))
        fail_msg("%s", err.text);
    assert_int_equal(job_check(&document.spec.job, &err), 0);
    assert_int_equal(document.spec.job.n_inputs, 1);
    assert_int_equal(access(document.spec.job.inputs[0], R_OK), 0);
    task_document_release(&document);
    if (job_file_read(FKV_SOURCE_DIR "/examples/hourly.toml", &document, &err))
        fail_msg("%s", err.text);
    assert_true(document.spec.job.is_delta && document.spec.job.diff_base);
    assert_int_equal(document.spec.job.format, INPUT_SQL);
    task_document_release(&document);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(job_file__toml_and_json_say_the_same, setup, teardown),
        cmocka_unit_test_setup_teardown(job_file__paths_are_seen_from_its_directory, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(job_file__its_own_path_may_be_relative, setup, teardown),
        cmocka_unit_test_setup_teardown(job_file__patterns_become_files_in_the_order_of_their_bytes,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(job_file__its_directory_may_look_like_a_pattern, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(job_file__refuses_what_it_cannot_find, setup, teardown),
        cmocka_unit_test_setup_teardown(job_file__mistakes_are_the_writers, setup, teardown),
        cmocka_unit_test_setup_teardown(job_file__sizes_are_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(job_file__standard_input_may_be_either, setup, teardown),
        cmocka_unit_test(job_file__the_examples_are_jobs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
