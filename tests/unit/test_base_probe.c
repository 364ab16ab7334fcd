/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of a base that are asked for keys without being read whole. */
#include "unit.h"

#include "build_fixture.h"
#include "builder/base_probe.h"

#include <errno.h>

enum { N_ROWS = 20000 };

/* Every third key of 3 * N_ROWS, in two levels; every ninth is deleted again. */
static void make_base(struct build_fixture *f, enum table_kind kind, enum key_type key_type)
{
    struct buf text = {0};
    build_fixture_init(f);
    for (int level = 0; level < 2; level++) {
        buf_clear(&text);
        for (int i = 0; i < N_ROWS; i++) {
            if (level == 0)
                buf_printf(&text, "%d\tthe value of the row of number %d\n", 3 * i, i);
            else if (i % 3 == 0)
                buf_printf(&text, "%d\n", 3 * i);
        }
        build_fixture_no_inputs(f);
        build_fixture_input(f, "a.tsv", text.data, text.len);
        struct job job = build_fixture_job(f, key_type, "bytes");
        struct build_result result = {0};
        struct err err = {0};
        job.schema.kind = kind;
        job.schema.n_shards = 1;
        job.is_delta = job.tombstones_file_mode = level;
        if (build_fixture_run(f, &job, &result, &err))
            fail_msg("%s", err.text);
        build_fixture_publish(f, &result);
    }
    buf_release(&text);
}

static int find(struct base_probe *probe, const struct schema *schema, int key, bool *is_tombstone)
{
    char text[16];
    struct part_entry wanted = {.key = (uint64_t)key};
    if (schema->key_type == KEY_BYTES) {
        wanted.key_len = (uint8_t)snprintf(text, sizeof text, "%d", key);
        wanted.key_bytes = (const uint8_t *)text;
        wanted.hash = schema_hash_bytes(schema, text, wanted.key_len);
    } else {
        wanted.hash = schema_hash_u64(schema, wanted.key);
    }
    return base_probe_find(probe, &wanted, is_tombstone, NULL);
}

static void check_probe(struct build_fixture *f, const struct version_desc *desc, uint64_t n_wanted,
                        uint64_t whole_max, bool is_whole)
{
    struct base_probe_params params = {.store = f->store,
                                       .dir = "tables/t/v/2",
                                       .heap_max = UINT64_MAX,
                                       .scratch_dir = f->dir,
                                       .whole_max = whole_max};
    for (size_t level = 0; level < 2; level++) {
        struct base_probe probe;
        assert_int_equal(base_probe_open(&probe, &params, &desc->parts[level], n_wanted, NULL), 0);
        if (level == 0)
            assert_int_equal(probe.whole.part != NULL, is_whole);
        for (int key = 0; key < 3 * N_ROWS; key++) {
            bool is_tombstone = false;
            int expected = key % (level ? 9 : 3) == 0;
            assert_int_equal(find(&probe, &desc->schema, key, &is_tombstone), expected);
            assert_int_equal(is_tombstone, expected && level);
        }
        base_probe_close(&probe);
    }
}

static void base_probe__finds_what_the_part_has(void **state)
{
    static const enum table_kind kinds[] = {KIND_MEM, KIND_BLK, KIND_IDX};
    for (int i = 0; i < 6; i++) {
        struct build_fixture f;
        struct version_desc desc = {0};
        enum table_kind kind = kinds[i / 2];
        make_base(&f, kind, i % 2 ? KEY_U64 : KEY_BYTES);
        assert_int_equal(version_desc_read(f.store, "tables/t/v/2", NULL, &desc, NULL), 0);
        check_probe(&f, &desc, 0, UINT64_MAX, true);
        check_probe(&f, &desc, 0, 0, kind == KIND_MEM);
        check_probe(&f, &desc, 1000000, 0, kind != KIND_IDX);
        version_desc_release(&desc);
        build_fixture_release(&f);
    }
}

/* A flipped bit anywhere is found when it is in the tail, or in a block that is read. */
static void base_probe__damage_is_said(void **state)
{
    for (int kind = KIND_BLK; kind <= KIND_IDX; kind++) {
        struct build_fixture f;
        struct version_desc desc = {0};
        struct buf good = {0};
        char path[PART_PATH_MAX];
        make_base(&f, (enum table_kind)kind, KEY_U64);
        assert_int_equal(version_desc_read(f.store, "tables/t/v/2", NULL, &desc, NULL), 0);
        assert_int_equal(part_file_path("tables/t/v/2", &desc.parts[0], path, NULL), 0);
        assert_int_equal(store_get(f.store, path, 1 << 24, &good, NULL), 0);
        size_t body_len = good.len - desc.parts[0].tail_len;
        for (size_t at = 300; at < good.len; at += good.len / 50) {
            struct base_probe_params params = {
                .store = f.store, .dir = "tables/t/v/2", .heap_max = UINT64_MAX};
            struct base_probe probe;
            struct err err = {0};
            good.data[at] ^= 4;
            assert_int_equal(store_put(f.store, path, good.data, good.len, NULL), 0);
            good.data[at] ^= 4;
            int ret = base_probe_open(&probe, &params, &desc.parts[0], 0, &err);
            bool is_bad = ret != 0;
            for (int key = 0; !ret && key < 3 * N_ROWS && !is_bad; key += 3) {
                bool is_tombstone = false;
                int has = find(&probe, &desc.schema, key, &is_tombstone);
                is_bad = has == -EBADMSG;
                assert_true(is_bad || has == 1);
            }
            if (at >= body_len)
                assert_int_equal(ret, -EBADMSG);
            else
                assert_int_equal(is_bad, kind == KIND_BLK);
            if (!ret)
                base_probe_close(&probe);
        }
        struct base_probe probe;
        struct base_probe_params params = {.store = f.store, .dir = "tables/t/v/2"};
        assert_int_equal(store_put(f.store, path, good.data, good.len - 4096, NULL), 0);
        assert_int_equal(base_probe_open(&probe, &params, &desc.parts[0], 0, NULL), -EBADMSG);
        assert_int_equal(store_remove(f.store, path, NULL), 0);
        assert_int_equal(base_probe_open(&probe, &params, &desc.parts[0], 0, NULL), -ENOENT);
        buf_release(&good);
        version_desc_release(&desc);
        build_fixture_release(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(base_probe__finds_what_the_part_has),
        cmocka_unit_test(base_probe__damage_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
