/* SPDX-License-Identifier: Apache-2.0 */
/* The same rows as tables of every kind: the same answers, and the same bytes however they are built. */
#include "unit.h"

#include "builder/value_coding.h"
#include "chain_fixture.h"

#include <errno.h>

enum { N_KINDS = 3, N_LEVELS = 4 };

static const enum table_kind *const kinds = chain_kinds;

static struct build_result must_build(struct build_fixture *f, const struct job *job)
{
    struct build_result result = {0};
    struct err err = {0};
    if (build_fixture_run(f, job, &result, &err))
        fail_msg("%s", err.text);
    return result;
}

static void must_fail(struct build_fixture *f, const struct job *job, int code, const char *words)
{
    struct build_result result = {0};
    struct err err = {0};
    int ret = build_fixture_run(f, job, &result, &err);
    if (ret != code || !strstr(err.text, words))
        fail_msg("expected %d and \"%s\", found %d: %s", code, words, ret, err.text);
}

/* ---- the same answers ---- */

/* Rows of a level: all keys for the base, some changed and deleted above it. */
static void make_level(struct buf *text, const struct chain_shape *shape, int level)
{
    uint64_t seed = (uint64_t)level * 1000 + shape->n_shards;
    buf_clear(text);
    for (uint64_t key = 0; key < 3000; key++) {
        uint64_t random = chain_random(&seed);
        if (level && random % 10 > 2)
            continue;
        chain_add_key(text, shape, key + (level && random % 10 == 1 ? 3000 : 0));
        if (!level || random % 10 != 2) {
            buf_add_byte(text, '\t');
            chain_add_value(text, shape, chain_random(&seed));
        }
        buf_add_byte(text, '\n');
    }
}

/* Builds and publishes a chain of N_LEVELS; the reader of the last version. */
static struct version_reader *make_chain(struct build_fixture *f, const struct chain_shape *shape,
                                         enum table_kind kind)
{
    struct buf text = {0};
    uint64_t version = 0;
    char dir[STORE_PATH_MAX];
    for (int level = 0; level < N_LEVELS; level++) {
        make_level(&text, shape, level);
        build_fixture_no_inputs(f);
        build_fixture_input(f, "a.tsv", text.data, text.len);
        struct job job = build_fixture_job(f, shape->key_type, shape->value);
        job.schema.kind = kind;
        job.schema.n_shards = shape->n_shards;
        job.is_delta = job.tombstones_file_mode = level > 0;
        if (kind != KIND_MEM) {
            job.compress = shape->compress;
            job.block_pages = shape->block_pages;
            job.no_filter = shape->no_filter && (kind == KIND_BLK || shape->key_type == KEY_BYTES);
        }
        struct build_result result = must_build(f, &job);
        version = build_fixture_publish(f, &result);
    }
    buf_release(&text);
    snprintf(dir, sizeof dir, "tables/t/v/%llu", (unsigned long long)version);
    return build_fixture_open(f, dir);
}

/* Every live entry of a is found in b, with its value. */
static uint64_t assert_within(const struct version_reader *a, const struct version_reader *b)
{
    struct version_cursor cursor = {0};
    struct value_room room = {0};
    struct part_entry entry;
    struct part_entry found;
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

static void check_shape(const struct chain_shape *shape)
{
    struct build_fixture f[N_KINDS];
    struct version_reader *readers[N_KINDS];
    for (int i = 0; i < N_KINDS; i++) {
        build_fixture_init(&f[i]);
        readers[i] = make_chain(&f[i], shape, kinds[i]);
    }
    uint64_t n_keys = version_reader_desc(readers[0])->n_keys;
    for (int i = 0; i < N_KINDS; i++) {
        const struct version_desc *desc = version_reader_desc(readers[i]);
        assert_int_equal(desc->schema.kind, kinds[i]);
        assert_int_equal(desc->n_keys, n_keys);
        assert_int_equal(assert_within(readers[i], readers[0]), n_keys);
        assert_int_equal(assert_within(readers[0], readers[i]), n_keys);
        for (size_t p = 0; p < desc->n_parts; p++) {
            assert_int_equal(desc->parts[p].tail_len != 0, kinds[i] != KIND_MEM);
            assert_true(desc->parts[p].tail_len <= desc->parts[p].len);
        }
    }
    for (int i = 0; i < N_KINDS; i++) {
        version_reader_close(readers[i]);
        build_fixture_release(&f[i]);
    }
}

static void build__tables_of_all_kinds_give_the_same_answers(void **state)
{
    for (size_t i = 0; i < CHAIN_SHAPES; i++)
        check_shape(&chain_shapes[i]);
}

/* ---- the same bytes ---- */

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
        buf_printf(out, "%s %llu ", name, (unsigned long long)desc.parts[i].values_len);
    }
    version_desc_release(&desc);
    assert_int_equal(store_remove_tree(f->store, dir, NULL), 0);
}

/* 90 MiB of text that a worker's memory does not hold, with repeated keys; it compresses. */
static void make_large(struct buf *text)
{
    uint64_t seed = 5;
    for (int i = 0; i < 120000; i++) {
        uint64_t random = chain_random(&seed);
        buf_printf(text, "key/%llu/of/many\t", (unsigned long long)(random % 100000));
        for (unsigned k = 0; k < 40 + random % 10; k++)
            buf_printf(text, "{\"m\":%u},", (unsigned)(random >> k) & 1023);
        buf_printf(text, "\n");
    }
}

static void build__threads_and_memory_do_not_reach_compressed_bytes(void **state)
{
    static const uint32_t threads[] = {1, 4, 2};
    struct build_fixture f;
    struct buf text = {0};
    struct buf expected = {0};
    struct buf found = {0};
    build_fixture_init(&f);
    make_large(&text);
    build_fixture_input(&f, "a.tsv", text.data, text.len);
    for (int k = 1; k < N_KINDS; k++) {
        struct job job = build_fixture_job(&f, KEY_BYTES, "bytes");
        job.schema.kind = kinds[k];
        job.duplicates = DUPLICATE_LAST;
        for (int i = 0; i < 3; i++) {
            job.n_threads = threads[i];
            job.memory = i == 2 ? 1ULL << 30 : JOB_MEMORY_MIN;
            struct build_result result = must_build(&f, &job);
            assert_int_equal(result.level, 3);
            assert_true(result.dictionary_len > 0);
            assert_true(result.values_stored_len < result.values_len / 2);
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

/* ---- compression ---- */

static struct build_result build_values(struct build_fixture *f, enum compress_policy policy,
                                        int level, bool is_random, int n)
{
    struct buf text = {0};
    uint64_t seed = 1;
    for (int i = 0; i < n; i++) {
        buf_printf(&text, "%d\t", i);
        for (int k = 0; k < 8; k++) {
            uint64_t random = chain_random(&seed);
            if (is_random)
                buf_printf(&text, "%016llx", (unsigned long long)random);
            else
                buf_printf(&text, "{\"name\":\"number %d\"}", (int)random & 15);
        }
        buf_add_byte(&text, '\n');
    }
    build_fixture_no_inputs(f);
    build_fixture_input(f, "a.tsv", text.data, text.len);
    buf_release(&text);
    struct job job = build_fixture_job(f, KEY_U64, "bytes");
    job.schema.kind = KIND_BLK;
    job.compress = policy;
    job.compress_level = level;
    return must_build(f, &job);
}

static void build__a_sample_decides_whether_values_are_compressed(void **state)
{
    struct build_fixture f;
    build_fixture_init(&f);
    struct build_result r = build_values(&f, COMPRESS_AUTO, 0, false, 5000);
    assert_true(r.was_sampled && r.level == 3 && r.dictionary_len);
    assert_true(r.values_stored_len < r.values_len / 4);
    double ratio = (double)r.values_stored_len / (double)r.values_len;
    assert_true(r.ratio_tried > ratio - 0.1 && r.ratio_tried < ratio + 0.1);
    r = build_values(&f, COMPRESS_NONE, 0, false, 5000);
    assert_true(!r.was_sampled && r.level == 0 && r.values_stored_len == r.values_len);
    r = build_values(&f, COMPRESS_ZSTD, 12, true, 5000);
    assert_true(r.level == 12 && r.values_stored_len < r.values_len);
    /* So few values that a dictionary costs more than it saves. */
    r = build_values(&f, COMPRESS_ZSTD, 0, false, 20);
    assert_true(r.level == 3 && r.dictionary_len == 0);
    build_fixture_release(&f);
}

/* Values that are as good as random bytes are left alone. */
static void build__what_does_not_shrink_is_not_compressed(void **state)
{
    struct build_fixture f;
    struct buf text = {0};
    uint64_t seed = 9;
    build_fixture_init(&f);
    for (int i = 0; i < 4000; i++) {
        buf_printf(&text, "%d\t", i);
        for (int k = 0; k < 32; k++)
            buf_printf(&text, "%s%d", k ? "," : "", (int)(chain_random(&seed) % 255) - 127);
        buf_add_byte(&text, '\n');
    }
    build_fixture_input(&f, "a.tsv", text.data, text.len);
    struct job job = build_fixture_job(&f, KEY_U64, "i8[32]");
    job.schema.kind = KIND_IDX;
    struct build_result r = must_build(&f, &job);
    assert_true(r.was_sampled && r.level == 0 && r.ratio_tried > 0.9);
    assert_int_equal(r.values_len, r.values_stored_len);
    buf_release(&text);
    build_fixture_release(&f);
}

static void build__empty_tables_of_every_kind(void **state)
{
    struct build_fixture f;
    build_fixture_init(&f);
    build_fixture_text(&f, "a.tsv", "");
    for (int k = 0; k < N_KINDS; k++) {
        for (int n_shards = 0; n_shards < 4; n_shards += 3) {
            struct job job = build_fixture_job(&f, KEY_BYTES, "bytes");
            job.schema.kind = kinds[k];
            job.schema.n_shards = (uint32_t)n_shards;
            job.compress = kinds[k] == KIND_MEM ? COMPRESS_AUTO : COMPRESS_ZSTD;
            struct build_result result = must_build(&f, &job);
            struct version_reader *reader = build_fixture_open_task(&f, &result);
            const uint8_t *value = NULL;
            uint32_t len = 0;
            assert_int_equal(build_fixture_find_bytes(reader, "no", &value, &len), 0);
            version_reader_close(reader);
        }
    }
    build_fixture_release(&f);
}

/* ---- what is refused ---- */

static void build__a_delta_is_of_its_bases_kind(void **state)
{
    struct build_fixture f;
    build_fixture_init(&f);
    build_fixture_text(&f, "a.tsv", "a\t1\n");
    struct job job = build_fixture_job(&f, KEY_BYTES, "bytes");
    job.schema.kind = KIND_BLK;
    struct build_result result = must_build(&f, &job);
    build_fixture_publish(&f, &result);
    job.is_delta = true;
    for (int k = 0; k < N_KINDS; k++) {
        job.schema.kind = kinds[k];
        if (kinds[k] == KIND_BLK) {
            result = must_build(&f, &job);
            assert_int_equal(result.kind, KIND_BLK);
        } else {
            must_fail(&f, &job, -ESTALE, "kind");
        }
    }
    /* One that leaves its shape open takes the base's. */
    job.schema = (struct schema){0};
    result = must_build(&f, &job);
    assert_int_equal(result.kind, KIND_BLK);
    build_fixture_release(&f);
}

static void build__memory_that_cannot_hold_the_keys_of_a_shard_is_said(void **state)
{
    struct build_fixture f;
    struct buf text = {0};
    build_fixture_init(&f);
    for (int i = 0; i < 400000; i++)
        buf_printf(&text, "%0150d\tv\n", i);
    build_fixture_input(&f, "a.tsv", text.data, text.len);
    struct job job = build_fixture_job(&f, KEY_BYTES, "bytes");
    job.schema.kind = KIND_IDX;
    job.schema.n_shards = 1;
    must_fail(&f, &job, -E2BIG, "--shards");
    must_fail(&f, &job, -E2BIG, "--memory");
    job.schema.n_shards = 8;
    assert_int_equal(must_build(&f, &job).n_keys, 400000);
    buf_release(&text);
    build_fixture_release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(build__tables_of_all_kinds_give_the_same_answers),
        cmocka_unit_test(build__threads_and_memory_do_not_reach_compressed_bytes),
        cmocka_unit_test(build__a_sample_decides_whether_values_are_compressed),
        cmocka_unit_test(build__what_does_not_shrink_is_not_compressed),
        cmocka_unit_test(build__empty_tables_of_every_kind),
        cmocka_unit_test(build__a_delta_is_of_its_bases_kind),
        cmocka_unit_test(build__memory_that_cannot_hold_the_keys_of_a_shard_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
