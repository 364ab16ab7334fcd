/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Forged `blk` parts: edits of a few good ones. Whatever opens is asked for its keys and others and
 * walked block by block; no byte outside its tail and its blocks may be touched.
 */
#include "forged.h"

enum { N_TEMPLATES = 5, N_ENTRIES = 120 };

struct template
{
    struct schema schema;
    struct buf bytes;
    uint64_t hashes[N_ENTRIES];
    uint64_t tail_off;
};

static struct template templates[N_TEMPLATES];

static void template_make(struct template *t, enum key_type key_type, const char *value,
                          uint32_t value_len, uint32_t level)
{
    static struct part_entry entries[N_ENTRIES];
    static char keys[N_ENTRIES][32];
    static const uint8_t bytes[9000] = "0123456789";
    struct paged_info info;
    t->schema = fixture_schema(key_type, value, 1);
    struct paged_params params = {
        .schema = &t->schema, .level = level, .n_entries = N_ENTRIES, .has_filter = level == 0};
    for (uint32_t i = 0; i < N_ENTRIES; i++) {
        const uint8_t *data = level && i % 9 == 0 ? NULL : bytes;
        uint32_t len = value_len ? value_len : i % 40 ? i % 30 : sizeof bytes;
        snprintf(keys[i], sizeof keys[i], "key/%u", i);
        entries[i] = key_type == KEY_U64 ? fixture_u64(&t->schema, i, data, len)
                                         : fixture_bytes(&t->schema, keys[i], data, len);
        if (key_type == KEY_BYTES && i % 40 < 3)
            entries[i].hash = schema_hash_bytes(&t->schema, "key/0", 5);
        t->hashes[i] = entries[i].hash;
    }
    FIXTURE_MUST(paged_fixture_write_blk(&params, entries, N_ENTRIES, &t->bytes, NULL) == 0);
    FIXTURE_MUST(paged_tail(t->bytes.data + t->bytes.len - PART_FOOTER_LEN, t->bytes.len, "part",
                            &t->tail_off, &info, NULL) == 0);
}

static void templates_make(void)
{
    if (templates[0].bytes.len)
        return;
    template_make(&templates[0], KEY_U64, "bytes[64]", 64, 0);
    template_make(&templates[1], KEY_U64, "bytes", 0, 0);
    template_make(&templates[2], KEY_BYTES, "bytes", 0, 0);
    template_make(&templates[3], KEY_U64, "f16[3]", 6, 1);
    template_make(&templates[4], KEY_BYTES, "bytes[7]", 7, 1);
}

static void ask(const struct paged_fixture *fixture, const struct template *t)
{
    struct block_place places[N_ENTRIES];
    const struct blk *parts[1] = {fixture->blk};
    blk_locate(parts, 1, t->hashes, N_ENTRIES, places);
    for (uint32_t i = 0; i < N_ENTRIES; i += 7) {
        struct block block;
        struct probe_value value = {0};
        uint8_t *memory = places[i].n_pages ? forged_block(fixture, places[i], &block) : NULL;
        if (!memory)
            continue;
        enum probe found = block_find(&block, t->hashes[i], (const uint8_t *)"key/0", 5, &value);
        if (found == PROBE_FOUND)
            forged_touch(value.data, value.len);
        free(memory);
    }
}

static void walk(const struct paged_fixture *fixture)
{
    uint32_t page = 0;
    for (int n = 0; n < 1000; n++) {
        struct block_place place = blk_block_at(fixture->blk, page);
        struct block block;
        if (place.n_pages == 0)
            return;
        page += place.n_pages;
        uint8_t *memory = forged_block(fixture, place, &block);
        if (!memory)
            continue;
        for (uint32_t i = 0; i < block.n; i++) {
            struct part_entry entry = {0};
            if (blk_entry(fixture->blk, &block, i, &entry))
                continue;
            forged_touch(entry.key_bytes, entry.key_len);
            forged_touch(entry.value, entry.value_len);
        }
        blk_check(fixture->blk, place, &block, NULL);
        free(memory);
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
        ret = blk_open(fixture.tail, fixture.tail_len, fixture.bytes.len, "fuzzed", &fixture.blk,
                       &err);
    FIXTURE_MUST(ret == 0 || (err.code == ret && err.text[0]));
    if (ret == 0) {
        ask(&fixture, t);
        walk(&fixture);
    }
    paged_fixture_release(&fixture);
    return 0;
}
