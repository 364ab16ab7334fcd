/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "format/filter.h"
#include "format/paged_layout.h"
#include "paged_entries.h"

#include <errno.h>

static uint64_t rank_of(const struct idx *idx, const struct part_entry *entry)
{
    uint64_t rank = 0;
    if (entry->key_bytes)
        assert_int_equal(idx_find_bytes(idx, entry->key_bytes, entry->key_len, &rank), 0);
    else
        idx_find_u64(idx, &entry->key, 1, &rank);
    return rank;
}

/* Entry i of those sorted by key has rank i and its value. */
static void assert_has(const struct paged_fixture *fixture, const struct part_entry *entry,
                       uint64_t i)
{
    struct idx_place place = {0};
    struct probe_value value = {0};
    struct block block;
    assert_int_equal(rank_of(fixture->idx, entry), i);
    assert_int_equal(idx_is_tombstone(fixture->idx, i), entry->tombstone);
    assert_int_equal(idx_place(fixture->idx, i, &place), 0);
    uint8_t *memory = paged_fixture_read(fixture, place.block);
    assert_int_equal(block_open(memory, (size_t)place.block.n_pages * BLOCK_PAGE,
                                &fixture->info.shape, fixture->info.salt, place.block.page, &block,
                                NULL),
                     0);
    assert_in_range(place.entry, 0, block.n - 1);
    if (!entry->tombstone) {
        assert_int_equal(block_value(&block, place.entry, &value), 0);
        assert_int_equal(value.len, entry->value_len);
        if (value.len)
            assert_memory_equal(value.data, entry->value, value.len);
    }
    free(memory);
}

static void assert_walks(const struct paged_fixture *fixture, const struct part_entry *entries,
                         size_t n)
{
    struct idx_cursor cursor;
    bool is_u64 = fixture->schema.key_type == KEY_U64;
    for (size_t from = 0; from < n; from += n / 3 + 1) {
        int ret = is_u64 ? idx_seek_u64(fixture->idx, entries[from].key, &cursor)
                         : idx_seek_bytes(fixture->idx, entries[from].key_bytes,
                                          entries[from].key_len, &cursor);
        assert_int_equal(ret, 0);
        for (size_t i = from; i < n; i++) {
            assert_int_equal(idx_next(&cursor), 1);
            assert_int_equal(cursor.rank, i);
            if (is_u64) {
                assert_int_equal(cursor.key, entries[i].key);
            } else {
                assert_int_equal(cursor.key_len, entries[i].key_len);
                assert_memory_equal(cursor.key_bytes, entries[i].key_bytes, cursor.key_len);
            }
        }
        assert_int_equal(idx_next(&cursor), 0);
    }
}

static void round_trip(enum key_type key_type, const char *value, uint32_t (*len)(size_t), size_t n,
                       uint32_t level, uint32_t block_pages)
{
    struct schema schema = fixture_schema(key_type, value, 1);
    struct entries e = entries_make(&schema, n, len);
    struct paged_params params = {.schema = &schema, .level = level, .block_pages = block_pages};
    struct paged_fixture fixture = {0};
    size_t n_dead = 0;
    for (size_t i = 0; i < n && level; i += 5, n_dead++)
        e.at[i] = key_type == KEY_U64 ? fixture_u64(&schema, i, NULL, 0)
                                      : fixture_bytes(&schema, e.keys[i], NULL, 0);
    paged_fixture_idx(&fixture, &params, e.at, n);
    assert_int_equal(fixture.bytes.len % PART_ALIGN, 0);
    assert_int_equal(idx_n(fixture.idx), n);
    assert_int_equal(fixture.info.part.n_tombstones, n_dead);
    for (size_t i = 0; i < n; i++)
        assert_has(&fixture, &e.at[i], i);
    assert_walks(&fixture, e.at, n);
    for (size_t i = 0; i < 100; i++) {
        char text[24];
        snprintf(text, sizeof text, "none/%zu", i);
        struct part_entry absent = key_type == KEY_U64 ? fixture_u64(&schema, n + i, NULL, 0)
                                                       : fixture_bytes(&schema, text, NULL, 0);
        assert_int_equal(rank_of(fixture.idx, &absent), IDX_NONE);
    }
    struct idx_place place;
    assert_int_equal(idx_place(fixture.idx, n, &place), -EBADMSG);
    paged_fixture_release(&fixture);
    entries_free(&e);
}

/* Keys of two shards, of which each has its filter, in some partitions. */
static void idx__the_filter_denies_absent_keys_alone(void **state)
{
    enum { N = 4000, N_SHARDS = 2 };
    struct schema schema = fixture_schema(KEY_BYTES, "bytes[8]", N_SHARDS);
    struct entries e = entries_make(&schema, N, len_fixed_8);
    struct paged_fixture fixtures[N_SHARDS] = {0};
    const struct idx *parts[N_SHARDS];
    uint64_t hashes[N];
    uint64_t ranks[N];
    uint32_t n_admitted = 0;
    /* Forged hashes that are alike. */
    e.at[1].hash = e.at[2].hash = e.at[3].hash = e.at[0].hash;
    for (uint32_t s = 0; s < N_SHARDS; s++) {
        struct paged_params params = {
            .schema = &schema, .shard = s, .n_entries = 5 * FILTER_KEYS, .has_filter = true};
        paged_fixture_idx(&fixtures[s], &params, e.at, N);
        parts[s] = fixtures[s].idx;
        assert_true(fixtures[s].info.part.n_partitions > 1);
        assert_in_range(idx_filter_len(parts[s]), N / N_SHARDS, 8 * N);
    }
    for (size_t i = 0; i < N; i++)
        hashes[i] = e.at[i].hash;
    idx_filter(parts, N_SHARDS, hashes, N, ranks);
    for (size_t i = 0; i < N; i++)
        assert_int_equal(ranks[i], 0);
    for (size_t i = 0; i < N; i++)
        hashes[i] = hash_u64(i, 77);
    idx_filter(parts, N_SHARDS, hashes, N, ranks);
    for (size_t i = 0; i < N; i++) {
        assert_true(ranks[i] == 0 || ranks[i] == IDX_NONE);
        n_admitted += ranks[i] == 0;
    }
    assert_in_range(n_admitted, 1, N / 100);
    for (uint32_t s = 0; s < N_SHARDS; s++)
        paged_fixture_release(&fixtures[s]);
    entries_free(&e);
}

/* u64 keys have none, others none when it is not wanted; above level 0 it always is. */
static void idx__a_part_without_a_filter_denies_nothing(void **state)
{
    static const struct {
        enum key_type key_type;
        uint32_t level;
        bool is_wanted;
        bool has;
    } cases[] = {
        {KEY_U64, 0, true, false},  {KEY_U64, 1, true, false},   {KEY_BYTES, 0, false, false},
        {KEY_BYTES, 0, true, true}, {KEY_BYTES, 1, false, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct schema schema = fixture_schema(cases[i].key_type, "bytes[8]", 1);
        struct entries e = entries_make(&schema, 100, len_fixed_8);
        struct paged_params params = {.schema = &schema,
                                      .level = cases[i].level,
                                      .n_entries = 100,
                                      .has_filter = cases[i].is_wanted};
        struct paged_fixture fixture = {0};
        uint64_t hashes[100];
        uint64_t ranks[100];
        uint32_t n_denied = 0;
        paged_fixture_idx(&fixture, &params, e.at, e.n);
        const struct idx *parts[1] = {fixture.idx};
        for (size_t j = 0; j < e.n; j++)
            hashes[j] = hash_u64(j, 77);
        idx_filter(parts, 1, hashes, 100, ranks);
        for (size_t j = 0; j < e.n; j++)
            n_denied += ranks[j] == IDX_NONE;
        assert_int_equal(n_denied > 0, cases[i].has);
        assert_int_equal(idx_filter_len(fixture.idx) > 0, cases[i].has);
        paged_fixture_release(&fixture);
        entries_free(&e);
    }
}

static void idx__values_of_every_kind_round_trip(void **state)
{
    for (uint32_t level = 0; level < 2; level++) {
        round_trip(KEY_U64, "bytes[8]", len_fixed_8, 10000, level, 0);
        round_trip(KEY_U64, "bytes[1]", len_fixed_1, 10000, level, 0);
        round_trip(KEY_U64, "bytes[3072]", len_fixed_3072, 301, level, 0);
        round_trip(KEY_U64, "bytes[4096]", len_fixed_4096, 301, level, 0);
        round_trip(KEY_U64, "bytes[4096]", len_fixed_4096, 301, level, 7);
        round_trip(KEY_U64, "bytes[10000]", len_fixed_10000, 100, level, 0);
        round_trip(KEY_U64, "bytes", len_varied, 5000, level, 0);
        round_trip(KEY_U64, "bytes", len_none, 20000, level, 0);
        round_trip(KEY_U64, "bytes", len_wild, 2000, level, 0);
        round_trip(KEY_BYTES, "bytes", len_wild, 2000, level, 2);
        round_trip(KEY_BYTES, "bytes[8]", len_fixed_8, 5000, level, 0);
    }
}

static void idx__every_small_count_works(void **state)
{
    for (size_t n = 0; n < 40; n++)
        for (uint32_t level = 0; level < 2; level++) {
            round_trip(KEY_U64, "bytes[3072]", len_fixed_3072, n, level, 2);
            round_trip(KEY_BYTES, "bytes", len_wild, n, level, 0);
        }
}

static void idx__the_longest_value_is_one_block(void **state)
{
    struct schema schema = fixture_schema(KEY_U64, "bytes", 1);
    uint8_t *value = malloc(VALUE_LEN_MAX);
    for (size_t i = 0; i < VALUE_LEN_MAX; i++)
        value[i] = (uint8_t)(i * 31 >> 5);
    struct part_entry entries[5];
    for (uint64_t i = 0; i < 5; i++)
        entries[i] = fixture_u64(&schema, i, value, i == 2 ? VALUE_LEN_MAX : 10);
    struct paged_params params = {.schema = &schema};
    struct paged_fixture fixture = {0};
    paged_fixture_idx(&fixture, &params, entries, 5);
    for (uint64_t i = 0; i < 5; i++)
        assert_has(&fixture, &entries[i], i);
    paged_fixture_release(&fixture);
    free(value);
}

static void idx__keys_with_a_prefix_follow_one_another(void **state)
{
    static const char *const texts[] = {"a",     "ab",   "aba", "abc", "abc/1",
                                        "abc/2", "abcd", "abd", "b",   "\xFF"};
    enum { N = sizeof texts / sizeof texts[0] };
    struct schema schema = fixture_schema(KEY_BYTES, "bytes", 1);
    struct part_entry entries[N];
    for (size_t i = 0; i < N; i++)
        entries[i] = fixture_bytes(&schema, texts[i], texts[i], 1);
    struct paged_params params = {.schema = &schema};
    struct paged_fixture fixture = {0};
    paged_fixture_idx(&fixture, &params, entries, N);
    static const char *const prefixes[] = {"", "a", "ab", "abc", "abc/", "abcd", "b", "c", "\xFF"};
    for (size_t p = 0; p < sizeof prefixes / sizeof prefixes[0]; p++) {
        struct idx_cursor cursor;
        size_t len = strlen(prefixes[p]);
        size_t n_wanted = 0;
        size_t n_seen = 0;
        for (size_t i = 0; i < N; i++)
            n_wanted += strncmp(texts[i], prefixes[p], len) == 0;
        assert_int_equal(idx_seek_bytes(fixture.idx, prefixes[p], len, &cursor), 0);
        while (idx_next(&cursor) == 1 && idx_has_prefix(&cursor, prefixes[p], len))
            n_seen++;
        assert_int_equal(n_seen, n_wanted);
    }
    paged_fixture_release(&fixture);
}

static void idx__shards_hold_their_keys_alone(void **state)
{
    enum { N_SHARDS = 3, N = 3000 };
    struct schema schema = fixture_schema(KEY_U64, "bytes[8]", N_SHARDS);
    struct entries e = entries_make(&schema, N, len_fixed_8);
    uint64_t n_seen = 0;
    for (uint32_t s = 0; s < N_SHARDS; s++) {
        struct paged_params params = {.schema = &schema, .shard = s};
        struct paged_fixture fixture = {0};
        paged_fixture_idx(&fixture, &params, e.at, N);
        n_seen += idx_n(fixture.idx);
        for (size_t i = 0; i < N; i++) {
            bool is_here = schema_shard(&schema, e.at[i].hash) == s;
            assert_int_equal(rank_of(fixture.idx, &e.at[i]) != IDX_NONE, is_here);
        }
        paged_fixture_release(&fixture);
    }
    assert_int_equal(n_seen, N);
    entries_free(&e);
}

/* Per key: 64 - log2 n + 1.44 bits at least (47.3 for 300,000), and of varying values' places next
 * to nothing. */
static void idx__memory_is_near_what_it_must_be(void **state)
{
    enum { N = 300000 };
    struct schema schema = fixture_schema(KEY_U64, "bytes", 1);
    struct part_entry *entries = calloc(N, sizeof *entries);
    static const uint8_t value[200] = "v";
    for (uint64_t i = 0; i < N; i++)
        entries[i] = fixture_u64(&schema, hash_u64(i, 1), value, (uint32_t)(i % 200));
    struct paged_params params = {.schema = &schema};
    struct paged_fixture fixture = {0};
    paged_fixture_idx(&fixture, &params, entries, N);
    double keys_bits = 8.0 * (double)idx_keys_len(fixture.idx) / N;
    double places_bits = 8.0 * (double)idx_places_len(fixture.idx) / N;
    assert_true(keys_bits < 47.3 * 1.03);
    assert_true(places_bits < 0.5);
    paged_fixture_release(&fixture);
    free(entries);
}

/* ---- what is refused ---- */

static void idx__wrong_entries_are_refused(void **state)
{
    struct schema schema = fixture_schema(KEY_U64, "bytes[4]", 1);
    struct part_entry low = fixture_u64(&schema, 1, "abcd", 4);
    struct part_entry high = fixture_u64(&schema, 2, "abcd", 4);
    struct buf bytes = {0};
    struct paged_params params = {.schema = &schema};
    struct {
        struct part_entry first;
        struct part_entry second;
        int ret;
    } cases[] = {
        {high, low, -EINVAL}, {high, high, -EEXIST}, {low, high, -EINVAL},
        {low, high, -EINVAL}, {low, high, -EINVAL},
    };
    cases[2].second.tombstone = true;
    cases[3].second.value_len = 3;
    cases[4].second.hash++;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct idx_writer *writer = NULL;
        struct err err = {0};
        assert_int_equal(
            idx_writer_new(&params, (struct part_sink){fixture_append, &bytes}, &writer, NULL), 0);
        assert_int_equal(idx_writer_add(writer, &cases[i].first, NULL), 0);
        assert_int_equal(idx_writer_add(writer, &cases[i].second, &err), cases[i].ret);
        assert_string_not_equal(err.text, "");
        assert_int_equal(idx_writer_finish(writer, NULL, NULL), cases[i].ret);
        idx_writer_free(writer);
    }
    buf_release(&bytes);
}

static void idx__damage_to_the_tail_is_found(void **state)
{
    struct schema schema = fixture_schema(KEY_BYTES, "bytes", 1);
    struct entries e = entries_make(&schema, 5000, len_varied);
    struct paged_params params = {.schema = &schema, .level = 1};
    struct paged_fixture good = {0};
    struct idx *idx = NULL;
    struct blk *blk = NULL;
    paged_fixture_idx(&good, &params, e.at, e.n);
    for (size_t at = 0; at < good.tail_len - PART_FOOTER_LEN + sizeof(struct paged_footer);
         at += 97) {
        good.tail[at] ^= 4;
        assert_true(idx_open(good.tail, good.tail_len, good.bytes.len, "part", &idx, NULL) < 0);
        good.tail[at] ^= 4;
    }
    struct err err = {0};
    assert_int_equal(blk_open(good.tail, good.tail_len, good.bytes.len, "part", &blk, &err),
                     -EBADMSG);
    assert_non_null(strstr(err.text, "kind blk"));
    assert_int_equal(
        idx_open(good.tail, good.tail_len, good.bytes.len + BLOCK_PAGE, "part", &idx, NULL),
        -EINVAL);
    assert_int_equal(idx_open(good.tail + 8, good.tail_len - 8, good.bytes.len, "part", &idx, NULL),
                     -EINVAL);
    paged_fixture_release(&good);
    entries_free(&e);
}

/* The bytes may never change: old parts must stay readable, and builds reproducible. */
static void idx__bytes_are_those_of_format_1(void **state)
{
    static const struct {
        enum key_type key_type;
        const char *value;
        uint32_t (*len)(size_t);
        uint32_t level;
        const char *digest;
    } golden[] = {
        {KEY_U64, "bytes[8]", len_fixed_8, 0, "d6da345061e9497c0bb776fa2b93cdb1"},
        {KEY_U64, "bytes", len_wild, 1, "2b03017b0b56c53d83eab0e09abcfa0f"},
        {KEY_BYTES, "bytes", len_varied, 0, "adb36db1008733ed41f75fba6478ac1a"},
        {KEY_BYTES, "bytes[8]", len_fixed_8, 1, "0d6fd873961c912c8b58552ebd74c3e0"},
    };
    for (size_t i = 0; i < sizeof golden / sizeof golden[0]; i++) {
        struct schema schema = fixture_schema(golden[i].key_type, golden[i].value, 2);
        struct entries e = entries_make(&schema, 2000, golden[i].len);
        struct paged_params params = {
            .schema = &schema, .shard = 1, .level = golden[i].level, .n_entries = 1000};
        struct buf bytes = {0};
        struct digest digest;
        char hex[DIGEST_HEX_LEN + 1];
        assert_int_equal(paged_fixture_write_idx(&params, e.at, e.n, &bytes, NULL), 0);
        digest_of(bytes.data, bytes.len, &digest);
        digest_to_hex(&digest, hex);
        assert_string_equal(hex, golden[i].digest);
        buf_release(&bytes);
        entries_free(&e);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(idx__values_of_every_kind_round_trip),
        cmocka_unit_test(idx__the_filter_denies_absent_keys_alone),
        cmocka_unit_test(idx__a_part_without_a_filter_denies_nothing),
        cmocka_unit_test(idx__every_small_count_works),
        cmocka_unit_test(idx__the_longest_value_is_one_block),
        cmocka_unit_test(idx__keys_with_a_prefix_follow_one_another),
        cmocka_unit_test(idx__shards_hold_their_keys_alone),
        cmocka_unit_test(idx__memory_is_near_what_it_must_be),
        cmocka_unit_test(idx__wrong_entries_are_refused),
        cmocka_unit_test(idx__damage_to_the_tail_is_found),
        cmocka_unit_test(idx__bytes_are_those_of_format_1),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
