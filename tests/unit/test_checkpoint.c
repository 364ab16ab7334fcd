/* SPDX-License-Identifier: Apache-2.0 */
/* Chains merged into full versions: the same content, and the bytes of a build; or nothing. */
#include "unit.h"

#include "builder/checkpoint.h"
#include "builder/checkpoint_policy.h"
#include "builder/checkpoint_survey.h"
#include "builder/layout.h"
#include "builder/version_reader.h"
#include "chain_fixture.h"
#include "faulty_backend.h"

#include <errno.h>

static struct checkpoint_params params_of(const struct build_fixture *f)
{
    return (struct checkpoint_params){.table = "t",
                                      .memory = JOB_MEMORY_MIN,
                                      .n_threads = 2,
                                      .scratch = f->dir,
                                      .author = "test@host"};
}

static struct build_result must_run(struct build_fixture *f, const struct checkpoint_params *params)
{
    struct build_result result = {0};
    struct err err = {0};
    if (checkpoint_run(f->store, &f->state, params, NULL, &result, &err))
        fail_msg("%s", err.text);
    return result;
}

static void must_fail(struct build_fixture *f, const struct checkpoint_params *params, int code,
                      const char *words)
{
    struct build_result result = {0};
    struct err err = {0};
    struct store_list left = {0};
    int ret = checkpoint_run(f->store, &f->state, params, NULL, &result, &err);
    if (ret != code || !strstr(err.text, words))
        fail_msg("expected %d and \"%s\", found %d: %s", code, words, ret, err.text);
    /* Nothing is left of it. */
    if (store_list(f->store, "tables/t/staging", &left, NULL) == 0)
        assert_int_equal(left.n_names, 0);
    store_list_release(&left);
}

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
}

/* Every live entry of a is in b with its value. */
static uint64_t assert_within(const struct version_reader *a, const struct version_reader *b)
{
    struct version_cursor cursor = {0};
    struct value_room room = {0};
    struct part_entry entry, found;
    uint64_t n = 0;
    int got;
    while ((got = version_reader_next(a, &cursor, &entry)) > 0) {
        assert_int_equal(version_reader_find(b, &entry, &room, &found), 1);
        assert_int_equal(found.value_len, entry.value_len);
        if (entry.value_len)
            assert_memory_equal(found.value, entry.value, entry.value_len);
        n++;
    }
    assert_int_equal(got, 0);
    version_cursor_release(&cursor);
    value_room_release(&room);
    return n;
}

static void check_desc(const struct version_desc *desc, const struct version_desc *chain)
{
    assert_int_equal(desc->checkpoint_of, chain->version);
    assert_int_equal(desc->base, 0);
    assert_int_equal(desc->n_levels, 1);
    assert_int_equal(desc->n_keys, chain->n_keys);
    assert_int_equal(desc->n_entries, chain->n_keys);
    assert_memory_equal(&desc->schema, &chain->schema, sizeof desc->schema);
    assert_string_equal(desc->author, "test@host");
    assert_non_null(strstr(desc->source, "checkpoint of version"));
}

/* A full build of the same rows: the same parts, where nothing was estimated. */
static void check_against_build(struct build_fixture *f, const struct chain_shape *shape,
                                enum table_kind kind, const struct chain_rows *rows,
                                const struct build_result *result)
{
    struct buf text = {0}, expected = {0}, found = {0};
    bool is_exact = kind == KIND_MEM || (kind == KIND_IDX && shape->compress == COMPRESS_NONE) ||
                    (shape->key_type == KEY_U64 && strcmp(shape->value, "bytes[16]") == 0 &&
                     shape->compress == COMPRESS_NONE);
    chain_whole(&text, shape, rows);
    chain_input(f, &text);
    struct job job = chain_job(f, shape, kind);
    job.schema.n_shards = result->n_shards;
    struct build_result full = chain_build(f, &job);
    assert_int_equal(full.n_keys, result->n_keys);
    part_names(f, &full, &expected);
    part_names(f, result, &found);
    if (is_exact)
        assert_string_equal(found.data, expected.data);
    buf_release(&text);
    buf_release(&expected);
    buf_release(&found);
}

static void check_shape(const struct chain_shape *shape, enum table_kind kind, int n_deltas)
{
    struct build_fixture f;
    struct chain_rows rows;
    char dir[STORE_PATH_MAX];
    build_fixture_init(&f);
    uint64_t version = chain_publish(&f, shape, kind, n_deltas, &rows);
    struct checkpoint_params params = params_of(&f);
    struct build_result result = must_run(&f, &params);
    assert_int_equal(result.checkpoint_of, version);
    assert_int_equal(result.kind, kind);
    assert_int_equal(strlen(result.content), DIGEST_HEX_LEN);
    snprintf(dir, sizeof dir, "tables/t/v/%llu", (unsigned long long)version);
    struct version_reader *chain = build_fixture_open(&f, dir);
    struct version_reader *made = build_fixture_open_task(&f, &result);
    check_desc(version_reader_desc(made), version_reader_desc(chain));
    assert_int_equal(assert_within(chain, made), result.n_keys);
    assert_int_equal(assert_within(made, chain), result.n_keys);
    /* Stored as the base was. */
    const struct paged_info *was = any_part_paged(version_reader_part(chain, 0, 0));
    const struct paged_info *is = any_part_paged(version_reader_part(made, 0, 0));
    if (was) {
        assert_int_equal(is->compression, was->compression);
        assert_int_equal(is->block_pages, was->block_pages);
        assert_int_equal(is->part.n_partitions != 0, was->part.n_partitions != 0);
    }
    version_reader_close(made);
    version_reader_close(chain);
    check_against_build(&f, shape, kind, &rows, &result);
    build_fixture_release(&f);
}

static void checkpoint__has_the_content_of_its_chain(void **state)
{
    for (size_t i = 0; i < CHAIN_SHAPES; i++)
        for (size_t k = 0; k < 3; k++)
            check_shape(&chain_shapes[i], chain_kinds[k], 1 + (int)(i % 3));
}

/* 45 MiB of rows and two deltas, in memory that holds a part of them. */
static void make_large(struct buf *text, int level)
{
    uint64_t seed = 5 + (uint64_t)level;
    buf_clear(text);
    for (uint64_t i = 0; i < 80000; i++) {
        uint64_t random = chain_random(&seed);
        if (level && random % 3)
            continue;
        buf_printf(text, "key/%llu/of/many", (unsigned long long)(i * 7919));
        if (level && random % 30 == 0) {
            buf_printf(text, "\n");
            continue;
        }
        buf_printf(text, "\t");
        chain_add_numbers(text, random);
        buf_printf(text, "\n");
    }
}

static void publish_large(struct build_fixture *f, const struct chain_shape *shape,
                          enum table_kind kind)
{
    struct buf text = {0};
    for (int level = 0; level < 3; level++) {
        make_large(&text, level);
        chain_input(f, &text);
        struct job job = chain_job(f, shape, kind);
        job.is_delta = job.tombstones_file_mode = level > 0;
        struct build_result result = chain_build(f, &job);
        build_fixture_publish(f, &result);
    }
    buf_release(&text);
}

static void checkpoint__threads_and_memory_do_not_reach_the_bytes(void **state)
{
    static const struct chain_shape shape = {KEY_BYTES, "bytes", 3, COMPRESS_AUTO, false, 0};
    static const uint32_t threads[] = {1, 4, 2};
    struct buf expected = {0}, found = {0};
    for (size_t k = 0; k < 3; k++) {
        struct build_fixture f;
        char content[DIGEST_HEX_LEN + 1] = "";
        build_fixture_init(&f);
        publish_large(&f, &shape, chain_kinds[k]);
        for (int i = 0; i < 3; i++) {
            struct checkpoint_params params = params_of(&f);
            params.n_threads = threads[i];
            params.memory = i == 2 ? 1ULL << 30 : JOB_MEMORY_MIN;
            struct build_result result = must_run(&f, &params);
            assert_int_equal(result.level, chain_kinds[k] == KIND_MEM ? 0 : 3);
            assert_true(chain_kinds[k] == KIND_MEM || result.dictionary_len);
            part_names(&f, &result, i ? &found : &expected);
            if (i) {
                assert_string_equal(found.data, expected.data);
                assert_string_equal(result.content, content);
            }
            memcpy(content, result.content, sizeof content);
        }
        build_fixture_release(&f);
    }
    buf_release(&expected);
    buf_release(&found);
}

/* More keys in the first shard than are looked at, and the longest value in the last one. */
static void checkpoint_survey__knows_of_long_values_that_it_did_not_see(void **state)
{
    enum { N = 240000, LONG = 1 << 20 };
    static const struct chain_shape shape = {KEY_U64, "bytes", 2, COMPRESS_NONE, false, 0};
    static char value[LONG + 1];
    memset(value, 'v', LONG);
    for (size_t k = 0; k < 3; k++) {
        struct build_fixture f;
        struct buf text = {0};
        struct version_desc desc;
        struct checkpoint_survey survey;
        char dir[LAYOUT_PATH_MAX];
        if (chain_kinds[k] == KIND_MEM)
            continue;
        build_fixture_init(&f);
        struct job job = chain_job(&f, &shape, chain_kinds[k]);
        uint64_t key = 0;
        while (schema_shard(&job.schema, schema_hash_u64(&job.schema, key)) != 1)
            key++;
        for (uint64_t i = 0; i < N; i++)
            buf_printf(&text, "%llu\t%s\n", (unsigned long long)i, i == key ? value : "v");
        chain_input(&f, &text);
        job = chain_job(&f, &shape, chain_kinds[k]);
        struct build_result result = chain_build(&f, &job);
        build_fixture_publish(&f, &result);
        layout_version_dir("t", 1, dir);
        assert_int_equal(version_desc_read(f.store, dir, NULL, &desc, NULL), 0);
        struct shard_stream_params params = {.store = f.store,
                                             .dir = dir,
                                             .desc = &desc,
                                             .memory = JOB_MEMORY_MIN,
                                             .scratch_dir = f.dir};
        assert_int_equal(checkpoint_survey_run(&params, &job, &survey, NULL), 0);
        assert_in_range(survey.totals.value_max, LONG, LONG + (LONG >> 4));
        assert_int_equal(survey.value_stored_max, survey.totals.value_max);
        checkpoint_survey_release(&survey);
        version_desc_release(&desc);
        buf_release(&text);
        build_fixture_release(&f);
    }
}

static void checkpoint__can_carry_deltas(void **state)
{
    static const struct chain_shape shape = {KEY_U64, "bytes", 2, COMPRESS_AUTO, false, 0};
    struct build_fixture f;
    struct chain_rows rows;
    build_fixture_init(&f);
    chain_publish(&f, &shape, KIND_IDX, 3, &rows);
    struct checkpoint_params params = params_of(&f);
    struct build_result result = must_run(&f, &params);
    uint64_t version = build_fixture_publish(&f, &result);
    result = must_run(&f, &params);
    assert_true(result.is_full_already);
    assert_int_equal(result.checkpoint_of, version);
    assert_string_equal(result.task, "");
    build_fixture_no_inputs(&f);
    build_fixture_text(&f, "d.tsv", "0\n");
    struct job job = chain_job(&f, &shape, KIND_IDX);
    job.is_delta = job.tombstones_file_mode = true;
    result = chain_build(&f, &job);
    assert_int_equal(result.base, version);
    build_fixture_publish(&f, &result);
    params.version = version + 1;
    result = must_run(&f, &params);
    assert_int_equal(result.checkpoint_of, version + 1);
    build_fixture_release(&f);
}

static void checkpoint__what_makes_no_sense_is_refused(void **state)
{
    static const struct chain_shape shape = {KEY_U64, "bytes", 1, COMPRESS_AUTO, false, 0};
    struct build_fixture f;
    struct chain_rows rows;
    build_fixture_init(&f);
    struct checkpoint_params params = params_of(&f);
    must_fail(&f, &params, -ENOENT, "no version");
    chain_publish(&f, &shape, KIND_BLK, 2, &rows);
    params.version = 2;
    must_fail(&f, &params, -ESTALE, "the newest, 3");
    params.version = 7;
    must_fail(&f, &params, -ENOENT, "no version 7");
    params.version = 3;
    params.memory = 1000;
    must_fail(&f, &params, -EINVAL, "--memory");
    params.memory = JOB_MEMORY_MIN;
    params.compress_level = 20;
    must_fail(&f, &params, -EINVAL, "--compress-level");
    params.compress_level = 0;
    params.task = "a/b";
    must_fail(&f, &params, -EINVAL, "a/b");
    params.task = NULL;
    params.n_threads = THREADS_MAX + 1;
    must_fail(&f, &params, -EINVAL, "--threads");
    build_fixture_release(&f);
}

/* A flipped bit anywhere in the chain, and a version.json that is wrong about what it counts. */
static void checkpoint__of_a_damaged_chain_is_not_made(void **state)
{
    static const struct chain_shape shape = {KEY_U64, "bytes", 2, COMPRESS_AUTO, false, 0};
    for (size_t k = 0; k < 3; k++) {
        struct build_fixture f;
        struct chain_rows rows;
        struct version_desc desc = {0};
        struct buf bytes = {0};
        char path[STORE_PATH_MAX], name[PART_FILE_NAME_MAX];
        build_fixture_init(&f);
        chain_publish(&f, &shape, chain_kinds[k], 2, &rows);
        assert_int_equal(version_desc_read(f.store, "tables/t/v/3", NULL, &desc, NULL), 0);
        struct checkpoint_params params = params_of(&f);
        for (size_t i = 0; i < desc.n_parts; i++) {
            part_file_name(&desc.parts[i], name);
            snprintf(path, sizeof path, "tables/t/v/3/parts/%s", name);
            buf_clear(&bytes);
            assert_int_equal(store_get(f.store, path, 1 << 24, &bytes, NULL), 0);
            bytes.data[bytes.len / 3] ^= 4;
            assert_int_equal(store_put(f.store, path, bytes.data, bytes.len, NULL), 0);
            must_fail(&f, &params, -EBADMSG, name);
            bytes.data[bytes.len / 3] ^= 4;
            assert_int_equal(store_put(f.store, path, bytes.data, bytes.len, NULL), 0);
        }
        desc.n_keys++;
        buf_clear(&bytes);
        assert_int_equal(version_desc_encode(&desc, &bytes, NULL), 0);
        assert_int_equal(
            store_put(f.store, "tables/t/v/3/version.json", bytes.data, bytes.len, NULL), 0);
        must_fail(&f, &params, -EBADMSG, "digest");
        digest_of(bytes.data, bytes.len, &f.state.tables[0].versions[2].digest);
        must_fail(&f, &params, -EBADMSG, "live keys");
        buf_release(&bytes);
        version_desc_release(&desc);
        build_fixture_release(&f);
    }
}

static void checkpoint__every_failure_of_the_store_is_survived(void **state)
{
    static const struct chain_shape shape = {KEY_BYTES, "bytes[16]", 2, COMPRESS_AUTO, false, 0};
    struct build_fixture f;
    struct chain_rows rows;
    struct store *store = NULL;
    build_fixture_init(&f);
    chain_publish(&f, &shape, KIND_BLK, 1, &rows);
    struct faulty *faulty = faulty_new(f.memory, true);
    assert_int_equal(store_open_backend(&faulty->backend, "faulty:", &store, NULL), 0);
    struct checkpoint_params params = params_of(&f);
    params.n_threads = 1;
    params.task = "merged";
    unsigned nth = 1;
    for (;; nth++) {
        struct build_result result = {0};
        struct sealed sealed = {0};
        struct err err = {0};
        faulty_arm(faulty, nth, FAULTY_FAIL, -EIO);
        int ret = checkpoint_run(store, &f.state, &params, NULL, &result, &err);
        faulty_disarm(faulty);
        if (!faulty->was_hit)
            break;
        if (ret == 0) { /* only tidying up failed */
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

static void checkpoint__stops_when_told_to(void **state)
{
    static const struct chain_shape shape = {KEY_U64, "bytes", 1, COMPRESS_AUTO, false, 0};
    struct build_fixture f;
    struct chain_rows rows;
    atomic_bool cancel = true;
    struct build_hooks hooks = {.cancel = &cancel};
    struct build_result result = {0};
    struct err err = {0};
    build_fixture_init(&f);
    chain_publish(&f, &shape, KIND_MEM, 1, &rows);
    struct checkpoint_params params = params_of(&f);
    assert_int_equal(checkpoint_run(f.store, &f.state, &params, &hooks, &result, &err), -ECANCELED);
    build_fixture_release(&f);
}

static void checkpoint__is_due_by_levels_or_by_bytes(void **state)
{
    struct part_desc parts[3] = {
        {.level = 0, .len = 1000}, {.level = 1, .len = 200}, {.level = 2, .len = 100}};
    struct version_desc desc = {.n_levels = 3, .parts = parts, .n_parts = 3};
    struct checkpoint_policy policy = {0};
    assert_false(checkpoint_is_due(&desc, &policy));
    policy.levels = 4;
    assert_false(checkpoint_is_due(&desc, &policy));
    policy.levels = 3;
    assert_true(checkpoint_is_due(&desc, &policy));
    policy = (struct checkpoint_policy){.share = 0.31};
    assert_false(checkpoint_is_due(&desc, &policy));
    policy.share = 0.3;
    assert_true(checkpoint_is_due(&desc, &policy));
    /* A full version never is. */
    desc.n_levels = 1;
    desc.n_parts = 1;
    policy.levels = 1;
    assert_false(checkpoint_is_due(&desc, &policy));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(checkpoint__has_the_content_of_its_chain),
        cmocka_unit_test(checkpoint__threads_and_memory_do_not_reach_the_bytes),
        cmocka_unit_test(checkpoint_survey__knows_of_long_values_that_it_did_not_see),
        cmocka_unit_test(checkpoint__can_carry_deltas),
        cmocka_unit_test(checkpoint__what_makes_no_sense_is_refused),
        cmocka_unit_test(checkpoint__of_a_damaged_chain_is_not_made),
        cmocka_unit_test(checkpoint__every_failure_of_the_store_is_survived),
        cmocka_unit_test(checkpoint__stops_when_told_to),
        cmocka_unit_test(checkpoint__is_due_by_levels_or_by_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
