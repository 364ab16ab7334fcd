/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "build_fixture.h"

#include <errno.h>

/* A full version and two deltas over it, published as 1 to 3; returns the last one's directory. */
static const char *make_chain(struct build_fixture *f)
{
    static const char *const texts[] = {
        "a\t1\nb\t2\nc\t3\nd\t4\n",
        "b\t20\nc\ne\t5\nnone\n",
        "c\t300\ne\na\t100\n",
    };
    build_fixture_init(f);
    for (int i = 0; i < 3; i++) {
        struct build_result result = {0};
        struct err err = {0};
        build_fixture_no_inputs(f);
        build_fixture_text(f, "a.tsv", texts[i]);
        struct job job = build_fixture_job(f, KEY_BYTES, "bytes");
        job.schema.n_shards = 5;
        job.is_delta = job.tombstones_file_mode = i > 0;
        if (build_fixture_run(f, &job, &result, &err))
            fail_msg("%s", err.text);
        build_fixture_publish(f, &result);
    }
    return "tables/t/v/3";
}

static void version_reader__walks_each_live_key_once(void **state)
{
    struct build_fixture f;
    struct version_reader *reader = build_fixture_open(&f, make_chain(&f));
    struct version_cursor cursor = {0};
    struct part_entry entry;
    char seen[64] = "";
    int n = 0;
    int got;
    while ((got = version_reader_next(reader, &cursor, &entry)) > 0) {
        static const char *const expected[] = {"a=100", "b=20", "c=300", "d=4"};
        char text[32];
        snprintf(text, sizeof text, "%.*s=%.*s", (int)entry.key_len, (const char *)entry.key_bytes,
                 (int)entry.value_len, (const char *)entry.value);
        for (int i = 0; i < 4; i++)
            n += strcmp(text, expected[i]) == 0;
        strcat(seen, text);
    }
    assert_int_equal(got, 0);
    version_cursor_release(&cursor);
    assert_int_equal(n, 4);
    assert_int_equal(strlen(seen), strlen("a=100b=20c=300d=4"));
    assert_int_equal(version_reader_desc(reader)->n_keys, 4);
    assert_int_equal(version_reader_desc(reader)->n_levels, 3);
    for (uint32_t level = 0; level < 3; level++)
        for (uint32_t shard = 0; shard < 5; shard++)
            assert_int_equal(any_part_info(version_reader_part(reader, level, shard))->shard,
                             shard);
    version_reader_close(reader);
    build_fixture_release(&f);
}

static void version_reader__closing_nothing_is_fine(void **state)
{
    version_reader_close(NULL);
}

static void version_reader__a_missing_version_is_not_found(void **state)
{
    struct build_fixture f;
    struct version_reader *reader = NULL;
    make_chain(&f);
    assert_int_equal(version_reader_open(f.store, "tables/t/v/9", NULL, &reader, NULL), -ENOENT);
    assert_null(reader);
    build_fixture_release(&f);
}

static void version_reader__what_exceeds_the_memory_lies_in_scratch(void **state)
{
    struct build_fixture f;
    struct version_reader *reader = NULL;
    struct version_cursor cursor = {0};
    struct part_entry entry;
    struct err err = {0};
    uint64_t n = 0;
    const char *dir = make_chain(&f);
    assert_true(version_reader_open_within(f.store, dir, NULL, 1, "/no/such", &reader, &err) < 0);
    assert_non_null(strstr(err.text, "/no/such"));
    assert_null(reader);
    assert_int_equal(version_reader_open_within(f.store, dir, NULL, 1, f.dir, &reader, NULL), 0);
    while (version_reader_next(reader, &cursor, &entry) > 0)
        n++;
    version_cursor_release(&cursor);
    assert_int_equal(n, version_reader_desc(reader)->n_keys);
    version_reader_close(reader);
    build_fixture_release(&f);
}

static void version_reader__the_manifest_vouches_for_version_json(void **state)
{
    struct build_fixture f;
    struct version_reader *reader = NULL;
    struct err err = {0};
    const char *dir = make_chain(&f);
    struct digest digest = table_state_find(state_find_table(&f.state, "t"), 3)->digest;
    assert_int_equal(version_reader_open(f.store, dir, &digest, &reader, NULL), 0);
    version_reader_close(reader);
    reader = NULL;
    digest.b[3] ^= 1;
    assert_int_equal(version_reader_open(f.store, dir, &digest, &reader, &err), -EBADMSG);
    assert_non_null(strstr(err.text, "tables/t/v/3/version.json"));
    assert_null(reader);
    build_fixture_release(&f);
}

/* Each part of each level, spoilt in each of these ways, is named. */
static void spoil_and_open(struct build_fixture *f, const char *dir, const char *path,
                           const struct buf *good, int how)
{
    struct version_reader *reader = NULL;
    struct err err = {0};
    struct buf bad = {0};
    assert_int_equal(buf_add(&bad, good->data, good->len), 0);
    switch (how) {
    case 0:
        bad.data[bad.len / 2] ^= 0x10;
        break;
    case 1:
        bad.len -= 4096;
        break;
    case 2:
        bad.len = 0;
        break;
    case 3:
        assert_int_equal(buf_add(&bad, good->data, 4096), 0);
        break;
    }
    if (how == 4)
        assert_int_equal(store_remove(f->store, path, NULL), 0);
    else
        assert_int_equal(store_put(f->store, path, bad.data, bad.len, NULL), 0);
    assert_int_equal(version_reader_open(f->store, dir, NULL, &reader, &err),
                     how == 4 ? -ENOENT : -EBADMSG);
    assert_non_null(strstr(err.text, strrchr(path, '/') + 1));
    assert_int_equal(store_put(f->store, path, good->data, good->len, NULL), 0);
    buf_release(&bad);
}

static void version_reader__every_damaged_part_is_named(void **state)
{
    struct build_fixture f;
    struct version_desc desc = {0};
    const char *dir = make_chain(&f);
    assert_int_equal(version_desc_read(f.store, dir, NULL, &desc, NULL), 0);
    assert_int_equal(desc.n_parts, 15);
    for (size_t i = 0; i < desc.n_parts; i++) {
        char path[STORE_PATH_MAX];
        char name[PART_FILE_NAME_MAX];
        struct buf good = {0};
        part_file_name(&desc.parts[i], name);
        snprintf(path, sizeof path, "%s/parts/%s", dir, name);
        assert_int_equal(store_get(f.store, path, 1 << 24, &good, NULL), 0);
        for (int how = 0; how < 5; how++)
            spoil_and_open(&f, dir, path, &good, how);
        buf_release(&good);
    }
    struct version_reader *reader = build_fixture_open(&f, dir);
    version_reader_close(reader);
    version_desc_release(&desc);
    build_fixture_release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(version_reader__walks_each_live_key_once),
        cmocka_unit_test(version_reader__closing_nothing_is_fine),
        cmocka_unit_test(version_reader__a_missing_version_is_not_found),
        cmocka_unit_test(version_reader__what_exceeds_the_memory_lies_in_scratch),
        cmocka_unit_test(version_reader__the_manifest_vouches_for_version_json),
        cmocka_unit_test(version_reader__every_damaged_part_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
