/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Forged parts: the input either is a part (with its checksum made right), or edits one of a few
 * good ones. Whatever opens is walked, searched and asked for batches; no byte outside its memory
 * may be touched.
 */
#include "../lib/table_fixture.h"
#include "base/hash.h"
#include "format/part_layout.h"
#include "query/batch.h"

#include <errno.h>

enum { N_TEMPLATES = 6, N_ENTRIES = 300, EDIT_LEN = 6, N_ASKED = N_ENTRIES + 40 };

struct template
{
    struct schema schema;
    uint32_t level;
    struct buf bytes;
};

static struct template templates[N_TEMPLATES];

static void template_make(struct template *t, enum key_type key_type, const char *value,
                          uint32_t value_len, uint32_t level)
{
    static struct part_entry entries[N_ENTRIES];
    static char keys[N_ENTRIES][32];
    static const uint8_t bytes[64] = "0123456789";
    *t = (struct template){.schema = fixture_schema(key_type, value, 1), .level = level};
    for (uint32_t i = 0; i < N_ENTRIES; i++) {
        const uint8_t *data = level && i % 9 == 0 ? NULL : bytes;
        snprintf(keys[i], sizeof keys[i], "key/%u", i);
        entries[i] = key_type == KEY_U64 ? fixture_u64(&t->schema, i, data, value_len)
                                         : fixture_bytes(&t->schema, keys[i], data, value_len);
        /* Some bytes keys share a hash, so that there is a collision section to forge. */
        if (key_type == KEY_BYTES && i % 50 < 3)
            entries[i].hash = schema_hash_bytes(&t->schema, "key/0", 5);
    }
    FIXTURE_MUST(fixture_write(&t->schema, level, 0, 2, entries, N_ENTRIES, &t->bytes, NULL) == 0);
}

static void templates_make(void)
{
    if (templates[0].bytes.len)
        return;
    template_make(&templates[0], KEY_U64, "bytes[8]", 8, 0);
    template_make(&templates[1], KEY_U64, "bytes", 13, 0);
    template_make(&templates[2], KEY_BYTES, "bytes", 5, 0);
    template_make(&templates[3], KEY_U64, "f16[3]", 6, 1);
    template_make(&templates[4], KEY_U64, "bytes", 9, 1);
    template_make(&templates[5], KEY_BYTES, "bytes[7]", 7, 1);
}

static void ask(const struct mem_table *table, enum batch_form form)
{
    static uint8_t keys[N_ASKED * 40];
    const struct schema *schema = mem_table_schema(table);
    struct batch_request request = {.n_keys = N_ASKED, .keys = keys, .form = form};
    struct batch_result result = {0};
    uint32_t end = 0;
    for (uint32_t i = 0; i < N_ASKED; i++) {
        if (schema->key_type == KEY_U64) {
            store_le64(keys + 8 * (size_t)i, i);
            continue;
        }
        char *text = (char *)keys + 4 * (size_t)N_ASKED + end;
        end += (uint32_t)snprintf(text, 32, "key/%u", i);
        store_le32(keys + 4 * (size_t)i, end);
    }
    request.keys_len = schema->key_type == KEY_U64 ? 8 * N_ASKED : 4 * N_ASKED + end;
    uint64_t cap = batch_body_min(schema, form, N_ASKED);
    if (cap > 8 << 20)
        return;
    uint8_t *out = malloc(cap ? cap : 1);
    int ret = batch_run(table, &request, out, cap, &result);
    if (ret == -ENOSPC && result.len < 64 << 20) {
        free(out);
        out = malloc(result.len);
        ret = batch_run(table, &request, out, result.len, &result);
        FIXTURE_MUST(ret == 0);
    }
    free(out);
}

static void use(const struct part *part)
{
    const struct part_info *info = part_info(part);
    struct schema schema = {.kind = KIND_MEM,
                            .key_type = info->key_type,
                            .value_len = info->value_len,
                            .n_shards = info->n_shards,
                            .hash_seed = info->hash_seed};
    struct mem_table *table = NULL;
    struct part_entry entry;
    uint64_t cursor = 0;
    uint64_t sum = 0;
    int ret = 1;
    for (int n = 0; n < 100000 && (ret = part_next(part, &cursor, &entry)); n++) {
        struct part_entry found;
        if (ret < 0)
            continue;
        for (uint32_t i = 0; entry.value && i < entry.value_len; i += 16)
            sum += entry.value[i];
        part_find(part, &entry, &found);
    }
    __asm__ volatile("" : : "r"(sum));
    if (info->n_shards != 1 || info->level != 0 ||
        mem_table_new(&schema, 1, (const struct part *const *)&part, &table, NULL))
        return;
    ask(table, BATCH_AS_STORED);
    if (info->value_len == 6) {
        mem_table_free(table);
        FIXTURE_MUST(schema_set_value(&schema, "f16[3]", NULL) == 0);
        FIXTURE_MUST(mem_table_new(&schema, 1, (const struct part *const *)&part, &table, NULL) ==
                     0);
        ask(table, BATCH_AS_F32);
    }
    mem_table_free(table);
}

static void open_and_use(struct buf *bytes)
{
    struct part *part = NULL;
    struct err err = {0};
    if (bytes->len >= PART_FOOTER_LEN) {
        struct part_footer footer;
        uint8_t *at = bytes->data + bytes->len - PART_FOOTER_LEN;
        memcpy(&footer, at, sizeof footer);
        store_le64(&footer.checksum,
                   hash_checksum(&footer, offsetof(struct part_footer, checksum)));
        memcpy(at, &footer, sizeof footer);
    }
    /* Exactly the part's bytes, so that the sanitizer sees a step beyond. */
    void *memory = NULL;
    FIXTURE_MUST(posix_memalign(&memory, PART_SECTION_ALIGN, bytes->len ? bytes->len : 1) == 0);
    if (bytes->len)
        memcpy(memory, bytes->data, bytes->len);
    int ret = part_open(memory, bytes->len, "fuzzed", &part, &err);
    FIXTURE_MUST(ret == 0 || (err.code == ret && err.text[0]));
    if (ret == 0)
        use(part);
    part_free(part);
    free(memory);
}

/* An edit: where (from the end when odd, so that the footer and sections are likely), how wide,
 * and what. */
static void edit(struct buf *bytes, const uint8_t *p)
{
    size_t at = load_le16(p);
    size_t len = (size_t)1 << (p[2] & 3);
    uint64_t value = (uint64_t)(int64_t)(int16_t)load_le16(p + 3);
    if (at % 2)
        at = bytes->len - PART_FOOTER_LEN + at / 2 % 256;
    if (p[2] & 4)
        value <<= p[5] & 63;
    at %= bytes->len - 8;
    if (p[2] & 8)
        at &= ~(size_t)7;
    memcpy(bytes->data + at, &value, len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct buf bytes = {0};
    templates_make();
    if (len == 0)
        return 0;
    if (data[0] % (N_TEMPLATES + 1) == N_TEMPLATES) {
        FIXTURE_MUST(buf_add(&bytes, data + 1, len - 1) == 0);
    } else {
        const struct template *t = &templates[data[0] % (N_TEMPLATES + 1)];
        FIXTURE_MUST(buf_add(&bytes, t->bytes.data, t->bytes.len) == 0);
        for (size_t i = 1; i + EDIT_LEN <= len; i += EDIT_LEN)
            edit(&bytes, data + i);
    }
    open_and_use(&bytes);
    buf_release(&bytes);
    return 0;
}
