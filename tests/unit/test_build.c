/* SPDX-License-Identifier: Apache-2.0 */
/* Whole builds, on a store in memory and on a directory. test_build_blk.c and test_build_idx.c run them for their kinds. */
#include "unit.h"

#include "base/scope.h"
#include "build_fixture.h"
#include "codec/vector.h"
#include "faulty_backend.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zstd.h>

#ifndef BUILD_KIND
#define BUILD_KIND KIND_MEM
#endif

/* Sanitizers make everything slower, and their shadow memory counts too. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { HAS_SANITIZER = 1 };
#else
enum { HAS_SANITIZER = 0 };
#endif

/* Runs the job, which must work. */
static struct build_result must_build(struct build_fixture *f, const struct job *job)
{
    struct build_result result = {0};
    struct err err = {0};
    if (build_fixture_run(f, job, &result, &err))
        fail_msg("%s", err.text);
    return result;
}

/* Runs the job, which must fail with that code and words, and leave nothing. */
static void must_fail(struct build_fixture *f, const struct job *job, int code, const char *words)
{
    struct build_result result = {.rows = 77};
    struct err err = {0};
    struct store_list list = {0};
    int ret = build_fixture_run(f, job, &result, &err);
    if (ret != code || !strstr(err.text, words))
        fail_msg("expected %d and \"%s\", found %d: %s", code, words, ret, err.text);
    assert_int_equal(result.rows, 77);
    ret = store_list(f->store, "tables/t/staging", &list, NULL);
    assert_true(ret == -ENOENT || list.n_names == 0);
    store_list_release(&list);
}

static bool has_bytes(const struct version_reader *reader, const char *key, const char *value)
{
    const uint8_t *found = NULL;
    uint32_t len = 0;
    int got = build_fixture_find_bytes(reader, key, &found, &len);
    assert_true(got >= 0);
    if (!value)
        return got == 0;
    return got == 1 && len == strlen(value) && memcmp(found, value, len) == 0;
}

/* ---- what goes in comes out ---- */

static void build__every_row_is_found_with_its_value(void **state)
{
    struct build_fixture f;
    struct buf text = {0};
    build_fixture_init(&f);
    for (int i = 0; i < 20000; i++)
        buf_printf(&text, "%d\tvalue of %d\n", i * 7, i);
    build_fixture_input(&f, "a.tsv", text.data, text.len);
    struct job job = build_fixture_job(&f, KEY_U64, "bytes");
    struct build_result result = must_build(&f, &job);
    assert_int_equal(result.rows, 20000);
    assert_int_equal(result.n_keys, 20000);
    assert_int_equal(result.input_bytes, text.len);
    assert_int_equal(result.n_shards, 1);
    struct version_reader *reader = build_fixture_open_task(&f, &result);
    assert_int_equal(version_reader_desc(reader)->n_keys, 20000);
    for (int i = 0; i < 140000; i++) {
        char expected[32];
        const uint8_t *value = NULL;
        uint32_t len = 0;
        int got = build_fixture_find_u64(reader, (uint64_t)i, &value, &len);
        assert_int_equal(got, i % 7 == 0);
        if (got) {
            assert_int_equal(len, snprintf(expected, sizeof expected, "value of %d", i / 7));
            assert_memory_equal(value, expected, len);
        }
    }
    version_reader_close(reader);
    buf_release(&text);
    build_fixture_release(&f);
}

static void build__three_formats_in_one_table(void **state)
{
    struct build_fixture f;
    build_fixture_init(&f);
    build_fixture_text(&f, "a.tsv", "tab\ta\\tb\n");
    build_fixture_text(&f, "b.csv", "comma,\"a,b\"\n");
    build_fixture_text(&f, "c.jsonl",
                       "{\"key\":\"json\",\"value\":\"{}\"}\n{\"key\":\"none\",\"value\":\"\"}\n");
    struct job job = build_fixture_job(&f, KEY_BYTES, "bytes");
    struct build_result result = must_build(&f, &job);
    struct version_reader *reader = build_fixture_open_task(&f, &result);
    assert_true(has_bytes(reader, "tab", "a\tb"));
    assert_true(has_bytes(reader, "comma", "a,b"));
    assert_true(has_bytes(reader, "json", "{}"));
    assert_true(has_bytes(reader, "none", ""));
    assert_true(has_bytes(reader, "no", NULL));
    version_reader_close(reader);
    build_fixture_release(&f);
}

static void build__an_empty_input_makes_an_empty_table(void **state)
{
    struct build_fixture f;
    build_fixture_init(&f);
    build_fixture_text(&f, "a.tsv", "");
    struct job job = build_fixture_job(&f, KEY_BYTES, "f16[4]");
    struct build_result result = must_build(&f, &job);
    struct version_reader *reader = build_fixture_open_task(&f, &result);
    assert_int_equal(result.n_keys, 0);
    assert_true(has_bytes(reader, "no", NULL));
    version_reader_close(reader);
    build_fixture_release(&f);
}

static void build__a_table_may_have_many_shards(void **state)
{
    struct build_fixture f;
    struct buf text = {0};
    build_fixture_init(&f);
    for (int i = 0; i < 3000; i++)
        buf_printf(&text, "key%d\tv%d\n", i, i);
    build_fixture_input(&f, "a.tsv", text.data, text.len);
    struct job job = build_fixture_job(&f, KEY_BYTES, "bytes");
    static const uint32_t shards[] = {2, 3, 24, 100};
    for (int s = 0; s < 4; s++) {
        job.schema.n_shards = shards[s];
        struct build_result result = must_build(&f, &job);
        struct version_reader *reader = build_fixture_open_task(&f, &result);
        assert_int_equal(result.n_shards, shards[s]);
        assert_int_equal(result.n_keys, 3000);
        for (int i = 0; i < 3000; i++) {
            char key[16];
            char value[16];
            snprintf(key, sizeof key, "key%d", i);
            snprintf(value, sizeof value, "v%d", i);
            assert_true(has_bytes(reader, key, value));
        }
        version_reader_close(reader);
    }
    buf_release(&text);
    build_fixture_release(&f);
}

/* The words that come with the project: 100 floats each, stored as f16. */
static void build__the_word_vectors(void **state)
{
    struct build_fixture f;
    build_fixture_init(&f);
    f.inputs[f.n_inputs++] = strdup(FKV_SOURCE_DIR "/examples/data/word-vectors.tsv.zst");
    struct job job = build_fixture_job(&f, KEY_BYTES, "f16[100]");
    struct build_result result = must_build(&f, &job);
    assert_int_equal(result.rows, 5000);
    assert_int_equal(result.n_keys, 5000);
    struct version_reader *reader = build_fixture_open_task(&f, &result);
    const uint8_t *value = NULL;
    uint32_t len = 0;
    float floats[100];
    assert_int_equal(build_fixture_find_bytes(reader, "the", &value, &len), 1);
    assert_int_equal(len, 200);
    vector_decoder(ELEM_F16)(value, 100, floats);
    assert_true(fabs((double)floats[0] - -0.038194) < 0.00002);
    version_reader_close(reader);
    build_fixture_release(&f);
}

/* ---- the same input gives the same bytes ---- */

/* Rows of 4 KiB: 16,000 of them are not held by 64 MiB of memory; with repeated keys. */
#define ROW_VALUE "bytes[4096]"
static void make_rows(struct buf *text, int n)
{
    uint64_t seed = 42;
    for (int i = 0; i < n; i++) {
        seed = hash_u64(seed, 1);
        buf_printf(text, "%d\t%016llx", (int)(seed % (unsigned)(n * 3 / 4)),
                   (unsigned long long)seed);
        FIXTURE_MUST(buf_reserve(text, 4096) == 0);
        memset(text->data + text->len, 'a' + (int)(seed % 26), 4080);
        text->len += 4080;
        buf_add_byte(text, '\n');
    }
}

/* The parts' names, which hold their digests. */
static void part_names(struct build_fixture *f, const struct build_result *result, struct buf *out)
{
    char dir[STORE_PATH_MAX];
    struct version_desc desc = {0};
    buf_clear(out);
    snprintf(dir, sizeof dir, "tables/t/staging/%s", result->task);
    assert_int_equal(version_desc_read(f->store, dir, NULL, &desc, NULL), 0);
    for (size_t i = 0; i < desc.n_parts; i++) {
        char name[PART_FILE_NAME_MAX];
        part_file_name(&desc.parts[i], name);
        buf_printf(out, "%s ", name);
    }
    version_desc_release(&desc);
    assert_int_equal(store_remove_tree(f->store, dir, NULL), 0);
}

static void build__threads_and_memory_do_not_reach_the_bytes(void **state)
{
    struct build_fixture f;
    struct buf text = {0};
    struct buf expected = {0};
    struct buf found = {0};
    build_fixture_init(&f);
    make_rows(&text, 16000);
    build_fixture_input(&f, "a.tsv", text.data, text.len);
    struct job job = build_fixture_job(&f, KEY_U64, ROW_VALUE);
    for (int policy = DUPLICATE_FIRST; policy <= DUPLICATE_LAST; policy++) {
        job.duplicates = (enum duplicate_policy)policy;
        for (int i = 0; i < 6; i++) {
            static const uint32_t threads[] = {1, 2, 7};
            job.n_threads = threads[i % 3];
            job.memory = i < 3 ? JOB_MEMORY_MIN : 1ULL << 30;
            job.schema.n_shards = policy == DUPLICATE_FIRST ? 4 : 0;
            struct build_result result = must_build(&f, &job);
            assert_true(result.duplicates > 0);
            assert_int_equal(result.n_keys + result.duplicates, result.rows);
            part_names(&f, &result, i ? &found : &expected);
            if (i)
                assert_string_equal(found.data, expected.data);
        }
    }
    buf_release(&text);
    buf_release(&expected);
    buf_release(&found);
    build_fixture_release(&f);
}

/* One file, or the same rows in many, some compressed. */
static void build__splitting_the_input_does_not_reach_the_bytes(void **state)
{
    struct build_fixture f;
    struct buf text = {0};
    struct buf expected = {0};
    struct buf found = {0};
    build_fixture_init(&f);
    make_rows(&text, 3000);
    build_fixture_input(&f, "all.tsv", text.data, text.len);
    struct job job = build_fixture_job(&f, KEY_U64, ROW_VALUE);
    job.duplicates = DUPLICATE_LAST;
    struct build_result result = must_build(&f, &job);
    part_names(&f, &result, &expected);
    build_fixture_no_inputs(&f);
    scope_free char *packed = malloc(ZSTD_compressBound(text.len));
    for (size_t from = 0, i = 0; from < text.len; i++) {
        char name[48];
        size_t to = from + text.len / 10 < text.len ? from + text.len / 10 : text.len;
        while (to < text.len && text.data[to - 1] != '\n')
            to++;
        snprintf(name, sizeof name, i % 2 ? "part%zu.tsv.zst" : "part%zu.tsv", i);
        if (i % 2) {
            size_t n =
                ZSTD_compress(packed, ZSTD_compressBound(text.len), text.data + from, to - from, 1);
            build_fixture_input(&f, name, packed, n);
        } else {
            build_fixture_input(&f, name, text.data + from, to - from);
        }
        from = to;
    }
    job = build_fixture_job(&f, KEY_U64, ROW_VALUE);
    job.duplicates = DUPLICATE_LAST;
    job.n_threads = 5;
    result = must_build(&f, &job);
    part_names(&f, &result, &found);
    assert_string_equal(found.data, expected.data);
    buf_release(&text);
    buf_release(&expected);
    buf_release(&found);
    build_fixture_release(&f);
}

/* ---- repeated keys and bad rows ---- */

static void build__the_policy_decides_between_rows_of_one_key(void **state)
{
    struct build_fixture f;
    build_fixture_init(&f);
    build_fixture_text(&f, "a.tsv", "k\t1\nother\tx\nk\t2\n");
    build_fixture_text(&f, "b.tsv", "z\tz\nk\t3\n");
    struct job job = build_fixture_job(&f, KEY_BYTES, "bytes");
    must_fail(&f, &job, -EEXIST, "a.tsv:3: key k was given before, at ");
    must_fail(&f, &job, -EEXIST, "a.tsv:1;");
    for (int policy = DUPLICATE_FIRST; policy <= DUPLICATE_LAST; policy++) {
        job.duplicates = (enum duplicate_policy)policy;
        struct build_result result = must_build(&f, &job);
        struct version_reader *reader = build_fixture_open_task(&f, &result);
        assert_true(has_bytes(reader, "k", policy == DUPLICATE_FIRST ? "1" : "3"));
        assert_int_equal(result.duplicates, 2);
        assert_int_equal(result.n_keys, 3);
        version_reader_close(reader);
    }
    build_fixture_release(&f);
}

struct told {
    char text[4096];
};

static void tell(void *context, const char *text)
{
    struct told *told = context;
    snprintf(told->text + strlen(told->text), sizeof told->text - strlen(told->text), "%s\n",
             strrchr(text, '/') + 1);
}

static void build__bad_rows_are_named_in_order_and_counted(void **state)
{
    struct build_fixture f;
    struct told told = {0};
    struct build_result result = {0};
    build_fixture_init(&f);
    build_fixture_text(&f, "a.tsv", "1\t1,2\n2\t1\nx\t1,2\n");
    build_fixture_text(&f, "b.tsv", "4\t1,2\n-5\t1,2\n");
    struct job job = build_fixture_job(&f, KEY_U64, "f32[2]");
    struct build_hooks hooks = {.bad_row = tell, .context = &told};
    job.max_bad = 3;
    assert_int_equal(build_run(f.store, &f.state, &job, &hooks, &result, NULL), 0);
    assert_int_equal(result.bad_rows, 3);
    assert_int_equal(result.rows, 5);
    assert_int_equal(result.n_keys, 2);
    assert_string_equal(told.text, "a.tsv:2: expected a vector of 2 elements, found fewer\n"
                                   "a.tsv:3: key: expected decimal digits (u64), found \"x\"\n"
                                   "b.tsv:2: key: expected decimal digits (u64), found \"-5\"\n");
    assert_int_equal(store_remove_tree(f.store, "tables/t/staging", NULL), 0);
    job.max_bad = 2;
    must_fail(&f, &job, -EBADMSG, "more than 2 bad rows");
    must_fail(&f, &job, -EBADMSG, "a.tsv:2: expected a vector");
    job.max_bad = 0;
    must_fail(&f, &job, -EBADMSG, "a.tsv:2: expected a vector");
    build_fixture_release(&f);
}

/* Whoever finds a fault first, the first one in the input is told. */
static void build__the_first_fault_is_told_whoever_finds_it(void **state)
{
    struct build_fixture f;
    struct buf text = {0};
    build_fixture_init(&f);
    for (int i = 0; i < 300000; i++)
        buf_printf(&text, "%d\tv\n", i);
    buf_printf(&text, "bad\tv\n");
    build_fixture_input(&f, "a.tsv", text.data, text.len);
    build_fixture_text(&f, "b.tsv", "worse\tv\n");
    build_fixture_text(&f, "c.tsv.zst", "not zstd at all");
    struct job job = build_fixture_job(&f, KEY_U64, "bytes");
    for (uint32_t i = 1; i < 12; i++) {
        job.n_threads = i;
        must_fail(&f, &job, -EBADMSG, "a.tsv:300001: key");
    }
    buf_release(&text);
    build_fixture_release(&f);
}

static void build__a_missing_input_is_named_before_anything_begins(void **state)
{
    struct build_fixture f;
    build_fixture_init(&f);
    build_fixture_text(&f, "a.tsv", "1\tv\n");
    f.inputs[f.n_inputs++] = strdup("/nowhere/b.tsv");
    struct job job = build_fixture_job(&f, KEY_U64, "bytes");
    must_fail(&f, &job, -ENOENT, "/nowhere/b.tsv");
    free(f.inputs[1]);
    f.inputs[1] = strdup(f.dir);
    job.format = INPUT_TSV;
    must_fail(&f, &job, -EISDIR, "directory");
    build_fixture_release(&f);
}

/* A line of 100 MB costs no more memory than the longest row may have. */
static void build__a_hostile_line_is_one_bad_row(void **state)
{
    struct build_fixture f;
    struct buf text = {0};
    build_fixture_init(&f);
    assert_int_equal(buf_printf(&text, "1\tabcd\n2\t"), 0);
    size_t len = HAS_SANITIZER ? 8 << 20 : 100 << 20;
    assert_int_equal(buf_reserve(&text, len), 0);
    memset(text.data + text.len, 'x', len);
    text.len += len;
    assert_int_equal(buf_printf(&text, "\n3\tefgh\n"), 0);
    build_fixture_input(&f, "a.tsv", text.data, text.len);
    struct job job = build_fixture_job(&f, KEY_U64, "bytes[4]");
    must_fail(&f, &job, -EBADMSG, "a.tsv:2: expected a row of at most");
    job.max_bad = 1;
    struct build_result result = must_build(&f, &job);
    assert_int_equal(result.n_keys, 2);
    buf_release(&text);
    build_fixture_release(&f);
}

/* ---- deltas ---- */

static void build__a_delta_lies_over_its_base(void **state)
{
    struct build_fixture f;
    build_fixture_init(&f);
    build_fixture_text(&f, "a.tsv", "a\t1\nb\t2\nc\t3\n");
    struct job job = build_fixture_job(&f, KEY_BYTES, "bytes");
    job.schema.n_shards = 3;
    struct build_result full = must_build(&f, &job);
    assert_int_equal(build_fixture_publish(&f, &full), 1);
    build_fixture_no_inputs(&f);
    build_fixture_text(&f, "d1.jsonl",
                       "{\"key\":\"b\",\"value\":\"20\"}\n{\"key\":\"c\",\"deleted\":true}\n"
                       "{\"key\":\"d\",\"value\":\"4\"}\n{\"key\":\"none\",\"deleted\":true}\n");
    job = build_fixture_job(&f, KEY_BYTES, "bytes");
    job.is_delta = true;
    job.schema = (struct schema){0};
    struct build_result delta = must_build(&f, &job);
    assert_int_equal(delta.base, 1);
    assert_int_equal(delta.n_keys, 2);
    assert_int_equal(delta.n_tombstones, 2);
    assert_int_equal(delta.n_shards, 3);
    assert_int_equal(build_fixture_publish(&f, &delta), 2);
    /* A second one over the first brings a deleted key back. */
    build_fixture_no_inputs(&f);
    build_fixture_text(&f, "d2.tsv", "c\t30\na\nzzz\n");
    job = build_fixture_job(&f, KEY_BYTES, "bytes");
    job.is_delta = true;
    job.tombstones_file_mode = true;
    job.base = 2;
    delta = must_build(&f, &job);
    struct version_reader *reader = build_fixture_open_task(&f, &delta);
    const struct version_desc *desc = version_reader_desc(reader);
    assert_int_equal(desc->n_levels, 3);
    assert_int_equal(desc->base, 2);
    assert_int_equal(desc->n_keys, 3);
    assert_int_equal(desc->n_entries, 3);
    assert_true(has_bytes(reader, "a", NULL));
    assert_true(has_bytes(reader, "b", "20"));
    assert_true(has_bytes(reader, "c", "30"));
    assert_true(has_bytes(reader, "d", "4"));
    assert_true(has_bytes(reader, "none", NULL));
    version_reader_close(reader);
    build_fixture_release(&f);
}

static void build__a_delta_needs_a_base_that_can_carry_it(void **state)
{
    struct build_fixture f;
    build_fixture_init(&f);
    build_fixture_text(&f, "a.tsv", "a\t1\n");
    struct job delta = build_fixture_job(&f, KEY_BYTES, "bytes");
    delta.is_delta = true;
    must_fail(&f, &delta, -ENOENT, "build a full one first");
    struct job full = build_fixture_job(&f, KEY_BYTES, "bytes");
    for (int i = 0; i < 2; i++) {
        struct build_result result = must_build(&f, &full);
        build_fixture_publish(&f, &result);
    }
    delta.base = 1;
    must_fail(&f, &delta, -ESTALE, "newest version, 2, not on 1");
    delta.base = 9;
    must_fail(&f, &delta, -ENOENT, "no version 9");
    delta.base = 2;
    assert_int_equal(schema_set_value(&delta.schema, "bytes[4]", NULL), 0);
    must_fail(&f, &delta, -ESTALE, "cannot lie on version 2");
    build_fixture_release(&f);
}

static void build__a_delta_over_a_damaged_base_is_refused(void **state)
{
    struct build_fixture f;
    struct version_desc desc = {0};
    build_fixture_init(&f);
    build_fixture_text(&f, "a.tsv", "a\t1\n");
    struct job job = build_fixture_job(&f, KEY_BYTES, "bytes");
    struct build_result result = must_build(&f, &job);
    build_fixture_publish(&f, &result);
    assert_int_equal(version_desc_read(f.store, "tables/t/v/1", NULL, &desc, NULL), 0);
    char path[STORE_PATH_MAX];
    char name[PART_FILE_NAME_MAX];
    struct buf part = {0};
    part_file_name(&desc.parts[0], name);
    snprintf(path, sizeof path, "tables/t/v/1/parts/%s", name);
    assert_int_equal(store_get(f.store, path, 1 << 20, &part, NULL), 0);
    part.data[100] ^= 1;
    assert_int_equal(store_put(f.store, path, part.data, part.len, NULL), 0);
    job.is_delta = true;
    must_fail(&f, &job, -EBADMSG, "chunk 0");
    buf_release(&part);
    version_desc_release(&desc);
    build_fixture_release(&f);
}

static void build__progress_is_told_and_cancel_obeyed(void **state)
{
    struct build_fixture f;
    struct build_result result = {0};
    static const atomic_bool cancel = true;
    struct build_hooks hooks = {.cancel = &cancel};
    build_fixture_init(&f);
    build_fixture_text(&f, "a.tsv", "a\t1\n");
    struct job job = build_fixture_job(&f, KEY_BYTES, "bytes");
    assert_int_equal(build_run(f.store, &f.state, &job, &hooks, &result, NULL), -ECANCELED);
    build_fixture_release(&f);
}

/* ---- things go wrong ---- */

/* Whichever call to the store fails, the build says so, and a later one works. */
static void build__every_failure_of_the_store_is_survived(void **state)
{
    struct build_fixture f;
    build_fixture_init(&f);
    build_fixture_text(&f, "a.tsv", "a\t1\nb\t2\n");
    struct job job = build_fixture_job(&f, KEY_BYTES, "bytes");
    job.n_threads = 1;
    job.task = "task";
    struct build_result result = must_build(&f, &job);
    build_fixture_publish(&f, &result);
    job.is_delta = true;
    /* The same store, behind a backend that fails. */
    struct faulty *faulty = faulty_new(f.memory, true);
    struct store *store = NULL;
    assert_int_equal(store_open_backend(&faulty->backend, "faulty:", &store, NULL), 0);
    unsigned nth = 1;
    for (;; nth++) {
        struct sealed sealed = {0};
        struct err err = {0};
        faulty_arm(faulty, nth, FAULTY_FAIL, -EIO);
        int ret = build_run(store, &f.state, &job, NULL, &result, &err);
        faulty_disarm(faulty);
        if (!faulty->was_hit)
            break;
        if (ret == 0) {
            /* Only tidying up failed. */
            assert_int_equal(store_remove_tree(f.store, "tables/t/staging", NULL), 0);
            continue;
        }
        assert_int_equal(ret, -EIO);
        assert_true(err.text[0]);
        assert_int_equal(sealed_find(f.store, &f.state, "t", NULL, &sealed, NULL), -ENOENT);
    }
    assert_true(nth > 10);
    store_close(store);
    build_fixture_release(&f);
}

/* Runs fn in a child; its exit status, or 1000 + the signal that ended it. */
static int in_child(int (*fn)(struct build_fixture *f), struct build_fixture *f, useconds_t kill_us)
{
    int status = 0;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(fn(f));
    if (kill_us) {
        usleep(kill_us);
        kill(pid, SIGKILL);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static int build_on_directory(struct build_fixture *f)
{
    char url[TEMP_DIR_MAX + 16];
    struct store *store = NULL;
    struct build_result result = {0};
    struct job job = build_fixture_job(f, KEY_U64, ROW_VALUE);
    struct err err = {0};
    job.task = "again";
    job.duplicates = DUPLICATE_LAST;
    job.schema.n_shards = 8;
    snprintf(url, sizeof url, "%s/store", f->dir);
    int ret = store_open(url, &store, &err);
    if (!ret)
        ret = build_run(store, NULL, &job, NULL, &result, &err);
    store_close(store);
    if (ret && ret != -EEXIST)
        fprintf(stderr, "%s\n", err.text);
    return -ret;
}

static uint64_t anonymous_memory(void)
{
    FILE *file = fopen("/proc/self/status", "r");
    char line[256];
    unsigned long long kib = 0;
    while (file && fgets(line, sizeof line, file))
        sscanf(line, "RssAnon: %llu", &kib);
    if (file)
        fclose(file);
    return kib << 10;
}

static _Atomic uint64_t anonymous_max;

static void *watch_memory(void *context)
{
    for (;;) {
        uint64_t now = anonymous_memory();
        if (now > anonymous_max)
            anonymous_max = now;
        usleep(1000);
    }
    return NULL;
}

/* 0 when the build worked and took no more than it was allowed. */
static int build_and_watch(struct build_fixture *f)
{
    pthread_t thread;
    uint64_t before = anonymous_memory();
    if (pthread_create(&thread, NULL, watch_memory, NULL) || build_on_directory(f))
        return 1;
    uint64_t taken = anonymous_max - before;
    if (taken <= JOB_MEMORY_MIN)
        return 0;
    fprintf(stderr, "took %llu MiB\n", (unsigned long long)taken >> 20);
    return 2;
}

static void build__memory_is_bounded_whatever_the_input(void **state)
{
    struct build_fixture f;
    struct buf text = {0};
    char store[TEMP_DIR_MAX + 16];
    if (HAS_SANITIZER)
        skip();
    build_fixture_init(&f);
    make_rows(&text, 80000);
    assert_true(text.len > 4 * JOB_MEMORY_MIN);
    build_fixture_input(&f, "a.tsv", text.data, text.len);
    buf_release(&text);
    snprintf(store, sizeof store, "%s/store", f.dir);
    assert_int_equal(mkdir(store, 0755), 0);
    assert_int_equal(in_child(build_and_watch, &f, 0), 0);
    build_fixture_release(&f);
}

static void build__killed_anywhere_it_leaves_nothing_that_counts(void **state)
{
    struct build_fixture f;
    struct buf text = {0};
    char url[TEMP_DIR_MAX + 16];
    struct store *store = NULL;
    build_fixture_init(&f);
    make_rows(&text, HAS_SANITIZER ? 1000 : 4000);
    build_fixture_input(&f, "a.tsv", text.data, text.len);
    snprintf(url, sizeof url, "%s/store", f.dir);
    assert_int_equal(mkdir(url, 0755), 0);
    assert_int_equal(store_open(url, &store, NULL), 0);
    unsigned n_killed = 0;
    for (unsigned i = 0; i < 20; i++) {
        char task[TASK_NAME_MAX + 1];
        int status = in_child(build_on_directory, &f, 1000 + i * i * 300);
        n_killed += status == 1000 + SIGKILL;
        int sealed = build_fixture_sealed(store, task);
        if (sealed == 0) {
            /* It got as far as version.json: then it is whole. */
            struct version_reader *reader = NULL;
            assert_int_equal(
                version_reader_open(store, "tables/t/staging/again", NULL, &reader, NULL), 0);
            version_reader_close(reader);
            assert_int_equal(store_remove_tree(store, "tables/t/staging/again", NULL), 0);
        }
    }
    assert_true(n_killed > 3);
    assert_int_equal(in_child(build_on_directory, &f, 0), 0);
    struct version_reader *reader = NULL;
    assert_int_equal(version_reader_open(store, "tables/t/staging/again", NULL, &reader, NULL), 0);
    version_reader_close(reader);
    store_close(store);
    buf_release(&text);
    build_fixture_release(&f);
}

static bool is_dir_empty(const char *dir)
{
    /* A directory of a tmpfs with nothing in it has two links and can be removed. */
    return rmdir(dir) == 0;
}

/* A file system of 8 MiB, seen by this child alone. */
static int mount_small(const char *dir)
{
    if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
        return -errno;
    return mount("small", dir, "tmpfs", 0, "size=8m") ? -errno : 0;
}

static int build_with_full_scratch(struct build_fixture *f)
{
    char small[TEMP_DIR_MAX + 16];
    char scratch[TEMP_DIR_MAX + 32];
    struct build_result result = {0};
    struct err err = {0};
    snprintf(small, sizeof small, "%s/small", f->dir);
    snprintf(scratch, sizeof scratch, "%s/scratch", small);
    if (mkdir(small, 0755) || mount_small(small) || mkdir(scratch, 0755))
        return 99;
    struct job job = build_fixture_job(f, KEY_U64, ROW_VALUE);
    job.duplicates = DUPLICATE_LAST;
    job.scratch = scratch;
    int ret = build_run(f->store, NULL, &job, NULL, &result, &err);
    if (ret != -ENOSPC || !strstr(err.text, scratch) || !strstr(err.text, "--scratch"))
        return 1;
    return is_dir_empty(scratch) ? 0 : 2;
}

static int build_with_full_store(struct build_fixture *f)
{
    char small[TEMP_DIR_MAX + 16];
    char staging[TEMP_DIR_MAX + 64];
    struct store *store = NULL;
    struct build_result result = {0};
    struct err err = {0};
    snprintf(small, sizeof small, "%s/small2", f->dir);
    snprintf(staging, sizeof staging, "%s/tables/t/staging", small);
    if (mkdir(small, 0755) || mount_small(small) || store_open(small, &store, NULL))
        return 99;
    struct job job = build_fixture_job(f, KEY_U64, ROW_VALUE);
    job.duplicates = DUPLICATE_LAST;
    job.compress = COMPRESS_NONE;
    int ret = build_run(store, NULL, &job, NULL, &result, &err);
    store_close(store);
    if (ret != -ENOSPC || !strstr(err.text, "small2"))
        return 1;
    return is_dir_empty(staging) ? 0 : 2;
}

static void build__a_full_disk_is_said_and_nothing_stays_on_it(void **state)
{
    struct build_fixture f;
    struct buf text = {0};
    if (geteuid() != 0)
        skip();
    build_fixture_init(&f);
    make_rows(&text, 16000);
    build_fixture_input(&f, "a.tsv", text.data, text.len);
    int status = in_child(build_with_full_scratch, &f, 0);
    if (status == 99)
        skip();
    assert_int_equal(status, 0);
    assert_int_equal(in_child(build_with_full_store, &f, 0), 0);
    buf_release(&text);
    build_fixture_release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(build__every_row_is_found_with_its_value),
        cmocka_unit_test(build__three_formats_in_one_table),
        cmocka_unit_test(build__an_empty_input_makes_an_empty_table),
        cmocka_unit_test(build__a_table_may_have_many_shards),
        cmocka_unit_test(build__the_word_vectors),
        cmocka_unit_test(build__threads_and_memory_do_not_reach_the_bytes),
        cmocka_unit_test(build__splitting_the_input_does_not_reach_the_bytes),
        cmocka_unit_test(build__the_policy_decides_between_rows_of_one_key),
        cmocka_unit_test(build__bad_rows_are_named_in_order_and_counted),
        cmocka_unit_test(build__the_first_fault_is_told_whoever_finds_it),
        cmocka_unit_test(build__a_missing_input_is_named_before_anything_begins),
        cmocka_unit_test(build__a_hostile_line_is_one_bad_row),
        cmocka_unit_test(build__a_delta_lies_over_its_base),
        cmocka_unit_test(build__a_delta_needs_a_base_that_can_carry_it),
        cmocka_unit_test(build__a_delta_over_a_damaged_base_is_refused),
        cmocka_unit_test(build__progress_is_told_and_cancel_obeyed),
        cmocka_unit_test(build__every_failure_of_the_store_is_survived),
        cmocka_unit_test(build__memory_is_bounded_whatever_the_input),
        cmocka_unit_test(build__killed_anywhere_it_leaves_nothing_that_counts),
        cmocka_unit_test(build__a_full_disk_is_said_and_nothing_stays_on_it),
    };
    build_fixture_kind = BUILD_KIND;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
