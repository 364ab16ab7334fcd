/* SPDX-License-Identifier: Apache-2.0 */
/* FeatureKV record files: from bytes to rows, and from rows to keys and values. */
#include "unit.h"

#include "base/buf.h"
#include "base/bytes.h"
#include "builder/input.h"
#include "builder/input_record.h"
#include "builder/row.h"
#include "codec/vector.h"
#include "format/part.h"
#include "temp_dir.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char dir[TEMP_DIR_MAX];

static int make_dir(void **state)
{
    temp_dir_make(dir);
    return 0;
}

static int remove_dir(void **state)
{
    temp_dir_remove(dir);
    return 0;
}

static const char *write_file(const char *name, const void *data, size_t len)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    if (len)
        assert_int_equal(fwrite(data, 1, len, file), len);
    fclose(file);
    return path;
}

static void add_head(struct buf *file, uint8_t key_len, uint32_t value_len)
{
    struct rec_head head = {.magic = REC_MAGIC, .key_len = key_len};
    store_le32(&head.value_len, value_len);
    assert_int_equal(buf_add(file, &head, sizeof head), 0);
}

static void add_record(struct buf *file, const void *key, size_t key_len, const void *value,
                       size_t value_len)
{
    add_head(file, (uint8_t)key_len, (uint32_t)value_len);
    assert_int_equal(buf_add(file, key, key_len), 0);
    assert_int_equal(buf_add(file, value, value_len), 0);
}

/* Rows as "number|key|value" lines, "number!" for a bad one; the code that taking blocks ended with. */
static int read_rows(const char *path, const struct input_options *options, uint64_t end,
                     struct buf *out, struct err *err)
{
    struct input_piece piece = {.path = path, .end = end, .is_exact = true};
    struct input *input = NULL;
    struct input_block block = {0};
    struct input_row row;
    int got = input_open(&piece, INPUT_RECORD, options, &input, err);
    buf_clear(out);
    while (!got && (got = input_take(input, &block, err)) > 0)
        while ((got = input_next(input, &block, &row, NULL))) {
            buf_printf(out, "%llu", (unsigned long long)row.line);
            if (got < 0)
                buf_printf(out, "!\n");
            else
                buf_printf(out, "|%.*s|%.*s\n", (int)row.key.len, row.key.data, (int)row.value.len,
                           row.value.data);
        }
    input_block_release(&block);
    input_close(input);
    return got;
}

static void assert_rows(const struct buf *file, int code, const char *words, const char *expected)
{
    struct buf rows = {0};
    const char *path = write_file("rows.rec", file->data, file->len);
    for (size_t block_len = 1; block_len < 300; block_len = 2 * block_len + 1) {
        struct input_options options = {.row_len_max = 100, .block_len = block_len};
        struct err err = {0};
        assert_int_equal(read_rows(path, &options, UINT64_MAX, &rows, &err), code);
        assert_string_equal(rows.data ? (const char *)rows.data : "", expected);
        if (!words)
            continue;
        assert_non_null(strstr(err.text, "rows.rec"));
        if (!strstr(err.text, words))
            fail_msg("\"%s\" is not in \"%s\"", words, err.text);
    }
    buf_release(&rows);
}

static void record__follows_record(void **state)
{
    struct buf file = {0};
    add_record(&file, "a", 1, "1", 1);
    add_record(&file, "bb", 2, "a longer value", 14);
    add_record(&file, "c", 1, "3", 1);
    assert_rows(&file, 0, NULL, "1|a|1\n2|bb|a longer value\n3|c|3\n");
    buf_release(&file);
}

static void record__an_empty_file_has_none(void **state)
{
    struct buf file = {0};
    assert_rows(&file, 0, NULL, "");
}

static void record__that_is_too_long_is_hopped_over(void **state)
{
    static const char zeros[5000];
    struct buf file = {0};
    add_record(&file, "a", 1, "1", 1);
    add_record(&file, "b", 1, zeros, sizeof zeros);
    add_record(&file, "c", 1, zeros, 93);
    add_record(&file, "d", 1, "4", 1);
    assert_rows(&file, 0, NULL, "1|a|1\n2!\n3!\n4|d|4\n");
    buf_release(&file);
}

/* A file may say that it has 4 GiB of a value, and have them: as a hole here. Nothing is allocated for it. */
static void record__of_4_gib_costs_nothing(void **state)
{
    struct buf file = {0};
    struct buf rows = {0};
    struct input_options options = {.row_len_max = 1000};
    add_head(&file, 1, UINT32_MAX);
    const char *path = write_file("huge.rec", file.data, file.len);
    buf_clear(&file);
    add_record(&file, "b", 1, "2", 1);
    FILE *out = fopen(path, "r+b");
    assert_non_null(out);
    assert_int_equal(fseeko(out, (off_t)REC_HEAD_LEN + 1 + UINT32_MAX, SEEK_SET), 0);
    assert_int_equal(fwrite(file.data, 1, file.len, out), file.len);
    fclose(out);
    assert_int_equal(read_rows(path, &options, UINT64_MAX, &rows, NULL), 0);
    assert_string_equal((const char *)rows.data, "1!\n2|b|2\n");
    buf_release(&rows);
    buf_release(&file);
}

static void record__every_truncation_is_corrupt_after_the_whole_rows(void **state)
{
    struct buf file = {0};
    add_record(&file, "a", 1, "1", 1);
    size_t first = file.len;
    add_record(&file, "bb", 2, "a longer value", 14);
    size_t whole = file.len;
    for (size_t len = 1; len < whole; len++) {
        file.len = len;
        bool is_border = len == first;
        assert_rows(&file, is_border ? 0 : -EBADMSG, is_border ? NULL : "cut short",
                    len < first ? "" : "1|a|1\n");
    }
    buf_release(&file);
}

static void record__a_damaged_head_ends_the_file_and_is_named(void **state)
{
    static const struct {
        size_t off;
        uint8_t byte;
        const char *words;
    } damage[] = {
        {0, 0xb3, "magic 0xb2), found 0xb3"},
        {1, 1, "flag 0, found 0x01"},
        {2, 0, "key of 1 to 255 bytes, found 0"},
        {3, 0, "value of 1 to 4294967295 bytes, found 0"},
    };
    for (size_t i = 0; i < sizeof damage / sizeof *damage; i++) {
        struct buf file = {0};
        char words[80];
        add_record(&file, "a", 1, "1", 1);
        size_t second = file.len;
        add_record(&file, "b", 1, "2", 1);
        add_record(&file, "c", 1, "3", 1);
        file.data[second + damage[i].off] = damage[i].byte;
        assert_rows(&file, -EBADMSG, damage[i].words, "1|a|1\n");
        snprintf(words, sizeof words, ": byte %zu: ", second);
        assert_rows(&file, -EBADMSG, words, "1|a|1\n");
        buf_release(&file);
    }
}

static void record__a_size_that_the_file_does_not_have_is_corrupt(void **state)
{
    struct buf file = {0};
    add_record(&file, "a", 1, "1", 1);
    add_head(&file, 1, UINT32_MAX);
    assert_rows(&file, -EBADMSG, "expected a record of 4294967303 bytes", "1|a|1\n");
    buf_release(&file);
}

static void record__text_is_not_taken_for_records(void **state)
{
    struct buf file = {0};
    assert_int_equal(buf_add(&file, "key\tvalue\n", 10), 0);
    assert_rows(&file, -EBADMSG, "byte 0: expected a record (magic 0xb2), found 0x6b", "");
    buf_release(&file);
}

static void record__has_no_columns(void **state)
{
    struct input_options options = {.key_column = "2"};
    struct err err = {0};
    assert_int_equal(input_columns_check(&options, INPUT_RECORD, &err), -EINVAL);
    assert_non_null(strstr(err.text, "--key-column"));
    options = (struct input_options){.header = true};
    assert_int_equal(input_columns_check(&options, INPUT_RECORD, &err), 0);
}

static void record__files_are_known_by_their_name(void **state)
{
    enum input_format format = INPUT_AUTO;
    assert_int_equal(input_format_of("/x/part-0.rec", INPUT_AUTO, &format, NULL), 0);
    assert_int_equal(format, INPUT_RECORD);
    assert_int_equal(input_format_of("a.fkvrec.zst", INPUT_AUTO, &format, NULL), 0);
    assert_int_equal(format, INPUT_RECORD);
    assert_int_equal(input_format_of("rec", INPUT_AUTO, &format, NULL), -EINVAL);
}

/* ---- pieces ---- */

static uint64_t guess(const char *path, uint64_t begin)
{
    struct input_options options = {.row_len_max = 1 << 20};
    struct input_piece piece = {.path = path, .begin = begin, .end = UINT64_MAX};
    struct input *input = NULL;
    assert_int_equal(input_open(&piece, INPUT_RECORD, &options, &input, NULL), 0);
    uint64_t at = input_begin(input);
    input_close(input);
    return at;
}

/* Values of random bytes, some of them long, full of bytes that look like heads. */
static void random_file(struct buf *file, uint64_t *begins, size_t n)
{
    uint64_t seed = 88172645463325252ULL;
    static uint8_t value[100000];
    for (size_t i = 0; i < sizeof value; i++) {
        seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
        value[i] = i % 5 == 0 ? REC_MAGIC : i % 5 == 1 ? 0 : (uint8_t)(seed >> 56);
    }
    for (size_t i = 0; i < n; i++) {
        seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
        begins[i] = file->len;
        size_t len = 1 + (i % 50 == 7 ? 90000 : (seed >> 40) % 300);
        add_record(file, &seed, sizeof seed, value + (seed >> 53), len);
    }
    begins[n] = file->len;
}

static void record__borders_are_found_by_the_chain_of_heads(void **state)
{
    enum { N = 400 };
    static uint64_t begins[N + 1];
    struct buf file = {0};
    random_file(&file, begins, N);
    const char *path = write_file("rows.rec", file.data, file.len);
    for (size_t i = 0; i < N; i++) {
        assert_int_equal(guess(path, begins[i] ? begins[i] : 1), begins[i] ? begins[i] : begins[1]);
        assert_int_equal(guess(path, begins[i] + 1), begins[i + 1]);
        assert_int_equal(guess(path, (begins[i] + begins[i + 1]) / 2), begins[i + 1]);
        assert_int_equal(guess(path, begins[i + 1] - 1), begins[i + 1]);
    }
    buf_release(&file);
}

/* A record whose value is itself a record file, to the byte, cannot be told from records: the border shows it. */
static void record__pieces_hold_each_row_once_or_show_it(void **state)
{
    struct buf inner = {0};
    struct buf file = {0};
    struct buf whole = {0};
    struct buf rows = {0};
    struct input_options options = {.row_len_max = 1000, .block_len = 64};
    add_record(&inner, "x", 1, "9", 1);
    add_record(&inner, "y", 1, "8", 1);
    add_record(&file, "a", 1, "1", 1);
    add_record(&file, "b", 1, inner.data, inner.len);
    add_record(&file, "c", 1, "3", 1);
    add_record(&file, "dd", 2, "4", 1);
    const char *path = write_file("rows.rec", file.data, file.len);
    size_t n_wrong = 0;
    assert_int_equal(read_rows(path, &options, UINT64_MAX, &whole, NULL), 0);
    for (uint64_t cut = 1; cut <= file.len; cut++) {
        struct input_piece first = {.path = path, .end = cut, .is_exact = true};
        struct input *input = NULL;
        struct input_block block = {0};
        uint64_t n = 0;
        int got;
        assert_int_equal(input_open(&first, INPUT_RECORD, &options, &input, NULL), 0);
        while ((got = input_take(input, &block, NULL)) > 0)
            ;
        assert_int_equal(got, 0);
        uint64_t end = input_end(input);
        assert_int_equal(input_count_rows(path, INPUT_RECORD, &options, end, &n, NULL), 0);
        assert_int_equal(n, input_line(input) - 1);
        input_block_release(&block);
        input_close(input);
        n_wrong += guess(path, cut) != end;
        assert_int_equal(read_rows(path, &options, cut, &rows, NULL), 0);
        assert_memory_equal(rows.data, whole.data, rows.len);
    }
    assert_in_range(n_wrong, 1, inner.len);
    buf_release(&inner);
    buf_release(&file);
    buf_release(&whole);
    buf_release(&rows);
}

/* ---- keys and values ---- */

struct fixture {
    struct schema schema;
    struct row_parser parser;
};

static void fixture_init(struct fixture *f, enum key_type key, const char *value)
{
    struct job job = {0};
    f->schema = (struct schema){.kind = KIND_MEM, .key_type = key, .n_shards = 1};
    assert_int_equal(schema_set_value(&f->schema, value, NULL), 0);
    assert_int_equal(row_parser_init(&f->parser, &job, &f->schema), 0);
}

static int parse(struct fixture *f, const void *key, size_t key_len, const void *value,
                 size_t value_len, struct part_entry *entry, struct err *err)
{
    struct input_row row = {.key = {FIELD_RAW, (char *)(uintptr_t)key, key_len},
                            .value = {FIELD_RAW, (char *)(uintptr_t)value, value_len}};
    return row_parse(&f->parser, &row, entry, err);
}

static void record__u64_keys_are_8_bytes(void **state)
{
    struct fixture f;
    struct part_entry entry;
    struct err err = {0};
    fixture_init(&f, KEY_U64, "bytes");
    assert_int_equal(parse(&f, "\1\2\0\0\0\0\0\x80", 8, "v", 1, &entry, NULL), 0);
    assert_int_equal(entry.key, 0x8000000000000201ULL);
    assert_int_equal(entry.hash, schema_hash_u64(&f.schema, entry.key));
    assert_int_equal(entry.value_len, 1);
    assert_int_equal(parse(&f, "1234567", 7, "v", 1, &entry, &err), -EBADMSG);
    assert_non_null(strstr(err.text, "8 bytes"));
    assert_int_equal(parse(&f, "123456789", 9, "v", 1, &entry, NULL), -EBADMSG);
    row_parser_release(&f.parser);
}

static void record__bytes_keys_and_values_are_taken_as_they_are(void **state)
{
    struct fixture f;
    struct part_entry entry;
    fixture_init(&f, KEY_BYTES, "bytes[3]");
    assert_int_equal(parse(&f, "k\0\t", 3, "a\\n", 3, &entry, NULL), 0);
    assert_int_equal(entry.key_len, 3);
    assert_memory_equal(entry.key_bytes, "k\0\t", 3);
    assert_memory_equal(entry.value, "a\\n", 3);
    assert_int_equal(entry.hash, schema_hash_bytes(&f.schema, "k\0\t", 3));
    assert_int_equal(parse(&f, "k", 1, "ab", 2, &entry, NULL), -EBADMSG);
    row_parser_release(&f.parser);
}

static void record__vectors_are_f32_and_stored_as_text_would_be(void **state)
{
    static const char *const values[] = {"f32[2]", "f16[2]", "bf16[2]", "i8[2]"};
    static const float floats[] = {1.5F, -3.25F};
    for (size_t i = 0; i < 4; i++) {
        struct fixture f;
        struct part_entry entry;
        uint8_t expected[64];
        fixture_init(&f, KEY_BYTES, values[i]);
        assert_int_equal(vector_encode(f.schema.elem, floats, 2, expected), 0);
        assert_int_equal(parse(&f, "k", 1, floats, sizeof floats, &entry, NULL), 0);
        assert_int_equal(entry.value_len, f.schema.value_len);
        assert_memory_equal(entry.value, expected, entry.value_len);
        row_parser_release(&f.parser);
    }
}

static void record__a_table_of_f16_takes_f16(void **state)
{
    struct fixture f;
    struct part_entry entry;
    struct err err = {0};
    fixture_init(&f, KEY_BYTES, "f16[2]");
    assert_int_equal(parse(&f, "k", 1, "\x00\x3c\x00\x7e", 4, &entry, NULL), 0);
    assert_memory_equal(entry.value, "\x00\x3c\x00\x7e", 4);
    assert_int_equal(parse(&f, "k", 1, "123456", 6, &entry, &err), -EBADMSG);
    assert_non_null(strstr(err.text, "2 elements of f32, 8 bytes"));
    row_parser_release(&f.parser);
    fixture_init(&f, KEY_BYTES, "bf16[2]");
    assert_int_equal(parse(&f, "k", 1, "\x00\x3c\x00\x7e", 4, &entry, NULL), -EBADMSG);
    row_parser_release(&f.parser);
}

static void record__what_is_not_finite_follows_the_rules_of_text(void **state)
{
    struct fixture f;
    struct part_entry entry;
    struct err err = {0};
    float floats[] = {NAN, -INFINITY};
    float large[] = {1, 65520};
    fixture_init(&f, KEY_BYTES, "f16[2]");
    assert_int_equal(parse(&f, "k", 1, floats, sizeof floats, &entry, NULL), 0);
    assert_int_equal(parse(&f, "k", 1, large, sizeof large, &entry, &err), -EBADMSG);
    assert_non_null(strstr(err.text, "element 2"));
    row_parser_release(&f.parser);
    fixture_init(&f, KEY_BYTES, "i8[2]");
    assert_int_equal(parse(&f, "k", 1, floats, sizeof floats, &entry, NULL), -EBADMSG);
    assert_int_equal(parse(&f, "k", 1, large, sizeof large, &entry, NULL), 0);
    row_parser_release(&f.parser);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(record__follows_record),
        cmocka_unit_test(record__an_empty_file_has_none),
        cmocka_unit_test(record__that_is_too_long_is_hopped_over),
        cmocka_unit_test(record__of_4_gib_costs_nothing),
        cmocka_unit_test(record__every_truncation_is_corrupt_after_the_whole_rows),
        cmocka_unit_test(record__a_damaged_head_ends_the_file_and_is_named),
        cmocka_unit_test(record__a_size_that_the_file_does_not_have_is_corrupt),
        cmocka_unit_test(record__text_is_not_taken_for_records),
        cmocka_unit_test(record__has_no_columns),
        cmocka_unit_test(record__files_are_known_by_their_name),
        cmocka_unit_test(record__borders_are_found_by_the_chain_of_heads),
        cmocka_unit_test(record__pieces_hold_each_row_once_or_show_it),
        cmocka_unit_test(record__u64_keys_are_8_bytes),
        cmocka_unit_test(record__bytes_keys_and_values_are_taken_as_they_are),
        cmocka_unit_test(record__vectors_are_f32_and_stored_as_text_would_be),
        cmocka_unit_test(record__a_table_of_f16_takes_f16),
        cmocka_unit_test(record__what_is_not_finite_follows_the_rules_of_text),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
