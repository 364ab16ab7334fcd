/* SPDX-License-Identifier: Apache-2.0 */
/* Chains of every kind as streams: the same entries as by looking keys up, in order, in any memory. */
#include "unit.h"

#include "builder/engine.h"
#include "builder/shard_stream.h"
#include "builder/version_content.h"
#include "chain_fixture.h"
#include "format/any_order.h"

#include <errno.h>

static struct shard_stream_params params_of(struct build_fixture *f,
                                            const struct version_reader *reader, const char *dir,
                                            uint64_t memory)
{
    return (struct shard_stream_params){.store = f->store,
                                        .dir = dir,
                                        .desc = version_reader_desc(reader),
                                        .memory = memory,
                                        .scratch_dir = f->dir};
}

/* Reads one shard; *n counts. */
static void check_shard(const struct shard_stream_params *params,
                        const struct version_reader *reader, uint64_t *n)
{
    struct shard_stream *stream = NULL;
    struct value_room room = {0};
    struct part_entry entry, found, last = {0};
    uint8_t last_key[KEY_BYTES_MAX];
    struct err err = {0};
    int got;
    bool is_first = true;
    if (shard_stream_open(params, &stream, &err))
        fail_msg("%s", err.text);
    while ((got = shard_stream_next(stream, &entry, &err)) > 0) {
        assert_int_equal(shard_stream_value(stream, &entry, &err), 0);
        assert_int_equal(version_reader_find(reader, &entry, &room, &found), 1);
        assert_int_equal(entry.value_len, found.value_len);
        if (entry.value_len)
            assert_memory_equal(entry.value, found.value, entry.value_len);
        assert_true(is_first || any_order_compare(params->desc->schema.kind, &last, &entry) < 0);
        is_first = false;
        last = entry;
        if (entry.key_bytes)
            last.key_bytes = memcpy(last_key, entry.key_bytes, entry.key_len);
        ++*n;
    }
    assert_int_equal(got, 0);
    value_room_release(&room);
    shard_stream_close(stream);
}

/* The digest of all of it, by the reader's own walk. */
static struct content_digest content_by_lookups(const struct version_reader *reader)
{
    struct version_cursor cursor = {0};
    struct content_digest content = {0};
    struct buf room = {0};
    struct part_entry entry;
    int got;
    while ((got = version_reader_next(reader, &cursor, &entry)) > 0)
        assert_int_equal(content_digest_add(&content, &entry, &room), 0);
    assert_int_equal(got, 0);
    version_cursor_release(&cursor);
    buf_release(&room);
    return content;
}

static void check_chain(const struct chain_shape *shape, enum table_kind kind, int n_deltas)
{
    struct build_fixture f;
    struct chain_rows rows;
    char dir[STORE_PATH_MAX];
    build_fixture_init(&f);
    uint64_t version = chain_publish(&f, shape, kind, n_deltas, &rows);
    snprintf(dir, sizeof dir, "tables/t/v/%llu", (unsigned long long)version);
    struct version_reader *reader = build_fixture_open(&f, dir);
    for (int i = 0; i < 2; i++) {
        struct shard_stream_params params = params_of(&f, reader, dir, i ? 8 << 20 : 0);
        uint64_t n = 0;
        for (params.shard = 0; params.shard < params.desc->schema.n_shards; params.shard++)
            check_shard(&params, reader, &n);
        assert_int_equal(n, params.desc->n_keys);
        struct engine_local engine;
        struct content_digest found, expected = content_by_lookups(reader);
        struct err err = {0};
        engine_local_init(&engine, 2, NULL);
        assert_int_equal(version_content_run(&engine.engine, &params, 2, &found, &err), 0);
        assert_true(content_digest_equal(&found, &expected));
    }
    version_reader_close(reader);
    build_fixture_release(&f);
}

static void stream__of_a_chain_is_what_lookups_find(void **state)
{
    for (size_t i = 0; i < CHAIN_SHAPES; i++)
        for (size_t k = 0; k < 3; k++)
            check_chain(&chain_shapes[i], chain_kinds[k], (int)(i % 4));
}

static void stream__of_many_levels(void **state)
{
    for (size_t k = 0; k < 3; k++)
        check_chain(&chain_shapes[0], chain_kinds[k], 20);
}

/* A version.json that names a part of another shard in a shard's place: its own digest is right. */
static void stream__a_part_in_the_wrong_place_is_refused(void **state)
{
    static const struct chain_shape shape = {KEY_U64, "bytes", 3, COMPRESS_NONE, false, 0};
    for (size_t k = 0; k < 3; k++) {
        struct build_fixture f;
        struct chain_rows rows;
        struct shard_stream *stream = NULL;
        struct version_desc desc = {0};
        struct err err = {0};
        build_fixture_init(&f);
        chain_publish(&f, &shape, chain_kinds[k], 1, &rows);
        assert_int_equal(version_desc_read(f.store, "tables/t/v/2", NULL, &desc, NULL), 0);
        struct shard_stream_params params = {
            .store = f.store, .dir = "tables/t/v/2", .desc = &desc, .scratch_dir = f.dir};
        struct part_desc kept = desc.parts[3];
        desc.parts[3] = desc.parts[4];
        assert_int_equal(shard_stream_open(&params, &stream, &err), -EBADMSG);
        assert_non_null(strstr(err.text, "tables/t/v/2"));
        desc.parts[3] = kept;
        desc.schema.hash_seed ^= 1;
        assert_int_equal(shard_stream_open(&params, &stream, &err), -EBADMSG);
        desc.schema.hash_seed ^= 1;
        desc.schema.kind = chain_kinds[(k + 1) % 3];
        assert_int_equal(shard_stream_open(&params, &stream, &err), -EBADMSG);
        version_desc_release(&desc);
        build_fixture_release(&f);
    }
}

static void content__neither_order_nor_cuts_matter_but_every_byte_does(void **state)
{
    const uint8_t a[] = "ab", b[] = "b";
    struct part_entry entries[] = {
        {.key_bytes = a, .key_len = 1, .value = b, .value_len = 1},
        {.key_bytes = a, .key_len = 2, .value = b, .value_len = 0},
        {.key = 7, .value = a, .value_len = 2},
    };
    struct content_digest forth = {0}, back = {0}, one = {0}, two = {0};
    struct buf room = {0};
    for (int i = 0; i < 3; i++) {
        content_digest_add(&forth, &entries[i], &room);
        content_digest_add(i == 1 ? &one : &back, &entries[2 - i], &room);
    }
    content_digest_merge(&back, &one);
    assert_true(content_digest_equal(&forth, &back));
    /* "a" -> "b" is not "ab" -> "". */
    one = (struct content_digest){0};
    content_digest_add(&one, &entries[0], &room);
    content_digest_add(&two, &entries[1], &room);
    assert_false(content_digest_equal(&one, &two));
    char text[DIGEST_HEX_LEN + 1];
    content_digest_text(&two, text);
    assert_int_equal(strlen(text), DIGEST_HEX_LEN);
    buf_release(&room);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stream__of_a_chain_is_what_lookups_find),
        cmocka_unit_test(stream__of_many_levels),
        cmocka_unit_test(stream__a_part_in_the_wrong_place_is_refused),
        cmocka_unit_test(content__neither_order_nor_cuts_matter_but_every_byte_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
