/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Forged parts of every kind, as tools meet them: edits of a few good ones, with the checksums of
 * footer, tail and blocks made right. Whatever opens is walked, searched and checked; no byte
 * outside the part may be touched.
 */
#include "forged.h"
#include "format/any_order.h"
#include "format/any_part_view.h"

enum { N_TEMPLATES = 6, N_ENTRIES = 150, STEPS_MAX = 2000 };

struct template
{
    struct schema schema;
    enum table_kind kind;
    struct buf bytes;
    uint64_t tail_off;
};

static struct template templates[N_TEMPLATES];
static char keys[N_ENTRIES][32];

static int template_write(struct template *t, uint32_t level, struct part_entry *entries)
{
    struct paged_params params = {
        .schema = &t->schema, .level = level, .n_entries = N_ENTRIES, .has_filter = true};
    switch (t->kind) {
    case KIND_MEM:
        return fixture_write(&t->schema, level, 0, 2, entries, N_ENTRIES, &t->bytes, NULL);
    case KIND_BLK:
        return paged_fixture_write_blk(&params, entries, N_ENTRIES, &t->bytes, NULL);
    case KIND_IDX:
        return paged_fixture_write_idx(&params, entries, N_ENTRIES, &t->bytes, NULL);
    }
    return -EINVAL;
}

static struct part_entry entry_make(const struct schema *schema, uint32_t i, uint32_t level)
{
    static const uint8_t bytes[9000] = "0123456789";
    const uint8_t *value = level && i % 9 == 0 ? NULL : bytes;
    uint32_t len = schema->value_len ? schema->value_len : i % 60 ? i % 30 : sizeof bytes;
    if (schema->key_type == KEY_U64)
        return fixture_u64(schema, i, value, len);
    snprintf(keys[i], sizeof keys[i], "key/%u", i);
    return fixture_bytes(schema, keys[i], value, len);
}

static void template_make(struct template *t, enum table_kind kind, enum key_type key_type,
                          const char *value, uint32_t level)
{
    struct part_entry entries[N_ENTRIES];
    struct paged_info info;
    *t = (struct template){.schema = fixture_schema(key_type, value, 1), .kind = kind};
    for (uint32_t i = 0; i < N_ENTRIES; i++)
        entries[i] = entry_make(&t->schema, i, level);
    FIXTURE_MUST(template_write(t, level, entries) == 0);
    if (kind != KIND_MEM)
        FIXTURE_MUST(paged_tail(t->bytes.data + t->bytes.len - PART_FOOTER_LEN, t->bytes.len,
                                "part", &t->tail_off, &info, NULL) == 0);
}

static void templates_make(void)
{
    if (templates[0].bytes.len)
        return;
    template_make(&templates[0], KIND_MEM, KEY_BYTES, "bytes", 1);
    template_make(&templates[1], KIND_BLK, KEY_U64, "bytes[64]", 0);
    template_make(&templates[2], KIND_BLK, KEY_BYTES, "bytes", 1);
    template_make(&templates[3], KIND_IDX, KEY_U64, "bytes[64]", 0);
    template_make(&templates[4], KIND_IDX, KEY_U64, "bytes", 1);
    template_make(&templates[5], KIND_IDX, KEY_BYTES, "bytes", 0);
}

/* A `mem` footer has its checksum elsewhere. */
static void mem_seal(struct buf *bytes)
{
    uint8_t *footer = bytes->data + bytes->len - PART_FOOTER_LEN;
    size_t off = offsetof(struct part_footer, checksum);
    store_le64(footer + off, hash_checksum(footer, off));
}

static void block_seal(const struct any_part *part, uint8_t *memory, struct block_place place)
{
    uint8_t *block = memory + (size_t)place.page * BLOCK_PAGE;
    size_t len = (size_t)place.n_pages * BLOCK_PAGE;
    const struct paged_info *info = any_part_paged(part);
    FIXTURE_MUST((uint64_t)place.page + place.n_pages <= info->n_pages);
    store_le64(block, hash_bytes(block + 8, len - 8, block_seed(info->salt, place.page)));
}

/* Every block that the index names gets its checksum. */
static void blocks_seal(const struct any_part *part, uint8_t *memory)
{
    uint64_t n = part->idx ? idx_n(part->idx) : 0;
    uint32_t page = 0;
    for (int i = 0; part->blk && i < STEPS_MAX; i++) {
        struct block_place place = blk_block_at(part->blk, page);
        if (place.n_pages == 0)
            return;
        block_seal(part, memory, place);
        page = place.page + place.n_pages;
    }
    for (uint64_t rank = 0; rank < n && rank < STEPS_MAX; rank++) {
        struct idx_place place;
        if (idx_place(part->idx, rank, &place) == 0)
            block_seal(part, memory, place.block);
    }
}

/* In order, in slices: it ends, and what it gives is in the part. */
static void use_in_order(const struct any_part *part)
{
    struct any_order order;
    struct part_entry entry;
    any_order_init(&order, part, 0);
    for (int i = 0; i < STEPS_MAX && any_order_next(&order, &entry) > 0; i++) {
        forged_touch(entry.key_bytes, entry.key_len);
        forged_touch(entry.value, entry.value_len);
    }
    any_order_release(&order);
}

static void use(const struct any_part *part, const struct template *t)
{
    struct any_cursor cursor = {0};
    struct part_entry entry;
    struct part_entry found;
    struct err err = {0};
    for (int i = 0; i < STEPS_MAX && any_part_next(part, &cursor, &entry) > 0; i++) {
        forged_touch(entry.key_bytes, entry.key_len);
        forged_touch(entry.value, entry.value_len);
    }
    use_in_order(part);
    for (uint32_t i = 0; i < N_ENTRIES; i++) {
        entry = entry_make(&t->schema, i, 0);
        if (any_part_find(part, &entry, &found) > 0)
            forged_touch(found.value, found.value_len);
    }
    int ret = any_part_check(part, &err);
    FIXTURE_MUST(ret == 0 || (ret == -EBADMSG && err.text[0]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    templates_make();
    if (len == 0)
        return 0;
    const struct template *t = &templates[data[0] % N_TEMPLATES];
    struct buf bytes = {0};
    struct any_part *part = NULL;
    struct err err = {0};
    void *memory = NULL;
    FIXTURE_MUST(buf_add(&bytes, t->bytes.data, t->bytes.len) == 0);
    for (size_t i = 1; i + EDIT_LEN <= len; i += EDIT_LEN)
        forged_edit(&bytes, t->tail_off, data + i);
    if (t->kind == KIND_MEM)
        mem_seal(&bytes);
    else
        forged_seal(&bytes);
    /* Exactly as long as the part, so that the sanitizer sees a step beyond. */
    FIXTURE_MUST(posix_memalign(&memory, PART_SECTION_ALIGN, bytes.len) == 0);
    memcpy(memory, bytes.data, bytes.len);
    int ret = any_part_open(memory, bytes.len, "fuzzed", &part, &err);
    FIXTURE_MUST(ret == 0 || (err.code == ret && err.text[0]));
    if (ret == 0) {
        blocks_seal(part, memory);
        use(part, t);
    }
    any_part_free(part);
    free(memory);
    buf_release(&bytes);
    return 0;
}
