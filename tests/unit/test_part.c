/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "base/hash.h"
#include "format/part_layout.h"
#include "table_fixture.h"

#include <errno.h>

/* n entries whose keys are `first` onwards; values are varied bytes of value_len, from `store`. */
static void make_u64(const struct schema *schema, uint64_t first, size_t n, uint32_t value_len,
                     uint8_t *store, struct part_entry *entries)
{
    for (size_t i = 0; i < n; i++) {
        uint8_t *value = store + i * value_len;
        for (uint32_t j = 0; j < value_len; j++)
            value[j] = (uint8_t)(hash_u64(first + i, j) >> 13);
        entries[i] = fixture_u64(schema, first + i, value, value_len);
    }
}

/* Every entry of every shard comes back once from the iterator, and the table finds each. */
static void round_trip(const char *value, uint32_t value_len, uint32_t n_shards,
                       uint32_t n_partitions, size_t n)
{
    struct fixture fixture = {.schema = fixture_schema(KEY_U64, value, n_shards)};
    struct part_entry *entries = calloc(n + 1, sizeof *entries);
    uint8_t *store = malloc(n * value_len + 1);
    size_t n_seen = 0;
    make_u64(&fixture.schema, 1000, n, value_len, store, entries);
    fixture_add_level(&fixture, n_partitions, entries, n);
    for (uint32_t i = 0; i < fixture.n_parts; i++) {
        struct part_entry entry;
        uint64_t cursor = 0;
        size_t n_part = 0;
        int ret = 0;
        while ((ret = part_next(fixture.parts[i], &cursor, &entry)) == 1) {
            assert_in_range(entry.key, 1000, 1000 + n - 1);
            assert_int_equal(entry.value_len, value_len);
            assert_int_equal(entry.hash, schema_hash_u64(&fixture.schema, entry.key));
            n_part++;
        }
        assert_int_equal(ret, 0);
        assert_int_equal(part_next(fixture.parts[i], &cursor, &entry), 0);
        assert_int_equal(n_part, part_info(fixture.parts[i])->n_keys);
        n_seen += n_part;
    }
    assert_int_equal(n_seen, n);
    const struct mem_table *table = fixture_table(&fixture);
    for (size_t i = 0; i < n; i++) {
        const uint8_t *found = NULL;
        uint32_t len = 0;
        assert_int_equal(mem_table_find_u64(table, entries[i].key, &found, &len), 1);
        assert_int_equal(len, value_len);
        if (len)
            assert_memory_equal(found, entries[i].value, len);
    }
    for (uint64_t key = 0; key < 1000; key++) {
        const uint8_t *found = NULL;
        uint32_t len = 0;
        assert_int_equal(mem_table_find_u64(table, key, &found, &len), 0);
    }
    fixture_release(&fixture);
    free(entries);
    free(store);
}

static void part__inline_values_round_trip(void **state)
{
    round_trip("bytes[64]", 64, 1, 0, 5000);
    round_trip("bytes[1]", 1, 3, 2, 5000);
    round_trip("i8[97]", 101, 7, 5, 3000);
}

static void part__heap_values_round_trip(void **state)
{
    round_trip("bytes", 24, 2, 3, 5000);
    round_trip("bytes", 0, 2, 3, 100);
    round_trip("bytes[5000]", 5000, 2, 1, 300);
}

static void part__every_small_count_works(void **state)
{
    for (size_t n = 0; n < 70; n++) {
        round_trip("bytes[8]", 8, 1, 1, n);
        round_trip("bytes", 8, 2, 3, n);
    }
}

static void part__a_full_sized_partition_is_built(void **state)
{
    round_trip("bytes[8]", 8, 1, 1, 200000);
}

static void part__bytes_do_not_depend_on_anything_but_entries(void **state)
{
    struct schema schema = fixture_schema(KEY_U64, "bytes[8]", 1);
    static struct part_entry entries[3000];
    static uint8_t store[3000 * 8];
    struct buf a = {0};
    struct buf b = {0};
    make_u64(&schema, 0, 3000, 8, store, entries);
    assert_int_equal(fixture_write(&schema, 0, 0, 4, entries, 3000, &a, NULL), 0);
    assert_int_equal(fixture_write(&schema, 0, 0, 4, entries, 3000, &b, NULL), 0);
    assert_int_equal(a.len, b.len);
    assert_memory_equal(a.data, b.data, a.len);
    assert_int_equal(a.len % PART_ALIGN, 0);
    buf_release(&a);
    buf_release(&b);
}

/* The bytes of format 1 may never change: old parts must stay readable, and builds reproducible. */
static void part__bytes_are_those_of_format_1(void **state)
{
    static const struct {
        const char *value;
        uint32_t value_len;
        uint32_t level;
        const char *digest;
    } golden[] = {
        {"bytes[24]", 24, 0, "829ffd5fddd8abded75fb537abfbafe0"},
        {"bytes", 17, 0, "912d58a2ff970e0d3a959ac4d0ff2aef"},
        {"i8[20]", 24, 1, "c18d9e91b4121d02ce1a25be9cf00945"},
    };
    static struct part_entry entries[2000];
    static uint8_t store[2000 * 24];
    for (size_t i = 0; i < sizeof golden / sizeof golden[0]; i++) {
        struct schema schema = fixture_schema(KEY_U64, golden[i].value, 2);
        struct buf bytes = {0};
        struct digest digest;
        char hex[DIGEST_HEX_LEN + 1];
        make_u64(&schema, 7, 2000, golden[i].value_len, store, entries);
        for (size_t e = 0; golden[i].level && e < 2000; e += 5)
            entries[e] = fixture_u64(&schema, entries[e].key, NULL, 0);
        assert_int_equal(fixture_write(&schema, golden[i].level, 1, 3, entries, 2000, &bytes, NULL),
                         0);
        digest_of(bytes.data, bytes.len, &digest);
        digest_to_hex(&digest, hex);
        assert_string_equal(hex, golden[i].digest);
        buf_release(&bytes);
    }
}

static void part__keys_of_one_hash_are_told_apart(void **state)
{
    struct fixture fixture = {.schema = fixture_schema(KEY_BYTES, "bytes", 1)};
    char keys[50][16];
    struct part_entry entries[50];
    struct part_entry entry;
    uint64_t cursor = 0;
    size_t n = 0;
    for (int i = 0; i < 50; i++) {
        snprintf(keys[i], sizeof keys[i], "key%d", i);
        entries[i] = fixture_bytes(&fixture.schema, keys[i], keys[i], (uint32_t)strlen(keys[i]));
        /* All in the hash of "key7", which is the only one that a lookup by hash can find first. */
        entries[i].hash = schema_hash_bytes(&fixture.schema, "key7", 4);
    }
    fixture_add_level(&fixture, 1, entries, 50);
    const struct mem_table *table = fixture_table(&fixture);
    const uint8_t *value = NULL;
    uint32_t len = 0;
    assert_int_equal(mem_table_find_bytes(table, "key7", 4, &value, &len), 1);
    assert_int_equal(len, 4);
    assert_memory_equal(value, "key7", 4);
    assert_int_equal(mem_table_find_bytes(table, "key8", 4, &value, &len), 0);
    while (part_next(fixture.parts[0], &cursor, &entry) == 1)
        n++;
    assert_int_equal(n, 50);
    assert_int_equal(part_info(fixture.parts[0])->n_keys, 50);
    fixture_release(&fixture);
}

/* ---- the writer's refusals ---- */

struct refusal {
    struct schema schema;
    struct part_writer *writer;
    struct buf bytes;
    struct err err;
};

static void refusal_start(struct refusal *r, enum key_type key_type, const char *value,
                          uint32_t level)
{
    *r = (struct refusal){.schema = fixture_schema(key_type, value, 1)};
    struct part_params params = {&r->schema, 0, level, 1};
    struct part_sink sink = {fixture_append, &r->bytes};
    assert_int_equal(part_writer_new(&params, sink, &r->writer, &r->err), 0);
}

static void refusal_end(struct refusal *r)
{
    /* A writer that refused stays refused: half a part must not be finished by mistake. */
    assert_true(part_writer_finish(r->writer, NULL, &r->err) < 0);
    part_writer_free(r->writer);
    buf_release(&r->bytes);
}

static void part_writer__refuses_a_key_given_twice(void **state)
{
    struct refusal r;
    refusal_start(&r, KEY_U64, "bytes[1]", 0);
    struct part_entry entry = fixture_u64(&r.schema, 5, "x", 1);
    assert_int_equal(part_writer_add(r.writer, &entry, &r.err), 0);
    assert_int_equal(part_writer_add(r.writer, &entry, &r.err), -EEXIST);
    assert_string_equal(r.err.text, "part: key 5 was given twice");
    refusal_end(&r);
    refusal_start(&r, KEY_BYTES, "bytes", 0);
    entry = fixture_bytes(&r.schema, "ab", "x", 1);
    assert_int_equal(part_writer_add(r.writer, &entry, &r.err), 0);
    assert_int_equal(part_writer_add(r.writer, &entry, &r.err), -EEXIST);
    assert_string_equal(r.err.text, "part: key \"ab\" was given twice");
    refusal_end(&r);
}

static void part_writer__refuses_wrong_order_hash_and_shard(void **state)
{
    struct refusal r;
    refusal_start(&r, KEY_U64, "bytes[1]", 0);
    struct part_entry a = fixture_u64(&r.schema, 1, "x", 1);
    struct part_entry b = fixture_u64(&r.schema, 2, "x", 1);
    bool in_order = a.hash < b.hash;
    assert_int_equal(part_writer_add(r.writer, in_order ? &b : &a, &r.err), 0);
    assert_int_equal(part_writer_add(r.writer, in_order ? &a : &b, &r.err), -EINVAL);
    refusal_end(&r);
    refusal_start(&r, KEY_U64, "bytes[1]", 0);
    a.hash++;
    assert_int_equal(part_writer_add(r.writer, &a, &r.err), -EINVAL);
    refusal_end(&r);
    refusal_start(&r, KEY_BYTES, "bytes", 0);
    a = fixture_bytes(&r.schema, "b", "x", 1);
    b = fixture_bytes(&r.schema, "a", "x", 1);
    b.hash = a.hash;
    assert_int_equal(part_writer_add(r.writer, &a, &r.err), 0);
    assert_int_equal(part_writer_add(r.writer, &b, &r.err), -EINVAL);
    refusal_end(&r);
}

static void part_writer__refuses_wrong_values(void **state)
{
    struct refusal r;
    struct part_entry entry;
    refusal_start(&r, KEY_U64, "bytes[2]", 0);
    entry = fixture_u64(&r.schema, 1, "x", 1);
    assert_int_equal(part_writer_add(r.writer, &entry, &r.err), -EINVAL);
    assert_string_equal(r.err.text, "part: expected values of 2 bytes, found 1");
    refusal_end(&r);
    refusal_start(&r, KEY_U64, "bytes", 0);
    entry = fixture_u64(&r.schema, 1, NULL, 0);
    assert_int_equal(part_writer_add(r.writer, &entry, &r.err), -EINVAL);
    refusal_end(&r);
    refusal_start(&r, KEY_U64, "bytes", 0);
    entry = fixture_u64(&r.schema, 1, "x", VALUE_LEN_MAX + 1);
    assert_int_equal(part_writer_add(r.writer, &entry, &r.err), -EINVAL);
    refusal_end(&r);
    refusal_start(&r, KEY_BYTES, "bytes", 0);
    entry = fixture_bytes(&r.schema, "", "x", 1);
    assert_int_equal(part_writer_add(r.writer, &entry, &r.err), -EINVAL);
    refusal_end(&r);
}

static void part_writer__keys_that_cannot_be_spread_are_refused(void **state)
{
    struct refusal r;
    refusal_start(&r, KEY_BYTES, "bytes", 0);
    int ret = 0;
    for (uint64_t i = 0; i < 200 && !ret; i++) {
        struct part_entry entry = fixture_bytes(&r.schema, "k", "x", 1);
        entry.hash = i << 40; /* low bits all zero: one bucket takes them all */
        ret = part_writer_add(r.writer, &entry, &r.err);
    }
    assert_int_equal(ret, 0);
    assert_int_equal(part_writer_finish(r.writer, NULL, &r.err), -E2BIG);
    assert_non_null(
        strstr(r.err.text,
               "too many of its keys fall into one bucket; a full build with another --hash-seed"));
    refusal_end(&r);
}

static int fail_at(void *context, const void *data, size_t len, struct err *err)
{
    int *left = context;
    return (*left)-- > 0 ? 0 : err_set(err, -ENOSPC, "sink full");
}

static void part_writer__passes_on_what_the_sink_says(void **state)
{
    struct schema schema = fixture_schema(KEY_U64, "bytes[4000]", 1);
    static uint8_t value[4000];
    struct part_params params = {&schema, 0, 0, 1};
    int n_failed = 0;
    for (int n = 0; n < 8; n++) {
        int left = n;
        struct part_writer *writer = NULL;
        struct err err = {0};
        assert_int_equal(
            part_writer_new(&params, (struct part_sink){fail_at, &left}, &writer, &err), 0);
        struct part_entry entries[2] = {fixture_u64(&schema, 1, value, 4000),
                                        fixture_u64(&schema, 2, value, 4000)};
        qsort(entries, 2, sizeof entries[0], fixture_order);
        int ret = part_writer_add(writer, &entries[0], &err);
        if (!ret)
            ret = part_writer_add(writer, &entries[1], &err);
        if (!ret)
            ret = part_writer_finish(writer, NULL, &err);
        if (ret)
            assert_int_equal(ret, -ENOSPC);
        n_failed += ret != 0;
        part_writer_free(writer);
    }
    assert_in_range(n_failed, 1, 7);
}

/* ---- forged parts ---- */

struct forge {
    struct buf bytes;
    uint8_t *memory;
    struct part_footer *footer;
    struct part_dir_entry *directory;
};

static void forge_start(struct forge *f, const char *value, uint32_t level)
{
    struct schema schema = fixture_schema(KEY_U64, value, 1);
    static struct part_entry entries[1000];
    static uint8_t store[1000 * 16];
    *f = (struct forge){0};
    make_u64(&schema, 0, 1000, 16, store, entries);
    assert_int_equal(fixture_write(&schema, level, 0, 2, entries, 1000, &f->bytes, NULL), 0);
    f->memory = fixture_aligned(&f->bytes);
    f->footer = (struct part_footer *)(f->memory + f->bytes.len - PART_FOOTER_LEN);
    f->directory = (struct part_dir_entry *)(f->memory + load_le64(&f->footer->directory.off));
}

static int forge_open(struct forge *f, struct part **part)
{
    struct err err = {0};
    store_le64(&f->footer->checksum,
               hash_checksum(f->footer, offsetof(struct part_footer, checksum)));
    int ret = part_open(f->memory, f->bytes.len, "forged", part, &err);
    if (ret)
        assert_true(strncmp(err.text, "forged: ", 8) == 0);
    return ret;
}

static void forge_end(struct forge *f)
{
    free(f->memory);
    buf_release(&f->bytes);
}

static void part__truncation_at_any_page_is_refused(void **state)
{
    struct forge f;
    struct part *part = NULL;
    forge_start(&f, "bytes[16]", 0);
    for (size_t len = 0; len < f.bytes.len; len += 512)
        assert_int_equal(part_open(f.memory, len, "cut", &part, NULL), -EBADMSG);
    forge_end(&f);
}

static void part__a_flipped_footer_bit_is_refused(void **state)
{
    struct forge f;
    struct part *part = NULL;
    forge_start(&f, "bytes[16]", 0);
    for (size_t bit = 0; bit < 8 * sizeof *f.footer; bit++) {
        uint8_t *byte = (uint8_t *)f.footer + bit / 8;
        *byte ^= (uint8_t)(1 << bit % 8);
        int ret = part_open(f.memory, f.bytes.len, "flipped", &part, NULL);
        assert_true(ret == -EBADMSG || ret == -ENOTSUP);
        *byte ^= (uint8_t)(1 << bit % 8);
    }
    forge_end(&f);
}

static void part__a_newer_format_is_named(void **state)
{
    struct forge f;
    struct part *part = NULL;
    forge_start(&f, "bytes[16]", 0);
    store_le32(&f.footer->format, 2);
    assert_int_equal(forge_open(&f, &part), -ENOTSUP);
    struct err err = {0};
    store_le32(&f.footer->format, 0); /* its checksum right, as of another program's hand */
    assert_int_equal(forge_open(&f, &part), -EBADMSG);
    assert_int_equal(part_open(f.memory, f.bytes.len, "forged", &part, &err), -EBADMSG);
    assert_string_equal(err.text, "forged: footer: expected part format 1, found 0");
    forge_end(&f);
}

static void part__collisions_of_u64_keys_are_refused(void **state)
{
    struct forge f;
    struct part *part = NULL;
    struct err err = {0};
    forge_start(&f, "bytes[16]", 0);
    store_le64(&f.footer->collisions.off, 0);
    store_le64(&f.footer->collisions.len, sizeof(struct part_collision));
    store_le64(&f.footer->n_keys, load_le64(&f.footer->n_keys) + 1);
    assert_int_equal(forge_open(&f, &part), -EBADMSG);
    assert_int_equal(part_open(f.memory, f.bytes.len, "forged", &part, &err), -EBADMSG);
    assert_non_null(strstr(err.text, "u64 keys have none, found 1"));
    forge_end(&f);
}

/* Every 8 bytes of footer and directory take hostile values; whatever opens must survive a walk. */
static void part__forged_numbers_never_lead_outside(void **state)
{
    static const uint64_t hostile[] = {
        0, 1, 63, 64, 4096, UINT32_MAX, 1ULL << 32, 1ULL << 63, UINT64_MAX, UINT64_MAX - 63};
    for (uint32_t level = 0; level < 2; level++) {
        for (int is_heap = 0; is_heap < 2; is_heap++) {
            struct forge f;
            forge_start(&f, is_heap ? "bytes" : "bytes[16]", level);
            uint8_t *areas[2] = {(uint8_t *)f.footer + 8, (uint8_t *)f.directory};
            size_t lens[2] = {offsetof(struct part_footer, checksum) - 8,
                              2 * sizeof(struct part_dir_entry)};
            for (size_t at = 0; at < lens[0] + lens[1]; at += 4) {
                uint8_t *p = at < lens[0] ? areas[0] + at : areas[1] + at - lens[0];
                size_t len = at < lens[0] + lens[1] - 4 && at != lens[0] - 4 ? 8 : 4;
                uint8_t was[8];
                memcpy(was, p, len);
                for (size_t i = 0; i < sizeof hostile / sizeof hostile[0]; i++) {
                    struct part *part = NULL;
                    struct part_entry entry;
                    uint64_t cursor = 0;
                    memcpy(p, &hostile[i], len);
                    if (forge_open(&f, &part))
                        continue;
                    for (int n = 0; n < 3000 && part_next(part, &cursor, &entry); n++)
                        ;
                    part_free(part);
                }
                memcpy(p, was, len);
            }
            forge_end(&f);
        }
    }
}

static void part__forged_references_are_found_when_followed(void **state)
{
    struct forge f;
    struct part *part = NULL;
    struct part_entry entry;
    uint64_t cursor = 0;
    int n_bad = 0;
    int ret = 0;
    forge_start(&f, "bytes", 0);
    uint8_t *slots = f.memory + load_le64(&f.directory[0].slots_off);
    for (uint32_t i = 0; i < load_le32(&f.directory[0].n_slots); i++)
        store_le64(slots + 16 * (size_t)i + 8, UINT64_MAX - i);
    assert_int_equal(forge_open(&f, &part), 0);
    while ((ret = part_next(part, &cursor, &entry)))
        n_bad += ret == -EBADMSG;
    assert_int_equal(n_bad, load_le32(&f.directory[0].n_keys));
    part_free(part);
    forge_end(&f);
}

static void part__forged_pilots_and_slots_lose_keys_and_nothing_else(void **state)
{
    struct forge f;
    struct part *part = NULL;
    struct part_entry entry;
    uint64_t cursor = 0;
    size_t n = 0;
    forge_start(&f, "bytes[16]", 1);
    memset(f.memory + load_le64(&f.footer->pilots.off), 0xA5, load_le64(&f.footer->pilots.len));
    assert_int_equal(forge_open(&f, &part), 0);
    while (part_next(part, &cursor, &entry) == 1)
        n++;
    assert_in_range(n, 0, 999);
    part_free(part);
    forge_end(&f);
}

static void part__memory_must_be_aligned(void **state)
{
    struct part *part = NULL;
    uint8_t *memory = aligned_alloc(64, 8192);
    assert_int_equal(part_open(memory + 8, 4096, "x", &part, NULL), -EINVAL);
    free(memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(part__inline_values_round_trip),
        cmocka_unit_test(part__heap_values_round_trip),
        cmocka_unit_test(part__every_small_count_works),
        cmocka_unit_test(part__a_full_sized_partition_is_built),
        cmocka_unit_test(part__bytes_do_not_depend_on_anything_but_entries),
        cmocka_unit_test(part__bytes_are_those_of_format_1),
        cmocka_unit_test(part__keys_of_one_hash_are_told_apart),
        cmocka_unit_test(part_writer__refuses_a_key_given_twice),
        cmocka_unit_test(part_writer__refuses_wrong_order_hash_and_shard),
        cmocka_unit_test(part_writer__refuses_wrong_values),
        cmocka_unit_test(part_writer__keys_that_cannot_be_spread_are_refused),
        cmocka_unit_test(part_writer__passes_on_what_the_sink_says),
        cmocka_unit_test(part__truncation_at_any_page_is_refused),
        cmocka_unit_test(part__a_flipped_footer_bit_is_refused),
        cmocka_unit_test(part__a_newer_format_is_named),
        cmocka_unit_test(part__collisions_of_u64_keys_are_refused),
        cmocka_unit_test(part__forged_numbers_never_lead_outside),
        cmocka_unit_test(part__forged_references_are_found_when_followed),
        cmocka_unit_test(part__forged_pilots_and_slots_lose_keys_and_nothing_else),
        cmocka_unit_test(part__memory_must_be_aligned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
