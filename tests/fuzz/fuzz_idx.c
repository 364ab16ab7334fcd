/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Forged `idx` parts: edits of a few good ones. Whatever opens is searched, walked in order and
 * read; no byte outside its tail and its blocks may be touched.
 */
#include "forged.h"

enum { N_TEMPLATES = 5, N_ENTRIES = 4200, N_ASKED = 40 };

struct template
{
    struct schema schema;
    struct buf bytes;
    uint64_t tail_off;
};

static struct template templates[N_TEMPLATES];

static void template_make(struct template *t, enum key_type key_type, const char *value,
                          uint32_t value_len, uint32_t level, uint32_t n)
{
    static struct part_entry entries[N_ENTRIES];
    static char keys[N_ENTRIES][64];
    static const uint8_t bytes[9000] = "0123456789";
    struct paged_info info;
    t->schema = fixture_schema(key_type, value, 1);
    struct paged_params params = {
        .schema = &t->schema, .level = level, .n_entries = n, .has_filter = key_type == KEY_BYTES};
    for (uint32_t i = 0; i < n; i++) {
        const uint8_t *data = level && i % 9 == 0 ? NULL : bytes;
        uint32_t len = value_len ? value_len : i % 100 ? i % 5 : sizeof bytes;
        snprintf(keys[i], sizeof keys[i], "%s/key/%u", i % 3 ? "a" : "of/another/folder", i);
        uint64_t key = i % 3 ? hash_u64(i, 1) : i;
        entries[i] = key_type == KEY_U64 ? fixture_u64(&t->schema, key, data, len)
                                         : fixture_bytes(&t->schema, keys[i], data, len);
    }
    FIXTURE_MUST(paged_fixture_write_idx(&params, entries, n, &t->bytes, NULL) == 0);
    FIXTURE_MUST(paged_tail(t->bytes.data + t->bytes.len - PART_FOOTER_LEN, t->bytes.len, "part",
                            &t->tail_off, &info, NULL) == 0);
}

static void templates_make(void)
{
    if (templates[0].bytes.len)
        return;
    template_make(&templates[0], KEY_U64, "bytes[1]", 1, 0, 4200);
    template_make(&templates[1], KEY_U64, "bytes", 0, 0, 300);
    template_make(&templates[2], KEY_BYTES, "bytes[1]", 1, 0, 4200);
    template_make(&templates[3], KEY_U64, "f16[3]", 6, 1, 300);
    template_make(&templates[4], KEY_BYTES, "bytes[7]", 7, 1, 500);
}

static void read_value(const struct paged_fixture *fixture, uint64_t rank)
{
    struct idx_place place;
    struct block block;
    struct probe_value value = {0};
    FIXTURE_MUST(rank < idx_n(fixture->idx));
    if (idx_is_tombstone(fixture->idx, rank) || idx_place(fixture->idx, rank, &place))
        return;
    uint8_t *memory = forged_block(fixture, place.block, &block);
    if (memory && place.entry < block.n && block_value(&block, place.entry, &value) == 0)
        forged_touch(value.data, value.len);
    free(memory);
}

static void ask(const struct paged_fixture *fixture)
{
    uint64_t keys[N_ASKED];
    uint64_t ranks[N_ASKED];
    bool is_u64 = fixture->info.part.key_type == KEY_U64;
    const struct idx *parts[1] = {fixture->idx};
    for (uint32_t i = 0; i < N_ASKED; i++)
        keys[i] = i % 3 ? hash_u64(i * 131, 1) : i * 131;
    /* Any number will do as a hash. */
    idx_filter(parts, 1, keys, N_ASKED, ranks);
    if (is_u64)
        idx_find_u64(fixture->idx, keys, N_ASKED, ranks);
    for (uint32_t i = 0; i < N_ASKED; i++) {
        char text[64];
        int len =
            snprintf(text, sizeof text, "%s/key/%u", i % 3 ? "a" : "of/another/folder", i * 7);
        if (!is_u64 && idx_find_bytes(fixture->idx, text, (size_t)len, &ranks[i]))
            continue;
        if (ranks[i] != IDX_NONE)
            read_value(fixture, ranks[i]);
    }
}

static void walk(const struct paged_fixture *fixture)
{
    struct idx_cursor cursor;
    bool is_u64 = fixture->info.part.key_type == KEY_U64;
    int ret = is_u64 ? idx_seek_u64(fixture->idx, 500, &cursor)
                     : idx_seek_bytes(fixture->idx, "a/key/2", 7, &cursor);
    for (int n = 0; ret == 0 && n < 500; n++) {
        if (idx_next(&cursor) != 1)
            return;
        FIXTURE_MUST(cursor.rank < idx_n(fixture->idx));
        if (!is_u64)
            forged_touch(cursor.key_bytes, cursor.key_len);
        if (n % 50 == 0)
            read_value(fixture, cursor.rank);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    templates_make();
    if (len == 0)
        return 0;
    const struct template *t = &templates[data[0] % N_TEMPLATES];
    struct paged_fixture fixture = {.schema = t->schema};
    struct err err = {0};
    FIXTURE_MUST(buf_add(&fixture.bytes, t->bytes.data, t->bytes.len) == 0);
    for (size_t i = 1; i + EDIT_LEN <= len; i += EDIT_LEN)
        forged_edit(&fixture.bytes, t->tail_off, data + i);
    forged_seal(&fixture.bytes);
    int ret = paged_fixture_tail(&fixture, &err);
    if (ret == 0)
        ret = idx_open(fixture.tail, fixture.tail_len, fixture.bytes.len, "fuzzed", &fixture.idx,
                       &err);
    FIXTURE_MUST(ret == 0 || (err.code == ret && err.text[0]));
    if (ret == 0) {
        ask(&fixture);
        walk(&fixture);
    }
    paged_fixture_release(&fixture);
    return 0;
}
