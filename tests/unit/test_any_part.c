/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "../fuzz/forged.h"
#include "format/any_part.h"
#include "paged_entries.h"

#include <errno.h>

/* What a part is made of. */
struct making {
    enum table_kind kind;
    enum key_type key_type;
    const char *value;
    uint32_t (*len)(size_t);
    size_t n;
    uint32_t n_shards;
    uint32_t shard;
    uint32_t level; /* above 0, each seventh entry is a tombstone */
};

struct made {
    struct schema schema;
    struct entries entries;
    struct buf bytes;
    uint8_t *memory;
    struct any_part *part;
};

static int make_bytes(struct made *made, const struct making *making)
{
    struct part_entry *at = made->entries.at;
    struct paged_params params = {.schema = &made->schema,
                                  .shard = making->shard,
                                  .level = making->level,
                                  .n_entries = making->n,
                                  .n_bytes = 50 * making->n,
                                  .has_filter = true};
    switch (making->kind) {
    case KIND_MEM:
        return fixture_write(&made->schema, making->level, making->shard, 0, at, making->n,
                             &made->bytes, NULL);
    case KIND_BLK:
        return paged_fixture_write_blk(&params, at, making->n, &made->bytes, NULL);
    case KIND_IDX:
        return paged_fixture_write_idx(&params, at, making->n, &made->bytes, NULL);
    }
    return -EINVAL;
}

static struct made make(const struct making *making)
{
    struct made made = {.schema =
                            fixture_schema(making->key_type, making->value, making->n_shards)};
    made.schema.kind = making->kind;
    made.entries = entries_make(&made.schema, making->n, making->len);
    for (size_t i = 0; making->level && i < making->n; i += 7) {
        made.entries.at[i].tombstone = true;
        made.entries.at[i].value = NULL;
        made.entries.at[i].value_len = 0;
    }
    assert_int_equal(make_bytes(&made, making), 0);
    made.memory = fixture_aligned(&made.bytes);
    return made;
}

static struct made make_open(const struct making *making)
{
    struct made made = make(making);
    struct err err = {0};
    if (any_part_open(made.memory, made.bytes.len, "part", &made.part, &err))
        fail_msg("%s", err.text);
    return made;
}

static void made_release(struct made *made)
{
    any_part_free(made->part);
    free(made->memory);
    buf_release(&made->bytes);
    entries_free(&made->entries);
}

static bool is_of_shard(const struct made *made, const struct part_entry *entry, uint32_t shard)
{
    return schema_shard(&made->schema, entry->hash) == shard;
}

static void assert_same(const struct part_entry *a, const struct part_entry *b)
{
    assert_true(a->hash == b->hash);
    assert_int_equal(a->tombstone, b->tombstone);
    assert_int_equal(a->value_len, b->value_len);
    assert_true((a->value == NULL) == (b->value == NULL));
    if (a->value_len)
        assert_memory_equal(a->value, b->value, a->value_len);
}

/* Every entry of the shard is found, and none of the others. */
static void assert_finds_all(const struct made *made, uint32_t shard)
{
    for (size_t i = 0; i < made->entries.n; i++) {
        const struct part_entry *entry = &made->entries.at[i];
        struct part_entry wanted = {.hash = entry->hash,
                                    .key = entry->key,
                                    .key_bytes = entry->key_bytes,
                                    .key_len = entry->key_len};
        struct part_entry found = {0};
        bool is_there = is_of_shard(made, entry, shard);
        assert_int_equal(any_part_find(made->part, &wanted, &found), is_there);
        if (is_there)
            assert_same(&found, entry);
    }
    for (uint64_t i = 0; i < 300; i++) {
        char key[32];
        snprintf(key, sizeof key, "no/%llu", (unsigned long long)i);
        struct part_entry wanted = made->schema.key_type == KEY_U64
                                       ? fixture_u64(&made->schema, ~i, NULL, 0)
                                       : fixture_bytes(&made->schema, key, NULL, 0);
        struct part_entry found = {0};
        assert_int_equal(any_part_find(made->part, &wanted, &found), 0);
    }
}

/* The walk gives each entry of the shard once, in the kind's order. */
static void assert_walks_all(const struct made *made, const struct making *making)
{
    struct any_cursor cursor = {0};
    struct part_entry entry;
    size_t n = 0;
    size_t at = 0; /* entries are sorted as `blk` and `idx` parts are */
    int got;
    while ((got = any_part_next(made->part, &cursor, &entry)) > 0) {
        n++;
        if (making->kind == KIND_MEM)
            continue;
        while (!is_of_shard(made, &made->entries.at[at], making->shard))
            at++;
        const struct part_entry *wanted = &made->entries.at[at++];
        assert_same(&entry, wanted);
        assert_true(entry.key == wanted->key);
        assert_int_equal(entry.key_len, wanted->key_len);
        if (entry.key_len)
            assert_memory_equal(entry.key_bytes, wanted->key_bytes, entry.key_len);
    }
    assert_int_equal(got, 0);
    assert_int_equal(any_part_next(made->part, &cursor, &entry), 0);
    const struct part_info *info = any_part_info(made->part);
    assert_int_equal(n, info->n_keys + info->n_tombstones);
    size_t n_wanted = 0;
    for (size_t i = 0; i < made->entries.n; i++)
        n_wanted += is_of_shard(made, &made->entries.at[i], making->shard);
    assert_int_equal(n, n_wanted);
}

static void round_trip(const struct making *making)
{
    struct made made = make_open(making);
    struct err err = {0};
    assert_int_equal(any_part_kind(made.part), making->kind);
    assert_int_equal(any_part_info(made.part)->level, making->level);
    assert_int_equal(any_part_info(made.part)->shard, making->shard);
    assert_int_equal(any_part_paged(made.part) == NULL, making->kind == KIND_MEM);
    assert_int_equal(any_part_dictionary(made.part).len, 0);
    if (any_part_check(made.part, &err))
        fail_msg("%s", err.text);
    assert_walks_all(&made, making);
    assert_finds_all(&made, making->shard);
    made_release(&made);
}

static const struct {
    const char *value;
    uint32_t (*len)(size_t);
    size_t n;
} shapes[] = {
    {"bytes[8]", len_fixed_8, 3000}, {"bytes[10000]", len_fixed_10000, 40},
    {"bytes", len_varied, 1500},     {"bytes", len_wild, 1500},
    {"bytes", len_none, 700},        {"bytes[8]", len_fixed_8, 1},
    {"bytes", len_varied, 0},
};
enum { N_SHAPES = sizeof shapes / sizeof shapes[0] };

static void any_part__every_kind_walks_finds_and_checks(void **state)
{
    for (enum table_kind kind = KIND_MEM; kind <= KIND_IDX; kind++)
        for (enum key_type key_type = KEY_U64; key_type <= KEY_BYTES; key_type++)
            for (size_t i = 0; i < 4 * N_SHAPES; i++) {
                uint32_t n_shards = i / 2 % 2 ? 3 : 1;
                struct making making = {.kind = kind,
                                        .key_type = key_type,
                                        .value = shapes[i / 4].value,
                                        .len = shapes[i / 4].len,
                                        .n = shapes[i / 4].n,
                                        .n_shards = n_shards,
                                        .shard = n_shards - 1,
                                        .level = i % 2};
                round_trip(&making);
            }
}

static void any_part__keys_of_the_other_type_are_absent(void **state)
{
    for (enum table_kind kind = KIND_MEM; kind <= KIND_IDX; kind++) {
        struct making making = {.kind = kind,
                                .key_type = KEY_BYTES,
                                .value = "bytes",
                                .len = len_varied,
                                .n = 10,
                                .n_shards = 1};
        struct made made = make_open(&making);
        struct part_entry wanted = {.hash = made.entries.at[0].hash};
        struct part_entry found;
        assert_int_equal(any_part_find(made.part, &wanted, &found), 0);
        made_release(&made);
    }
}

/* Uses a part in every way, without believing it. */
static int use(const struct any_part *part, const struct entries *entries)
{
    struct any_cursor cursor = {0};
    struct part_entry entry;
    struct part_entry found;
    for (size_t n = 0; n <= 2 * entries->n && any_part_next(part, &cursor, &entry) > 0; n++) {
        forged_touch(entry.key_bytes, entry.key_len);
        forged_touch(entry.value, entry.value_len);
    }
    for (size_t i = 0; i < entries->n; i += 11)
        if (any_part_find(part, &entries->at[i], &found) > 0)
            forged_touch(found.value, found.value_len);
    return any_part_check(part, NULL);
}

static void any_part__a_damaged_byte_is_found_wherever_it_is(void **state)
{
    for (enum table_kind kind = KIND_BLK; kind <= KIND_IDX; kind++)
        for (uint32_t i = 0; i < 4; i++) {
            struct making making = {.kind = kind,
                                    .key_type = i / 2 ? KEY_BYTES : KEY_U64,
                                    .value = "bytes",
                                    .len = len_varied,
                                    .n = 60,
                                    .n_shards = 1,
                                    .level = i % 2};
            struct made made = make(&making);
            /* Behind the footer there are zeros that nobody looks at. */
            size_t len = made.bytes.len - PART_FOOTER_LEN + sizeof(struct paged_footer);
            for (size_t off = 0; off < len; off += 13) {
                made.memory[off] ^= (uint8_t)(1 << off % 8);
                struct any_part *part = NULL;
                struct err err = {0};
                int ret = any_part_open(made.memory, made.bytes.len, "part", &part, &err);
                if (ret == 0)
                    ret = use(part, &made.entries);
                if (ret != -EBADMSG && ret != -ENOTSUP)
                    fail_msg("byte %zu of %zu: %d", off, len, ret);
                any_part_free(part);
                made.memory[off] ^= (uint8_t)(1 << off % 8);
            }
            made_release(&made);
        }
}

static void any_part__a_damaged_mem_part_leads_nowhere_else(void **state)
{
    struct making making = {.kind = KIND_MEM,
                            .key_type = KEY_BYTES,
                            .value = "bytes",
                            .len = len_varied,
                            .n = 60,
                            .n_shards = 1,
                            .level = 1};
    struct made made = make(&making);
    for (size_t off = 0; off < made.bytes.len; off += 3) {
        made.memory[off] ^= 0x81;
        struct any_part *part = NULL;
        if (any_part_open(made.memory, made.bytes.len, "part", &part, NULL) == 0)
            use(part, &made.entries);
        any_part_free(part);
        made.memory[off] ^= 0x81;
    }
    made_release(&made);
}

static void any_part__every_truncation_is_refused(void **state)
{
    for (enum table_kind kind = KIND_MEM; kind <= KIND_IDX; kind++) {
        struct making making = {.kind = kind,
                                .key_type = KEY_U64,
                                .value = "bytes",
                                .len = len_varied,
                                .n = 500,
                                .n_shards = 1};
        struct made made = make(&making);
        struct err err = {0};
        for (size_t len = 0; len < made.bytes.len; len += 512)
            assert_int_equal(any_part_open(made.memory, len, "cut", &made.part, &err), -EBADMSG);
        assert_null(made.part);
        assert_non_null(strstr(err.text, "cut"));
        made_release(&made);
    }
}

/* ---- parts whose checksums are right and whose content is not ---- */

struct forgery {
    struct made made;
    size_t tail_off;
};

static struct forgery forgery_make(enum table_kind kind, enum key_type key_type)
{
    struct making making = {.kind = kind,
                            .key_type = key_type,
                            .value = "bytes",
                            .len = len_varied,
                            .n = 400,
                            .n_shards = 1,
                            .level = 1};
    struct forgery forgery = {.made = make_open(&making)};
    forgery.tail_off = any_part_paged(forgery.made.part)->n_pages * BLOCK_PAGE;
    return forgery;
}

static uint8_t *footer_of(struct forgery *forgery)
{
    return forgery->made.bytes.data + forgery->made.bytes.len - PART_FOOTER_LEN;
}

/* What section i holds. */
static uint8_t *section_of(struct forgery *forgery, unsigned i)
{
    const struct paged_footer *footer = (const struct paged_footer *)footer_of(forgery);
    return forgery->made.bytes.data + load_le64(&footer->sections[i].off);
}

/* Makes the checksum of the block of a page right. */
static void block_seal(struct forgery *forgery, uint32_t page)
{
    uint8_t *block = forgery->made.bytes.data + (size_t)page * BLOCK_PAGE;
    const struct paged_info *info = any_part_paged(forgery->made.part);
    store_le64(block, hash_bytes(block + 8, BLOCK_PAGE - 8, block_seed(info->salt, page)));
}

/* The forged part opens, and is found out by the check. */
static void assert_found_out(struct forgery *forgery, const char *why)
{
    struct made *made = &forgery->made;
    struct any_part *part = NULL;
    struct err err = {0};
    forged_seal(&made->bytes);
    uint8_t *memory = fixture_aligned(&made->bytes);
    assert_int_equal(any_part_open(memory, made->bytes.len, "forged", &part, &err), 0);
    use(part, &made->entries);
    assert_int_equal(any_part_check(part, &err), -EBADMSG);
    if (!strstr(err.text, why))
        fail_msg("expected \"%s\", found \"%s\"", why, err.text);
    any_part_free(part);
    free(memory);
    made_release(made);
}

static void any_part__counts_of_the_footer_are_checked(void **state)
{
    for (enum table_kind kind = KIND_BLK; kind <= KIND_IDX; kind++) {
        struct forgery f = forgery_make(kind, KEY_U64);
        struct paged_footer *footer = (struct paged_footer *)footer_of(&f);
        store_le64(&footer->n_keys, load_le64(&footer->n_keys) + 1);
        store_le64(&footer->n_tombstones, load_le64(&footer->n_tombstones) - 1);
        assert_found_out(&f, "keys and");
        f = forgery_make(kind, KEY_BYTES);
        footer = (struct paged_footer *)footer_of(&f);
        store_le64(&footer->records_len, load_le64(&footer->records_len) + 1);
        assert_found_out(&f, "records of");
        f = forgery_make(kind, KEY_U64);
        footer = (struct paged_footer *)footer_of(&f);
        store_le64(&footer->n_blocks, load_le64(&footer->n_blocks) - 1);
        assert_found_out(&f, "blocks with");
    }
}

static void any_part__blocks_out_of_order_are_found_out(void **state)
{
    struct forgery f = forgery_make(KIND_BLK, KEY_U64);
    uint8_t page[BLOCK_PAGE];
    uint8_t *blocks = f.made.bytes.data;
    memcpy(page, blocks, BLOCK_PAGE);
    memcpy(blocks, blocks + BLOCK_PAGE, BLOCK_PAGE);
    memcpy(blocks + BLOCK_PAGE, page, BLOCK_PAGE);
    block_seal(&f, 0);
    block_seal(&f, 1);
    assert_found_out(&f, "block at page 0");
}

static void any_part__entries_out_of_order_are_found_out(void **state)
{
    struct forgery f = forgery_make(KIND_BLK, KEY_BYTES);
    uint8_t *hashes = f.made.bytes.data + sizeof(struct block_head);
    uint64_t first = load_le64(hashes);
    store_le64(hashes, load_le64(hashes + 8));
    store_le64(hashes + 8, first);
    block_seal(&f, 0);
    assert_found_out(&f, "block at page 0: entry 1 cannot be found");
}

static void any_part__an_index_that_leads_elsewhere_is_found_out(void **state)
{
    struct forgery f = forgery_make(KIND_BLK, KEY_U64);
    uint8_t *fences = section_of(&f, BLK_FENCES);
    store_le16(fences + 2, 0xFFFE);
    assert_found_out(&f, "cannot be found");
    f = forgery_make(KIND_IDX, KEY_U64);
    /* The first block says that it has an entry less. */
    uint8_t *head = f.made.bytes.data + offsetof(struct block_head, n_entries);
    store_le32(head, load_le32(head) - 1);
    block_seal(&f, 0);
    assert_found_out(&f, "does not follow");
}

static void any_part__tombstones_of_idx_are_counted(void **state)
{
    struct forgery f = forgery_make(KIND_IDX, KEY_U64);
    *section_of(&f, IDX_TOMBSTONES) ^= 2;
    assert_found_out(&f, "tombstones, found");
}

static void any_part__idx_keys_out_of_order_are_found_out(void **state)
{
    struct forgery f = forgery_make(KIND_IDX, KEY_BYTES);
    /* The first group's key, behind 4 bytes for each group of 16. */
    uint8_t *key = section_of(&f, IDX_KEYS) + 4 * ((400 + FC_GROUP - 1) / FC_GROUP);
    assert_int_equal(key[0], 5);
    assert_memory_equal(key + 1, "key/0", 5);
    key[1] = 'z';
    assert_found_out(&f, "key ");
}

static void any_part__an_idx_filter_that_denies_a_key_is_found_out(void **state)
{
    struct forgery f = forgery_make(KIND_IDX, KEY_BYTES);
    const struct paged_footer *footer = (const struct paged_footer *)footer_of(&f);
    uint64_t len = load_le64(&footer->sections[PAGED_FILTER].len);
    assert_true(len > 400);
    memset(section_of(&f, PAGED_FILTER), 0x5A, len);
    assert_found_out(&f, "the filter denies it");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_part__every_kind_walks_finds_and_checks),
        cmocka_unit_test(any_part__keys_of_the_other_type_are_absent),
        cmocka_unit_test(any_part__a_damaged_byte_is_found_wherever_it_is),
        cmocka_unit_test(any_part__a_damaged_mem_part_leads_nowhere_else),
        cmocka_unit_test(any_part__every_truncation_is_refused),
        cmocka_unit_test(any_part__counts_of_the_footer_are_checked),
        cmocka_unit_test(any_part__blocks_out_of_order_are_found_out),
        cmocka_unit_test(any_part__entries_out_of_order_are_found_out),
        cmocka_unit_test(any_part__an_index_that_leads_elsewhere_is_found_out),
        cmocka_unit_test(any_part__tombstones_of_idx_are_counted),
        cmocka_unit_test(any_part__idx_keys_out_of_order_are_found_out),
        cmocka_unit_test(any_part__an_idx_filter_that_denies_a_key_is_found_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
