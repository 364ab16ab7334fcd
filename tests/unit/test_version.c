/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "base/hash.h"
#include "format/version.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A delta of two levels and two shards. */
static struct version_desc make(void)
{
    struct version_desc desc = {
        .version = 7,
        .base = 6,
        .schema = {.kind = KIND_MEM,
                   .key_type = KEY_U64,
                   .n_shards = 2,
                   .hash_seed = 0xFEDCBA9876543210,
                   .owner = "ads",
                   .group = "rank",
                   .mode = 0440},
        .n_levels = 2,
        .n_keys = 21,
        .n_entries = 6,
        .task = strdup("t1"),
        .builder = strdup("fkv 0.1.0"),
        .author = strdup("ann@host"),
        .created = strdup("2026-01-02T03:04:05Z"),
        .source = strdup("words \"a\".tsv"),
        .parts = calloc(4, sizeof(struct part_desc)),
        .n_parts = 4,
    };
    assert_int_equal(schema_set_value(&desc.schema, "f16[100]", NULL), 0);
    for (uint32_t i = 0; i < 4; i++) {
        struct part_desc *part = &desc.parts[i];
        part->level = i / 2;
        part->shard = i % 2;
        part->len = PART_ALIGN * (1 + 1025 * (uint64_t)(i % 2));
        part->n_keys = i < 2 ? 10 : 2;
        part->n_tombstones = i < 2 ? 0 : 1;
        part->n_chunks = 1 + i % 2;
        part->chunks = calloc(part->n_chunks, sizeof *part->chunks);
        digest_of(&i, sizeof i, &part->digest);
        for (uint32_t c = 0; c < part->n_chunks; c++)
            digest_of(&c, sizeof c, &part->chunks[c]);
    }
    return desc;
}

static struct buf encoded_of(enum table_kind kind)
{
    struct version_desc desc = make();
    desc.schema.kind = kind;
    for (uint32_t i = 0; kind != KIND_MEM && i < desc.n_parts; i++) {
        desc.parts[i].tail_len = PART_ALIGN;
        desc.parts[i].values_len = 1000 * (uint64_t)i;
    }
    struct buf text = {0};
    struct err err = {0};
    assert_int_equal(version_desc_encode(&desc, &text, &err), 0);
    version_desc_release(&desc);
    return text;
}

static struct buf encoded(void)
{
    return encoded_of(KIND_MEM);
}

static void version__round_trips(void **state)
{
    struct buf text = encoded();
    struct buf again = {0};
    struct version_desc desc = {0};
    struct err err = {0};
    assert_int_equal(version_desc_decode(text.data, text.len, "v.json", &desc, &err), 0);
    assert_int_equal(desc.version, 7);
    assert_int_equal(desc.base, 6);
    assert_int_equal(desc.schema.value_len, 200);
    assert_true(desc.schema.hash_seed == 0xFEDCBA9876543210);
    assert_int_equal(desc.schema.mode, 0440);
    assert_string_equal(desc.schema.group, "rank");
    assert_string_equal(desc.source, "words \"a\".tsv");
    assert_int_equal(desc.n_parts, 4);
    assert_int_equal(desc.parts[3].n_chunks, 2);
    assert_int_equal(desc.parts[3].tail_len, 0);
    assert_int_equal(desc.parts[3].values_len, 0);
    assert_int_equal(version_desc_len(&desc), 2 * PART_ALIGN + 2 * 1026 * PART_ALIGN);
    assert_int_equal(version_desc_encode(&desc, &again, &err), 0);
    assert_int_equal(text.len, again.len);
    assert_memory_equal(text.data, again.data, text.len);
    version_desc_release(&desc);
    buf_release(&text);
    buf_release(&again);
}

static void version__part_names_hold_level_shard_and_digest(void **state)
{
    struct part_desc part = {.level = 3, .shard = 12};
    char name[PART_FILE_NAME_MAX];
    part.digest.b[0] = 0xAB;
    part_file_name(&part, name);
    assert_string_equal(name, "L03-S0012-ab00000000000000.part");
}

/* Replaces the first `from` by `to`; the result ends in NUL. */
static char *replaced(const struct buf *text, const char *from, const char *to)
{
    char *copy = calloc(text->len + strlen(to) + 1, 1);
    char *whole = calloc(text->len + 1, 1);
    memcpy(whole, text->data, text->len);
    char *at = strstr(whole, from);
    assert_non_null(at);
    memcpy(copy, whole, (size_t)(at - whole));
    strcat(copy, to);
    strcat(copy, at + strlen(from));
    free(whole);
    return copy;
}

static void version__every_wrong_member_is_refused_by_name(void **state)
{
    static const struct {
        const char *from;
        const char *to;
        int ret;
    } cases[] = {
        {"\"format\": 1", "\"format\": 2", -ENOTSUP},
        {"\"format\": 1", "\"format\": \"1\"", -EBADMSG},
        {"\"version\": 7", "\"version\": -7", -EBADMSG},
        {"\"base\": 6", "\"base\": 0", -EBADMSG},
        {"\"kind\": \"mem\"", "\"kind\": \"lsm\"", -ENOTSUP},
        {"\"kind\": \"mem\"", "\"kind\": \"idx\"", -EBADMSG},
        {"\"key\": \"u64\"", "\"key\": \"u32\"", -EBADMSG},
        {"f16[100]", "f16[0]", -EBADMSG},
        {"\"shards\": 2", "\"shards\": 3", -EBADMSG},
        {"\"shards\": 2", "\"shards\": 0", -EBADMSG},
        {"fedcba9876543210", "FEDCBA9876543210", -EBADMSG},
        {"fedcba9876543210", "fedcba987654321", -EBADMSG},
        {"\"mode\": \"0440\"", "\"mode\": \"0480\"", -EBADMSG},
        {"\"mode\": \"0440\"", "\"mode\": \"1777\"", -EBADMSG},
        {"\"owner\": \"ads\"", "\"owner\": \"../x\"", -EBADMSG},
        {"\"levels\": 2", "\"levels\": 1", -EBADMSG},
        {"\"levels\": 2", "\"levels\": 65", -EBADMSG},
        {"\"entries\": 6", "\"entries\": 7", -EBADMSG},
        {"\"task\": \"t1\"", "\"task\": 1", -EBADMSG},
        {"\"level\": 0", "\"level\": 1", -EBADMSG},
        {"\"bytes\": 4096", "\"bytes\": 4097", -EBADMSG},
        {"\"bytes\": 4096", "\"bytes\": 0", -EBADMSG},
        {"\"tombstones\": 0", "\"tombstones\": 1", -EBADMSG},
        {"\"tombstones\": 0", "\"tombstones\": 0, \"tail_bytes\": 4096", -EBADMSG},
        {"\"tombstones\": 0", "\"tombstones\": 0, \"values_bytes\": \"9\"", -EBADMSG},
        {"\"file\": \"L00-S0000-", "\"file\": \"../S0000-", -EBADMSG},
        {"\"xxh3_128\": \"", "\"xxh3_128\": \"zz", -EBADMSG},
        {"\"chunks\": [", "\"chunks\": [5,", -EBADMSG},
        {"\"chunks\": [", "\"no_chunks\": [", -EBADMSG},
        {"{", "[", -EBADMSG},
    };
    struct buf text = encoded();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct version_desc desc = {0};
        struct err err = {0};
        char *bad = replaced(&text, cases[i].from, cases[i].to);
        int ret = version_desc_decode(bad, strlen(bad), "v/7/version.json", &desc, &err);
        if (ret != cases[i].ret)
            fail_msg("%s -> %s: %d %s", cases[i].from, cases[i].to, ret, err.text);
        assert_non_null(strstr(err.text, "v/7/version.json"));
        assert_null(desc.parts);
        free(bad);
    }
    buf_release(&text);
}

static void version__parts_on_disk_say_what_belongs_in_memory(void **state)
{
    static const enum table_kind kinds[] = {KIND_BLK, KIND_IDX};
    for (size_t i = 0; i < 2; i++) {
        struct buf text = encoded_of(kinds[i]);
        struct buf again = {0};
        struct version_desc desc = {0};
        struct err err = {0};
        assert_int_equal(version_desc_decode(text.data, text.len, "v.json", &desc, &err), 0);
        assert_int_equal(desc.schema.kind, kinds[i]);
        assert_int_equal(desc.parts[3].tail_len, PART_ALIGN);
        assert_int_equal(desc.parts[3].values_len, 3000);
        assert_int_equal(desc.parts[0].values_len, 0); /* not known: not written */
        assert_int_equal(version_desc_encode(&desc, &again, &err), 0);
        assert_int_equal(text.len, again.len);
        assert_memory_equal(text.data, again.data, text.len);
        version_desc_release(&desc);
        buf_release(&text);
        buf_release(&again);
    }
}

static void version__a_tail_fits_its_part(void **state)
{
    static const struct {
        const char *from;
        const char *to;
    } cases[] = {
        {"\"tail_bytes\": 4096", "\"tail_bytes\": 0"},
        {"\"tail_bytes\": 4096", "\"tail_bytes\": null"},
        {"\"tail_bytes\": 4096", "\"tail_bytes\": 100"},
        {"\"tail_bytes\": 4096", "\"tail_bytes\": 8192"},
        {"\"tail_bytes\": 4096", "\"tail_bytes\": -4096"},
        {"\"tail_bytes\": 4096", "\"tail_bytes\": 9223372036854775807"},
        {"\"tail_bytes\": 4096", "\"tail_bytes\": 18446744073709551616"},
        {"\"tail_bytes\": 4096", "\"tail_bytes\": \"4096\""},
        {"\"tail_bytes\": 4096,", ""},
        {"\"values_bytes\": 1000", "\"values_bytes\": -1"},
        {"\"kind\": \"blk\"", "\"kind\": \"mem\""},
    };
    struct buf text = encoded_of(KIND_BLK);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct version_desc desc = {0};
        struct err err = {0};
        char *bad = replaced(&text, cases[i].from, cases[i].to);
        int ret = version_desc_decode(bad, strlen(bad), "v/7/version.json", &desc, &err);
        if (ret != -EBADMSG)
            fail_msg("%s -> %s: %d %s", cases[i].from, cases[i].to, ret, err.text);
        assert_non_null(strstr(err.text, "v/7/version.json"));
        assert_null(desc.parts);
        free(bad);
    }
    buf_release(&text);
}

static void version__every_truncation_is_refused(void **state)
{
    struct buf text = encoded();
    for (size_t len = 0; len + 2 < text.len; len += 7) {
        struct version_desc desc = {0};
        assert_int_equal(version_desc_decode(text.data, len, "cut", &desc, NULL), -EBADMSG);
    }
    buf_release(&text);
}

static void version__what_could_not_be_read_is_not_written(void **state)
{
    struct version_desc desc = make();
    struct buf text = {0};
    struct err err = {0};
    desc.parts[2].n_chunks = 2;
    assert_int_equal(version_desc_encode(&desc, &text, &err), -EINVAL);
    desc.parts[2].n_chunks = 1;
    desc.parts[2].tail_len = PART_ALIGN;
    assert_int_equal(version_desc_encode(&desc, &text, &err), -EINVAL);
    desc.parts[2].tail_len = 0;
    desc.n_entries = 5;
    assert_int_equal(version_desc_encode(&desc, &text, &err), -EINVAL);
    desc.n_entries = 6;
    desc.schema.mode = 01777;
    assert_int_equal(version_desc_encode(&desc, &text, &err), -EINVAL);
    desc.schema.mode = 0444;
    free(desc.task);
    desc.task = malloc(1001);
    memset(desc.task, 't', 1000);
    desc.task[1000] = '\0';
    assert_int_equal(version_desc_encode(&desc, &text, &err), -EINVAL);
    strcpy(desc.task, "\xF1"); /* Latin-1 */
    assert_int_equal(version_desc_encode(&desc, &text, &err), -EINVAL);
    assert_string_equal(err.text, "version.json: task is not UTF-8");
    assert_int_equal(text.len, 0);
    free(desc.task);
    desc.task = NULL; /* missing texts are written empty */
    assert_int_equal(version_desc_encode(&desc, &text, &err), 0);
    version_desc_release(&desc);
    buf_release(&text);
}

static void version__a_full_version_counts_its_keys(void **state)
{
    struct version_desc desc = make();
    struct buf text = {0};
    desc.base = 0;
    desc.n_levels = 1;
    desc.n_entries = 20;
    desc.n_keys = 21;
    free(desc.parts[2].chunks);
    free(desc.parts[3].chunks);
    desc.n_parts = 2;
    assert_int_equal(version_desc_encode(&desc, &text, NULL), -EINVAL);
    desc.n_keys = 20;
    assert_int_equal(version_desc_encode(&desc, &text, NULL), 0);
    version_desc_release(&desc);
    buf_release(&text);
}

static void version__a_checkpoint_says_of_which_and_has_no_base(void **state)
{
    struct version_desc desc = make();
    struct version_desc found = {0};
    struct buf text = {0};
    struct err err = {0};
    desc.checkpoint_of = 7;
    assert_int_equal(version_desc_encode(&desc, &text, &err), -EINVAL);
    assert_non_null(strstr(err.text, "checkpoint"));
    desc.base = 0;
    desc.n_levels = 1;
    desc.n_entries = 20;
    desc.n_keys = 20;
    free(desc.parts[2].chunks);
    free(desc.parts[3].chunks);
    desc.n_parts = 2;
    assert_int_equal(version_desc_encode(&desc, &text, NULL), 0);
    assert_int_equal(version_desc_decode(text.data, text.len, "v", &found, NULL), 0);
    assert_int_equal(found.checkpoint_of, 7);
    version_desc_release(&found);
    /* Others do not have the member at all. */
    buf_clear(&text);
    desc.checkpoint_of = 0;
    assert_int_equal(version_desc_encode(&desc, &text, NULL), 0);
    buf_add_byte(&text, 0);
    assert_null(strstr((const char *)text.data, "checkpoint_of"));
    version_desc_release(&desc);
    buf_release(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(version__round_trips),
        cmocka_unit_test(version__a_checkpoint_says_of_which_and_has_no_base),
        cmocka_unit_test(version__part_names_hold_level_shard_and_digest),
        cmocka_unit_test(version__every_wrong_member_is_refused_by_name),
        cmocka_unit_test(version__parts_on_disk_say_what_belongs_in_memory),
        cmocka_unit_test(version__a_tail_fits_its_part),
        cmocka_unit_test(version__every_truncation_is_refused),
        cmocka_unit_test(version__what_could_not_be_read_is_not_written),
        cmocka_unit_test(version__a_full_version_counts_its_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
