/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "format/blk_index.h"
#include "format/paged_layout.h"
#include "paged_entries.h"

#include <errno.h>

/* Looks the entry up as a reader would: locate, read, open, find. */
static enum probe look_up(const struct paged_fixture *fixture, const struct part_entry *entry,
                          struct probe_value *value, uint8_t **memory)
{
    struct block_place place = {0};
    struct block block;
    blk_locate((const struct blk *const *)&fixture->blk, 1, &entry->hash, 1, &place);
    *memory = NULL;
    if (place.n_pages == 0)
        return PROBE_ABSENT;
    *memory = paged_fixture_read(fixture, place);
    struct err err = {0};
    int ret = block_open(*memory, (size_t)place.n_pages * BLOCK_PAGE, &fixture->info.shape,
                         fixture->info.salt, place.page, &block, &err);
    assert_string_equal(err.text, "");
    assert_int_equal(ret, 0);
    return block_find(&block, entry->hash, entry->key_bytes, entry->key_len, value);
}

static void assert_finds(const struct paged_fixture *fixture, const struct part_entry *entry)
{
    struct probe_value value = {0};
    uint8_t *memory = NULL;
    enum probe found = look_up(fixture, entry, &value, &memory);
    assert_int_equal(found, entry->tombstone ? PROBE_TOMBSTONE : PROBE_FOUND);
    if (!entry->tombstone) {
        assert_int_equal(value.len, entry->value_len);
        if (value.len)
            assert_memory_equal(value.data, entry->value, value.len);
    }
    free(memory);
}

/* Walks all blocks; each entry comes once, in order, and the index leads to it. */
static void assert_walks(const struct paged_fixture *fixture, size_t n)
{
    uint32_t page = 0;
    size_t n_seen = 0;
    for (;;) {
        struct block_place place = blk_block_at(fixture->blk, page);
        struct block block;
        struct err err = {0};
        if (place.n_pages == 0)
            break;
        uint8_t *memory = paged_fixture_read(fixture, place);
        assert_int_equal(block_open(memory, (size_t)place.n_pages * BLOCK_PAGE,
                                    &fixture->info.shape, fixture->info.salt, page, &block, &err),
                         0);
        blk_check(fixture->blk, place, &block, &err);
        assert_string_equal(err.text, "");
        n_seen += block.n;
        page += place.n_pages;
        free(memory);
    }
    assert_int_equal(page, fixture->info.n_pages);
    assert_int_equal(n_seen, n);
}

static void round_trip(enum key_type key_type, const char *value, uint32_t (*len)(size_t), size_t n,
                       uint32_t level, uint32_t block_pages)
{
    struct schema schema = fixture_schema(key_type, value, 1);
    struct entries e = entries_make(&schema, n, len);
    struct paged_params params = {
        .schema = &schema, .level = level, .n_entries = n, .block_pages = block_pages};
    struct paged_fixture fixture = {0};
    size_t n_dead = 0;
    for (size_t i = 0; i < n; i++) {
        params.n_bytes += e.at[i].value_len;
        if (level && i % 5 == 0) {
            e.at[i] = key_type == KEY_U64 ? fixture_u64(&schema, i, NULL, 0)
                                          : fixture_bytes(&schema, e.keys[i], NULL, 0);
            n_dead++;
        }
    }
    paged_fixture_blk(&fixture, &params, e.at, n);
    assert_int_equal(fixture.bytes.len % PART_ALIGN, 0);
    assert_int_equal(fixture.info.part.n_keys, n - n_dead);
    assert_int_equal(fixture.info.part.n_tombstones, n_dead);
    assert_true(fixture.info.n_blocks <= fixture.info.n_pages);
    assert_true(fixture.info.records_len <= fixture.info.n_pages * BLOCK_PAGE);
    for (size_t i = 0; i < n; i++)
        assert_finds(&fixture, &e.at[i]);
    assert_walks(&fixture, n);
    for (size_t i = 0; i < 500; i++) {
        char text[24];
        struct probe_value found;
        uint8_t *memory = NULL;
        snprintf(text, sizeof text, "none/%zu", i);
        struct part_entry absent = key_type == KEY_U64 ? fixture_u64(&schema, n + i, NULL, 0)
                                                       : fixture_bytes(&schema, text, NULL, 0);
        assert_int_equal(look_up(&fixture, &absent, &found, &memory), PROBE_ABSENT);
        free(memory);
    }
    paged_fixture_release(&fixture);
    entries_free(&e);
}

static void blk__values_of_every_kind_round_trip(void **state)
{
    for (uint32_t level = 0; level < 2; level++) {
        round_trip(KEY_U64, "bytes[8]", len_fixed_8, 20000, level, 0);
        round_trip(KEY_U64, "bytes[1]", len_fixed_1, 20000, level, 0);
        round_trip(KEY_U64, "bytes[3072]", len_fixed_3072, 300, level, 0);
        round_trip(KEY_U64, "bytes[4096]", len_fixed_4096, 300, level, 0);
        round_trip(KEY_U64, "bytes[10000]", len_fixed_10000, 100, level, 0);
        round_trip(KEY_U64, "bytes", len_varied, 5000, level, 0);
        round_trip(KEY_U64, "bytes", len_none, 5000, level, 0);
        round_trip(KEY_U64, "bytes", len_wild, 2000, level, 0);
        round_trip(KEY_BYTES, "bytes", len_wild, 2000, level, 0);
        round_trip(KEY_BYTES, "bytes[8]", len_fixed_8, 5000, level, 0);
        round_trip(KEY_BYTES, "bytes", len_varied, 5000, level, 4);
    }
}

static void blk__every_small_count_works(void **state)
{
    for (size_t n = 0; n < 40; n++)
        for (uint32_t level = 0; level < 2; level++) {
            round_trip(KEY_U64, "bytes[8]", len_fixed_8, n, level, 0);
            round_trip(KEY_BYTES, "bytes", len_wild, n, level, 0);
        }
}

static void blk__the_longest_value_is_one_block(void **state)
{
    struct schema schema = fixture_schema(KEY_U64, "bytes", 1);
    uint8_t *value = malloc(VALUE_LEN_MAX);
    for (size_t i = 0; i < VALUE_LEN_MAX; i++)
        value[i] = (uint8_t)(i * 31 >> 5);
    struct part_entry entries[5];
    for (uint64_t i = 0; i < 5; i++)
        entries[i] = fixture_u64(&schema, i, value, i == 2 ? VALUE_LEN_MAX : 10);
    struct paged_params params = {.schema = &schema, .n_entries = 5, .n_bytes = VALUE_LEN_MAX};
    struct paged_fixture fixture = {0};
    paged_fixture_blk(&fixture, &params, entries, 5);
    assert_int_equal(fixture.info.pages_max, VALUE_LEN_MAX / BLOCK_PAGE + 1);
    for (uint64_t i = 0; i < 5; i++)
        assert_finds(&fixture, &entries[i]);
    assert_walks(&fixture, 5);
    paged_fixture_release(&fixture);
    free(value);
}

/* As few buckets as can be make nearly every boundary a tie of two steps. */
static void blk__ties_of_the_index_lose_no_key(void **state)
{
    struct schema schema = fixture_schema(KEY_U64, "bytes[8]", 1);
    struct entries e = entries_make(&schema, 200000, len_fixed_8);
    struct paged_params params = {.schema = &schema}; /* says nothing of 200,000 entries */
    struct paged_fixture fixture = {0};
    struct block_place *places = calloc(e.n, sizeof *places);
    uint64_t *hashes = calloc(e.n, sizeof *hashes);
    paged_fixture_blk(&fixture, &params, e.at, e.n);
    assert_walks(&fixture, e.n);
    for (size_t i = 0; i < e.n; i++)
        hashes[i] = e.at[i].hash;
    blk_locate((const struct blk *const *)&fixture.blk, 1, hashes, (uint32_t)e.n, places);
    for (size_t i = 1; i < e.n; i++) {
        assert_int_not_equal(places[i].n_pages, 0);
        assert_true(places[i].page >= places[i - 1].page);
        struct blk_step a = blk_step_of(hashes[i - 1], 1);
        struct blk_step b = blk_step_of(hashes[i], 1);
        if (a.fence == b.fence)
            assert_int_equal(places[i].page, places[i - 1].page);
    }
    for (size_t i = 0; i < e.n; i += 37)
        assert_finds(&fixture, &e.at[i]);
    free(places);
    free(hashes);
    paged_fixture_release(&fixture);
    entries_free(&e);
}

static void blk__keys_crowded_into_one_step_have_one_block(void **state)
{
    struct schema schema = fixture_schema(KEY_U64, "bytes[100]", 1);
    static const uint8_t value[100] = "crowded";
    enum { N = 3000 };
    static struct part_entry entries[N];
    for (uint64_t i = 0; i < N; i++) {
        uint64_t hash = (i < N / 2 ? 0x123456789ABCDULL : 0xFEDCBA9876543ULL) << 12 | i % (N / 2);
        entries[i] = fixture_u64(&schema, hash_u64_inverse(hash, schema.hash_seed), value, 100);
    }
    struct paged_params params = {.schema = &schema, .n_entries = N, .n_bytes = N * 100};
    struct paged_fixture fixture = {0};
    paged_fixture_blk(&fixture, &params, entries, N);
    assert_int_equal(fixture.info.n_pages, 2 * ((N / 2 * 108 + 16 + 4095) / 4096));
    for (uint64_t i = 0; i < N; i++)
        assert_finds(&fixture, &entries[i]);
    assert_walks(&fixture, N);
    paged_fixture_release(&fixture);
}

static void blk__too_many_keys_of_one_step_are_refused(void **state)
{
    struct schema schema = fixture_schema(KEY_U64, "bytes", 1);
    uint8_t *value = calloc(1, VALUE_LEN_MAX);
    struct part_entry entries[6];
    struct err err = {0};
    struct buf bytes = {0};
    for (uint64_t i = 0; i < 6; i++)
        entries[i] = fixture_u64(&schema, hash_u64_inverse(1000 + i, schema.hash_seed), value,
                                 VALUE_LEN_MAX);
    struct paged_params params = {.schema = &schema, .n_entries = 6};
    assert_int_equal(paged_fixture_write_blk(&params, entries, 6, &bytes, &err), -E2BIG);
    assert_non_null(strstr(err.text, "--hash-seed"));
    buf_release(&bytes);
    free(value);
}

static void blk__bytes_keys_of_one_hash_are_told_apart(void **state)
{
    struct schema schema = fixture_schema(KEY_BYTES, "bytes", 1);
    enum { N = 400 };
    struct entries e = entries_make(&schema, N, len_varied);
    uint64_t hash = schema_hash_bytes(&schema, "key/7", 5);
    for (size_t i = 0; i < N; i++)
        e.at[i].hash = hash;
    for (uint32_t level = 0; level < 2; level++) {
        struct paged_params params = {.schema = &schema, .n_entries = N, .level = level};
        struct paged_fixture fixture = {0};
        if (level)
            for (size_t i = 0; i < N; i += 3)
                e.at[i].tombstone = true;
        paged_fixture_blk(&fixture, &params, e.at, N);
        for (size_t i = 0; i < N; i++)
            assert_finds(&fixture, &e.at[i]);
        struct part_entry other = fixture_bytes(&schema, "another", NULL, 0);
        struct probe_value value;
        uint8_t *memory = NULL;
        other.hash = hash;
        assert_int_equal(look_up(&fixture, &other, &value, &memory), PROBE_ABSENT);
        free(memory);
        assert_walks(&fixture, N);
        paged_fixture_release(&fixture);
    }
    entries_free(&e);
}

/* Hashes at the very edges of shards and buckets. */
static void blk__edges_of_shards_belong_to_them(void **state)
{
    enum { N_SHARDS = 7, N_EDGES = 64, N = N_SHARDS * N_EDGES * 2 };
    struct schema schema = fixture_schema(KEY_U64, "bytes[8]", N_SHARDS);
    static const uint8_t value[8] = "edge";
    static struct part_entry entries[N];
    struct paged_fixture fixtures[N_SHARDS] = {0};
    const struct blk *parts[N_SHARDS];
    size_t n = 0;
    for (uint64_t s = 0; s < N_SHARDS; s++) {
        /* The first hash of shard s, and the last of the one before. */
        uint64_t first = ((s << 32) + N_SHARDS - 1) / N_SHARDS << 32;
        for (uint64_t i = 0; i < N_EDGES; i++) {
            uint64_t below = first - 1 - (i < 32 ? i : i << 27);
            uint64_t above = first + (i < 32 ? i : i << 27);
            entries[n++] = fixture_u64(&schema, hash_u64_inverse(above, 42), value, 8);
            entries[n++] = fixture_u64(&schema, hash_u64_inverse(below, 42), value, 8);
        }
    }
    for (uint32_t s = 0; s < N_SHARDS; s++) {
        struct paged_params params = {.schema = &schema,
                                      .shard = s,
                                      .n_entries = 1000000 * (s + 1), /* sizes may differ */
                                      .n_bytes = 80000000,
                                      .has_filter = s % 2};
        paged_fixture_blk(&fixtures[s], &params, entries, n);
        parts[s] = fixtures[s].blk;
    }
    for (size_t i = 0; i < n; i++) {
        struct block_place place = {0};
        struct block block;
        struct probe_value found;
        const struct paged_fixture *fixture = &fixtures[schema_shard(&schema, entries[i].hash)];
        blk_locate(parts, N_SHARDS, &entries[i].hash, 1, &place);
        assert_int_not_equal(place.n_pages, 0);
        uint8_t *memory = paged_fixture_read(fixture, place);
        assert_int_equal(block_open(memory, (size_t)place.n_pages * BLOCK_PAGE,
                                    &fixture->info.shape, fixture->info.salt, place.page, &block,
                                    NULL),
                         0);
        assert_int_equal(block_find(&block, entries[i].hash, NULL, 0, &found), PROBE_FOUND);
        free(memory);
    }
    for (uint32_t s = 0; s < N_SHARDS; s++)
        paged_fixture_release(&fixtures[s]);
}

static void blk__a_filter_spares_reads_of_absent_keys(void **state)
{
    struct schema schema = fixture_schema(KEY_U64, "bytes[8]", 1);
    struct entries e = entries_make(&schema, 50000, len_fixed_8);
    struct paged_params params = {.schema = &schema, .n_entries = e.n, .has_filter = true};
    struct paged_fixture fixture = {0};
    size_t n_read = 0;
    paged_fixture_blk(&fixture, &params, e.at, e.n);
    for (size_t i = 0; i < e.n; i++)
        assert_finds(&fixture, &e.at[i]);
    for (uint64_t key = e.n; key < e.n + 50000; key++) {
        struct block_place place = {0};
        uint64_t hash = schema_hash_u64(&schema, key);
        blk_locate((const struct blk *const *)&fixture.blk, 1, &hash, 1, &place);
        n_read += place.n_pages;
    }
    assert_in_range(n_read, 100, 300); /* 1 in 256 is 195 */
    assert_in_range(blk_filter_len(fixture.blk) * 8, 9 * e.n, 10 * e.n);
    paged_fixture_release(&fixture);
    entries_free(&e);
}

static void blk__the_index_takes_little_more_than_two_bytes_a_page(void **state)
{
    struct schema schema = fixture_schema(KEY_U64, "bytes[100]", 1);
    static const uint8_t value[100];
    enum { N = 200000 };
    struct part_entry *entries = calloc(N, sizeof *entries);
    for (uint64_t i = 0; i < N; i++)
        entries[i] = fixture_u64(&schema, i, value, 100);
    struct paged_params params = {.schema = &schema, .n_entries = N, .n_bytes = N * 100};
    struct paged_fixture fixture = {0};
    paged_fixture_blk(&fixture, &params, entries, N);
    assert_true(fixture.info.n_pages <= N / 37 + N / 2000);
    assert_true(blk_index_len(fixture.blk) * 100 <= 220 * fixture.info.n_pages);
    paged_fixture_release(&fixture);
    free(entries);
}

/* ---- what is refused ---- */

static void blk__wrong_entries_are_refused(void **state)
{
    struct schema schema = fixture_schema(KEY_U64, "bytes[4]", 2);
    struct part_entry a = fixture_u64(&schema, 1, "abcd", 4);
    struct part_entry b = fixture_u64(&schema, 2, "abcd", 4);
    struct part_entry low = a.hash < b.hash ? a : b;
    struct part_entry high = a.hash < b.hash ? b : a;
    struct buf bytes = {0};
    struct part_sink sink = {fixture_append, &bytes};
    struct paged_params params = {.schema = &schema, .shard = schema_shard(&schema, high.hash)};
    struct {
        struct part_entry first;
        struct part_entry second;
        int ret;
    } cases[] = {
        {high, low, -EINVAL},  {high, high, -EEXIST}, {high, high, -EINVAL},
        {high, high, -EINVAL}, {high, high, -EINVAL},
    };
    cases[2].second = fixture_u64(&schema, high.key, NULL, 0);
    cases[3].second.value_len = 3;
    cases[4].second.hash++;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct blk_writer *writer = NULL;
        struct err err = {0};
        assert_int_equal(blk_writer_new(&params, sink, &writer, NULL), 0);
        assert_int_equal(blk_writer_add(writer, &cases[i].first, NULL), 0);
        assert_int_equal(blk_writer_add(writer, &cases[i].second, &err), cases[i].ret);
        assert_string_not_equal(err.text, "");
        assert_int_equal(blk_writer_add(writer, &high, NULL), cases[i].ret);
        assert_int_equal(blk_writer_finish(writer, NULL, NULL), cases[i].ret);
        blk_writer_free(writer);
    }
    params.shard = 2;
    struct blk_writer *writer = NULL;
    assert_int_equal(blk_writer_new(&params, sink, &writer, NULL), -EINVAL);
    buf_release(&bytes);
}

static int open_edited(const struct paged_fixture *good, size_t at, uint8_t mask, bool reseal,
                       struct err *err)
{
    struct paged_fixture fixture = {.schema = good->schema};
    assert_int_equal(buf_add(&fixture.bytes, good->bytes.data, good->bytes.len), 0);
    uint8_t *footer_at = fixture.bytes.data + fixture.bytes.len - PART_FOOTER_LEN;
    fixture.bytes.data[at] ^= mask;
    struct paged_footer footer;
    memcpy(&footer, footer_at, sizeof footer);
    if (reseal)
        store_le64(&footer.checksum,
                   hash_checksum(&footer, offsetof(struct paged_footer, checksum)));
    memcpy(footer_at, &footer, sizeof footer);
    int ret = paged_fixture_tail(&fixture, err);
    if (!ret)
        ret =
            blk_open(fixture.tail, fixture.tail_len, fixture.bytes.len, "part", &fixture.blk, err);
    paged_fixture_release(&fixture);
    return ret;
}

static void blk__damage_to_tail_or_footer_is_found(void **state)
{
    struct schema schema = fixture_schema(KEY_U64, "bytes[8]", 3);
    struct entries e = entries_make(&schema, 3000, len_fixed_8);
    struct paged_params params = {
        .schema = &schema, .shard = 1, .level = 2, .n_entries = 1000, .n_bytes = 8000};
    struct paged_fixture good = {0};
    paged_fixture_blk(&good, &params, e.at, e.n);
    size_t footer = good.bytes.len - PART_FOOTER_LEN;
    for (size_t at = good.info.n_pages * BLOCK_PAGE; at < footer; at += 13) {
        struct err err = {0};
        assert_int_equal(open_edited(&good, at, 1, false, &err), -EBADMSG);
        assert_non_null(strstr(err.text, "part"));
    }
    for (size_t at = footer; at < footer + sizeof(struct paged_footer); at++)
        assert_true(open_edited(&good, at, 0x40, false, NULL) < 0);
    static const size_t lies[] = {
        offsetof(struct paged_footer, layout),      offsetof(struct paged_footer, key_type),
        offsetof(struct paged_footer, n_shards),    offsetof(struct paged_footer, n_partitions),
        offsetof(struct paged_footer, n_buckets),   offsetof(struct paged_footer, n_pages),
        offsetof(struct paged_footer, block_pages), offsetof(struct paged_footer, n_blocks),
        offsetof(struct paged_footer, sections)};
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        struct err err = {0};
        assert_true(open_edited(&good, footer + lies[i] + 3, 0x80, true, &err) < 0);
        assert_string_not_equal(err.text, "");
    }
    assert_int_equal(
        open_edited(&good, footer + offsetof(struct paged_footer, format), 2, false, NULL),
        -ENOTSUP);
    assert_int_equal(
        open_edited(&good, footer + offsetof(struct paged_footer, compression), 2, true, NULL),
        -ENOTSUP);
    paged_fixture_release(&good);
    entries_free(&e);
}

static void block__damage_misplacement_and_other_parts_are_found(void **state)
{
    struct schema schema = fixture_schema(KEY_U64, "bytes[8]", 1);
    struct entries e = entries_make(&schema, 3000, len_fixed_8);
    struct paged_params params = {.schema = &schema, .n_entries = 3000, .n_bytes = 24000};
    struct paged_fixture fixture = {0};
    struct paged_fixture other = {0};
    struct block block;
    struct err err = {0};
    paged_fixture_blk(&fixture, &params, e.at, e.n);
    struct block_place place = blk_block_at(fixture.blk, 3);
    uint8_t *memory = paged_fixture_read(&fixture, place);
    const struct paged_info *info = &fixture.info;
    assert_int_equal(block_open(memory, BLOCK_PAGE, &info->shape, info->salt, 3, &block, NULL), 0);
    assert_int_equal(block_open(memory, BLOCK_PAGE, &info->shape, info->salt, 4, &block, &err),
                     -EBADMSG);
    assert_non_null(strstr(err.text, "page 4"));
    for (size_t at = 0; at < BLOCK_PAGE; at++) {
        memory[at] ^= 8;
        assert_int_equal(block_open(memory, BLOCK_PAGE, &info->shape, info->salt, 3, &block, NULL),
                         -EBADMSG);
        memory[at] ^= 8;
    }
    assert_int_equal(block_open(memory, 0, &info->shape, info->salt, 3, &block, NULL), -EBADMSG);
    assert_int_equal(block_open(memory, 512, &info->shape, info->salt, 3, &block, NULL), -EBADMSG);
    /* Another version of the table, of which one value differs. */
    e.at[0].value = (const uint8_t *)"changed!";
    paged_fixture_blk(&other, &params, e.at, e.n);
    assert_int_equal(block_open(memory, BLOCK_PAGE, &info->shape, other.info.salt, 3, &block, NULL),
                     -EBADMSG);
    free(memory);
    paged_fixture_release(&fixture);
    paged_fixture_release(&other);
    entries_free(&e);
}

/* ---- the writer's promises ---- */

/* The bytes may never change: old parts must stay readable, and builds reproducible. */
static void blk__bytes_are_those_of_format_1(void **state)
{
    static const struct {
        enum key_type key_type;
        const char *value;
        uint32_t (*len)(size_t);
        uint32_t level;
        const char *digest;
    } golden[] = {
        {KEY_U64, "bytes[8]", len_fixed_8, 0, "cae60c67bbd8885068db9d8d313ef551"},
        {KEY_U64, "bytes", len_wild, 1, "42faf164f31b5d7c4203d18af7a7b6e2"},
        {KEY_BYTES, "bytes", len_varied, 0, "619fcf2ecb046a52e5707945667631d2"},
    };
    for (size_t i = 0; i < sizeof golden / sizeof golden[0]; i++) {
        struct schema schema = fixture_schema(golden[i].key_type, golden[i].value, 2);
        struct entries e = entries_make(&schema, 2000, golden[i].len);
        struct paged_params params = {.schema = &schema,
                                      .shard = 1,
                                      .level = golden[i].level,
                                      .n_entries = 1000,
                                      .n_bytes = 100000};
        struct buf bytes = {0};
        struct digest digest;
        char hex[DIGEST_HEX_LEN + 1];
        assert_int_equal(paged_fixture_write_blk(&params, e.at, e.n, &bytes, NULL), 0);
        digest_of(bytes.data, bytes.len, &digest);
        digest_to_hex(&digest, hex);
        assert_string_equal(hex, golden[i].digest);
        buf_release(&bytes);
        entries_free(&e);
    }
}

struct failing_sink {
    struct buf bytes;
    int fails_at;
    int n_calls;
};

static int failing_append(void *context, const void *data, size_t len, struct err *err)
{
    struct failing_sink *sink = context;
    if (sink->n_calls++ == sink->fails_at)
        return err_set(err, -ENOSPC, "no room");
    return buf_add(&sink->bytes, data, len);
}

static void blk__every_failure_of_the_sink_ends_the_writer(void **state)
{
    struct schema schema = fixture_schema(KEY_U64, "bytes[3072]", 1);
    struct entries e = entries_make(&schema, 2000, len_fixed_3072);
    struct paged_params params = {.schema = &schema, .n_entries = e.n};
    qsort(e.at, e.n, sizeof *e.at, fixture_order);
    for (int fails_at = 0, ret = -1; ret; fails_at++) {
        struct failing_sink context = {.fails_at = fails_at};
        struct blk_writer *writer = NULL;
        struct err err = {0};
        ret = blk_writer_new(&params, (struct part_sink){failing_append, &context}, &writer, NULL);
        for (size_t i = 0; i < e.n && !ret; i++)
            ret = blk_writer_add(writer, &e.at[i], &err);
        if (!ret)
            ret = blk_writer_finish(writer, NULL, &err);
        if (ret) {
            assert_int_equal(ret, -ENOSPC);
            assert_string_equal(err.text, "no room");
            assert_int_equal(blk_writer_finish(writer, NULL, NULL), -ENOSPC);
        }
        blk_writer_free(writer);
        buf_release(&context.bytes);
        assert_true(fails_at < 100);
    }
    entries_free(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blk__values_of_every_kind_round_trip),
        cmocka_unit_test(blk__every_small_count_works),
        cmocka_unit_test(blk__the_longest_value_is_one_block),
        cmocka_unit_test(blk__ties_of_the_index_lose_no_key),
        cmocka_unit_test(blk__keys_crowded_into_one_step_have_one_block),
        cmocka_unit_test(blk__too_many_keys_of_one_step_are_refused),
        cmocka_unit_test(blk__bytes_keys_of_one_hash_are_told_apart),
        cmocka_unit_test(blk__edges_of_shards_belong_to_them),
        cmocka_unit_test(blk__a_filter_spares_reads_of_absent_keys),
        cmocka_unit_test(blk__the_index_takes_little_more_than_two_bytes_a_page),
        cmocka_unit_test(blk__wrong_entries_are_refused),
        cmocka_unit_test(blk__damage_to_tail_or_footer_is_found),
        cmocka_unit_test(block__damage_misplacement_and_other_parts_are_found),
        cmocka_unit_test(blk__bytes_are_those_of_format_1),
        cmocka_unit_test(blk__every_failure_of_the_sink_ends_the_writer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
